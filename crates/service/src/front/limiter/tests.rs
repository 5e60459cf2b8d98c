use std::sync::atomic::AtomicU64;

use carillon_model::session::Close;
use carillon_model::shape::Member;
use carillon_model::text::*;
use carillon_model::{ChannelArn, IdentityArn, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::constraints::{request, sample};
use crate::front::exchange::Person;
use crate::front::query::tests::new_user;
use crate::front::roles::Role;
use crate::front::route::Route;
use crate::operations::identity::describe_app_instance::DescribeAppInstance;
use crate::operations::identity::list_app_instances::ListAppInstances;
use crate::operations::messaging::create_channel_membership::CreateChannelMembership;
use crate::operations::messaging::describe_channel::DescribeChannel;
use crate::operations::messaging::redact_channel_message::RedactChannelMessage;
use crate::operations::messaging::send_channel_message::SendChannelMessage;
use crate::testing::*;

/// Calls until refused; answers how many were let through, and the words of the refusal.
fn drain<O: Operation>(world: &mut World, mut next: impl FnMut(usize) -> O) -> (usize, String) {
    for number in 0..1_000 {
        match world.call(&next(number)) {
            Err(refused) if refused.code == ErrorCode::Throttled => return (number, refused.message),
            _ => {}
        }
    }
    panic!("never throttled");
}

fn describe(channel: &ChannelArn, who: &IdentityArn) -> DescribeChannel {
    DescribeChannel { channel_arn: channel.clone(), chime_bearer: who.clone() }
}

fn message(channel: &ChannelArn, who: &IdentityArn, number: usize) -> SendChannelMessage {
    let client_request_token = text(&format!("message-{number}"));
    SendChannelMessage { client_request_token, ..message_request(channel, who, "hello") }
}

#[engine_test]
fn a_bearer_has_ten_calls_a_second_whatever_it_calls_and_then_one_each_tenth(world: &mut World) {
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
    world.set_rates(Rates::PUBLISHED);
    for _ in 0..5 {
        world.call(&describe(&channel, &ana)).unwrap();
        world.call(&messages_of(&channel, &ana)).unwrap();
    }
    let refused = world.call(&describe(&channel, &ana)).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Throttled);
    assert_eq!(refused.message, "The rate bearer_calls_per_second is exhausted: 10 a second for a bearer");
    world.call(&describe(&channel, &bob)).unwrap();
    world.advance_ms(99);
    assert_eq!(world.call(&messages_of(&channel, &ana)).unwrap_err().code, ErrorCode::Throttled);
    world.advance_ms(1);
    world.call(&messages_of(&channel, &ana)).unwrap();
    assert_eq!(world.call(&messages_of(&channel, &ana)).unwrap_err().code, ErrorCode::Throttled);
}

#[engine_test]
fn what_changes_messages_shares_the_budget_of_its_channel(world: &mut World) {
    let ana = world.user("ana");
    let channels = [(); 2].map(|()| world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private));
    world.set_rates(Rates::only(Rate::Messages, 30));
    let [first, second] = &channels;
    let sent: Vec<_> =
        (0..20).map(|number| world.call(&message(first, &ana, number)).unwrap().message_id).collect();
    let (redacted, words) = drain(world, |number| RedactChannelMessage {
        channel_arn: first.clone(),
        message_id: sent[number].clone(),
        chime_bearer: ana.clone(),
        sub_channel_id: None,
    });
    assert_eq!(redacted, 10);
    assert_eq!(words, "The rate messages_per_second is exhausted: 30 a second for a channel or sub-channel");
    // Reading is not sending, and another channel is another budget.
    world.call(&messages_of(first, &ana)).unwrap();
    assert_eq!(drain(world, |number| message(second, &ana, number)).0, 30);
    world.advance_ms(1_000);
    assert_eq!(drain(world, |number| message(first, &ana, 100 + number)).0, 30);
}

#[engine_test]
fn an_outsider_neither_uses_up_a_private_channel_nor_learns_how_busy_it_is(world: &mut World) {
    let (ana, eve) = (world.user("ana"), world.user("eve"));
    let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    world.set_rates(Rates::only(Rate::Messages, 30));
    for number in 0..40 {
        let refused = world.call(&message(&channel, &eve, number)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Forbidden);
    }
    assert_eq!(drain(world, |number| message(&channel, &ana, number)).0, 30);
    assert_eq!(world.call(&message(&channel, &eve, 40)).unwrap_err().code, ErrorCode::Forbidden);
}

