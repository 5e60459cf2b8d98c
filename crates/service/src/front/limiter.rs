//! Counts calls and refuses those that come too often.
//!
//! It goes by steady time, not by the service's: what is protected is this machine, and no test that moves the clock
//! may fill a bucket. Each node counts by itself. A call is charged for once policy has admitted its caller, be that
//! before its transaction or in it; what a channel is charged for, its rule admitted. So nobody uses up, or learns of,
//! what is not theirs. Who is refused by policy uses up refusals, which are their own.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use carillon_model::{AppInstanceArn, IdentityArn, Key};
use governor::clock::Clock as GovernorClock;
use governor::middleware::{NoOpMiddleware, StateInformationMiddleware};
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use moka::sync::Cache;

use crate::call::rule::Grant;
use crate::call::{Due, View};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::front::rates::{Rate, Rates, Row, Scope, table};
use crate::operation::Operation;

/// After so many calls of one rate, whoever did not call for a second is forgotten. So a rate holds no more keys than
/// this and the calls of one second, in some 40 bytes each: 16 MiB if all two dozen were that full.
const CALLS_BETWEEN_SWEEPS: u32 = 16_384;
/// Callers that are known to have used up their refusals; one more pushes another out, which may be refused again.
const REFUSED_CALLERS_MAX: u64 = 10_000;

/// Connections of one user that are held until their turn comes; one more is refused. With the lowest rate the last of
/// them begins after as many seconds.
pub(crate) const CONNECTIONS_HELD_MAX: u32 = 10;

/// The buckets of connections tell how full they are: past the rate a connection takes a later turn.
type Turns = RateLimiter<u64, DashMapStateStore<u64>, SteadyClock, StateInformationMiddleware>;
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
    clock: SteadyClock,
    /// By the number of the rate; nothing where there is no limit.
    counters: Vec<Option<Counter>>,
    /// Those of connections, which hold more than one second's.
    turns: Option<Turns>,
    connections: AtomicU32,
    /// By the name of the operation: whether it is of the identity interface, and its row.
    rows: HashMap<&'static str, (bool, &'static Row)>,
    /// Keys are hashes under a seed that nobody knows: they have one size, and no two can be made to meet.
    hash: RandomState,
    /// Until when callers wait who have used up their refusals.
    refused_until: Cache<u64, Duration>,
    /// By the number of the rate: how often it was exhausted.
    exhausted: Vec<AtomicU64>,
}

/// A rate has no more calls for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted {
    rate: Rate,
    per_second: u32,
    scope: Scope,
    /// After how many milliseconds it has one again.
    pub(crate) wait_ms: u64,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, limit, words) = (self.rate.key(), self.per_second, self.scope.words());
        write!(f, "The rate {key} is exhausted: {limit} a second for {words}")
    }
}

impl From<Exhausted> for Error {
    fn from(exhausted: Exhausted) -> Self {
        Self::throttled(exhausted.to_string(), exhausted.wait_ms)
    }
}

/// One call from one bucket.
#[derive(Clone, Copy)]
struct Charge {
    rate: Rate,
    scope: Scope,
    /// The bucket.
    key: u64,
}

/// What a call costs. A transaction may run again; its call counts once.
pub(crate) struct Bill {
    limiter: Arc<Limiter>,
    /// Due once policy has admitted the caller.
    charges: Vec<Charge>,
    admitted: Cell<bool>,
    /// Due once it is known that the caller may see the channel.
    share: Option<Share>,
    seen: Cell<bool>,
}

/// What a channel is charged for.
struct Share {
    rate: Rate,
    scope: Scope,
    operation: &'static str,
    sub_channel: Option<Key>,
}

impl Limiter {
    /// Nothing where nothing is limited, so that nothing is spent on it.
    pub(crate) fn new(rates: Rates, clock: &Arc<dyn Clock>) -> Option<Arc<Self>> {
        if rates == Rates::OFF {
            return None;
        }
        let clock = SteadyClock(clock.clone());
        let counter = |rate: &Rate| {
            let quota = Quota::per_second(NonZeroU32::new(rates.of(*rate))?);
            let state = DashMapStateStore::default();
            let buckets = RateLimiter::new(quota, state, clock.clone());
            Some(Counter { buckets, calls: AtomicU32::new(0) })
        };
        let counters = Rate::ALL.iter().map(counter).collect();
        let turns = NonZeroU32::new(rates.of(Rate::Connections)).map(|rate| {
            let held = Quota::per_second(rate).allow_burst(rate.saturating_add(CONNECTIONS_HELD_MAX));
            Turns::new(held, DashMapStateStore::default(), clock.clone())
        });
        let rows = table()
            .flat_map(|(identity, row)| row.operations.iter().map(move |name| (*name, (identity, row))));
        Some(Arc::new(Self {
            rates,
            clock,
            counters,
            turns,
            connections: AtomicU32::new(0),
            rows: rows.collect(),
            hash: RandomState::new(),
            refused_until: Cache::new(REFUSED_CALLERS_MAX),
            exhausted: Rate::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
        }))
    }

