//! A channel: who is in it, who moderates it, who is banned; and who is to read what was said in it.

use std::collections::{BTreeSet, HashMap};

use carillon_model::Key;
use carillon_store::moving::{self, Columns, Held};
use carillon_store::{Lane, Tx};
use futures_util::{StreamExt as _, TryStreamExt as _, stream, try_join};
use serde_json::{Value, json};

use super::api::{Question, encoded};
use super::people::Seat;
use super::rows::{self, at, columns, key_of, text, when};
use super::{Move, broken};
use crate::error::{Error, Result};

/// How many members are asked about at once,
const MEMBERS_AT_ONCE: usize = 16;
/// and in how many places of a channel.
const PLACES_AT_ONCE: usize = 4;

/// A channel, and as whom it is read, as far as that is nobody's in particular.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room<'a> {
    pub(super) arn: &'a str,
    pub(super) path: &'a str,
    /// Who may see who is in it: one who moderates it, where there is one.
    bearer: &'a str,
    /// Who sees what all see and nothing else.
    pub(super) admin: &'a str,
    /// When the last message is from that all see.
    last_at: Option<i64>,
}

/// A sub-channel, or a channel without any.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) key: Key,
    /// Its id, where it is a sub-channel.
    id: Option<String>,
}

/// A member of a place.
struct Member {
    arn: String,
    place: Place,
    row: Columns,
}

