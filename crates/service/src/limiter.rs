//! Counts calls and refuses those that come too often.
//!
//! It goes by steady time, not by the service's: what is protected is this machine, and no test that moves the clock
//! may fill a bucket. Each node counts by itself. What a call is charged for before its transaction was admitted by
//! policy; what a channel is charged for, its rule admitted. So nobody uses up, or learns of, what is not theirs.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use carillon_model::{IdentityArn, Key};
use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::call::View;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::rates::{Rate, Rates, Row, Scope, table};

/// After so many calls of one rate, whoever did not call for a second is forgotten. So a rate holds no more keys than
/// this and the calls of one second, in some 40 bytes each: 16 MiB if all two dozen were that full.
const CALLS_BETWEEN_SWEEPS: u32 = 16_384;

type Buckets = RateLimiter<u64, DashMapStateStore<u64>, SteadyClock, NoOpMiddleware<Duration>>;

/// The clock that buckets fill by.
#[derive(Clone)]
struct SteadyClock(Arc<dyn Clock>);

impl GovernorClock for SteadyClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.steady()
    }
}

/// The buckets of one rate, one for each thing that it counts for.
struct Counter {
    buckets: Buckets,
    calls: AtomicU32,
}

/// Holds every caller to the rates.
pub(crate) struct Limiter {
    rates: Rates,
    /// By the number of the rate; nothing where there is no limit.
    counters: Vec<Option<Counter>>,
    /// By the name of the operation: whether it is of the identity interface, and its row.
    rows: HashMap<&'static str, (bool, &'static Row)>,
    /// Keys are hashes under a seed that nobody knows: they have one size, and no two can be made to meet.
    hash: RandomState,
}

/// What a call still owes: its channel's share, once it is known that the caller may see the channel.
pub(crate) struct Due {
    limiter: Arc<Limiter>,
    rate: Rate,
    scope: Scope,
    operation: &'static str,
    sub_channel: Option<Key>,
    /// A transaction may run again; its call counts once.
    paid: Cell<bool>,
}

impl Limiter {
    /// Nothing where nothing is limited, so that nothing is spent on it.
    pub(crate) fn new(rates: Rates, clock: &Arc<dyn Clock>) -> Option<Arc<Self>> {
        if rates == Rates::OFF {
            return None;
        }
        let counter = |rate: &Rate| {
            let quota = Quota::per_second(NonZeroU32::new(rates.of(*rate))?);
            let state = DashMapStateStore::default();
            let buckets = RateLimiter::new(quota, state, SteadyClock(clock.clone()));
            Some(Counter { buckets, calls: AtomicU32::new(0) })
        };
        let counters = Rate::ALL.iter().map(counter).collect();
        let rows = table()
            .flat_map(|(identity, row)| row.operations.iter().map(move |name| (*name, (identity, row))));
        Some(Arc::new(Self { rates, counters, rows: rows.collect(), hash: RandomState::new() }))
    }

    /// Charges a call for all that is known before its transaction, and says what it will owe within.
    pub(crate) fn charge<O: Operation>(self: &Arc<Self>, operation: &O) -> Result<Option<Due>> {
        let Some((identity, row)) = self.rows.get(O::NAME) else { return Ok(None) };
        if *identity {
            self.take(Rate::IdentityCalls, Scope::Account, "", "")?;
        }
        let bearer = operation.bearer().map(carillon_model::IdentityArn::as_str);
        if let Some(bearer) = bearer {
            self.take(Rate::BearerCalls, Scope::Bearer, "", bearer)?;
        }
        let Row { rate: Some(rate), scope, .. } = **row else { return Ok(None) };
        let named = bearer.or_else(|| operation.named()).unwrap_or_default();
        let of = match scope {
            Scope::Account => "",
            Scope::AppInstance => app_instance_of(named),
            Scope::User | Scope::Bearer => named,
            // Who bears nothing, a processor that calls back, is held by policy alone.
            Scope::Channel | Scope::SubChannel if bearer.is_none() => named,
            Scope::Channel | Scope::SubChannel => {
                let sub_channel = operation.sub_channel().and_then(Key::from_hex);
                let (limiter, operation) = (self.clone(), O::NAME);
                return Ok(Some(Due {
                    limiter,
                    rate,
                    scope,
                    operation,
                    sub_channel,
                    paid: Cell::new(false),
                }));
            }
        };
        self.take(rate, scope, O::NAME, of)?;
        Ok(None)
    }

    /// Charges a user for a connection, whatever the client calls it.
    pub(crate) fn connect(&self, user: &IdentityArn) -> Result<()> {
        self.take(Rate::Connections, Scope::User, "", user.as_str())
    }