    /// What a call of this caller costs; nothing is taken yet.
    pub(crate) fn bill<O: Operation>(self: &Arc<Self>, operation: &O, caller: &str) -> Bill {
        let (mut charges, mut share) = (Vec::new(), None);
        if let Some((identity, row)) = self.rows.get(O::NAME) {
            let bearer = operation.bearer().map(IdentityArn::as_str);
            if *identity {
                charges.push(self.charge(Rate::IdentityCalls, Scope::Account, "", ""));
            }
            charges.extend(bearer.map(|bearer| self.charge(Rate::BearerCalls, Scope::Bearer, "", bearer)));
            let Row { rate, scope, .. } = **row;
            let named = bearer.or_else(|| operation.named()).unwrap_or_default();
            let of = match scope {
                Scope::Account => Some(""),
                Scope::AppInstance => Some(app_instance_of(named)),
                Scope::User | Scope::Bearer => Some(named),
                Scope::Caller => Some(caller),
                // Who bears nothing, a processor that calls back, is held by policy alone.
                Scope::Channel | Scope::SubChannel if bearer.is_none() => Some(named),
                Scope::Channel | Scope::SubChannel => None,
            };
            if let Some(of) = of {
                charges.push(self.charge(rate, scope, O::NAME, of));
            } else {
                let sub_channel = operation.sub_channel().and_then(Key::from_hex);
                share = Some(Share { rate, scope, operation: O::NAME, sub_channel });
            }
        }
        Bill { limiter: self.clone(), charges, admitted: Cell::default(), share, seen: Cell::default() }
    }

    /// Charges a user for a connection, whatever the client calls it; answers how long until its turn comes, or nothing
    /// where too many wait for theirs. The bucket counts whole connections, so a turn is never too early.
    pub(crate) fn connect(&self, user: &IdentityArn) -> Option<Duration> {
        let Some(turns) = &self.turns else { return Some(Duration::ZERO) };
        let rate = self.rates.of(Rate::Connections);
        let taken = turns.check_key(&self.hash.hash_one(("", user.as_str())));
        if self.connections.fetch_add(1, Ordering::Relaxed) == CALLS_BETWEEN_SWEEPS {
            self.connections.store(0, Ordering::Relaxed);
            turns.retain_recent();
            turns.shrink_to_fit();
        }
        let Ok(taken) = taken else {
            self.count_exhausted(Rate::Connections);
            return None;
        };
        let free = taken.remaining_burst_capacity();
        let held = CONNECTIONS_HELD_MAX.saturating_sub(free);
        Some(Duration::from_secs(1) * held / rate)
    }

    /// Charges the account for an action of IAM.
    pub(crate) fn iam(&self, action: &str) -> std::result::Result<(), Exhausted> {
        self.take(self.charge(Rate::IamCalls, Scope::Account, action, ""))
    }

    /// Charges a caller for an action of STS.
    pub(crate) fn sts(&self, caller: &str) -> std::result::Result<(), Exhausted> {
        self.take(self.charge(Rate::StsCalls, Scope::Caller, "", caller))
    }

    /// Charges a caller for a question why.
    pub(crate) fn explanation(&self, caller: &str) -> std::result::Result<(), Exhausted> {
        self.take(self.charge(Rate::Explanations, Scope::Caller, "", caller))
    }

    /// Charges a user for an exchange of credentials.
    pub(crate) fn exchange(&self, user: &IdentityArn) -> std::result::Result<(), Exhausted> {
        self.take(self.charge(Rate::Exchanges, Scope::User, "", user.as_str()))
    }

    /// Charges an app instance for a user that an exchange makes. It is another call than `CreateAppInstanceUser`, so
    /// that those who sign in do not use up what the application has for that.
    pub(crate) fn exchange_new_user(&self, instance: &AppInstanceArn) -> std::result::Result<(), Exhausted> {
        self.take(self.charge(Rate::UserChanges, Scope::AppInstance, "an exchange", instance.as_str()))
    }

