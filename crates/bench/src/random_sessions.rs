//! Many users who join, leave, send, stall, vanish and come back at random, on real sockets of this process; then
//! what each session received is held against what was committed.
//!
//! For each session and channel, what came must be a run without gaps, in order, of the events that were for its user,
//! with every one from after it was told that it is established, up to its end. A session that was open to the
//! last must have come to the last one. One that resumed must have gone on where the one before it ended.

mod seen;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carillon_model::text::*;
use carillon_model::{ChannelArn, IdentityArn, Key};
use carillon_service::Service;
use carillon_service::operations::identity::create_app_instance_user::CreateAppInstanceUser;
use carillon_service::operations::messaging::batch_create_channel_membership::BatchCreateChannelMembership;
use carillon_service::operations::messaging::create_channel::CreateChannel;
use carillon_service::operations::messaging::create_channel_membership::CreateChannelMembership;
use carillon_service::operations::messaging::delete_channel_membership::DeleteChannelMembership;
use carillon_service::operations::messaging::update_channel_message::UpdateChannelMessage;
use carillon_service::shapes::Target;
use carillon_store::{self as store, Lanes, Location, Tx};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use tokio::time::timeout;

use crate::crowd::{Crowd, Door, Socket};
use crate::scene::{Scene, text};
use carillon_server::config::{Settings, StoreAddress, Written};
use carillon_server::wire;
use seen::{Frame, ID, Record, check, header, take};

const SEED: u64 = 42;
const USERS: usize = 24;
const CHANNELS: usize = 5;
const WORKERS: usize = 8;
const OPERATIONS: usize = 3_000;
/// How long sessions may take to come to the end of what was committed.
const END_TIMEOUT: Duration = Duration::from_mins(1);
/// Frames that a session that stalled reads when all is over: enough to see whether any is missing.
const STALLED_FRAMES: usize = 200;
const THE_END: &str = "the end";

/// Everything that users and sessions share.
struct Play {
    service: Arc<Service>,
    door: Door,
    people: Vec<(IdentityArn, Key)>,
    owner: IdentityArn,
    channels: Vec<(ChannelArn, Key)>,
    /// Messages that can be edited.
    sent: Mutex<Vec<(ChannelArn, IdentityArn, MessageId)>>,
    records: Mutex<Vec<Record>>,
    next: AtomicUsize,
    over: AtomicBool,
    /// The number of the last event of each channel, once all is over.
    last: Mutex<HashMap<Key, i64>>,
}

#[test]
fn every_session_gets_a_run_without_gaps_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    play(&Location::Sqlite(folder.path().join("carillon.db")));
}

#[test]
fn every_session_gets_a_run_without_gaps_on_postgres() {
    play(&store::testing::Schema::new().location());
}

