//! Two nodes on one PostgreSQL, at the same channels, people and app instance, in random order: nobody waits for
//! somebody who waits for them, no number is given twice, and what is counted is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use carillon_model::channel_flow::{FlowPhase, InFlight};
use carillon_model::event::EventType;
use carillon_store as store;
use carillon_store::in_flight::Supposed;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinHandle;

use crate::Service;
use crate::operations::identity::create_app_instance_admin::CreateAppInstanceAdmin;
use crate::operations::identity::create_app_instance_user::CreateAppInstanceUser;
use crate::operations::identity::delete_app_instance_admin::DeleteAppInstanceAdmin;
use crate::operations::identity::update_app_instance_user::UpdateAppInstanceUser;
use crate::operations::messaging::channel_flow_callback::ChannelFlowCallback;
use crate::operations::messaging::create_channel_membership::CreateChannelMembership;
use crate::operations::messaging::delete_channel_membership::DeleteChannelMembership;
use crate::operations::messaging::put_channel_expiration_settings::PutChannelExpirationSettings;
use crate::operations::messaging::send_channel_message::SendChannelMessage;
use crate::operations::messaging::update_channel_read_marker::UpdateChannelReadMarker;
use crate::patience::CALLBACK_WINDOW_MS;
use crate::prelude::*;
use crate::testing::*;

const CHANNELS: usize = 16;
const PEOPLE: usize = 6;
const TASKS: u64 = 128;
const STEPS: u64 = 12;

struct Scene {
    nodes: [Arc<Service>; 2],
    instance: AppInstanceArn,
    channels: Vec<ChannelArn>,
    people: Vec<IdentityArn>,
}

impl Scene {
    /// Does something; true where it was a message that was sent. What is refused is refused for a reason of the chat.
    async fn step(&self, random: &mut StdRng, token: String) -> bool {
        let (channel_arn, member_arn) = (self.channels.choose(random).unwrap().clone(), self.anybody(random));
        let chime_bearer = self.anybody(random);
        let (app_instance_arn, app_instance_admin_arn) = (self.instance.clone(), member_arn.clone());
        let node = self.nodes.choose(random).unwrap();
        match random.random_range(0..12) {
            0..5 => {
                let (client_request_token, plain) =
                    (text(&token), message_request(&channel_arn, &chime_bearer, "Hi"));
                done(&node.execute(SendChannelMessage { client_request_token, ..plain }).await)
            }
            5 => {
                let (kind, sub_channel_id) = (ChannelMembershipType::Default, None);
                let add =
                    CreateChannelMembership { channel_arn, member_arn, kind, sub_channel_id, chime_bearer };
                done(&node.execute(add).await);
                false
            }
            6 => {
                let remove =
                    DeleteChannelMembership { channel_arn, member_arn, sub_channel_id: None, chime_bearer };
                done(&node.execute(remove).await);
                false
            }
            7 => {
                done(&node.execute(UpdateChannelReadMarker { channel_arn, chime_bearer }).await);
                false
            }
            8 => {
                let keep = PutChannelExpirationSettings {
                    channel_arn,
                    chime_bearer: Some(chime_bearer),
                    expiration_settings: None,
                };
                done(&node.execute(keep).await);
                false
            }
            9 => {
                done(
                    &node.execute(CreateAppInstanceAdmin { app_instance_admin_arn, app_instance_arn }).await,
                );
                false
            }
            10 => {
                done(
                    &node.execute(DeleteAppInstanceAdmin { app_instance_admin_arn, app_instance_arn }).await,
                );
                false
            }
            _ => {
                let (name, metadata) = (text(&token), text(""));
                let rename = UpdateAppInstanceUser { app_instance_user_arn: member_arn, name, metadata };
                done(&node.execute(rename).await);
                false
            }
        }
    }

    fn anybody(&self, random: &mut StdRng) -> IdentityArn {
        self.people.choose(random).unwrap().clone()
    }
}

fn done<T>(result: &Result<T>) -> bool {
    if let Err(error) = result {
        let ours = [ErrorCode::ServiceFailure, ErrorCode::ServiceUnavailable];
        assert!(!ours.contains(&error.code), "{error:?}");
    }
    result.is_ok()
}