impl Move<'_> {
    /// Brings a channel.
    pub(super) async fn channel(
        &self,
        arn: &str,
        seats: &[Seat],
        (bearer, admin): (&str, &str),
    ) -> Result<()> {
        let path = &format!("/channels/{}", encoded(arn));
        // To others its last message may be one that is for them alone.
        let question = Question::messaging("DescribeChannel", arn, path.clone()).by(admin);
        let Some(described) = self.ask(&question).await? else { return Ok(()) };
        let described = &described["Channel"];
        let room = Room { arn, path, bearer, admin, last_at: at(&described["LastMessageTimestamp"]) };
        let is_elastic = described["ElasticChannelConfiguration"].is_object();
        let places = seats.iter().filter(|seat| seat.sub_channel.is_some() == is_elastic);
        let readers: Vec<_> =
            places.filter_map(|seat| Some((Place::of(arn, seat)?, seat.who.as_str()))).collect();
        let (read, places) = try_join!(
            self.messages_as_members(&room, &readers),
            self.channel_without_messages(&room, seats, described),
        )?;
        self.messages_of_all(&room, &places, read).await
    }

    /// All of a channel but what was said; answers which places it has.
    async fn channel_without_messages(
        &self,
        room: &Room<'_>,
        seats: &[Seat],
        described: &Value,
    ) -> Result<Vec<Place>> {
        let arn = room.arn;
        let is_elastic = described["ElasticChannelConfiguration"].is_object();
        let members = async {
            let places = if is_elastic { self.places(room).await? } else { vec![Place::whole(arn)] };
            let members = stream::iter(&places).map(async |place| self.members(room, place, seats).await);
            let members: Vec<Vec<Member>> = members.buffered(PLACES_AT_ONCE).try_collect().await?;
            Ok::<_, Error>((places, members.into_iter().flatten().collect::<Vec<_>>()))
        };
        let ((places, members), moderators, bans) =
            try_join!(members, self.people_of(room, "moderators"), self.people_of(room, "bans"))?;

        let mut row = { rows::channel(self.instance, described, &mut self.found().people) };
        let everybody: BTreeSet<&str> = members.iter().map(|member| member.arn.as_str()).collect();
        row.insert("member_count".to_owned(), everybody.len().into());
        if is_elastic {
            self.found().elastic += 1;
            row.insert("sub_channel_count".to_owned(), places.len().into());
            let counted =
                sub_channels(arn, when(described, "CreatedTimestamp"), &places, &members, &moderators);
            self.put("sub_channel", Held::Columns(&["created_at"]), counted).await?;
        }
        self.put("channel", Held::Columns(&["sequence", "clock"]), vec![row]).await?;
        let rows = members.into_iter().map(|member| member.row).collect();
        for (table, rows) in [("membership", rows), ("moderator", moderators), ("ban", bans)] {
            self.keep_only(table, key_of(arn), &rows).await?;
            self.put(table, Held::Nothing, rows).await?;
        }
        Ok(places)
    }

    /// The sub-channels of an elastic channel.
    async fn places(&self, room: &Room<'_>) -> Result<Vec<Place>> {
        let Room { arn, path, bearer, .. } = room;
        let question = Question::messaging("ListSubChannels", arn, format!("{path}/subchannels")).by(bearer);
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

    async fn members(&self, room: &Room<'_>, place: &Place, seats: &[Seat]) -> Result<Vec<Member>> {
        let Room { arn, path, bearer, .. } = room;
        let list = format!("{path}/memberships");
        let list = list.as_str();
        let of_kind = async |kind| {
            let question = Question::messaging("ListChannelMemberships", arn, list.to_owned()).by(bearer);
            let mut query = place.query();
            query.push(("type", kind));
            self.list(&question, "ChannelMemberships", &query).await
        };
        let (regular, hidden) = try_join!(of_kind("DEFAULT"), of_kind("HIDDEN"))?;
        let seats: HashMap<&str, &Seat> = seats.iter().map(|seat| (seat.who.as_str(), seat)).collect();
        let members = stream::iter(regular.into_iter().chain(hidden)).map(async |one| {
            let seat = seats.get(text(&one["Member"], "Arn")).copied();
            self.member((room, list), place, &one["Member"], seat).await
        });
        let members = members.buffered(MEMBERS_AT_ONCE).try_filter_map(async |member| Ok(member));
        members.try_collect().await
    }

    /// A member, as it sees itself: its preferences are nobody else's affair.
    async fn member(
        &self,
        (room, list): (&Room<'_>, &str),
        place: &Place,
        who: &Value,
        seat: Option<&Seat>,
    ) -> Result<Option<Member>> {
        let (arn, member) = (room.arn, text(who, "Arn").to_owned());
        let path = format!("{list}/{}", encoded(&member));
        let question = Question::messaging("DescribeChannelMembership", arn, path.clone()).by(&member);
        let answer = self.seen(&question, self.api.ask(&question, &place.query()).await)?;
        let Some(described) = answer else { return Ok(None) };
        let described = &described["ChannelMembership"];
        let path = format!("{path}/preferences");
        let question = Question::messaging("GetChannelMembershipPreferences", arn, path).by(&member);
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
            "read_at": seat.and_then(|seat| seat.read_at),
            // Where somebody saw a message after the last one that all see, it was for them.
            "last_target_at": seat.and_then(|seat| seat.last_at).filter(|at| room.last_at < Some(*at)),
            "allow_notifications": push["AllowNotifications"], "filter_rule": push["FilterRule"],
        }));
        drop(found);
        Ok(Some(Member { arn: member, place: place.clone(), row }))
    }

    /// The moderators of a channel, or those who are banned from it.
    async fn people_of(&self, room: &Room<'_>, what: &str) -> Result<Vec<Columns>> {
        let Room { arn, path, bearer, .. } = room;
        let ((list, describe), (items, item), of) = match what {
            "bans" => (("ListChannelBans", "DescribeChannelBan"), ("ChannelBans", "ChannelBan"), "Member"),
            _ => (
                ("ListChannelModerators", "DescribeChannelModerator"),
                ("ChannelModerators", "ChannelModerator"),
                "Moderator",
            ),
        };
        let path = &format!("{path}/{what}");
        let question = Question::messaging(list, arn, path.clone()).by(bearer);
        let rows = stream::iter(self.list(&question, items, &[]).await?).map(async |one| {
            let who = &one[of];
            let question =
                Question::messaging(describe, arn, format!("{path}/{}", encoded(text(who, "Arn"))));
            let Some(described) = self.ask(&question.by(bearer)).await? else { return Ok(None) };
            let (described, mut found) = (&described[item], self.found());
            let created_at = when(described, "CreatedTimestamp");
            Ok::<_, Error>(Some(columns(json!({
                "channel": key_of(arn), "member": found.people.key(who, created_at),
                "created_by": found.people.key(&described["CreatedBy"], created_at), "created_at": created_at,
            }))))
        });
        rows.buffered(MEMBERS_AT_ONCE).try_filter_map(async |row| Ok(row)).try_collect().await
    }

    /// Takes away who is not there any more.
    async fn keep_only(&self, table: &'static str, channel: Key, rows: &[Columns]) -> Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let rows = rows.to_vec();
        let work = move |tx: &mut Tx| moving::keep_only(tx, moving::get(table), channel, &rows);
        store.write(Lane::Job, work).await.map(drop).map_err(|error| broken(&error))
    }
}

impl Place {
    /// A channel without sub-channels.
    fn whole(arn: &str) -> Self {
        Self { key: key_of(arn), id: None }
    }

    /// Where somebody is; nothing where its id cannot be kept.
    fn of(arn: &str, seat: &Seat) -> Option<Self> {
        match &seat.sub_channel {
            None => Some(Self::whole(arn)),
            Some(id) => Some(Self { key: Key::from_hex(id)?, id: Some(id.clone()) }),
        }
    }

    /// How a question names it.
    pub(super) fn query(&self) -> Vec<(&str, &str)> {
        self.id.iter().map(|id| ("sub-channel-id", id.as_str())).collect()
    }
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