fn play(location: &Location) {
    let folder = tempfile::tempdir().unwrap();
    let written = Written::in_folder(folder.path(), "127.0.0.1:0", "off");
    let mut settings = Settings::read(written).unwrap();
    settings.store =
        StoreAddress { location: location.clone(), lanes: Lanes::default(), shown: "a test's".to_owned() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let running = wire::start(&settings).await.unwrap();
        let play = Arc::new(
            Play::set(running.service.clone(), Door::plain(running.http.unwrap(), &running.root)).await,
        );
        let sessions: Vec<_> = (0..USERS).map(|user| tokio::spawn(play.clone().sessions(user))).collect();
        let workers: Vec<_> = (0..WORKERS).map(|worker| tokio::spawn(play.clone().work(worker))).collect();
        for worker in workers {
            worker.await.unwrap();
        }
        play.end().await;
        for user in sessions {
            user.await.unwrap();
        }
        play.check().await;
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
}

impl Play {
    async fn set(service: Arc<Service>, door: Door) -> Self {
        let scene = Scene::set("play".to_owned(), &mut service.clone()).await.unwrap();
        let (owner, instance) = (scene.sender.clone(), scene.sender.app_instance());
        let mut people = Vec::new();
        for number in 0..USERS {
            let create = CreateAppInstanceUser {
                app_instance_arn: instance.clone(),
                app_instance_user_id: text(&format!("user-{number}")),
                name: text("User"),
                metadata: None,
                client_request_token: text(&format!("user-{number}")),
                tags: None,
                expiration_settings: None,
            };
            people.push(service.execute(create).await.unwrap().app_instance_user_arn);
        }
        let mut channels = Vec::new();
        for number in 0..CHANNELS {
            let create = CreateChannel {
                app_instance_arn: instance.clone(),
                name: text("Lobby"),
                mode: Some(ChannelMode::Unrestricted),
                privacy: None,
                metadata: None,
                client_request_token: text(&format!("channel-{number}")),
                tags: None,
                chime_bearer: owner.clone(),
                channel_id: None,
                member_arns: Some(people.iter().step_by(2).cloned().collect()),
                moderator_arns: None,
                elastic_channel_configuration: None,
                expiration_settings: None,
            };
            channels.push(service.execute(create).await.unwrap().channel_arn);
        }
        let (arns, by, places) = (people.clone(), owner.clone(), channels.clone());
        let keys = service.store().read(move |tx: &mut Tx| {
            let mut keys = (Vec::new(), Vec::new());
            for arn in &arns {
                keys.0.push(store::identity::find(tx, arn)?.unwrap().identity.key);
            }
            for channel in &places {
                let standing = store::standing::find(tx, &by, channel)?.unwrap();
                keys.1.push(standing.channel.unwrap().key);
            }
            Ok::<_, store::Error>(keys)
        });
        let (people_keys, channel_keys) = keys.await.unwrap();
        Self {
            service,
            door,
            people: people.into_iter().zip(people_keys).collect(),
            owner,
            channels: channels.into_iter().zip(channel_keys).collect(),
            sent: Mutex::default(),
            records: Mutex::default(),
            next: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            last: Mutex::default(),
        }
    }

    /// The number of the last event of each channel.
    async fn numbers(&self) -> HashMap<Key, i64> {
        let channels = self.channels.clone();
        let read = self.service.store().read(move |tx: &mut Tx| {
            let mut numbers = HashMap::new();
            for (arn, key) in &channels {
                let channel = store::channel::find(tx, &arn.app_instance(), *key)?.unwrap();
                numbers.insert(*key, channel.sequence);
            }
            Ok::<_, store::Error>(numbers)
        });
        read.await.unwrap()
    }

    /// One session of a user after the other, until all is over.
    async fn sessions(self: Arc<Self>, user: usize) {
        let mut random = StdRng::seed_from_u64(SEED + 1_000 + user as u64);
        let (arn, key) = self.people[user].clone();
        let mut last: Option<String> = None;
        while !self.over.load(Ordering::Acquire) {
            let from = last.take().filter(|_| random.random_bool(0.6));
            let (mut socket, first) = Crowd::resumed(&self.door, &arn, from.as_deref()).await.unwrap();
            let established = self.numbers().await;
            let mut resumed = from.is_some();
            let stalls = random.random_bool(0.05);
            let frames_max = if random.random_bool(0.3) { usize::MAX } else { random.random_range(0..150) };
            let mut frames = Vec::new();
            let whose = (key, &established);
            let open = self.read(&mut socket, whose, stalls, frames_max, &mut frames).await;
            last = Some(frames.last().map_or_else(|| header(&first, ID), |frame: &Frame| frame.id.clone()));
            if let Some(at) = frames.iter().position(|frame| frame.kind == "RELOAD_REQUIRED") {
                // What it was shown before, it was shown; from here on it is as one that did not resume.
                let rest = frames.split_off(at + 1);
                frames.pop();
                let established = established.clone();
                self.records.lock().unwrap().push(Record {
                    user: key,
                    established,
                    frames,
                    open: false,
                    resumed,
                });
                (resumed, frames) = (false, rest);
            }
            self.records.lock().unwrap().push(Record { user: key, established, frames, open, resumed });
            // Half of them vanish without a word: the next one has the same name, and replaces what is left.
            if random.random_bool(0.5) {
                tokio::spawn(socket.close_code());
            }
        }
    }

    /// Reads a session; answers whether it was open to the end.
    async fn read(
        &self,
        socket: &mut Socket,
        whose: (Key, &HashMap<Key, i64>),
        stalls: bool,
        frames_max: usize,
        frames: &mut Vec<Frame>,
    ) -> bool {
        while stalls && !self.over.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        loop {
            if self.over.load(Ordering::Acquire) && !stalls {
                let ended = timeout(END_TIMEOUT, self.read_to_the_end(socket, whose, frames)).await;
                return ended.expect("a session that is open comes to the end");
            }
            let most = if stalls { STALLED_FRAMES } else { frames_max };
            if most <= frames.len() {
                return false;
            }
            // It may be that nothing comes any more, and all is over.
            match timeout(Duration::from_millis(50), socket.frame()).await {
                Ok(frame) => {
                    if !take(frame, frames) {
                        return false;
                    }
                }
                Err(_) if stalls => return false,
                Err(_) => {}
            }
        }
    }

    /// Reads until the last message of every channel came that the user belongs to, but for those that may have been
    /// sent before the session began.
    async fn read_to_the_end(
        &self,
        socket: &mut Socket,
        (user, established): (Key, &HashMap<Key, i64>),
        frames: &mut Vec<Frame>,
    ) -> bool {
        let read = self.service.store().read(move |tx: &mut Tx| store::membership::list_seats(tx, user));
        let places: Vec<Key> = read.await.unwrap().iter().map(|seat| seat.place).collect();
        let last = self.last.lock().unwrap().clone();
        let due =
            self.channels.iter().filter(|(_, key)| places.contains(key) && established[key] < last[key]);
        for (channel, _) in due {
            let is_end =
                |frame: &Frame| frame.payload.contains(THE_END) && frame.payload.contains(channel.as_str());
            while !frames.iter().any(is_end) {
                let frame = socket.frame().await;
                if !take(frame, frames) {
                    return false;
                }
            }
        }
        true
    }

    /// One of those who change things, at random.
    async fn work(self: Arc<Self>, worker: usize) {
        let mut random = StdRng::seed_from_u64(SEED + worker as u64);
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if OPERATIONS <= number {
                return;
            }
            let (channel, _) = self.channels.choose(&mut random).unwrap().clone();
            let (who, _) = self.people.choose(&mut random).unwrap().clone();
            let (whom, _) = self.people.choose(&mut random).unwrap().clone();
            match random.next_u32() % 10 {
                0 => self.join(channel, whom, random.random_bool(0.2)).await,
                1 => self.leave(channel, whom).await,
                2 => self.join_several(channel, &mut random).await,
                3 => self.edit(number, &mut random).await,
                4 => self.send(channel, who, number, Some(whom)).await,
                _ => self.send(channel, who, number, None).await,
            }
        }
    }

    // Whatever is refused, because somebody does not belong or belongs already, changes nothing.

    async fn send(&self, channel: ChannelArn, who: IdentityArn, number: usize, target: Option<IdentityArn>) {
        let mut message = message_of(&channel, &who, number);
        message.target = target.map(|target| vec![Target { member_arn: Some(target) }]);
        // Most are long, so that a socket that is not read fills up.
        message.content =
            text(&format!("{number} {}", "x".repeat(if number.is_multiple_of(4) { 0 } else { 3_900 })));
        if let Ok(sent) = self.service.execute(message).await {
            self.sent.lock().unwrap().push((channel, who, sent.message_id));
        }
    }

    async fn edit(&self, number: usize, random: &mut StdRng) {
        let Some((channel_arn, who, message_id)) = self.sent.lock().unwrap().choose(random).cloned() else {
            return;
        };
        let update = UpdateChannelMessage {
            channel_arn,
            message_id,
            content: text(&format!("{number}")),
            metadata: None,
            chime_bearer: who,
            sub_channel_id: None,
            content_type: None,
        };
        let _ = self.service.execute(update).await;
    }

    async fn join(&self, channel_arn: ChannelArn, member_arn: IdentityArn, hidden: bool) {
        let kind = if hidden { ChannelMembershipType::Hidden } else { ChannelMembershipType::Default };
        let chime_bearer = self.owner.clone();
        let create =
            CreateChannelMembership { channel_arn, member_arn, kind, chime_bearer, sub_channel_id: None };
        let _ = self.service.execute(create).await;
    }

    async fn join_several(&self, channel_arn: ChannelArn, random: &mut StdRng) {
        let chosen: Vec<_> = self.people.sample(random, 3).map(|(arn, _)| arn.clone()).collect();
        let create = BatchCreateChannelMembership {
            channel_arn,
            kind: None,
            member_arns: chosen,
            chime_bearer: self.owner.clone(),
            sub_channel_id: None,
        };
        let _ = self.service.execute(create).await;
    }

    async fn leave(&self, channel_arn: ChannelArn, member_arn: IdentityArn) {
        let chime_bearer = self.owner.clone();
        let delete = DeleteChannelMembership { channel_arn, member_arn, chime_bearer, sub_channel_id: None };
        let _ = self.service.execute(delete).await;
    }

    /// Lets a last message come to everyone who belongs, and says that all is over.
    async fn end(&self) {
        for (number, (channel, _)) in self.channels.iter().enumerate() {
            let mut message = message_of(channel, &self.owner, OPERATIONS + number);
            message.content = text(THE_END);
            self.service.execute(message).await.unwrap();
        }
        let last = self.numbers().await;
        *self.last.lock().unwrap() = last;
        self.over.store(true, Ordering::Release);
    }

    async fn check(&self) {
        let channels: Vec<Key> = self.channels.iter().map(|(_, key)| *key).collect();
        let read = self.service.store().read(move |tx: &mut Tx| {
            let most = i64::try_from(2 * OPERATIONS).unwrap();
            channels
                .iter()
                .map(|channel| store::outbox::list(tx, *channel, 0, most))
                .collect::<store::Result<Vec<_>>>()
        });
        let committed = read.await.unwrap();
        let records = self.records.lock().unwrap();
        let (mut checked, mut open, mut resumed) = (0, 0, 0);
        for (_, user) in &self.people {
            let sessions: Vec<&Record> = records.iter().filter(|record| record.user == *user).collect();
            for events in &committed {
                checked += check(&sessions, events);
            }
            open += sessions.iter().filter(|record| record.open).count();
            resumed += sessions.iter().filter(|record| record.resumed).count();
        }
        let frames: usize = records.iter().map(|record| record.frames.len()).sum();
        assert_eq!(checked, frames, "frames that nothing committed explains");
        println!(
            "{} sessions ({resumed} resumed, {open} open to the end) × {checked} events checked, {} committed",
            records.len(),
            committed.iter().map(Vec::len).sum::<usize>(),
        );
        assert!(USERS / 3 < open, "too few sessions came to the end to show anything");
        assert!(USERS < resumed, "too few sessions resumed to show anything");
    }
}

fn message_of(
    channel: &ChannelArn,
    who: &IdentityArn,
    number: usize,
) -> carillon_service::operations::messaging::send_channel_message::SendChannelMessage {
    carillon_service::operations::messaging::send_channel_message::SendChannelMessage {
        channel_arn: channel.clone(),
        content: text(&number.to_string()),
        kind: ChannelMessageType::Standard,
        persistence: ChannelMessagePersistenceType::Persistent,
        metadata: None,
        client_request_token: text(&format!("play-{number}")),
        chime_bearer: who.clone(),
        push_notification: None,
        message_attributes: None,
        sub_channel_id: None,
        content_type: None,
        target: None,
    }
}