#[engine_test]
fn an_elastic_channel_takes_twice_the_members_and_a_budget_for_each_sub_channel(world: &mut World) {
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    let elastic = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
    let plain = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    let place = world.join(&elastic, &ana, &bob).unwrap();
    world.set_rates(Rates::PUBLISHED);
    // Whom it does not know counts too; a bearer would not get so far in one second.
    let rates = Rates { bearer_calls_per_second: 0, ..Rates::PUBLISHED };
    world.set_rates(rates);
    for (channel, most) in [(&elastic, 30), (&plain, 15)] {
        let (let_through, _) = drain(world, |_| CreateChannelMembership {
            channel_arn: channel.clone(),
            member_arn: ana.clone(),
            kind: ChannelMembershipType::Default,
            chime_bearer: ana.clone(),
            sub_channel_id: None,
        });
        assert_eq!(let_through, most, "{channel}");
    }
    let in_place = |number| SendChannelMessage {
        sub_channel_id: Some(place.clone()),
        ..message(&elastic, &bob, number)
    };
    assert_eq!(drain(world, in_place).0, 30);
    // A sub-channel that is not the sender's is not used up by them: the channel's own budget is.
    let elsewhere = |number| SendChannelMessage {
        sub_channel_id: Some(text(&"0".repeat(32))),
        ..message(&elastic, &bob, number)
    };
    assert_eq!(drain(world, elsewhere).0, 30);
}

#[engine_test]
fn the_identity_interface_has_a_budget_for_all_of_it(world: &mut World) {
    let instance = world.instance().clone();
    world.set_rates(Rates { app_instance_descriptions_per_second: 0, ..Rates::PUBLISHED });
    let describe = |_| DescribeAppInstance { app_instance_arn: instance.clone() };
    let (let_through, words) = drain(world, describe);
    assert_eq!(let_through, 50);
    assert_eq!(words, "The rate identity_calls_per_second is exhausted: 50 a second for the account");
    world.advance_ms(1_000);
    let lists = |_| ListAppInstances { max_results: None, next_token: None };
    assert_eq!(drain(world, lists).0, 10);
}

/// A request of someone who may do everything in the channel. What is charged before the transaction is asked of
/// things that do not exist, so that nothing that a later operation needs is deleted.
fn value(
    world: &World,
    channel: &ChannelArn,
    who: &IdentityArn,
    messaging: bool,
    member: &Member,
) -> Option<Value> {
    let instance =
        if messaging { world.instance().clone() } else { World::home().app_instance(Key([9; 16])) };
    match member.name {
        "ChimeBearer" => Some(json!(who.as_str())),
        "ChannelArn" => Some(json!(channel.as_str())),
        "AppInstanceArn" | "ResourceARN" => Some(json!(instance.as_str())),
        "AppInstanceUserArn" | "AppInstanceAdminArn" | "MemberArn" | "ChannelModeratorArn" => {
            Some(json!(instance.user("nobody").as_str()))
        }
        "AppInstanceBotArn" => Some(json!(format!("{instance}/bot/none"))),
        "ChannelFlowArn" => Some(json!(instance.channel_flow("none").as_str())),
        name => member.required.then(|| sample(name, &member.shape)),
    }
}

fn ask(
    world: &mut World,
    channel: &ChannelArn,
    who: &IdentityArn,
    route: &Route,
    messaging: bool,
) -> (u16, Value) {
    let values: HashMap<_, _> = (route.members)()
        .iter()
        .map(|member| (member.name, value(world, channel, who, messaging, member)))
        .collect();
    request(world, route, |member| values[member.name].clone())
}

