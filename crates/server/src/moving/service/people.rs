//! Who there is: users, administrators and bots, and the channels that each of them is in or moderates, which they tell
//! themselves.

use std::collections::{BTreeMap, HashMap};

use carillon_store::moving::Columns;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use super::api::{Question, encoded};
use super::rows::{self, at, text, when};
use super::{Move, OTHERS_AT_ONCE, TAGS};
use crate::error::{Error, Result};

/// How many people are asked about at once; each has a rate of its own.
const PEOPLE_AT_ONCE: usize = 32;

/// Somebody's place in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seat {
    /// Whose.
    pub(super) who: String,
    /// In which sub-channel, where there are any.
    pub(super) sub_channel: Option<String>,
    /// When they read it last.
    pub(super) read_at: Option<i64>,
    /// When the last message is from that they may see.
    pub(super) last_at: Option<i64>,
}

/// Who is where.
#[derive(Debug, Default)]
pub(super) struct Seats {
    of_channels: BTreeMap<String, Vec<Seat>>,
    /// How many channels somebody is in.
    counts: BTreeMap<String, usize>,
    /// Who moderates a channel.
    moderators: HashMap<String, Vec<String>>,
}

impl Seats {
    /// The channels that anybody is in.
    pub(super) fn channels(&self) -> impl Iterator<Item = &str> {
        self.of_channels.keys().map(String::as_str)
    }

    /// Who is in a channel.
    pub(super) fn of(&self, channel: &str) -> &[Seat] {
        self.of_channels.get(channel).map_or(&[], Vec::as_slice)
    }

    /// In how many channels somebody is.
    fn count(&self, who: &str) -> usize {
        self.counts.get(who).copied().unwrap_or_default()
    }

    /// Whom to ask about each of these channels: of those who moderate it the one who is asked about the fewest, and
    /// where nobody does an administrator.
    pub(super) fn askers<'a>(&'a self, channels: &[&str], admins: &'a [String]) -> Vec<&'a str> {
        let mut loads: HashMap<&str, usize> = HashMap::new();
        let asked = channels.iter().map(|channel| {
            let moderators = self.moderators.get(*channel).filter(|moderators| !moderators.is_empty());
            let asked = moderators.map_or(admins, Vec::as_slice).iter().map(String::as_str);
            let asked =
                asked.min_by_key(|who| loads.get(who).copied().unwrap_or_default()).unwrap_or_default();
            *loads.entry(asked).or_default() += 1;
            asked
        });
        asked.collect()
    }

    fn add(&mut self, channel: &str, seat: Seat) {
        let seats = self.of_channels.entry(channel.to_owned()).or_default();
        // Somebody may be in several places of a channel, and tells of all of them at once.
        if seats.last().is_none_or(|last| last.who != seat.who) {
            *self.counts.entry(seat.who.clone()).or_default() += 1;
        }
        seats.push(seat);
    }
}

