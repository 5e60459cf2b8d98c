//! What a session is shown of its user's channels when it begins, if its client asks: one `CHANNEL_DETAILS` each.
//!
//! Each channel is read in a transaction of its own, once the one before it was taken by the socket: a client that
//! reads slowly holds nothing up, and thousands that come back at once share the lanes with everyone else. The
//! cost of a session is one query for the choice and at most six for each channel, whatever they hold.

use std::sync::Arc;

use carillon_model::event::ChannelDetails;
use carillon_model::message::Message;
use carillon_model::text::{ChannelMembershipType, SortOrder};
use carillon_model::{AppInstanceArn, Key, MessageKey, Timestamp};
use carillon_store::membership::Belonging;
use carillon_store::{self as store, Tx};

use crate::chat::retention;
use crate::error::{Error, Result};
use crate::front::connect::{Connection, Prefetch};
use crate::front::service::Service;
use crate::page::fitting;
use crate::quotas::Quotas;

/// The most bytes of texts of messages of each channel; one that is longer goes alone.
const BYTES_MAX: usize = 512 * 1024;

/// Where a prefetch has come to.
pub(crate) struct Reader {
    service: Arc<Service>,
    user: Key,
    instance: AppInstanceArn,
    is_admin: bool,
    order: Prefetch,
    quotas: Quotas,
    /// The channels that are still to be shown, the last first; nothing before they were chosen.
    left: Option<Vec<Key>>,
}

impl Reader {
    /// Nothing where a connection did not ask for one.
    pub(crate) fn new(service: &Arc<Service>, connection: &Connection) -> Option<Self> {
        Some(Self {
            service: service.clone(),
            user: connection.entrance.user,
            instance: connection.arn.app_instance(),
            is_admin: connection.is_admin,
            order: connection.prefetch?,
            quotas: service.surroundings().quotas,
            left: None,
        })
    }

    /// The frame of the next channel.
    pub(crate) async fn next(&mut self) -> Result<Option<String>> {
        if self.left.is_none() {
            let (user, unread_first) = (self.user, self.order == Prefetch::Unread);
            let limit = self.quotas.prefetch_channels_max;
            let choose = move |tx: &mut Tx| {
                Ok::<_, Error>(store::membership::list_latest(tx, user, unread_first, limit)?)
            };
            let mut channels = self.service.store().read(choose).await?;
            channels.reverse();
            self.left = Some(channels);
        }
        while let Some(channel) = self.left.as_mut().and_then(Vec::pop) {
            let now = self.service.surroundings().clock.now();
            let Self { user, is_admin, quotas, .. } = *self;
            let member = Member { user, instance: self.instance.clone(), is_admin, quotas };
            let read = move |tx: &mut Tx| member.details(tx, channel, now);
            if let Some(details) = self.service.store().read(read).await? {
                return Ok(Some(details.frame()));
            }
        }
        Ok(None)
    }
}

/// Whose channels are shown.
struct Member {
    user: Key,
    instance: AppInstanceArn,
    is_admin: bool,
    quotas: Quotas,
}

impl Member {
    /// A channel; nothing where they left it meanwhile, or it is no more.
    fn details(&self, tx: &mut Tx, channel: Key, now: Timestamp) -> Result<Option<ChannelDetails>> {
        let found = store::membership::find_channel(tx, &self.instance, self.user, channel)?;
        let Some(place) = found else { return Ok(None) };
        let (messages, has_more_messages) = self.messages(tx, place.sub_channel, now)?;
        let members = self.members(tx, &place)?;
        Ok(Some(ChannelDetails {
            last_message_at: place.channel.last_message_at.max(place.last_target_at),
            channel: place.channel,
            messages,
            has_more_messages,
            members,
            read_at: place.read_at,
        }))
    }

