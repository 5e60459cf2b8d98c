//! Up to when everything that the other nodes committed has been told here.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carillon_model::{Key, Timestamp};

use crate::held::Held;

/// How far the clocks of two nodes may be apart. A node of which nothing is known yet commits nothing that is earlier
/// than that before it was looked for.
const CLOCKS_APART_MAX_MS: i64 = 2_000;

/// The floors of the other nodes.
#[derive(Debug, Default)]
pub(crate) struct Floors(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    nodes: HashMap<Key, Node>,
    /// When nodes were looked for last.
    looked_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Node {
    /// The floor of its latest beat.
    floor: Timestamp,
    /// Beats that are not told yet, each with the floor before it.
    open: BTreeMap<i64, Timestamp>,
    /// It is no more, and is forgotten once all is told.
    is_gone: bool,
}

/// A beat whose news is being told. Dropped when all of it is.
#[derive(Debug)]
pub(crate) struct Pass {
    floors: Arc<Floors>,
    node: Key,
    number: i64,
}

impl Held for Pass {}

impl Floors {
    /// A beat of a node, with its floor, is about to be told.
    pub(crate) fn pass(self: &Arc<Self>, node: Key, number: i64, floor: Timestamp) -> Pass {
        let mut state = self.state();
        let before =
            state.nodes.entry(node).or_insert_with(|| Node { floor, open: BTreeMap::new(), is_gone: false });
        before.open.insert(number, before.floor);
        before.floor = floor;
        before.is_gone = false;
        Pass { floors: self.clone(), node, number }
    }

    /// The floor of the latest beat of a node.
    pub(crate) fn of(&self, node: Key) -> Option<Timestamp> {
        self.state().nodes.get(&node).map(|node| node.floor)
    }

    /// A node is no more: it holds nobody up once all that it committed is told.
    pub(crate) fn forget(&self, node: Key) {
        let mut state = self.state();
        state.nodes.entry(node).and_modify(|node| node.is_gone = true);
        state.clean(node);
    }

    /// Whether a node is no more.
    pub(crate) fn is_gone(&self, node: Key) -> bool {
        self.state().nodes.get(&node).is_none_or(|node| node.is_gone)
    }

    /// Nodes were looked for at this time, and all that there are are known.
    pub(crate) fn looked(&self, at: Timestamp) {
        self.state().looked_at = Some(at);
    }

    /// Before this, everything was told.
    pub(crate) fn told(&self) -> Timestamp {
        let state = self.state();
        let unknown = state.looked_at.map_or(Timestamp::from_ms(0), |at| at.plus_ms(-CLOCKS_APART_MAX_MS));
        let of = |node: &Node| node.open.values().copied().min().unwrap_or(node.floor).min(node.floor);
        state.nodes.values().map(of).fold(unknown, Timestamp::min)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn clean(&mut self, key: Key) {
        if self.nodes.get(&key).is_some_and(|node| node.is_gone && node.open.is_empty()) {
            self.nodes.remove(&key);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.floors.state();
        if let Some(node) = state.nodes.get_mut(&self.node) {
            node.open.remove(&self.number);
        }
        state.clean(self.node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_what_is_not_told_counts() {
        let at = Timestamp::from_ms;
        let floors = Arc::new(Floors::default());
        assert_eq!(floors.told(), at(0));
        floors.looked(at(10_000));
        assert_eq!(floors.told(), at(8_000));
        let (a, b) = (Key([1; 16]), Key([2; 16]));
        drop(floors.pass(a, 0, at(7_000)));
        let open = floors.pass(b, 0, at(6_000));
        drop(floors.pass(b, 1, at(9_000)));
        assert_eq!(floors.told(), at(6_000));
        drop(open);
        assert_eq!(floors.told(), at(7_000));
        floors.forget(a);
        assert_eq!(floors.told(), at(8_000));
    }
}
