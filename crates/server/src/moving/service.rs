//! `carillon import --from-service`: an app instance, read from the original service or from another carillon by its
//! own API, each thing as somebody who may see it.
//!
//! A row is put in the place of what is there under its key, so a repetition brings what is new, edits and redactions
//! too; who belongs to a channel, moderates it or is banned is then as it is there. What the API does not tell is said
//! at the end.

mod api;
mod channel;
mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carillon_model::{AppInstanceArn, Key};
use carillon_store::moving::{self, Columns};
use carillon_store::{Lane, Store, Tx};
use carillon_targets::aws::Aws;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use self::api::{Answered, Api, Question, Unanswered, encoded};
use self::rows::{People, at, columns, text, when};
use super::grouped;
use super::progress::{Progress, tell};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::outgoing::Clients;
use crate::{process, wire};

/// How many users are asked about at once; each has a rate of its own.
const USERS_AT_ONCE: usize = 32;
/// How many channels are read at once.
const CHANNELS_AT_ONCE: usize = 8;
/// What the API of the service tells nobody.
const UNTOLD: &str = "not told by the API, and so not brought: devices (apps register them anew), the words of pushes, \
     messages that are not PERSISTENT, and which messages and channels were deleted there since an earlier import";
/// What is written once of somebody who is there no more: of those who are, more is known.
const GONE: &[&str] =
    &["app_instance", "kind", "id", "name", "created_at", "updated_at", "membership_count", "deleted_at"];

/// What is to be brought, and from where.
#[derive(Debug)]
pub struct FromService {
    /// The app instance.
    pub app_instance: String,
    /// Where the service is, if not where AWS has it.
    pub endpoint_url: Option<String>,
    /// As whom channels are read that are nobody's in particular; unset, as the first administrator.
    pub bearer: Option<String>,
    /// Only counts.
    pub dry_run: bool,
}

/// Brings it.
pub fn run(settings: &Settings, asked: &FromService) -> Result<()> {
    process::keep_private();
    let arn = AppInstanceArn::try_from(asked.app_instance.clone()).ok();
    let arn = arn.filter(|arn| settings.home.owns(arn.as_str()));
    let key = arn.as_ref().and_then(AppInstanceArn::key).ok_or_else(|| {
        let sentence = format!("{} is not the ARN of an app instance here", asked.app_instance);
        Error::usage(sentence)
            .hint("Give this server the account and the region of the ARN: --account-id, --region.")
    })?;
    let aws = Aws::new(Clients::new()?.http).at(asked.endpoint_url.clone());
    let api = Api::new(aws, settings.home.region());
    if asked.dry_run {
        let runtime = tokio::runtime::Runtime::new();
        let runtime =
            runtime.map_err(|error| Error::failure(format!("the runtime cannot start: {error}")))?;
        return runtime.block_on(Move::new(api, None, key, asked).run());
    }
    wire::alone(settings, async |store, _, _| {
        let adopted =
            store.write(Lane::Job, move |tx| moving::adopt(tx, key)).await.map_err(|error| broken(&error))?;
        if !adopted {
            let sentence =
                format!("{} is in this store, and did not come from the service", asked.app_instance);
            return Err(Error::failure(sentence).hint("Give an empty store."));
        }
        Move::new(api, Some(store.clone()), key, asked).run().await
    })
}

fn broken(error: &carillon_store::Error) -> Error {
    Error::failure(format!("the import was cut off: {error}")).hint("Repeated, it brings what is missing.")
}

/// An import under way.
struct Move<'a> {
    api: Api,
    store: Option<Arc<Store>>,
    instance: Key,
    asked: &'a FromService,
    found: Mutex<Found>,
    progress: Mutex<Progress>,
}

/// What was found so far.
#[derive(Default)]
struct Found {
    people: People,
    /// Of each table: how many rows there are, and how many of them are new or other ones.
    counts: BTreeMap<&'static str, (u64, u64)>,
    /// What could not be brought, and how often.
    missed: BTreeMap<String, u64>,
    /// All channels.
    channels: BTreeSet<String>,
    /// When somebody read a channel last.
    read_at: HashMap<(String, String), i64>,
    elastic: u64,
}