#[test]
fn two_nodes_lock_in_one_order_and_count_alike() {
    World::across_a_network(|world| {
        let people: Vec<_> = (0..PEOPLE).map(|number| world.user(&format!("user-{number}"))).collect();
        let mode = ChannelMode::Unrestricted;
        let channel = |world: &mut World| world.channel_of(&people[0], mode, ChannelPrivacy::Public);
        let channels: Vec<_> = (0..CHANNELS).map(|_| channel(world)).collect();
        let instance = world.instance().clone();
        let scene = Arc::new(Scene { nodes: world.nodes(), instance, channels, people });
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let sent = runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for task in 0..TASKS {
                let scene = scene.clone();
                tasks.spawn(async move {
                    let (mut random, mut sent) = (StdRng::seed_from_u64(task), 0);
                    for step in 0..STEPS {
                        sent += usize::from(scene.step(&mut random, format!("{task}-{step}")).await);
                    }
                    sent
                });
            }
            tasks.join_all().await.into_iter().sum::<usize>()
        });
        assert_eq!(scene.nodes[0].store().deadlocks(), 0);
        assert_eq!(scene.channels.iter().map(|arn| check(world, arn)).sum::<usize>(), sent);
    });
}

/// What happens on three nodes at once, of which one only stands in the way.
struct Race {
    nodes: [Arc<Service>; 3],
    runtime: tokio::runtime::Runtime,
}

impl Race {
    fn of(world: &mut World) -> Arc<Self> {
        let ([one, other], [_, third]) = (world.nodes(), world.nodes());
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        Arc::new(Self { nodes: [one, other, third], runtime })
    }

    /// Has something wait for its turn, after what was queued before.
    fn queue<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        let mut work = Box::pin(work);
        self.runtime.block_on(std::future::poll_fn(|context| {
            assert!(work.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        }));
        self.runtime.spawn(work)
    }

    /// Waits until so many wait for others.
    fn await_waiting(&self, count: i64) {
        let waiting = || self.nodes[2].store().read(store::testing::count_waiting);
        while self.runtime.block_on(waiting()).unwrap() < count {
            std::thread::yield_now();
        }
    }

    /// Runs a transaction in a thread until it is told to end.
    fn hold(
        &self,
        node: usize,
        lane: Lane,
        first: impl Fn(&mut Tx) -> Result<()> + Send + 'static,
    ) -> Box<dyn FnOnce()> {
        self.hold_and(node, lane, first, |_| Ok(()))
    }

    /// The same, and goes on with it then.
    fn hold_and(
        &self,
        node: usize,
        lane: Lane,
        first: impl Fn(&mut Tx) -> Result<()> + Send + 'static,
        then: impl Fn(&mut Tx) -> Result<()> + Send + 'static,
    ) -> Box<dyn FnOnce()> {
        let ((says, begun), (end, told)) = (channel(), channel::<()>());
        let told = std::sync::Mutex::new(told);
        let work = move |tx: &mut Tx| {
            first(tx)?;
            says.send(()).unwrap();
            told.lock().unwrap().recv().unwrap();
            then(tx)
        };
        let (node, handle) = (self.nodes[node].clone(), self.runtime.handle().clone());
        let held = std::thread::spawn(move || handle.block_on(node.store().write(lane, work)));
        begun.recv().unwrap();
        Box::new(move || {
            end.send(()).unwrap();
            held.join().unwrap().unwrap();
        })
    }
}

/// A batch that is run again with marks decides alone what becomes of each of its transactions, and nobody runs them a
/// third time: what was found before an insert that somebody else made must be as it was found.
#[test]
fn who_looks_whether_a_user_is_there_keeps_other_nodes_from_making_it() {
    World::across_a_network(|world| {
        let race = Race::of(world);
        // On a machine that is slow enough, somebody waits for too long: then it did not happen.
        for attempt in 0..10 {
            let answers = sign_in_on_two_nodes(world, &race, attempt);
            if !answers.contains(&Some(ErrorCode::ServiceUnavailable)) {
                assert_eq!(answers, [None, None]);
                return;
            }
        }
        panic!("the machine is too slow");
    });
}