impl Move<'_> {
    /// The administrators, and since when they are.
    pub(super) async fn admins(&self, path: &str) -> Result<BTreeMap<String, i64>> {
        let arn = &self.asked.app_instance;
        let list = Question::identity("ListAppInstanceAdmins", arn, format!("{path}/admins"));
        let admins = self.list(&list, "AppInstanceAdmins", &[]).await?;
        let since = stream::iter(admins).map(async |admin| {
            let admin = text(&admin["Admin"], "Arn");
            let path = format!("{path}/admins/{}", encoded(admin));
            let described = self.ask(&Question::identity("DescribeAppInstanceAdmin", arn, path)).await?;
            let since = described.map_or(0, |admin| when(&admin["AppInstanceAdmin"], "CreatedTimestamp"));
            Ok::<_, Error>((admin.to_owned(), since))
        });
        since.buffer_unordered(OTHERS_AT_ONCE).try_collect().await
    }

    /// The ARNs of all users, who are known from here on.
    pub(super) async fn list_users(&self) -> Result<Vec<String>> {
        let arn = self.asked.app_instance.as_str();
        let list = Question::identity("ListAppInstanceUsers", arn, "/app-instance-users".to_owned());
        let users = self.list(&list, "AppInstanceUsers", &[("app-instance-arn", arn)]).await?;
        let users: Vec<_> = users.iter().map(|user| text(user, "AppInstanceUserArn").to_owned()).collect();
        let mut found = self.found();
        for user in &users {
            found.people.know(user, rows::key_of(user));
        }
        Ok(users)
    }

    /// Those of all bots.
    pub(super) async fn list_bots(&self) -> Result<Vec<String>> {
        let arn = self.asked.app_instance.as_str();
        let list = Question::identity("ListAppInstanceBots", arn, "/app-instance-bots".to_owned());
        let bots = self.list(&list, "AppInstanceBots", &[("app-instance-arn", arn)]).await?;
        let bots: Vec<_> = bots.iter().map(|bot| text(bot, "AppInstanceBotArn").to_owned()).collect();
        let mut found = self.found();
        for bot in &bots {
            found.people.know(bot, rows::bot_key(bot));
        }
        Ok(bots)
    }

    /// Where everybody is, and what they moderate, as they see it.
    pub(super) async fn memberships(&self, people: impl ExactSizeIterator<Item = &String>) -> Result<Seats> {
        let all = people.len() as u64;
        let asked = stream::iter(people).map(async |who| {
            let path = "/channels?scope=app-instance-user-memberships".to_owned();
            let question = Question::messaging("ListChannelMembershipsForAppInstanceUser", who, path).by(who);
            let listed = self.list(&question, "ChannelMemberships", &[]).await?;
            let moderated = if self.asks_moderators(who) { self.moderated(who).await? } else { Vec::new() };
            self.progress().step(all);
            Ok::<_, Error>((who, listed, moderated))
        });
        let mut asked = std::pin::pin!(asked.buffer_unordered(PEOPLE_AT_ONCE));
        let mut seats = Seats::default();
        while let Some(answer) = asked.next().await {
            let (who, listed, moderated) = answer?;
            for channel in moderated {
                let channel = text(&channel["ChannelSummary"], "ChannelArn").to_owned();
                seats.moderators.entry(channel).or_default().push(who.clone());
            }
            for one in listed {
                let own = &one["AppInstanceUserMembershipSummary"];
                let seat = Seat {
                    who: who.clone(),
                    sub_channel: own["SubChannelId"].as_str().map(str::to_owned),
                    read_at: at(&own["ReadMarkerTimestamp"]),
                    last_at: at(&one["ChannelSummary"]["LastMessageTimestamp"]),
                };
                seats.add(text(&one["ChannelSummary"], "ChannelArn"), seat);
            }
        }
        Ok(seats)
    }

    /// Whether channels are to be read as those who moderate them, this one among them.
    fn asks_moderators(&self, who: &str) -> bool {
        self.asked.bearer.is_none() && !who.contains("/bot/")
    }

    async fn moderated(&self, who: &str) -> Result<Vec<Value>> {
        let path = "/channels?scope=app-instance-user-moderated-channels".to_owned();
        let question = Question::messaging("ListChannelsModeratedByAppInstanceUser", who, path).by(who);
        self.list(&question, "Channels", &[]).await
    }

    /// Brings the users.
    pub(super) async fn users(
        &self,
        users: &[String],
        admins: &BTreeMap<String, i64>,
        seats: &Seats,
    ) -> Result<()> {
        let rows = stream::iter(users).map(async |user| {
            let path = format!("/app-instance-users/{}", encoded(user));
            let question = Question::identity("DescribeAppInstanceUser", user, path);
            let Some(described) = self.ask(&question).await? else { return Ok(None) };
            let (described, since) = (&described["AppInstanceUser"], admins.get(user).copied());
            Ok::<_, Error>(Some(rows::user(self.instance, described, since, seats.count(user))))
        });
        self.put_all("identity", rows.buffer_unordered(PEOPLE_AT_ONCE)).await
    }

    /// Brings the bots.
    pub(super) async fn bots(&self, bots: &[String], seats: &Seats) -> Result<()> {
        let arn = self.asked.app_instance.as_str();
        let rows = stream::iter(bots).map(async |bot| {
            let path = format!("/app-instance-bots/{}", encoded(bot));
            let question = Question::identity("DescribeAppInstanceBot", arn, path);
            let Some(described) = self.ask(&question).await? else { return Ok(None) };
            let row: Option<Columns> =
                rows::bot(self.instance, &described["AppInstanceBot"], seats.count(bot));
            if row.is_none() {
                self.miss("a bot whose configuration is not known here");
            }
            Ok::<_, Error>(row)
        });
        self.put_all("identity", rows.buffer_unordered(OTHERS_AT_ONCE)).await
    }

    /// Brings the tags of users and bots.
    pub(super) async fn tags_of_people(&self, people: impl Iterator<Item = &String>) -> Result<()> {
        let arn = self.asked.app_instance.as_str();
        let tags = stream::iter(people)
            .map(async |who| self.tags(&Question::identity(TAGS.0, arn, TAGS.1.to_owned()), who).await);
        tags.buffer_unordered(OTHERS_AT_ONCE).try_collect().await
    }
}
