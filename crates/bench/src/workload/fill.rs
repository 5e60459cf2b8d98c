//! Channels and messages written straight into a store while its server stands still, by the store's own functions: for
//! what would take too long through the interface. What no figure depends on is left out: the events of messages are
//! trimmed after a while anyway, and so are tokens of requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use carillon_model::channel::{Channel, Membership};
use carillon_model::identity::Identity;
use carillon_model::message::Message;
use carillon_model::text::*;
use carillon_model::{AppInstanceArn, IdentityArn, Key, MessageKey, Timestamp};
use carillon_store::app_instance::{self, Counts};
use carillon_store::{Lane, Store, Tx, channel, identity, membership, message, moderator};
use tokio::task::JoinSet;

use super::host::Host;
use super::progress::Progress;
use crate::scene::text;
use carillon_server::clock;
use carillon_server::error::{Error, Result};
use carillon_server::wire;

/// Rows of one transaction.
const BATCH_LEN: u64 = 1_000;
/// Transactions that are under way at once.
const BATCHES_MAX: usize = 8;
/// How far messages are apart.
const STEP_MS: i64 = 1_000;
/// How long before now the last message is: an hour.
const LAST_BEFORE_MS: i64 = 3_600_000;
/// How long a message is: about what people write.
const CONTENT_LENGTH: usize = 100;

/// A store that is being filled.
pub(crate) struct Filling {
    store: Arc<Store>,
    instance: AppInstanceArn,
    key: Key,
    now: Timestamp,
    done: Arc<AtomicU64>,
}

/// Channels to be made, by their number.
pub(crate) trait Plan: Send + Sync + 'static {
    /// How many channels there are.
    fn channels(&self) -> u64;
    /// Who belongs to one: the first made it, and moderates it.
    fn people(&self, number: u64) -> Vec<Identity>;
    /// How many messages each holds.
    fn messages_each(&self) -> u64;
    /// What one of them says.
    fn content(&self, _number: u64, at: u64) -> String {
        format!("{:.<CONTENT_LENGTH$}", format!("message {at} "))
    }
}

/// The messages of a channel that was filled. Each is known by its number, so that none need be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Messages {
    first_at: Timestamp,
    salt: u64,
}

impl Messages {
    fn until(now: Timestamp, count: u64, salt: u64) -> Self {
        let past = STEP_MS.saturating_mul(i64::try_from(count).unwrap_or(i64::MAX));
        Self { first_at: now.plus_ms(-past - LAST_BEFORE_MS), salt }
    }

