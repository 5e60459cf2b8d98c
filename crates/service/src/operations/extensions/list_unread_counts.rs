//! `ListUnreadCounts`: how much of each of one's channels one has not read, the channel with the latest message first.
//! Read markers are their readers' alone, so nobody counts for another.
//!
//! A message counts where it is later than the read marker, or where there is none, than the membership; where it is of
//! another, STANDARD, not redacted, and released to whoever asks. Elastic channels have no read markers, and are not
//! listed.

use carillon_store::unread::Followed;

use crate::chat::{mention, retention};
use crate::prelude::*;

/// As far as the messages of a channel are counted.
const UNREAD_MAX: i64 = 1_000;
/// Of a channel, so many of the newest messages are looked at: beyond them nothing counts.
const EXAMINED_MAX: i64 = 2_000;

/// The request.
#[operation(GET "/_carillon/v1/app-instance-users/{appInstanceUserArn}/unread" => 200, Listed)]
#[errors(BadRequest)]
#[paged]
#[bearer]
pub struct ListUnreadCounts {
    /// Whose; the bearer's.
    #[label]
    pub app_instance_user_arn: IdentityArn,
}

/// The answer.
#[shape]
pub struct Listed {
    /// Whose.
    pub app_instance_user_arn: IdentityArn,
    /// The channels.
    pub unread_counts: Vec<UnreadCount>,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
}

/// How much of a channel someone has not read.
#[shape]
pub struct UnreadCount {
    /// Which.
    pub channel_arn: ChannelArn,
    /// How many messages, up to a thousand.
    pub unread_count: i64,
    /// How many of those mention the user.
    pub unread_mention_count: i64,
    /// The last persistent message that the user can see.
    pub last_message_timestamp: Option<Timestamp>,
}

/// It is for oneself.
const RULE: Rule = Rule(&[]);

impl Read for ListUnreadCounts {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        let viewer = call.bearer(tx)?.identity;
        if viewer.arn != self.app_instance_user_arn {
            return Err(Error::not_admitted(call.operation, format_args!("it is for {RULE}")));
        }
        let instance = viewer.arn.app_instance();
        let (page, after) = Page::of(self, call)?;
        let at = |row: &Followed| (row.last_at, row.channel);
        let (rows, given_up_at) = call.admitted(
            tx,
            (after, page.reach()),
            |tx, after, limit| store::unread::list(tx, &instance, viewer.key, *after, limit),
            |row| (Some(at(row)), row.arn.clone()),
        )?;
        let (rows, next_token) = page.cut(rows, at);
        let next_token = next_token.or(given_up_at.map(|at| page.token(&at)));
        let kept_since = retention::seen_since(tx, &instance, call.now)?;
        let places = rows.iter().map(|row| place(row, kept_since)).collect::<Vec<_>>();
        let asked: Vec<_> = places.iter().flatten().copied().collect();
        let mut found = store::unread::find(tx, &asked, viewer.key, (EXAMINED_MAX, UNREAD_MAX))?.into_iter();
        let counts = rows.into_iter().zip(places).map(|(row, place)| {
            let unread = place.and_then(|_| found.next()).unwrap_or_default();
            let mentions =
                unread.iter().filter(|attributes| mention::names(attributes.as_ref(), &viewer.arn));
            UnreadCount {
                channel_arn: row.arn,
                unread_mention_count: i64::try_from(mentions.count()).unwrap_or(UNREAD_MAX),
                unread_count: i64::try_from(unread.len()).unwrap_or(UNREAD_MAX),
                last_message_timestamp: Some(row.last_at).filter(|time| Timestamp::from_ms(0) < *time),
            }
        });
        let unread_counts = counts.collect();
        Ok(Listed { app_instance_user_arn: self.app_instance_user_arn.clone(), unread_counts, next_token })
    }
}