    /// Takes one call from the bucket of this operation and this thing.
    fn take(&self, rate: Rate, scope: Scope, operation: &str, of: &str) -> Result<()> {
        let Some(counter) = &self.counters[rate as usize] else { return Ok(()) };
        let operation = if rate == Rate::Messages { "" } else { operation };
        let taken = counter.buckets.check_key(&self.hash.hash_one((operation, of)));
        if counter.calls.fetch_add(1, Ordering::Relaxed) == CALLS_BETWEEN_SWEEPS {
            counter.calls.store(0, Ordering::Relaxed);
            counter.buckets.retain_recent();
            counter.buckets.shrink_to_fit();
        }
        taken.map_err(|_| {
            let (key, limit, words) = (rate.key(), self.rates.of(rate), scope.words());
            Error::throttled(format!("The rate {key} is exhausted: {limit} a second for {words}"))
        })
    }
}

impl Due {
    /// Charges the channel. An outsider whom a rule lets ask is not counted in a channel that is private: they
    /// would learn how busy it is.
    pub(crate) fn pay(&self, view: &View) -> Result<()> {
        let stranger = view.memberships.is_empty() && !view.is_moderating() && !view.channel.is_public();
        if stranger || self.paid.replace(true) {
            return Ok(());
        }
        let elastic = view.channel.elastic.is_some();
        let rate = match self.rate {
            Rate::MembershipChanges if elastic => Rate::ElasticMembershipChanges,
            rate => rate,
        };
        let channel = view.channel.arn.as_str();
        let own = |key: &Key| view.is_moderating() || view.belongs_to(*key);
        match self.sub_channel.filter(|key| self.scope == Scope::SubChannel && elastic && own(key)) {
            Some(key) => self.limiter.take(rate, self.scope, self.operation, &format!("{channel}/{key}")),
            None => self.limiter.take(rate, self.scope, self.operation, channel),
        }
    }
}

/// The start of an ARN that names its app instance.
fn app_instance_of(arn: &str) -> &str {
    arn.match_indices('/').nth(1).map_or(arn, |(end, _)| &arn[..end])
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use carillon_model::shape::Member;
    use carillon_model::text::*;
    use carillon_model::{ChannelArn, IdentityArn, Timestamp};
    use serde_json::{Value, json};

    use super::*;
    use crate::constraints::{request, sample};
    use crate::operation::Route;
    use crate::operations::identity::describe_app_instance::DescribeAppInstance;
    use crate::operations::identity::list_app_instances::ListAppInstances;
    use crate::operations::messaging::create_channel_membership::CreateChannelMembership;
    use crate::operations::messaging::describe_channel::DescribeChannel;
    use crate::operations::messaging::list_channel_messages::ListChannelMessages;
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

    fn list(channel: &ChannelArn, who: &IdentityArn) -> ListChannelMessages {
        ListChannelMessages {
            channel_arn: channel.clone(),
            sort_order: None,
            not_before: None,
            not_after: None,
            max_results: None,
            next_token: None,
            chime_bearer: who.clone(),
            sub_channel_id: None,
        }
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
            world.call(&list(&channel, &ana)).unwrap();
        }
        let refused = world.call(&describe(&channel, &ana)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Throttled);
        assert_eq!(
            refused.message,
            "The rate bearer_calls_per_second is exhausted: 10 a second for a bearer"
        );
        world.call(&describe(&channel, &bob)).unwrap();
        world.advance_ms(99);
        assert_eq!(world.call(&list(&channel, &ana)).unwrap_err().code, ErrorCode::Throttled);
        world.advance_ms(1);
        world.call(&list(&channel, &ana)).unwrap();
        assert_eq!(world.call(&list(&channel, &ana)).unwrap_err().code, ErrorCode::Throttled);
    }

    #[engine_test]
    fn what_changes_messages_shares_the_budget_of_its_channel(world: &mut World) {
        let ana = world.user("ana");
        let channels =
            [(); 2].map(|()| world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private));
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
        assert_eq!(
            words,
            "The rate messages_per_second is exhausted: 30 a second for a channel or sub-channel"
        );
        // Reading is not sending, and another channel is another budget.
        world.call(&list(first, &ana)).unwrap();
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
            for route in crate::operations::all() {
                let (identity, row) =
                    rows.iter().find(|(_, row)| row.operations.contains(&route.name)).unwrap();
                let Some(rate) = row.rate else { continue };
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
            limiter.take(Rate::BearerCalls, Scope::Bearer, "", &number.to_string()).unwrap();
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
}
