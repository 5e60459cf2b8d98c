//! A channel: who is in it, who moderates it, who is banned, and what was said; each place by itself.

use carillon_model::Key;
use carillon_store::moving::{self, Columns};
use carillon_store::{Lane, Tx};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::api::{Question, encoded};
use super::rows::{self, columns, key_of, text, when};
use super::{Move, broken};
use crate::error::Result;

/// How many members are asked about at once.
const MEMBERS_AT_ONCE: usize = 16;

/// A sub-channel, or a channel without any.
#[derive(Debug, Clone)]
struct Place {
    key: Key,
    /// Its id, where it is a sub-channel.
    id: Option<String>,
}

/// A member of a place.
struct Member {
    arn: String,
    place: Place,
    row: Columns,
}

/// How far numbers and times of a channel go.
#[derive(Debug, Default, Clone, Copy)]
struct Reach {
    sequence: i64,
    clock: i64,
}

impl Move<'_> {
    /// Brings a channel.
    pub(super) async fn channel(&self, arn: &str, bearer: &str) -> Result<()> {
        let path = format!("/channels/{}", encoded(arn));
        let question = Question::messaging("DescribeChannel", 20, arn, path.clone()).by(bearer);
        let Some(described) = self.ask(&question).await? else { return Ok(()) };
        let described = &described["Channel"];
        let is_elastic = described["ElasticChannelConfiguration"].is_object();
        let places = if is_elastic { self.places(arn, &path, bearer).await? } else { vec![whole(arn)] };
        let mut members = Vec::new();
        for place in &places {
            members.extend(self.members(arn, &path, place, bearer).await?);
        }
        let moderators = self.people_of(arn, &path, "moderators", bearer).await?;
        let bans = self.people_of(arn, &path, "bans", bearer).await?;

        let mut row = { rows::channel(self.instance, described, &mut self.found().people) };
        let mut everybody: Vec<&str> = members.iter().map(|member| member.arn.as_str()).collect();
        everybody.sort_unstable();
        everybody.dedup();
        row.insert("member_count".to_owned(), everybody.len().into());
        if is_elastic {
            self.found().elastic += 1;
            row.insert("sub_channel_count".to_owned(), places.len().into());
            let counted =
                sub_channels(arn, when(described, "CreatedTimestamp"), &places, &members, &moderators);
            self.put("sub_channel", &["created_at"], counted).await?;
        }
        self.put("channel", &["sequence", "clock"], vec![row]).await?;
        self.tags(&Question::messaging("ListTagsForResource", 10, arn, "/tags".to_owned()), arn).await?;
        let seats = members.iter().map(|member| member.row.clone()).collect();
        for (table, rows) in [("membership", seats), ("moderator", moderators), ("ban", bans)] {
            self.keep_only(table, key_of(arn), &rows).await?;
            self.put(table, &[], rows).await?;
        }
        self.messages(arn, &path, (&places, &members), bearer).await
    }

    /// The sub-channels of an elastic channel.
    async fn places(&self, arn: &str, path: &str, bearer: &str) -> Result<Vec<Place>> {
        let question =
            Question::messaging("ListSubChannels", 15, arn, format!("{path}/subchannels")).by(bearer);
        let mut places = Vec::new();
        for one in self.list(&question, "SubChannels", &[]).await? {
            let id = text(&one, "SubChannelId");
            match Key::from_hex(id) {
                Some(key) => places.push(Place { key, id: Some(id.to_owned()) }),
                None => self.miss("a sub-channel whose id cannot be kept"),
            }
        }
        Ok(places)
    }

    async fn members(&self, arn: &str, path: &str, place: &Place, bearer: &str) -> Result<Vec<Member>> {
        let list = format!("{path}/memberships");
        let mut found = Vec::new();
        for kind in ["DEFAULT", "HIDDEN"] {
            let question = Question::messaging("ListChannelMemberships", 15, arn, list.clone()).by(bearer);
            let mut query = place.query();
            query.push(("type", kind));
            found.extend(self.list(&question, "ChannelMemberships", &query).await?);
        }
        let members =
            stream::iter(found).map(async |one| self.member(arn, &list, place, &one["Member"]).await);
        let members = members.buffer_unordered(MEMBERS_AT_ONCE).try_filter_map(async |member| Ok(member));
        members.try_collect().await
    }

    /// A member, as it sees itself: its preferences are nobody else's affair.
    async fn member(&self, arn: &str, list: &str, place: &Place, who: &Value) -> Result<Option<Member>> {
        let member = text(who, "Arn").to_owned();
        let path = format!("{list}/{}", encoded(&member));
        let about = format!("{arn} {member}");
        let question = Question::messaging("DescribeChannelMembership", 20, &about, path.clone()).by(&member);
        let answer = self.seen(&question, self.api.ask(&question, &place.query()).await)?;
        let Some(described) = answer else { return Ok(None) };
        let described = &described["ChannelMembership"];
        let path = format!("{path}/preferences");
        let question = Question::messaging("GetChannelMembershipPreferences", 10, &about, path).by(&member);
        // Of an elastic channel, and of bots, there are none.
        let has_preferences = place.id.is_none() && !member.contains("/bot/");
        let preferences = if has_preferences { self.ask(&question).await? } else { None };
        let push =
            preferences.map(|answer| answer["Preferences"]["PushNotifications"].clone()).unwrap_or_default();
        let created_at = when(described, "CreatedTimestamp");
        let mut found = self.found();
        let row = columns(json!({
            "channel": key_of(arn), "member": found.people.key(who, created_at), "sub_channel": place.key,
            "kind": described["Type"], "invited_by": found.people.key(&described["InvitedBy"], created_at),
            "created_at": created_at, "updated_at": when(described, "LastUpdatedTimestamp"),
            "read_at": found.read_at.get(&(arn.to_owned(), member.clone())),
            "allow_notifications": push["AllowNotifications"], "filter_rule": push["FilterRule"],
        }));
        drop(found);
        Ok(Some(Member { arn: member, place: place.clone(), row }))
    }

    /// The moderators of a channel, or those who are banned from it.
    async fn people_of(&self, arn: &str, path: &str, what: &str, bearer: &str) -> Result<Vec<Columns>> {
        let ((list, describe), (items, item), of) = match what {
            "bans" => (("ListChannelBans", "DescribeChannelBan"), ("ChannelBans", "ChannelBan"), "Member"),
            _ => (
                ("ListChannelModerators", "DescribeChannelModerator"),
                ("ChannelModerators", "ChannelModerator"),
                "Moderator",
            ),
        };
        let path = format!("{path}/{what}");
        let question = Question::messaging(list, 15, arn, path.clone()).by(bearer);
        let mut rows = Vec::new();
        for one in self.list(&question, items, &[]).await? {
            let who = &one[of];
            let path = format!("{path}/{}", encoded(text(who, "Arn")));
            let question = Question::messaging(describe, 20, &format!("{arn} {}", text(who, "Arn")), path);
            let Some(described) = self.ask(&question.by(bearer)).await? else { continue };
            let (described, mut found) = (&described[item], self.found());
            let created_at = when(described, "CreatedTimestamp");
            rows.push(columns(json!({
                "channel": key_of(arn), "member": found.people.key(who, created_at),
                "created_by": found.people.key(&described["CreatedBy"], created_at), "created_at": created_at,
            })));
        }
        Ok(rows)
    }

    /// Takes away who is not there any more.
    async fn keep_only(&self, table: &'static str, channel: Key, rows: &[Columns]) -> Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let rows = rows.to_vec();
        let work = move |tx: &mut Tx| moving::keep_only(tx, moving::get(table), channel, &rows);
        store.write(Lane::Job, work).await.map(drop).map_err(|error| broken(&error))
    }

    /// What was said: first as somebody who sees what everybody sees, then as each member what it alone sees.
    async fn messages(
        &self,
        arn: &str,
        path: &str,
        (places, members): (&[Place], &[Member]),
        bearer: &str,
    ) -> Result<()> {
        let path = format!("{path}/messages");
        let mut reach = Reach::default();
        for place in places {
            reach = reach.or(self.messages_as(arn, &path, place, (bearer, false)).await?);
        }
        let own = stream::iter(members.iter().filter(|member| member.arn != bearer))
            .map(async |member| self.messages_as(arn, &path, &member.place, (&member.arn, true)).await)
            .buffer_unordered(MEMBERS_AT_ONCE);
        let reach = own.try_fold(reach, async |one, other| Ok(one.or(other))).await?;
        let (Some(store), channel) = (&self.store, key_of(arn)) else { return Ok(()) };
        let work = move |tx: &mut Tx| moving::raise(tx, channel, reach.sequence, reach.clock);
        store.write(Lane::Job, work).await.map_err(|error| broken(&error))
    }

    async fn messages_as(
        &self,
        arn: &str,
        path: &str,
        place: &Place,
        (reader, only_own): (&str, bool),
    ) -> Result<Reach> {
        let question = Question::messaging("ListChannelMessages", 30, arn, path.to_owned()).by(reader);
        let (mut reach, mut next) = (Reach::default(), Some(String::new()));
        while let Some(token) = next {
            let page = self.api.page(&question, "ChannelMessages", &place.query(), &token).await;
            let Some((messages, rest)) = self.seen(&question, page)? else { break };
            let mut rows = Vec::new();
            for message in &messages {
                let (status, sender) = (text(&message["Status"], "Value"), text(&message["Sender"], "Arn"));
                let is_targeted = message["Target"].get(0).is_some();
                if status == "PENDING" {
                    self.miss("a message that waits in a flow");
                } else if !only_own || is_targeted || (status != "SENT" && sender == reader) {
                    let released = !only_own || status == "SENT";
                    let places = (key_of(arn), place.key);
                    let (key, row) = { rows::message(places, message, released, &mut self.found().people) };
                    if !rows::is_kept(message) {
                        self.miss(
                            "the id of a message, which is not in the form of ours: it has another one here",
                        );
                    }
                    reach = reach
                        .or(Reach { sequence: key.sequence(), clock: when(message, "LastUpdatedTimestamp") });
                    rows.push(row);
                }
            }
            self.put("message", if only_own { &["released"] } else { &[] }, rows).await?;
            next = rest;
        }
        Ok(reach)
    }
}

impl Place {
    fn query(&self) -> Vec<(&str, &str)> {
        self.id.iter().map(|id| ("sub-channel-id", id.as_str())).collect()
    }
}

impl Reach {
    fn or(self, other: Self) -> Self {
        Self { sequence: self.sequence.max(other.sequence), clock: self.clock.max(other.clock) }
    }
}

/// A channel without sub-channels.
fn whole(arn: &str) -> Place {
    Place { key: key_of(arn), id: None }
}

/// The rows of sub-channels, with how many are in each.
fn sub_channels(
    arn: &str,
    created_at: i64,
    places: &[Place],
    members: &[Member],
    moderators: &[Columns],
) -> Vec<Columns> {
    let moderates = |member: &&Member| moderators.iter().any(|one| one["member"] == member.row["member"]);
    let counted = places.iter().map(|place| {
        let here = || members.iter().filter(|member| member.place.key == place.key);
        let (all, moderating) = (here().count(), here().filter(moderates).count());
        let regular = all - moderating;
        columns(json!({
            "channel": key_of(arn), "key": place.key, "created_at": created_at, "regular_count": regular,
            "taken": regular, "moderator_count": moderating, "is_open": 1,
        }))
    });
    counted.collect()
}