/// Where to count; nowhere, where everything is read.
fn place(row: &Followed, kept_since: Option<Timestamp>) -> Option<store::unread::Place> {
    if row.last_at <= row.since {
        return None;
    }
    let unread = MessageKey::greatest(row.since).next()?;
    let least = kept_since.map_or(unread, |since| unread.max(MessageKey::least(since)));
    Some(store::unread::Place { channel: row.channel, least })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::query::tests::new_user;
    use crate::operations::messaging::redact_channel_message::RedactChannelMessage;
    use crate::operations::messaging::send_channel_message::SendChannelMessage;
    use crate::operations::messaging::update_channel_read_marker::UpdateChannelReadMarker;
    use crate::shapes::MessageAttributeValue;
    use crate::testing::*;

    fn list(who: &IdentityArn) -> ListUnreadCounts {
        ListUnreadCounts {
            app_instance_user_arn: who.clone(),
            max_results: None,
            next_token: None,
            chime_bearer: who.clone(),
        }
    }

    /// The channels of somebody in pages of this length, with what is unread, and what of it mentions them.
    fn counts(world: &mut World, who: &IdentityArn, length: i64) -> Vec<(ChannelArn, i64, i64)> {
        let mut page = ListUnreadCounts { max_results: Some(length.try_into().unwrap()), ..list(who) };
        let mut all = Vec::new();
        world.turn_pages(&mut page, |listed| {
            all.extend(
                listed
                    .unread_counts
                    .into_iter()
                    .map(|one| (one.channel_arn, one.unread_count, one.unread_mention_count)),
            );
            listed.next_token
        });
        all
    }

    fn of(world: &mut World, who: &IdentityArn) -> (i64, i64) {
        let all = counts(world, who, 50);
        assert_eq!(all.len(), 1);
        (all[0].1, all[0].2)
    }

    fn read(world: &mut World, channel: &ChannelArn, who: &IdentityArn) {
        let read = UpdateChannelReadMarker { channel_arn: channel.clone(), chime_bearer: who.clone() };
        world.call(&read).unwrap();
        world.advance_ms(1);
    }

    fn mentioning(world: &mut World, channel: &ChannelArn, by: &IdentityArn, who: &IdentityArn) {
        let client_request_token = world.token();
        let value = MessageAttributeValue { string_values: Some(vec![text(who.as_str())]) };
        let send = SendChannelMessage {
            client_request_token,
            message_attributes: Some([(text("CHIME.mentions"), value)].into()),
            ..message_request(channel, by, "you")
        };
        world.call(&send).unwrap();
    }

    #[engine_test]
    fn what_others_said_since_one_read_or_joined_is_counted(world: &mut World) {
        let [ana, bob] = ["ana", "bob"].map(|name| world.user(name));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        world.send(&channel, &ana, "before bob came");
        world.advance_ms(1);
        world.join(&channel, &ana, &bob);
        world.advance_ms(1);
        assert_eq!(of(world, &bob), (0, 0));
        world.send(&channel, &ana, "one");
        mentioning(world, &channel, &ana, &bob);
        mentioning(world, &channel, &ana, &ana);
        world.send(&channel, &bob, "bob's own");
        assert_eq!(of(world, &bob), (3, 1));
        assert_eq!(of(world, &ana), (1, 0));
        read(world, &channel, &bob);
        assert_eq!(of(world, &bob), (0, 0));
        mentioning(world, &channel, &ana, &bob);
        assert_eq!(of(world, &bob), (1, 1));
    }

    #[engine_test]
    fn only_what_one_may_read_and_would_is_counted(world: &mut World) {
        let [ana, bob, cy] = ["ana", "bob", "cy"].map(|name| world.user(name));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        world.join(&channel, &ana, &bob);
        world.join(&channel, &ana, &cy);
        world.advance_ms(1);
        world.send_to(&channel, &ana, "psst", &bob);
        let redacted = world.send(&channel, &ana, "oh");
        let control = SendChannelMessage {
            client_request_token: world.token(),
            kind: ChannelMessageType::Control,
            ..message_request(&channel, &ana, "typing")
        };
        world.call(&control).unwrap();
        assert_eq!((of(world, &bob), of(world, &cy)), ((2, 0), (1, 0)));
        let redact = RedactChannelMessage {
            channel_arn: channel.clone(),
            message_id: redacted,
            chime_bearer: ana.clone(),
            sub_channel_id: None,
        };
        world.call(&redact).unwrap();
        assert_eq!((of(world, &bob), of(world, &cy)), ((1, 0), (0, 0)));
        // What is in a flow is nobody's.
        let (flow, root) = (world.flow(), world.admin("root"));
        world.call(&association(&channel, &flow, &root)).unwrap();
        world.send(&channel, &ana, "in flight");
        assert_eq!((of(world, &bob), of(world, &cy)), ((1, 0), (0, 0)));
        let instance = world.instance().clone();
        world.keep_messages(&instance, Some("1"));
        world.advance_ms(2 * crate::chat::retention::DAY_MS);
        assert_eq!(of(world, &bob), (0, 0), "it is past its retention");
    }

    #[engine_test]
    fn the_channel_with_the_latest_message_comes_first_whatever_the_length_of_pages(world: &mut World) {
        let [ana, bob] = ["ana", "bob"].map(|name| world.user(name));
        let mut channels: Vec<_> = (0..5)
            .map(|_| world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private))
            .collect();
        for channel in &channels {
            world.join(channel, &ana, &bob);
        }
        world.advance_ms(1);
        // Two are of one instant, and nobody says anything in the last.
        for (number, channel) in (1..).zip(&channels[..4]) {
            for _ in 0..number {
                world.send(channel, &ana, "hi");
            }
            world.advance_ms(i64::from(number != 2));
        }
        let elastic = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        world.join(&elastic, &ana, &bob);
        channels[..4].reverse();
        let all = counts(world, &bob, 50);
        let listed: Vec<_> = all.iter().map(|(_, unread, _)| *unread).collect();
        assert_eq!((&listed[..1], &listed[3..]), (&[4][..], &[1, 0][..]));
        assert_eq!(all[0].0, channels[0]);
        for length in [1, 2, 3] {
            assert_eq!(counts(world, &bob, length), all);
        }
    }

    #[engine_test]
    fn what_policies_deny_is_not_counted(world: &mut World) {
        let [ana, bob] = ["ana", "bob"].map(|name| world.user(name));
        let channels: Vec<_> = (0..5)
            .map(|_| world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private))
            .collect();
        for channel in &channels {
            world.join(channel, &ana, &bob);
            world.advance_ms(1);
            world.send(channel, &ana, "hi");
        }
        let all = counts(world, &bob, 50);
        let statement = |effect: &str, resources: serde_json::Value| {
            let action = "chime:ListUnreadCounts";
            serde_json::json!({"Effect": effect, "Action": action, "Resource": resources})
        };
        let policy = |statements: &[serde_json::Value]| {
            serde_json::json!({"Version": "2012-10-17", "Statement": statements}).to_string()
        };
        let denied = [0, 2, 3].map(|at: usize| channels[at].as_str());
        let narrowed = policy(&[
            statement("Allow", serde_json::json!("*")),
            statement("Deny", serde_json::json!(denied)),
        ]);
        let user = new_user(world, "app", &narrowed);
        let root = world.sign_with(user);
        let left: Vec<_> = all.iter().filter(|(arn, ..)| !denied.contains(&arn.as_str())).cloned().collect();
        assert_eq!(left.len(), 2);
        for length in [1, 2, 50] {
            assert_eq!(counts(world, &bob, length), left);
            let page = ListUnreadCounts { max_results: Some(length.try_into().unwrap()), ..list(&bob) };
            let page = world.call(&page).unwrap();
            assert_eq!(page.unread_counts.len(), 2.min(usize::try_from(length).unwrap()));
            assert_eq!(page.next_token.is_some(), length < 2);
        }
        // Who may not do it in all channels may not ask for all.
        world.sign_with(root);
        let narrower = policy(&[statement("Allow", serde_json::json!(bob.as_str()))]);
        let user = new_user(world, "other", &narrower);
        world.sign_with(user);
        assert_eq!(world.refusal(&list(&bob)), ErrorCode::AccessDenied);
    }

    #[engine_test]
    fn nobody_counts_for_another(world: &mut World) {
        let (ana, root) = (world.user("ana"), world.admin("root"));
        for (who, whose) in [(&root, &ana), (&ana, &root)] {
            let request = ListUnreadCounts { app_instance_user_arn: whose.clone(), ..list(who) };
            assert_eq!(world.refusal(&request), ErrorCode::Forbidden);
        }
        assert_eq!(counts(world, &ana, 50), []);
    }
}
