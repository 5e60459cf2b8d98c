//! Who hands over what leaves the server: nodes share its shards.
//!
//! A node that is there moves a lease of its own each second; by that it keeps all shards that it has, whose leases
//! only say whose they are. Whoever sees that a node moves no more takes its shards. A node counts as gone after ten
//! seconds ([`LeaseWatch`]); it begins nothing itself when it has not moved its lease for half of that, by a clock that
//! goes on while it is stopped. So at most one hands over at a time, without any clocks of two nodes being compared.
//!
//! Each has its even part. One that has more than that leaves a shard alone, and gives it away when nothing of it is
//! under way any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use carillon_model::{Key, Timestamp};
use carillon_store::lease::{self, Held};
use carillon_store::outgoing::SHARDS;
use carillon_store::{Lane, Tx};

use crate::error::{Error, Result};
use crate::front::rounds::{LEASE_TIMEOUT, LeaseWatch, Seen};
use crate::front::service::Service;

/// The name of a node's lease; its key follows.
const NODE: &str = "outgoing of ";
/// The name of a shard's lease; its number follows.
const SHARD: &str = "outgoing shard ";
/// How long after it moved its lease a node still begins something.
const KEPT_FOR_MAX: Duration = Duration::from_secs(5);
const _: () = assert!(KEPT_FOR_MAX.as_millis() * 2 <= LEASE_TIMEOUT.as_millis());

/// The shards of this node, for whoever looks after them.
pub struct Shards {
    node: Key,
    watch: LeaseWatch,
    /// This node's lease, as it was written last.
    known: Option<Held>,
    owned: Arc<Owned>,
}

/// The shards of this node, for whoever hands over.
#[derive(Default)]
pub struct Owned(Mutex<State>);

#[derive(Default)]
struct State {
    mine: BTreeSet<i64>,
    /// Are to be given away.
    leaving: BTreeSet<i64>,
    /// When the node moved its lease last.
    kept_at: Duration,
}

impl Owned {
    /// Whether something of a shard may be begun now, by a clock that never runs backwards.
    pub fn may_begin(&self, shard: i64, steady: Duration) -> bool {
        let state = self.state();
        state.mine.contains(&shard) && steady.saturating_sub(state.kept_at) < KEPT_FOR_MAX
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a node does about shards.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Takes a shard that nobody has, or that one has who is gone.
    Take(i64, Option<Held>),
    /// Begins nothing more in a shard.
    Leave(i64),
    /// Gives a shard away.
    Release(i64),
    /// Forgets a node that is gone.
    Forget(Key),
}

impl Shards {
    /// Those of this node, which has none yet.
    pub fn new(node: Key) -> Self {
        Self { node, watch: LeaseWatch::default(), known: None, owned: Arc::default() }
    }

    /// What others ask.
    pub fn owned(&self) -> Arc<Owned> {
        self.owned.clone()
    }

    /// Says that this node is there, and takes or gives away what is to be. `is_idle` knows whether something of a
    /// shard is under way.
    pub async fn look(&mut self, service: &Service, is_idle: impl Fn(i64) -> bool) -> Result<()> {
        let begun = service.surroundings().clock.steady();
        let Some(kept) = self.keep(service).await? else {
            // Others took it for gone; with the next look it comes as a new one.
            tracing::warn!(
                "this node was taken for gone: it begins anew to hand over what leaves the server"
            );
            (self.known, *self.owned.state()) = (None, State::default());
            return Ok(());
        };
        self.known = Some(kept);
        self.owned.state().kept_at = begun;
        let steps = {
            let seen = self.watch.see(service).await?;
            let mut state = self.owned.state();
            let (steps, mine) = plan(self.node, &seen, &state.leaving, is_idle);
            state.mine = mine;
            steps
        };
        let mut written = Vec::new();
        for step in steps {
            match step {
                Step::Leave(shard) => {
                    self.owned.state().leaving.insert(shard);
                }
                other => written.push(other),
            }
        }
        if !written.is_empty() {
            self.write(service, written).await?;
        }
        Ok(())
    }

    /// Gives all back: the node ends.
    pub async fn end(&mut self, service: &Service) -> Result<()> {
        let mine = { std::mem::take(&mut *self.owned.state()).mine };
        let steps = mine.into_iter().map(Step::Release).chain([Step::Forget(self.node)]).collect();
        self.write(service, steps).await
    }

    async fn keep(&self, service: &Service) -> Result<Option<Held>> {
        let (node, known, now) = (self.node, self.known, service.surroundings().clock.now());
        let keep = move |tx: &mut Tx| Ok::<_, Error>(lease::keep(tx, &node_lease(node), node, known, now)?);
        service.store().write(Lane::Outgoing(0), keep).await
    }