impl<'a> Move<'a> {
    fn new(api: Api, store: Option<Arc<Store>>, instance: Key, asked: &'a FromService) -> Self {
        Self {
            api,
            store,
            instance,
            asked,
            found: Mutex::default(),
            progress: Mutex::new(Progress::new(None)),
        }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self) -> Result<()> {
        let arn = &self.asked.app_instance;
        let path = format!("/app-instances/{}", encoded(arn));
        let instance = self.ask(&Question::identity("DescribeAppInstance", 20, arn, path.clone())).await?;
        let instance =
            instance.ok_or_else(|| Error::failure(format!("there is no app instance {arn} there")))?;
        let admins = self.admins(&path).await?;
        let bearer = self.asked.bearer.clone().or_else(|| admins.keys().min().cloned()).ok_or_else(|| {
            Error::failure("the app instance has no administrator")
                .hint("Name somebody who sees all with --bearer.")
        })?;
        let users = self.users(&admins).await?;
        let bots = self.bots().await?;
        self.flows().await?;
        self.channels(&bearer).await?;
        let row = self.instance_row(&instance["AppInstance"], &path, [users, bots, admins.len()]).await?;
        self.put("app_instance", &[], vec![row]).await?;
        self.streaming(&path).await?;
        let gone = std::mem::take(&mut self.found().people.gone);
        self.put("identity", GONE, gone).await?;
        self.report();
        Ok(())
    }

    /// An answer, or nothing where it may not be seen.
    async fn ask(&self, question: &Question) -> Result<Option<Value>> {
        self.seen(question, self.api.ask(question, &[]).await)
    }

    /// A list, or an empty one where it may not be seen.
    async fn list(&self, question: &Question, name: &str, query: &[(&str, &str)]) -> Result<Vec<Value>> {
        Ok(self.seen(question, self.api.list(question, name, query).await)?.unwrap_or_default())
    }