    /// Charges a caller for having been refused by policy.
    pub(crate) fn refused(&self, caller: &str) -> std::result::Result<(), Exhausted> {
        let charge = self.charge(Rate::RefusedCalls, Scope::Caller, "", caller);
        self.take(charge).inspect_err(|exhausted| {
            let until = self.clock.now() + Duration::from_millis(exhausted.wait_ms);
            self.refused_until.insert(charge.key, until);
        })
    }

    /// Whether a caller may still be refused: asked before the store is, where only the store can tell.
    pub(crate) fn may_be_refused(&self, caller: &str) -> std::result::Result<(), Exhausted> {
        let charge = self.charge(Rate::RefusedCalls, Scope::Caller, "", caller);
        let until = self.refused_until.get(&charge.key).unwrap_or_default();
        match until.saturating_sub(self.clock.now()) {
            Duration::ZERO => Ok(()),
            wait => Err(self.exhausted(charge, wait)),
        }
    }

    /// One call from the bucket of this operation and this thing.
    fn charge(&self, rate: Rate, scope: Scope, operation: &str, of: &str) -> Charge {
        let operation = if rate == Rate::Messages { "" } else { operation };
        Charge { rate, scope, key: self.hash.hash_one((operation, of)) }
    }

    fn take(&self, charge: Charge) -> std::result::Result<(), Exhausted> {
        let Some(counter) = &self.counters[charge.rate as usize] else { return Ok(()) };
        let taken = counter.buckets.check_key(&charge.key);
        if counter.calls.fetch_add(1, Ordering::Relaxed) == CALLS_BETWEEN_SWEEPS {
            counter.calls.store(0, Ordering::Relaxed);
            counter.buckets.retain_recent();
            counter.buckets.shrink_to_fit();
        }
        taken.map_err(|until| self.exhausted(charge, until.wait_time_from(self.clock.now())))
    }

    /// How often each rate that there is was exhausted.
    pub(crate) fn exhausted_so_far(&self) -> impl Iterator<Item = (Rate, u64)> {
        let all = Rate::ALL.iter().zip(&self.exhausted);
        let all = all.filter(|(rate, _)| self.rates.of(**rate) != 0);
        all.map(|(rate, count)| (*rate, count.load(Ordering::Relaxed)))
    }

    fn count_exhausted(&self, rate: Rate) {
        self.exhausted[rate as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn exhausted(&self, Charge { rate, scope, .. }: Charge, wait: Duration) -> Exhausted {
        self.count_exhausted(rate);
        // Rounded up: after so long there is a call.
        let wait_ms = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Exhausted { rate, per_second: self.rates.of(rate), scope, wait_ms }
    }
}

impl Due for Bill {
    fn admit(&self) -> Result<()> {
        if self.admitted.replace(true) {
            return Ok(());
        }
        Ok(self.charges.iter().try_for_each(|charge| self.limiter.take(*charge))?)
    }

    /// An outsider whom a rule lets ask is not counted in a channel that is private: they would learn how busy it is.
    fn pay_channel(&self, view: &View, _: Grant) -> Result<()> {
        let Some(Share { rate, scope, operation, sub_channel }) = &self.share else { return Ok(()) };
        let stranger = view.memberships.is_empty() && !view.is_moderating() && !view.channel.is_public();
        if stranger || self.seen.replace(true) {
            return Ok(());
        }
        let elastic = view.channel.elastic.is_some();
        let rate = match *rate {
            Rate::MembershipChanges if elastic => Rate::ElasticMembershipChanges,
            rate => rate,
        };
        let channel = view.channel.arn.as_str();
        let own = |key: &Key| view.is_moderating() || view.belongs_to(*key);
        let limiter = &self.limiter;
        let charge = match sub_channel.filter(|key| *scope == Scope::SubChannel && elastic && own(key)) {
            Some(key) => limiter.charge(rate, *scope, operation, &format!("{channel}/{key}")),
            None => limiter.charge(rate, *scope, operation, channel),
        };
        Ok(limiter.take(charge)?)
    }
}

/// The start of an ARN that names its app instance.
fn app_instance_of(arn: &str) -> &str {
    arn.match_indices('/').nth(1).map_or(arn, |(end, _)| &arn[..end])
}

#[cfg(test)]
mod tests;