    async fn write(&self, service: &Service, steps: Vec<Step>) -> Result<()> {
        let (node, now) = (self.node, service.surroundings().clock.now());
        let write = {
            let steps = steps.clone();
            move |tx: &mut Tx| {
                steps.iter().map(|step| step.write(tx, node, now)).collect::<Result<Vec<bool>>>()
            }
        };
        let done = service.store().write(Lane::Outgoing(0), write).await?;
        let mut state = self.owned.state();
        for (step, done) in steps.into_iter().zip(done) {
            match step {
                Step::Take(shard, _) if done => {
                    tracing::debug!(shard, "hands over what leaves the server");
                    state.mine.insert(shard);
                }
                Step::Release(shard) => {
                    state.leaving.remove(&shard);
                }
                Step::Take(..) | Step::Leave(_) | Step::Forget(_) => {}
            }
        }
        Ok(())
    }
}

impl Step {
    fn write(&self, tx: &mut Tx, node: Key, now: Timestamp) -> Result<bool> {
        match *self {
            Self::Take(shard, seen) => {
                // Another instant than what was seen, whatever the clocks say.
                let until = seen.map_or(now, |seen| now.max(seen.until.plus_ms(1)));
                Ok(lease::replace(tx, &shard_lease(shard), seen, Held { owner: node, until })?)
            }
            Self::Release(shard) => {
                lease::release(tx, &shard_lease(shard), node).map(|()| true).map_err(Error::from)
            }
            Self::Forget(gone) => {
                lease::release(tx, &node_lease(gone), gone).map(|()| true).map_err(Error::from)
            }
            Self::Leave(_) => Ok(true),
        }
    }
}

fn node_lease(node: Key) -> String {
    format!("{NODE}{node}")
}

fn shard_lease(shard: i64) -> String {
    format!("{SHARD}{shard}")
}

/// What a node does that sees this, and the shards that are its own as it does.
fn plan(
    node: Key,
    seen: &[Seen],
    leaving: &BTreeSet<i64>,
    is_idle: impl Fn(i64) -> bool,
) -> (Vec<Step>, BTreeSet<i64>) {
    let mut nodes = BTreeSet::from([node]);
    let mut steps = Vec::new();
    for one in seen.iter().filter(|one| one.name.starts_with(NODE) && one.held.owner != node) {
        if one.is_gone {
            steps.push(Step::Forget(one.held.owner));
        } else {
            nodes.insert(one.held.owner);
        }
    }
    let shard_of = |one: &Seen| Some((one.name.strip_prefix(SHARD)?.parse::<i64>().ok()?, one.held));
    let owners: BTreeMap<i64, Held> = seen.iter().filter_map(shard_of).collect();
    let has = |shard: &i64, who: Key| owners.get(shard).is_some_and(|held| held.owner == who);
    let part = usize::try_from(SHARDS).unwrap_or_default().div_ceil(nodes.len());
    let mut mine: BTreeSet<i64> = (0..SHARDS).filter(|shard| has(shard, node)).collect();
    for shard in leaving {
        if mine.remove(shard) && is_idle(*shard) {
            steps.push(Step::Release(*shard));
        }
    }
    while part < mine.len() {
        steps.extend(mine.pop_last().map(Step::Leave));
    }
    let is_free = |shard: &i64| owners.get(shard).is_none_or(|held| !nodes.contains(&held.owner));
    let free = (0..SHARDS).filter(is_free).take(part - mine.len());
    steps.extend(free.map(|shard| Step::Take(shard, owners.get(&shard).copied())));
    (steps, mine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    const A: Key = Key([1; 16]);
    const B: Key = Key([2; 16]);

    #[engine_test]
    fn one_node_has_all_and_a_second_one_gets_its_half_when_nothing_is_under_way(world: &mut World) {
        let nodes = world.nodes();
        let (mut a, mut b) = (Shards::new(A), Shards::new(B));
        let of = |shards: &Shards, node: usize| {
            let now = nodes[node].surroundings().clock.steady();
            (0..SHARDS).filter(|shard| shards.owned().may_begin(*shard, now)).collect::<Vec<_>>()
        };
        futures(a.look(&nodes[0], |_| true)).unwrap();
        assert_eq!(of(&a, 0).len(), 16);
        futures(b.look(&nodes[1], |_| true)).unwrap();
        assert!(of(&b, 1).is_empty());
        futures(a.look(&nodes[0], |_| true)).unwrap();
        assert_eq!(of(&a, 0), (0..8).collect::<Vec<_>>());
        futures(b.look(&nodes[1], |_| true)).unwrap();
        assert!(of(&b, 1).is_empty(), "something of them may be under way");
        futures(a.look(&nodes[0], |shard| shard != 15)).unwrap();
        futures(b.look(&nodes[1], |_| true)).unwrap();
        assert_eq!(of(&b, 1), (8..15).collect::<Vec<_>>());
        futures(a.look(&nodes[0], |_| true)).unwrap();
        futures(b.look(&nodes[1], |_| true)).unwrap();
        assert_eq!((of(&a, 0).len(), of(&b, 1).len()), (8, 8));
        futures(b.end(&nodes[1])).unwrap();
        futures(a.look(&nodes[0], |_| true)).unwrap();
        assert_eq!(of(&a, 0).len(), 16);
    }

    #[engine_test]
    fn a_node_that_is_stopped_begins_nothing_and_another_takes_its_place(world: &mut World) {
        let nodes = world.nodes();
        let (mut a, mut b) = (Shards::new(A), Shards::new(B));
        let count = |world: &World, shards: &Shards| {
            let now = Duration::from_millis(world.now().ms().unsigned_abs());
            (0..SHARDS).filter(|shard| shards.owned().may_begin(*shard, now)).count()
        };
        futures(a.look(&nodes[0], |_| true)).unwrap();
        futures(b.look(&nodes[1], |_| true)).unwrap();
        world.advance_ms(4_999);
        assert_eq!(count(world, &a), 16);
        world.advance_ms(1);
        assert_eq!(count(world, &a), 0, "it has not moved its lease");
        futures(b.look(&nodes[1], |_| true)).unwrap();
        assert_eq!(count(world, &b), 0);
        world.advance_ms(5_000);
        futures(b.look(&nodes[1], |_| true)).unwrap();
        assert_eq!(count(world, &b), 16);
        futures(a.look(&nodes[0], |_| true)).unwrap();
        assert_eq!(count(world, &a), 0, "it was taken for gone");
        futures(a.look(&nodes[0], |_| true)).unwrap();
        futures(b.look(&nodes[1], |_| true)).unwrap();
        futures(b.look(&nodes[1], |_| true)).unwrap();
        futures(a.look(&nodes[0], |_| true)).unwrap();
        assert_eq!((count(world, &a), count(world, &b)), (8, 8));
    }
}
