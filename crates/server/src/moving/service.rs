//! `carillon import --from-service`: an app instance, read from the original service or from another carillon by its
//! own API, each thing as somebody who may see it.
//!
//! A row is put in the place of what is there under its key, so a repetition brings what is new, edits and redactions
//! too; who belongs to a channel, moderates it or is banned is then as it is there. What the API does not tell is said
//! at the end.
//!
//! What holds it up are the rates, so whatever does not need another's answer is asked beside it, and as whoever can be
//! asked: each rate has something to do until the end.

mod api;
mod channel;
mod messages;
mod people;
mod rows;
mod turns;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carillon_model::{AppInstanceArn, Key};
use carillon_store::moving::{self, Columns, Held};
use carillon_store::{Lane, Store, Tx};
use carillon_targets::aws::Aws;
use futures_util::{StreamExt as _, TryStreamExt as _, stream, try_join};
use serde_json::{Value, json};

use self::api::{Answered, Api, Question, Unanswered, encoded};
use self::people::Seats;
use self::rows::{People, at, columns, text, when};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::outgoing::Clients;
use crate::progress::{Progress, Unit, grouped, tell};
use crate::{process, wire};

/// How many channels are read at once.
const CHANNELS_AT_ONCE: usize = 32;
/// How many bots, flows and tags are asked about at once: their rates are the app instance's.
const OTHERS_AT_ONCE: usize = 8;
/// The operation that lists tags, and its path.
const TAGS: (&str, &str) = ("ListTagsForResource", "/tags");
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
    /// As whom channels are read, as far as that is nobody's in particular; unset, as those who moderate them, and as
    /// the administrators, in turn.
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
    wire::alone(settings, async |store, _, _| Move::new(api, Some(store.clone()), key, asked).run().await)
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
    channels: u64,
    elastic: u64,
}

impl<'a> Move<'a> {
    fn new(api: Api, store: Option<Arc<Store>>, instance: Key, asked: &'a FromService) -> Self {
        let progress = Mutex::new(Progress::begin("users", Unit::Each));
        Self { api, store, instance, asked, found: Mutex::default(), progress }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self) -> Result<()> {
        tokio::select! {
            brought = self.bring() => brought?,
            () = self.api.run() => unreachable!("it gives turns without end"),
        }
        if let (Some(store), key) = (&self.store, self.instance) {
            store
                .write(Lane::Job, move |tx| moving::brought(tx, key))
                .await
                .map_err(|error| broken(&error))?;
        }
        self.report();
        Ok(())
    }

    /// Says in the store that the app instance is being brought, from the first answer on.
    async fn begin(&self) -> Result<()> {
        let (Some(store), key) = (&self.store, self.instance) else { return Ok(()) };
        let adopted = store.write(Lane::Job, move |tx| moving::adopt(tx, key)).await;
        if adopted.map_err(|error| broken(&error))? {
            return Ok(());
        }
        let arn = &self.asked.app_instance;
        Err(Error::failure(format!("{arn} is in this store, and did not come from the service"))
            .hint("Give an empty store."))
    }