    /// The newest messages, as `ListChannelMessages` shows them: what is not for them leaves the page shorter.
    fn messages(&self, tx: &mut Tx, place: Key, now: Timestamp) -> Result<(Vec<Message>, bool)> {
        let since = retention::seen_since(tx, &self.instance, now)?;
        let range = (since.map_or(MessageKey([0; 32]), MessageKey::least), MessageKey([0xff; 32]));
        let most = self.quotas.prefetch_messages_max;
        let limit = most + 1;
        let mut rows = store::message::list(tx, &self.instance, place, range, SortOrder::Descending, limit)?;
        let fitting =
            fitting(&rows, BYTES_MAX, Message::text_bytes).min(usize::try_from(most).unwrap_or_default());
        let has_more = fitting < rows.len();
        rows.truncate(fitting);
        Ok((crate::chat::seen::messages(tx, &self.instance, rows, self.user)?, has_more))
    }

    /// Some of the members who are not hidden, as `ListChannelMemberships` shows them: to a hidden member, nobody.
    fn members(&self, tx: &mut Tx, place: &Belonging) -> Result<Vec<carillon_model::identity::Identity>> {
        let (channel, open) = (&place.channel, ChannelMembershipType::Default);
        let sees =
            place.kind == open || self.is_admin || store::moderator::exists(tx, channel.key, self.user)?;
        if !sees {
            return Ok(Vec::new());
        }
        let sub_channel = channel.elastic.map(|_| place.sub_channel);
        let most = self.quotas.prefetch_memberships_max;
        let rows = store::membership::list_members(tx, channel, sub_channel, open, None, most)?;
        Ok(rows.into_iter().map(|(member, _)| member).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::operations::messaging::create_channel::CreateChannel;
    use crate::operations::messaging::delete_channel::DeleteChannel;
    use crate::operations::messaging::redact_channel_message::RedactChannelMessage;
    use crate::operations::messaging::update_channel_read_marker::UpdateChannelReadMarker;
    use crate::testing::*;
    use carillon_model::text::*;
    use carillon_model::{ChannelArn, IdentityArn};

    const CHANNELS_MAX: i64 = 50;
    const MESSAGES_MAX: i64 = 20;
    const MEMBERS_MAX: i64 = 30;
    const ASK: &str = "prefetch-on=connect";
    const ASK_LATEST: &str = "prefetch-on=connect&prefetch-sort-by=last-message-timestamp";

    fn channel(world: &mut World, who: &IdentityArn) -> ChannelArn {
        world.channel_of(who, ChannelMode::Unrestricted, ChannelPrivacy::Private)
    }

    fn read(world: &mut World, channel: &ChannelArn, who: &IdentityArn) {
        let mark = UpdateChannelReadMarker { channel_arn: channel.clone(), chime_bearer: who.clone() };
        world.call(&mark).unwrap();
    }

    fn arns(details: &[Value]) -> Vec<&str> {
        details.iter().map(|details| details["Channel"]["ChannelArn"].as_str().unwrap()).collect()
    }

    fn contents(details: &Value) -> Vec<&str> {
        let messages = details["ChannelMessages"].as_array().unwrap();
        messages.iter().map(|message| message["Content"].as_str().unwrap_or_default()).collect()
    }

    fn names(details: &Value) -> Vec<&str> {
        let members = details["ChannelMemberships"].as_array().unwrap();
        let mut names: Vec<_> =
            members.iter().map(|member| member["Member"]["Name"].as_str().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[engine_test]
    fn a_channel_is_shown_as_the_wire_has_it(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let create = CreateChannel { metadata: Some(text("{}")), ..channel_request(world, &ana) };
        let lobby = world.call(&create).unwrap().channel_arn;
        world.join(&lobby, &ana, &bob);
        read(world, &lobby, &bob);
        world.advance_ms(3_070);
        let sent = world.send(&lobby, &ana, "Lunch?");
        let message = json!({
            "MessageId": sent,
            "Content": "Lunch?",
            "Type": "STANDARD",
            "CreatedTimestamp": "2026-01-15T12:00:03.070Z",
            "LastUpdatedTimestamp": "2026-01-15T12:00:03.070Z",
            "Sender": {"Arn": ana, "Name": "Ana"},
            "Redacted": false,
            "Status": {"Value": "SENT"},
        });
        let mut details = world.prefetch(&bob, ASK);
        let members = details[0]["ChannelMemberships"].as_array_mut().unwrap();
        members.sort_by_key(|member| member["Member"]["Name"].as_str().unwrap().to_owned());
        let shown = json!({
            "Channel": {
                "Name": "Lobby",
                "ChannelArn": lobby,
                "Mode": "RESTRICTED",
                "Privacy": "PRIVATE",
                "Metadata": "{}",
                "LastMessageTimestamp": "2026-01-15T12:00:03.070Z",
            },
            "ChannelMessages": [message],
            "ChannelMessagesHasMore": false,
            "ChannelMemberships": [
                {"Member": {"Arn": ana, "Name": "Ana"}},
                {"Member": {"Arn": bob, "Name": "Bob"}},
            ],
            "ReadMarkerTimestamp": "2026-01-15T12:00:00.000Z",
        });
        assert_eq!(details, [shown]);
    }

    #[engine_test]
    fn only_who_asks_is_shown_anything(world: &mut World) {
        let ana = world.user("ana");
        assert!(world.prefetch(&ana, ASK).is_empty());
        channel(world, &ana);
        assert_eq!(world.prefetch(&ana, ASK).len(), 1);
        for query in ["a=1", "prefetch-on=start", "prefetch-sort-by=unread", "prefetch-on="] {
            assert!(world.prefetch(&ana, query).is_empty(), "{query}");
        }
        assert_eq!(world.prefetch(&ana, "prefetch-on=connect&prefetch-sort-by=name").len(), 1);
    }

    #[engine_test]
    fn unread_ones_first_or_the_latest(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let [empty, old, read_one, targeted] = [(); 4].map(|()| channel(world, &ana));
        world.join(&targeted, &ana, &bob);
        for channel in [&old, &read_one] {
            world.advance_ms(1_000);
            world.send(channel, &ana, "hello");
        }
        world.advance_ms(1_000);
        read(world, &read_one, &ana);
        read(world, &targeted, &ana);
        world.advance_ms(1_000);
        world.send_to(&targeted, &bob, "psst", &ana);
        let by_unread = world.prefetch(&ana, ASK);
        assert_eq!(arns(&by_unread), [&targeted, &old, &read_one, &empty].map(ChannelArn::as_str));
        let by_time = world.prefetch(&ana, ASK_LATEST);
        assert_eq!(arns(&by_time), [&targeted, &read_one, &old, &empty].map(ChannelArn::as_str));
    }

    #[engine_test]
    fn of_fifty_one_channels_fifty_are_shown_the_unread_among_them(world: &mut World) {
        let ana = world.user("ana");
        let unread = channel(world, &ana);
        world.send(&unread, &ana, "first of all, and not read");
        world.advance_ms(1_000);
        for _ in 0..CHANNELS_MAX {
            let other = channel(world, &ana);
            world.send(&other, &ana, "later");
            world.advance_ms(1);
            read(world, &other, &ana);
        }
        let details = world.prefetch(&ana, ASK);
        assert_eq!((details.len(), arns(&details)[0]), (50, unread.as_str()));
        let latest = world.prefetch(&ana, ASK_LATEST);
        assert!(latest.len() == 50 && !arns(&latest).contains(&unread.as_str()));
    }

    #[engine_test]
    fn twenty_messages_and_thirty_members_are_shown(world: &mut World) {
        let ana = world.user("ana");
        let lobby = channel(world, &ana);
        for number in 0..MEMBERS_MAX {
            let member = world.user(&format!("member{number}"));
            world.join(&lobby, &ana, &member);
        }
        for number in 0..MESSAGES_MAX {
            world.send(&lobby, &ana, &number.to_string());
        }
        let details = world.prefetch(&ana, ASK);
        assert_eq!(details[0]["ChannelMessagesHasMore"], false);
        world.send(&lobby, &ana, "20");
        let details = world.prefetch(&ana, ASK);
        assert_eq!(details[0]["ChannelMessagesHasMore"], true);
        let newest_first: Vec<String> = (1..=MESSAGES_MAX).rev().map(|number| number.to_string()).collect();
        assert_eq!(contents(&details[0]), newest_first);
        assert_eq!(names(&details[0]).len(), 30);
    }

    #[engine_test]
    fn messages_are_shown_as_the_list_shows_them(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let lobby = channel(world, &ana);
        world.join(&lobby, &ana, &bob);
        world.join(&lobby, &ana, &cy);
        world.send_to(&lobby, &ana, "to bob", &bob);
        let message_id = world.send(&lobby, &ana, "secret");
        world.send_failing(&lobby, &ana, &bob, "failed");
        let redact = RedactChannelMessage {
            channel_arn: lobby.clone(),
            message_id,
            chime_bearer: ana.clone(),
            sub_channel_id: None,
        };
        for who in [&ana, &bob, &cy] {
            let listed = world.contents(&lobby, who);
            assert_eq!(contents(&world.prefetch(who, ASK)[0]), listed, "{who}");
        }
        world.call(&redact).unwrap();
        let details = world.prefetch(&bob, ASK);
        assert_eq!(contents(&details[0]), ["failed", "", "to bob"]);
        assert_eq!(details[0]["ChannelMessages"][0]["Status"]["Value"], "FAILED");
        assert_eq!(details[0]["ChannelMessages"][1]["Redacted"], true);
    }

    #[engine_test]
    fn a_hidden_member_is_not_shown_and_is_shown_nobody(world: &mut World) {
        let (ana, bob, eve) = (world.user("ana"), world.user("bob"), world.admin("eve"));
        let lobby = channel(world, &ana);
        world.join_hidden(&lobby, &ana, &bob);
        world.join_hidden(&lobby, &ana, &eve);
        for (who, seen) in [(&ana, vec!["Ana"]), (&bob, vec![]), (&eve, vec!["Ana"])] {
            assert_eq!(names(&world.prefetch(who, ASK)[0]), seen, "{who}");
        }
        world.moderate(&lobby, &ana, &bob);
        assert_eq!(names(&world.prefetch(&bob, ASK)[0]), ["Ana"]);
    }

    #[engine_test]
    fn an_elastic_channel_shows_ones_own_sub_channel_once(world: &mut World) {
        let ana = world.user("ana");
        let create = elastic_request(world, &ana);
        let stadium = world.call(&create).unwrap().channel_arn;
        let guests: Vec<_> = ["bob", "cy", "dora"]
            .map(|name| {
                let guest = world.user(name);
                let place = world.join(&stadium, &ana, &guest).unwrap();
                (guest, place)
            })
            .into();
        let mut all = [0, 0];
        for (guest, place) in &guests {
            let details = world.prefetch(guest, ASK);
            assert_eq!((details.len(), details[0].get("ReadMarkerTimestamp")), (1, None));
            let neighbours = guests.iter().filter(|(_, other)| other == place).count();
            let shown = names(&details[0]);
            all[usize::from(neighbours == 1)] += 1;
            assert_eq!(shown.iter().filter(|name| **name != "Ana").count(), neighbours);
        }
        assert_eq!(all, [2, 1]);
        let places: std::collections::BTreeSet<_> =
            guests.iter().map(|(_, place)| place.as_str().to_owned()).collect();
        for place in places {
            world.join_sub_channel(&stadium, &ana, &text(&place));
        }
        assert_eq!(world.prefetch(&ana, ASK).len(), 1, "a moderator of several sub-channels");
    }

    #[engine_test]
    fn a_channel_that_was_left_or_deleted_is_not_shown(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let [left, deleted, kept] = [(); 3].map(|()| channel(world, &ana));
        for channel in [&left, &deleted, &kept] {
            world.join(channel, &ana, &bob);
        }
        world.leave(&left, &bob);
        world.call(&DeleteChannel { channel_arn: deleted, chime_bearer: ana }).unwrap();
        assert_eq!(arns(&world.prefetch(&bob, ASK)), [kept.as_str()]);
    }
}