#[test]
fn every_operation_is_held_to_the_rate_of_its_row() {
    World::once(|world| {
        let ana = world.admin("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let rows: Vec<_> = table().collect();
        let mut count = 0;
        for route in crate::front::route::all() {
            let (identity, row) = rows.iter().find(|(_, row)| row.operations.contains(&route.name)).unwrap();
            let rate = row.rate;
            world.set_rates(Rates::only(rate, 1));
            // What the later ones need is not deleted.
            let nowhere = world.instance().channel("nowhere");
            let channel = if route.name == "DeleteChannel" { &nowhere } else { &channel };
            let [first, second] = [(); 2].map(|()| ask(world, channel, &ana, &route, !identity));
            assert_ne!(first.0, 429, "{}: {}", route.name, first.1);
            assert_eq!(second.0, 429, "{}: {} and then {}", route.name, first.1, second.1);
            assert!(second.1["Message"].as_str().unwrap().contains(rate.key()), "{}", second.1);
            count += 1;
        }
        let held: usize = rows.iter().map(|(_, row)| row.operations.len()).sum();
        assert!(78 <= count && count <= held, "{count} of {held}");
        println!("{count} operations are held to the rates of their rows");
    });
}

struct Still(AtomicU64);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        START
    }
    fn real(&self) -> Timestamp {
        START
    }
    fn steady(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

#[test]
fn whoever_has_not_called_for_a_second_is_forgotten() {
    let still = Arc::new(Still(AtomicU64::new(0)));
    let clock: Arc<dyn Clock> = still.clone();
    let limiter = Limiter::new(Rates::PUBLISHED, &clock).unwrap();
    let counter = limiter.counters[Rate::BearerCalls as usize].as_ref().unwrap();
    for number in 0..10 * CALLS_BETWEEN_SWEEPS {
        still.0.store(u64::from(number), Ordering::Relaxed);
        limiter.take(limiter.charge(Rate::BearerCalls, Scope::Bearer, "", &number.to_string())).unwrap();
        // One call each millisecond: those of the last second, and those since the last sweep.
        assert!(counter.buckets.len() <= CALLS_BETWEEN_SWEEPS as usize + 1_001);
    }
    assert!(Limiter::new(Rates::OFF, &clock).is_none());
}

#[test]
fn an_arn_begins_with_its_app_instance() {
    let instance = "arn:aws:chime:us-east-1:111122223333:app-instance/x";
    for below in ["", "/user/us-east-1:a/b", "/channel/lobby"] {
        assert_eq!(app_instance_of(&format!("{instance}{below}")), instance);
    }
}

const EVERYTHING: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
const NOTHING: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:GetUser","Resource":"*"}}"#;
/// The same, and it takes the store to say so.
const NOTHING_BY_TAG: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*",
    "Condition":{"StringEquals":{"aws:ResourceTag/stage":"none"}}}}"#;

#[engine_test]
fn who_is_refused_by_policy_uses_up_nothing_of_whom_it_names(world: &mut World) {
    let ana = world.user("ana");
    let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
    let app = new_user(world, "app", EVERYTHING);
    let intruders = [new_user(world, "eve", NOTHING), new_user(world, "mallory", NOTHING_BY_TAG)];
    world.set_rates(Rates::PUBLISHED);
    let instance = DescribeAppInstance { app_instance_arn: world.instance().clone() };
    for intruder in intruders {
        world.sign_with(intruder);
        for number in 0..50 {
            let refused = match number % 2 {
                0 => world.refusal(&describe(&channel, &ana)),
                _ => world.refusal(&instance),
            };
            assert_eq!(refused, ErrorCode::AccessDenied, "{number}");
        }
        // What is used up is the intruder's own.
        let refused = world.call(&describe(&channel, &ana)).unwrap_err();
        let words = "The rate refused_calls_per_second is exhausted: 50 a second for a caller";
        assert_eq!((refused.code, refused.message.as_str()), (ErrorCode::Throttled, words));
    }
    for signer in [app, Credentials::root()] {
        world.advance_ms(1_000);
        world.sign_with(signer);
        for _ in 0..10 {
            world.call(&describe(&channel, &ana)).unwrap();
            world.call(&instance).unwrap();
        }
        assert_eq!(world.refusal(&describe(&channel, &ana)), ErrorCode::Throttled);
    }
}

#[engine_test]
fn a_user_of_iam_is_held_to_the_rates_whatever_decides_its_gate(world: &mut World) {
    let by_tag = NOTHING_BY_TAG.replace("StringEquals", "StringNotEquals");
    for (name, policy) in [("app", EVERYTHING), ("tagged", &by_tag)] {
        let ana = world.user(name);
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let user = new_user(world, name, policy);
        let root = world.sign_with(user);
        world.set_rates(Rates::only(Rate::BearerCalls, 10));
        assert_eq!(drain(world, |_| describe(&channel, &ana)).0, 10);
        world.set_rates(Rates::only(Rate::Messages, 30));
        assert_eq!(drain(world, |number| message(&channel, &ana, number)).0, 30);
        world.set_rates(Rates::only(Rate::IdentityCalls, 50));
        let instance = world.instance().clone();
        assert_eq!(drain(world, |_| DescribeAppInstance { app_instance_arn: instance.clone() }).0, 50);
        world.set_rates(Rates::OFF);
        world.sign_with(root);
    }
}