/// The same user signs in on two nodes, with the same name; how each was refused.
fn sign_in_on_two_nodes(world: &World, race: &Arc<Race>, attempt: usize) -> [Option<ErrorCode>; 2] {
    let instance = world.instance().clone();
    let request = |token: &str| CreateAppInstanceUser {
        app_instance_arn: instance.clone(),
        app_instance_user_id: text(&format!("user-{attempt}")),
        name: text("Ana"),
        metadata: None,
        client_request_token: text(&format!("{token}-{attempt}")),
        tags: None,
        expiration_settings: None,
    };
    let (lane, first) = (Lane::instance(&instance), request("one"));
    let key = instance.key().unwrap();
    // The counts of the app instance are changed last: who makes a user has made it then, and did not commit.
    let let_end = race.hold(2, Lane::Job, move |tx| Ok(store::testing::hold_app_instance(tx, key)?));
    let let_begin = race.hold(1, lane.clone(), |_| Ok(()));
    let (ran, (says, begun)) = (AtomicUsize::new(0), channel());
    let of_race = race.clone();
    let refused = move |tx: &mut Tx| {
        store::setting::set(tx, "of a test", "written before it refuses")?;
        if ran.fetch_add(1, Ordering::Relaxed) == 1 {
            let (node, request) = (of_race.nodes[0].clone(), first.clone());
            says.send(of_race.runtime.spawn(async move { node.execute(request).await })).unwrap();
            of_race.await_waiting(1);
        }
        Err::<(), _>(crate::error::Error::conflict("of a test"))
    };
    let (node, other) = (race.nodes[1].clone(), race.nodes[1].clone());
    let second = request("two");
    let refusing = race.queue(async move { node.store().write(lane, refused).await });
    let making = race.queue(async move { other.execute(second).await });
    let_begin();
    let first = begun.recv().unwrap();
    race.await_waiting(2);
    let_end();
    let code = |answer: Result<_>| answer.err().map(|refused: crate::error::Error| refused.code);
    let answers = [first, making].map(|task| code(race.runtime.block_on(task).unwrap()));
    assert!(race.runtime.block_on(refusing).unwrap().is_err());
    answers
}

/// A processor may call back before the node that called it has noted that it took the call. Who is told that somebody
/// else was faster does not call back again, and the message would be pending for two days. Nor may the two wait for
/// each other: what else is in the batch that notes it writes in the channel, too.
#[test]
fn a_callback_counts_while_another_node_notes_its_call() {
    World::across_a_network(|world| {
        let (ana, flow) = (world.user("ana"), world.flow());
        let channel_arn = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.call(&association(&channel_arn, &flow, &ana)).unwrap();
        let message_id = world.send(&channel_arn, &ana, "Hello");
        let invocation = world.invocations().pop().unwrap();
        let told: serde_json::Value = serde_json::from_str(&invocation.payload).unwrap();
        let callback_id = told["CallbackId"].as_str().unwrap().to_owned();
        let race = Race::of(world);
        let (arn, keys) = (channel_arn.clone(), InFlight::callback_keys(&callback_id).unwrap());
        let of_channel =
            |tx: &mut Tx, arn: &ChannelArn| store::channel::find_by_arn(tx, arn).map(Option::unwrap);
        let noted = move |tx: &mut Tx| {
            let channel = of_channel(tx, &arn)?;
            let mut one = store::in_flight::find(tx, &arn.app_instance(), channel.key, keys.0)?.unwrap();
            let supposed = Supposed::of(&one);
            (one.phase, one.due_at) = (FlowPhase::Wait, one.due_at.plus_ms(CALLBACK_WINDOW_MS));
            assert!(store::in_flight::keep(tx, &one, supposed)?);
            Ok(())
        };
        let arn = channel_arn.clone();
        let another = move |tx: &mut Tx| {
            let key = of_channel(tx, &arn)?.key;
            Ok(store::claim::hold(tx, key)?)
        };
        let commit = race.hold_and(1, Lane::channel(&channel_arn), noted, another);
        let callback = ChannelFlowCallback {
            callback_id: text(&callback_id),
            channel_arn: channel_arn.clone(),
            delete_resource: None,
            channel_message: unchanged(&message_id),
        };
        let node = race.nodes[0].clone();
        let called_back = race.runtime.spawn(async move { node.execute(callback).await });
        race.await_waiting(1);
        commit();
        race.runtime.block_on(called_back).unwrap().unwrap();
        assert_eq!(race.nodes[0].store().deadlocks(), 0);
        assert_eq!(world.contents(&channel_arn, &ana), ["Hello"]);
    });
}

/// No number was given twice, and as many belong as are counted. Answers how many messages were sent.
fn check(world: &mut World, arn: &ChannelArn) -> usize {
    let (arn, most) = (arn.clone(), i64::from(u16::MAX));
    let (channel, events, members) = world.stored(move |tx| {
        let channel = store::channel::find_by_arn(tx, &arn)?.unwrap();
        let events = store::outbox::list(tx, channel.key, 0, most)?;
        let members = store::membership::count_members(tx, channel.key, None, most)?;
        Ok((channel, events, members))
    });
    assert!(events.windows(2).all(|pair| pair[0].sequence < pair[1].sequence && pair[0].at <= pair[1].at));
    assert!(events.last().is_some_and(|last| last.sequence <= channel.sequence));
    assert_eq!(channel.member_count, members);
    events.iter().filter(|event| event.kind == EventType::CreateChannelMessage).count()
}