    fn seen<T>(&self, question: &Question, answer: Answered<T>) -> Result<Option<T>> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(Unanswered::Refused(code)) => {
                self.miss(&format!("{} answered {code}", question.operation()));
                Ok(None)
            }
            Err(Unanswered::Broken(error)) => Err(error),
        }
    }

    fn miss(&self, what: &str) {
        *self.found().missed.entry(what.to_owned()).or_default() += 1;
    }

    /// Puts rows into the store, where this is no rehearsal.
    async fn put(
        &self,
        table: &'static str,
        fixed: &'static [&'static str],
        rows: Vec<Columns>,
    ) -> Result<()> {
        let count = rows.len() as u64;
        let changed = match &self.store {
            None => 0,
            Some(_) if rows.is_empty() => 0,
            Some(store) => {
                let work = move |tx: &mut Tx| moving::replace(tx, moving::get(table), fixed, &rows);
                store.write(Lane::Job, work).await.map_err(|error| broken(&error))?
            }
        };
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).add("rows", count);
        let mut found = self.found();
        let counts = found.counts.entry(table).or_default();
        (counts.0, counts.1) = (counts.0 + count, counts.1 + changed);
        Ok(())
    }

    async fn admins(&self, path: &str) -> Result<BTreeMap<String, i64>> {
        let arn = &self.asked.app_instance;
        let list = Question::identity("ListAppInstanceAdmins", 10, arn, format!("{path}/admins"));
        let mut admins = BTreeMap::new();
        for admin in self.list(&list, "AppInstanceAdmins", &[]).await? {
            let admin = text(&admin["Admin"], "Arn");
            let path = format!("{path}/admins/{}", encoded(admin));
            let described = self.ask(&Question::identity("DescribeAppInstanceAdmin", 10, arn, path)).await?;
            let since = described.map_or(0, |admin| when(&admin["AppInstanceAdmin"], "CreatedTimestamp"));
            admins.insert(admin.to_owned(), since);
        }
        Ok(admins)
    }

    async fn users(&self, admins: &BTreeMap<String, i64>) -> Result<usize> {
        let arn = self.asked.app_instance.as_str();
        let list = Question::identity("ListAppInstanceUsers", 10, arn, "/app-instance-users".to_owned());
        let users = self.list(&list, "AppInstanceUsers", &[("app-instance-arn", arn)]).await?;
        let count = users.len();
        let rows = stream::iter(users).map(async |user| {
            let user = text(&user, "AppInstanceUserArn").to_owned();
            let path = format!("/app-instance-users/{}", encoded(&user));
            let question = Question::identity("DescribeAppInstanceUser", 20, &user, path);
            let Some(described) = self.ask(&question).await? else { return Ok(None) };
            let memberships = self.memberships(&user).await?;
            self.found().people.know(&user, rows::key_of(&user));
            self.tags(&Question::identity("ListTagsForResource", 10, arn, "/tags".to_owned()), &user).await?;
            let since = admins.get(&user).copied();
            Ok::<_, Error>(Some(rows::user(self.instance, &described["AppInstanceUser"], since, memberships)))
        });
        self.put_all("identity", rows.buffer_unordered(USERS_AT_ONCE)).await?;
        Ok(count)
    }

    async fn bots(&self) -> Result<usize> {
        let arn = self.asked.app_instance.as_str();
        let list = Question::identity("ListAppInstanceBots", 10, arn, "/app-instance-bots".to_owned());
        let bots = self.list(&list, "AppInstanceBots", &[("app-instance-arn", arn)]).await?;
        let count = bots.len();
        let rows = stream::iter(bots).map(async |bot| {
            let bot = text(&bot, "AppInstanceBotArn").to_owned();
            let path = format!("/app-instance-bots/{}", encoded(&bot));
            let question = Question::identity("DescribeAppInstanceBot", 10, arn, path);
            let Some(described) = self.ask(&question).await? else { return Ok(None) };
            let memberships = self.memberships(&bot).await?;
            self.found().people.know(&bot, rows::bot_key(&bot));
            self.tags(&Question::identity("ListTagsForResource", 10, arn, "/tags".to_owned()), &bot).await?;
            let row = rows::bot(self.instance, &described["AppInstanceBot"], memberships);
            if row.is_none() {
                self.miss("a bot whose configuration is not known here");
            }
            Ok::<_, Error>(row)
        });
        self.put_all("identity", rows.buffer_unordered(CHANNELS_AT_ONCE)).await?;
        Ok(count)
    }

    /// Puts rows as they come.
    async fn put_all(
        &self,
        table: &'static str,
        rows: impl stream::Stream<Item = Result<Option<Columns>>>,
    ) -> Result<()> {
        let mut chunks = std::pin::pin!(rows.try_filter_map(async |row| Ok(row)).try_chunks(100));
        while let Some(chunk) = chunks.next().await {
            self.put(table, &[], chunk.map_err(|error| error.1)?).await?;
        }
        Ok(())
    }

    /// The channels of somebody, as they see them; answers how many there are.
    async fn memberships(&self, user: &str) -> Result<usize> {
        let path = "/channels?scope=app-instance-user-memberships".to_owned();
        let question =
            Question::messaging("ListChannelMembershipsForAppInstanceUser", 15, user, path).by(user);
        let mut channels = BTreeSet::new();
        for one in self.list(&question, "ChannelMemberships", &[]).await? {
            let channel = text(&one["ChannelSummary"], "ChannelArn").to_owned();
            if let Some(read) = at(&one["AppInstanceUserMembershipSummary"]["ReadMarkerTimestamp"]) {
                self.found().read_at.insert((channel.clone(), user.to_owned()), read);
            }
            channels.insert(channel);
        }
        let count = channels.len();
        self.found().channels.extend(channels);
        Ok(count)
    }

    async fn flows(&self) -> Result<()> {
        let arn = self.asked.app_instance.as_str();
        let list = Question::messaging("ListChannelFlows", 10, arn, "/channel-flows".to_owned());
        for flow in self.list(&list, "ChannelFlows", &[("app-instance-arn", arn)]).await? {
            let flow = text(&flow, "ChannelFlowArn");
            let path = format!("/channel-flows/{}", encoded(flow));
            let question = Question::messaging("DescribeChannelFlow", 10, flow, path);
            let Some(described) = self.ask(&question).await? else { continue };
            match rows::flow(self.instance, &described["ChannelFlow"]) {
                Some(row) => self.put("channel_flow", &[], vec![row]).await?,
                None => self.miss("a channel flow whose id or processors are not known here"),
            }
            self.tags(&Question::messaging("ListTagsForResource", 10, flow, "/tags".to_owned()), flow)
                .await?;
        }
        Ok(())
    }

    async fn channels(&self, bearer: &str) -> Result<()> {
        let arn = self.asked.app_instance.as_str();
        for privacy in ["PUBLIC", "PRIVATE"] {
            let question = Question::messaging("ListChannels", 10, arn, "/channels".to_owned()).by(bearer);
            let query = [("app-instance-arn", arn), ("privacy", privacy)];
            for channel in self.list(&question, "Channels", &query).await? {
                self.found().channels.insert(text(&channel, "ChannelArn").to_owned());
            }
        }
        let channels = self.found().channels.clone();
        stream::iter(channels)
            .map(async |channel| self.channel(&channel, bearer).await)
            .buffer_unordered(CHANNELS_AT_ONCE)
            .try_collect::<()>()
            .await
    }

    async fn instance_row(&self, instance: &Value, path: &str, counts: [usize; 3]) -> Result<Columns> {
        let arn = self.asked.app_instance.as_str();
        let path = format!("{path}/retention-settings");
        let question = Question::identity("GetAppInstanceRetentionSettings", 10, arn, path);
        let retention = self.ask(&question).await?.unwrap_or_default();
        self.tags(&Question::identity("ListTagsForResource", 10, arn, "/tags".to_owned()), arn).await?;
        let [users, bots, admins] = counts;
        let (channels, elastic) = {
            let found = self.found();
            (found.channels.len(), found.elastic)
        };
        Ok(columns(json!({
            "key": self.instance, "name": text(instance, "Name"), "metadata": instance["Metadata"],
            "created_at": when(instance, "CreatedTimestamp"), "updated_at": when(instance, "LastUpdatedTimestamp"),
            "user_count": users, "admin_count": admins, "bot_count": bots, "channel_count": channels,
            "elastic_channel_count": elastic,
            "retention_destroys_at": at(&retention["InitiateDeletionTimestamp"]),
            "retention_days": retention["AppInstanceRetentionSettings"]["ChannelRetentionSettings"]["RetentionDays"],
        })))
    }

    async fn streaming(&self, path: &str) -> Result<()> {
        let (arn, path) = (self.asked.app_instance.as_str(), format!("{path}/streaming-configurations"));
        let question = Question::messaging("GetMessagingStreamingConfigurations", 10, arn, path);
        let answer = self.ask(&question).await?.unwrap_or_default();
        let rows = answer["StreamingConfigurations"].as_array().into_iter().flatten().map(|one| {
            columns(json!({
                "app_instance": self.instance, "data_type": one["DataType"], "resource": one["ResourceArn"],
            }))
        });
        self.put("streaming_configuration", &[], rows.collect()).await
    }

    async fn tags(&self, question: &Question, resource: &str) -> Result<()> {
        let answer =
            self.seen(question, self.api.ask(question, &[("arn", resource)]).await)?.unwrap_or_default();
        let rows =
            answer["Tags"].as_array().into_iter().flatten().map(|tag| {
                columns(json!({ "resource": resource, "key": tag["Key"], "value": tag["Value"] }))
            });
        self.put("tag", &[], rows.collect()).await
    }

    fn report(self) {
        self.progress.into_inner().unwrap_or_else(PoisonError::into_inner).end();
        let found = self.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (table, (rows, changed)) in &found.counts {
            let verb = if self.store.is_some() {
                format!(", {} new or other ones", grouped(*changed))
            } else {
                String::new()
            };
            tell(&format!("{table}: {}{verb}", grouped(*rows)));
        }
        for (what, count) in &found.missed {
            tell(&format!("not brought: {what} ({})", grouped(*count)));
        }
        tell(UNTOLD);
        tell(&self.api.pace());
    }
}