#[engine_test]
fn a_socket_that_policy_refuses_counts_as_refused(world: &mut World) {
    let ana = world.user("ana");
    let eve = new_user(world, "eve", NOTHING);
    world.set_rates(Rates::only(Rate::RefusedCalls, 5));
    let root = world.sign_with(eve);
    for _ in 0..5 {
        assert_eq!(world.connect(&ana).unwrap_err().code, 4003);
    }
    assert_eq!(world.connect(&ana).unwrap_err(), Close::TOO_OFTEN);
    world.sign_with(root);
    assert!(world.connect(&ana).is_ok());
}

#[engine_test]
fn iam_and_sts_have_rates_and_the_error_that_their_clients_wait_for(world: &mut World) {
    let (app, eve) = (new_user(world, "app", EVERYTHING), new_user(world, "eve", NOTHING));
    let calls = |world: &mut World, service: &str, action: &str| {
        (0..1_000)
            .map(|_| world.query(service, &[("Action", action)]))
            .position(|(status, body)| status == 400 && body.contains("<Code>Throttling</Code>"))
            .unwrap()
    };
    world.set_rates(Rates { iam_calls_per_second: 10, sts_calls_per_second: 20, ..Rates::OFF });
    for _ in 0..30 {
        world.sign_with(eve.clone());
        assert_eq!(world.query("iam", &[("Action", "ListUsers")]).0, 403);
    }
    world.sign_with(app);
    assert_eq!(calls(world, "iam", "ListUsers"), 10, "those who were refused used up nothing");
    assert_eq!(calls(world, "iam", "ListRoles"), 10, "each action by itself");
    assert_eq!(calls(world, "sts", "GetCallerIdentity"), 20);
    world.sign_with(eve);
    assert_eq!(calls(world, "sts", "GetCallerIdentity"), 20, "each caller by itself");
    world.set_rates(Rates::only(Rate::RefusedCalls, 7));
    assert_eq!(calls(world, "iam", "ListUsers"), 7);
    assert_eq!(world.query("sts", &[("Action", "AssumeRole")]).0, 400, "of all interfaces together");
}

#[engine_test]
fn an_exchange_is_held_to_its_rates(world: &mut World) {
    let person = |id: &str| Person::new(id, None);
    world.set_rates(Rates::only(Rate::Exchanges, 5));
    let mut of_ana = (0..20).map(|_| world.try_exchange(&person("ana"), Role::User));
    assert_eq!(of_ana.position(|exchanged| exchanged.is_err()), Some(5));
    assert!(world.try_exchange(&person("bob"), Role::User).is_ok());
    world.set_rates(Rates::only(Rate::UserChanges, 10));
    let strangers: Vec<_> =
        (0..20).map(|number| world.try_exchange(&person(&format!("new-{number}")), Role::User)).collect();
    assert_eq!(strangers.iter().filter(|exchanged| exchanged.is_ok()).count(), 10);
    let Some(Err(refused)) = strangers.last() else { panic!("the last was let through") };
    assert_eq!((refused.code, refused.retry_after_ms), (ErrorCode::Throttled, Some(100)));
    assert!(world.try_exchange(&person("ana"), Role::User).is_ok(), "whom there is already");
    // What the application may do by itself is not used up.
    world.user("made-by-the-application");
}

#[test]
fn whoever_waits_as_long_as_is_said_gets_through() {
    let still = Arc::new(Still(AtomicU64::new(0)));
    let clock: Arc<dyn Clock> = still.clone();
    let limiter = Limiter::new(Rates::only(Rate::IamCalls, 3), &clock).unwrap();
    for _ in 0..3 {
        limiter.iam("ListUsers").unwrap();
    }
    let wait_ms = limiter.iam("ListUsers").unwrap_err().wait_ms;
    assert_eq!(wait_ms, 334, "a third of a second, rounded up");
    still.0.store(wait_ms - 1, Ordering::Relaxed);
    assert!(limiter.iam("ListUsers").is_err());
    still.0.store(wait_ms, Ordering::Relaxed);
    assert!(limiter.iam("ListUsers").is_ok());
}