    async fn bring(&self) -> Result<()> {
        let arn = self.asked.app_instance.as_str();
        let path = format!("/app-instances/{}", encoded(arn));
        let instance = self.ask(&Question::identity("DescribeAppInstance", arn, path.clone())).await?;
        let instance =
            instance.ok_or_else(|| Error::failure(format!("there is no app instance {arn} there")))?;
        self.begin().await?;
        let (admins, users, bots) = try_join!(self.admins(&path), self.list_users(), self.list_bots())?;
        let bearers =
            self.asked.bearer.clone().map_or_else(|| admins.keys().cloned().collect(), |one| vec![one]);
        let bearer = bearers.first().ok_or_else(|| {
            Error::failure("the app instance has no administrator")
                .hint("Name somebody who sees all with --bearer.")
        })?;
        let people: Vec<&String> = users.iter().chain(&bots).collect();
        let seats = self.memberships(people.iter().copied()).await?;
        let ((), (), (), (), (), (), mut instance) = try_join!(
            self.tags_of_people(people.iter().copied()),
            self.users(&users, &admins, &seats),
            self.bots(&bots, &seats),
            self.flows(),
            self.streaming(&path),
            self.channels(&seats, (bearer, &bearers)),
            self.instance_row(&instance["AppInstance"], &path, [users.len(), bots.len(), admins.len()]),
        )?;
        let (channels, elastic) = {
            let found = self.found();
            (found.channels, found.elastic)
        };
        instance.insert("channel_count".to_owned(), channels.into());
        instance.insert("elastic_channel_count".to_owned(), elastic.into());
        self.put("app_instance", Held::Nothing, vec![instance]).await?;
        let gone = std::mem::take(&mut self.found().people.gone);
        self.put("identity", Held::Columns(GONE), gone).await
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
    async fn put(&self, table: &'static str, held: Held, rows: Vec<Columns>) -> Result<()> {
        let count = rows.len() as u64;
        let changed = match &self.store {
            None => 0,
            Some(_) if rows.is_empty() => 0,
            Some(store) => {
                let work = move |tx: &mut Tx| moving::replace(tx, moving::get(table), held, &rows);
                store.write(Lane::Job, work).await.map_err(|error| broken(&error))?
            }
        };
        let messages = {
            let mut found = self.found();
            let counts = found.counts.entry(table).or_default();
            (counts.0, counts.1) = (counts.0 + count, counts.1 + changed);
            found.counts.get("message").map_or(0, |counts| counts.0)
        };
        let calls = grouped(self.api.calls());
        self.progress().note(format!("{} messages by {calls} calls", grouped(messages)));
        Ok(())
    }

    /// Puts rows as they come.
    async fn put_all(
        &self,
        table: &'static str,
        rows: impl stream::Stream<Item = Result<Option<Columns>>>,
    ) -> Result<()> {
        let mut chunks = std::pin::pin!(rows.try_filter_map(async |row| Ok(row)).try_chunks(100));
        while let Some(chunk) = chunks.next().await {
            self.put(table, Held::Nothing, chunk.map_err(|error| error.1)?).await?;
        }
        Ok(())
    }

    async fn flows(&self) -> Result<()> {
        let arn = self.asked.app_instance.as_str();
        let list = Question::messaging("ListChannelFlows", arn, "/channel-flows".to_owned());
        let flows = self.list(&list, "ChannelFlows", &[("app-instance-arn", arn)]).await?;
        let rows = stream::iter(flows).map(async |flow| {
            let flow = text(&flow, "ChannelFlowArn");
            let question =
                Question::messaging("DescribeChannelFlow", flow, format!("/channel-flows/{}", encoded(flow)));
            let Some(described) = self.ask(&question).await? else { return Ok(None) };
            let row = rows::flow(self.instance, &described["ChannelFlow"]);
            if row.is_none() {
                self.miss("a channel flow whose id or processors are not known here");
            }
            self.tags(&Question::messaging(TAGS.0, flow, TAGS.1.to_owned()), flow).await?;
            Ok::<_, Error>(row)
        });
        self.put_all("channel_flow", rows.buffer_unordered(OTHERS_AT_ONCE)).await
    }

    /// All channels: those that somebody is in, and then those that nobody is in.
    async fn channels(&self, seats: &Seats, (bearer, bearers): (&str, &[String])) -> Result<()> {
        let known: Vec<&str> = seats.channels().collect();
        let ((), listed) = try_join!(self.channels_of(&known, seats, bearers), self.list_channels(bearer))?;
        let known: HashSet<&str> = known.into_iter().collect();
        let others: Vec<&str> =
            listed.iter().map(String::as_str).filter(|channel| !known.contains(channel)).collect();
        self.channels_of(&others, seats, bearers).await
    }

    async fn list_channels(&self, bearer: &str) -> Result<Vec<String>> {
        let arn = self.asked.app_instance.as_str();
        let mut channels = Vec::new();
        for privacy in ["PUBLIC", "PRIVATE"] {
            let question = Question::messaging("ListChannels", arn, "/channels".to_owned()).by(bearer);
            let query = [("app-instance-arn", arn), ("privacy", privacy)];
            let listed = self.list(&question, "Channels", &query).await?;
            channels.extend(listed.iter().map(|channel| text(channel, "ChannelArn").to_owned()));
        }
        Ok(channels)
    }

    async fn channels_of(&self, channels: &[&str], seats: &Seats, bearers: &[String]) -> Result<()> {
        let all = {
            let mut found = self.found();
            found.channels += channels.len() as u64;
            found.channels
        };
        self.progress().go_on_with("channels");
        let tags = stream::iter(channels).map(async |channel| {
            self.tags(&Question::messaging(TAGS.0, channel, TAGS.1.to_owned()), channel).await
        });
        let tags = tags.buffer_unordered(OTHERS_AT_ONCE).try_collect::<()>();
        let askers = seats.askers(channels, bearers).into_iter().zip(bearers.iter().cycle());
        let moved = stream::iter(channels.iter().zip(askers)).map(async |(channel, (asker, admin))| {
            self.channel(channel, seats.of(channel), (asker, admin.as_str())).await?;
            self.progress().step(all);
            Ok::<_, Error>(())
        });
        let moved = moved.buffer_unordered(CHANNELS_AT_ONCE).try_collect::<()>();
        try_join!(tags, moved).map(drop)
    }

    async fn instance_row(&self, instance: &Value, path: &str, counts: [usize; 3]) -> Result<Columns> {
        let arn = self.asked.app_instance.as_str();
        let path = format!("{path}/retention-settings");
        let question = Question::identity("GetAppInstanceRetentionSettings", arn, path);
        let retention = self.ask(&question).await?.unwrap_or_default();
        self.tags(&Question::identity(TAGS.0, arn, TAGS.1.to_owned()), arn).await?;
        let [users, bots, admins] = counts;
        Ok(columns(json!({
            "key": self.instance, "name": text(instance, "Name"), "metadata": instance["Metadata"],
            "created_at": when(instance, "CreatedTimestamp"), "updated_at": when(instance, "LastUpdatedTimestamp"),
            "user_count": users, "admin_count": admins, "bot_count": bots,
            "retention_destroys_at": at(&retention["InitiateDeletionTimestamp"]),
            "retention_days": retention["AppInstanceRetentionSettings"]["ChannelRetentionSettings"]["RetentionDays"],
        })))
    }

    async fn streaming(&self, path: &str) -> Result<()> {
        let (arn, path) = (self.asked.app_instance.as_str(), format!("{path}/streaming-configurations"));
        let question = Question::messaging("GetMessagingStreamingConfigurations", arn, path);
        let answer = self.ask(&question).await?.unwrap_or_default();
        let rows = answer["StreamingConfigurations"].as_array().into_iter().flatten().map(|one| {
            columns(json!({
                "app_instance": self.instance, "data_type": one["DataType"], "resource": one["ResourceArn"],
            }))
        });
        self.put("streaming_configuration", Held::Nothing, rows.collect()).await
    }

    async fn tags(&self, question: &Question, resource: &str) -> Result<()> {
        let answer =
            self.seen(question, self.api.ask(question, &[("arn", resource)]).await)?.unwrap_or_default();
        let rows =
            answer["Tags"].as_array().into_iter().flatten().map(|tag| {
                columns(json!({ "resource": resource, "key": tag["Key"], "value": tag["Value"] }))
            });
        self.put("tag", Held::Nothing, rows.collect()).await
    }

    fn report(self) {
        drop(self.progress);
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
        for line in self.api.pace() {
            tell(&line);
        }
    }
}