    /// When one was accepted.
    pub(crate) fn at(&self, number: u64) -> Timestamp {
        self.first_at.plus_ms(STEP_MS.saturating_mul(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    /// Its key. The first event of the channel is not a message.
    pub(crate) fn key(&self, number: u64) -> MessageKey {
        let sequence = i64::try_from(number).unwrap_or(i64::MAX) + 2;
        MessageKey::new(self.at(number), sequence, scattered(number ^ self.salt))
    }
}

impl Filling {
    /// Opens the store of a server that stands still.
    pub(crate) async fn of(host: &Host, instance: &AppInstanceArn) -> Result<Self> {
        let store = wire::open_store(&host.store()?, Arc::new(|_| {})).await?;
        let key = instance.key().ok_or_else(|| Error::failure("an app instance has no key"))?;
        Ok(Self { store, instance: instance.clone(), key, now: clock::real(), done: Arc::default() })
    }

    /// The user that an ARN names.
    pub(crate) async fn find(&self, arn: &IdentityArn) -> Result<Identity> {
        let (sought, shown) = (arn.clone(), arn.to_string());
        let found = self.store.read(move |tx| identity::find(tx, &sought)).await.map_err(failed)?;
        found
            .map(|found| found.identity)
            .ok_or_else(|| Error::failure(format!("{shown} is not in the store")))
    }

    /// Makes channels, and what they hold. Their ids are `filled-` and their number.
    pub(crate) async fn fill(&self, plan: impl Plan) -> Result<()> {
        let plan = Arc::new(plan);
        let (count, each) = (plan.channels(), plan.messages_each());
        let rows = count.saturating_mul(each + 1);
        let _shown = Progress::of(&format!("filling the store with {rows} rows"), &self.done, Some(rows));
        // Few messages of each go with their channel; many are batches of their own.
        let at_once = (BATCH_LEN / (each + 1)).max(1);
        let mut writing = JoinSet::new();
        // Rows lie by the keys of their channels, so those that are beside each other are written together.
        let mut numbers: Vec<u64> = (0..count).collect();
        numbers.sort_by_cached_key(|number| scattered(!number));
        for numbers in numbers.chunks(usize::try_from(at_once).unwrap_or(usize::MAX)) {
            let numbers = numbers.to_vec();
            let with = if each < BATCH_LEN { each } else { 0 };
            let (plan, made) = (plan.clone(), Made::of(self));
            let work = move |tx: &mut Tx| {
                numbers.iter().try_for_each(|number| made.channel(tx, *number, &*plan, with))
            };
            self.write(&mut writing, at_once * (with + 1), work).await?;
        }
        if BATCH_LEN <= each {
            for number in 0..count {
                for from in (0..each).step_by(usize::try_from(BATCH_LEN).unwrap_or(usize::MAX)) {
                    let until = (from + BATCH_LEN).min(each);
                    let (plan, made) = (plan.clone(), Made::of(self));
                    let work = move |tx: &mut Tx| {
                        let sender = &plan.people(number)[0];
                        (from..until).try_for_each(|at| {
                            made.message(tx, (number, at), each, sender, &plan.content(number, at))
                        })
                    };
                    self.write(&mut writing, until - from, work).await?;
                }
            }
        }
        while let Some(written) = writing.join_next().await {
            finished(written)?;
        }
        self.count(&*plan).await
    }

    /// Runs a transaction beside others, as soon as there are few enough.
    async fn write(
        &self,
        writing: &mut JoinSet<carillon_store::Result<()>>,
        rows: u64,
        work: impl Fn(&mut Tx) -> carillon_store::Result<()> + Send + Sync + 'static,
    ) -> Result<()> {
        if BATCHES_MAX <= writing.len()
            && let Some(written) = writing.join_next().await
        {
            finished(written)?;
        }
        let (store, done, key) = (self.store.clone(), self.done.clone(), self.key);
        let lane = Lane::Channel(key, format!("{}", done.load(Ordering::Relaxed)));
        let work = Arc::new(work);
        writing.spawn(async move {
            loop {
                let work = work.clone();
                match store.write(lane.clone(), move |tx| work(tx)).await {
                    // A batch of this size may take longer, with those before it, than a request may.
                    Err(carillon_store::Error::Busy) => {}
                    written => break written?,
                }
            }
            done.fetch_add(rows, Ordering::Relaxed);
            Ok(())
        });
        Ok(())
    }

    /// Notes how many channels there are, and how many everybody belongs to.
    async fn count(&self, plan: &impl Plan) -> Result<()> {
        let mut belonging = std::collections::BTreeMap::new();
        for number in 0..plan.channels() {
            for person in plan.people(number) {
                *belonging.entry(person.key).or_insert(0_i64) += 1;
            }
        }
        let channels = i64::try_from(plan.channels()).unwrap_or(i64::MAX);
        let key = self.key;
        let work = move |tx: &mut Tx| {
            let most = Counts {
                users: i64::MAX,
                bots: i64::MAX,
                admins: i64::MAX,
                channels: i64::MAX,
                elastic_channels: i64::MAX,
            };
            app_instance::grow(tx, key, Counts { channels, ..Counts::default() }, most)?;
            belonging.iter().try_for_each(|(person, by)| identity::add_memberships(tx, *person, *by))
        };
        self.store.write(Lane::Instance(key), work).await.map_err(failed)
    }

    /// The messages of a channel that was made with so many.
    pub(crate) fn messages(&self, number: u64, count: u64) -> Messages {
        Messages::until(self.now, count, number.wrapping_mul(SALT))
    }
}

/// Tells the messages of one channel from those of another.
const SALT: u64 = 0x9e37_79b9_7f4a_7c15;

/// Rows, made of their numbers.
struct Made {
    instance: AppInstanceArn,
    key: Key,
    now: Timestamp,
}

impl Made {
    fn of(filling: &Filling) -> Self {
        Self { instance: filling.instance.clone(), key: filling.key, now: filling.now }
    }

    fn messages(&self, number: u64, count: u64) -> Messages {
        Messages::until(self.now, count, number.wrapping_mul(SALT))
    }

    /// A channel that holds `each` messages, and the first `with` of them.
    fn channel(&self, tx: &mut Tx, number: u64, plan: &impl Plan, with: u64) -> carillon_store::Result<()> {
        let (people, each) = (plan.people(number), plan.messages_each());
        let (messages, creator) = (self.messages(number, each), &people[0]);
        let last = (0 < each).then(|| messages.at(each - 1));
        let (made_at, key) = (messages.at(0), Key::random(scattered(!number)));
        let made = Channel {
            key,
            arn: self.instance.channel(&id(number)),
            name: text("filled"),
            mode: ChannelMode::Restricted,
            privacy: ChannelPrivacy::Private,
            metadata: None,
            created_by: creator.key,
            created_at: made_at,
            updated_at: made_at,
            last_message_at: last,
            sequence: i64::try_from(each).unwrap_or(i64::MAX) + 1,
            clock: last.unwrap_or(made_at),
            member_count: i64::try_from(people.len()).unwrap_or(i64::MAX),
            elastic: None,
            expiration: None,
        };
        if !channel::insert(tx, self.key, &made)? {
            // A batch that was given up while it ran may have been written all the same, as a whole.
            return Ok(());
        }
        moderator::insert(tx, key, creator.key, creator.key, made_at)?;
        for person in &people {
            let member = Membership {
                channel: key,
                sub_channel: key,
                member: person.clone(),
                invited_by: creator.clone(),
                kind: ChannelMembershipType::Default,
                created_at: made_at,
                updated_at: made_at,
            };
            membership::insert(tx, &member)?;
        }
        (0..with).try_for_each(|at| self.message(tx, (number, at), each, creator, &plan.content(number, at)))
    }

    /// A message of a channel that holds so many.
    fn message(
        &self,
        tx: &mut Tx,
        (number, at): (u64, u64),
        each: u64,
        sender: &Identity,
        content: &str,
    ) -> carillon_store::Result<()> {
        let (key, channel) = (self.messages(number, each).key(at), Key::random(scattered(!number)));
        let made = Message {
            channel,
            sub_channel: channel,
            key,
            sender: sender.clone(),
            target: None,
            kind: ChannelMessageType::Standard,
            persistence: ChannelMessagePersistenceType::Persistent,
            status: ChannelMessageStatus::Sent,
            status_detail: None,
            released: true,
            content: Some(text(content)),
            metadata: None,
            content_type: None,
            attributes: None,
            redacted: false,
            edited_at: None,
            updated_at: key.created(),
        };
        message::insert(tx, &made, None)
    }
}

fn id(number: u64) -> String {
    format!("filled-{number}")
}

/// Sixteen bytes that look like chance, and come again from the same number: `SplitMix64`, twice.
fn scattered(number: u64) -> [u8; 16] {
    let mix = |number: u64| {
        let mut mixed = number.wrapping_mul(SALT).wrapping_add(SALT);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mix(number).to_be_bytes());
    bytes[8..].copy_from_slice(&mix(mix(number)).to_be_bytes());
    bytes
}

fn finished(written: std::result::Result<carillon_store::Result<()>, tokio::task::JoinError>) -> Result<()> {
    let written = written.map_err(|error| Error::failure(format!("a batch ended badly: {error}")))?;
    written.map_err(failed)
}

#[expect(clippy::needless_pass_by_value, reason = "it is what an error is mapped by")]
fn failed(error: carillon_store::Error) -> Error {
    Error::failure(format!("the store cannot be filled: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_in_order_before_now_and_known_by_number() {
        let now = Timestamp::from_ms(1_800_000_000_000);
        let messages = Messages::until(now, 1_000, 3);
        let keys: Vec<MessageKey> = (0..1_000).map(|number| messages.key(number)).collect();
        assert!(keys.is_sorted());
        assert!(keys.iter().all(|key| key.created() < now));
        assert_eq!(keys[7], Messages::until(now, 1_000, 3).key(7));
        assert_ne!(keys[7], Messages::until(now, 1_000, 4).key(7));
    }
}
