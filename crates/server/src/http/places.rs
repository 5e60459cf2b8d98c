//! Who may be connected: so many in all, so many from one address, so many of whom nobody knows who they are.
//!
//! A connection takes a place and gives it back when it ends, whatever it has become meanwhile. Strangers have a
//! share of all places; whoever has signed, and whoever comes from where somebody has, has the others. Beyond the
//! shares there are a few last places: the newest connection takes the oldest's, and has two seconds for its request.
//! So a health check, and who signs, is always heard: what it sends at once is answered before a place has gone round.
//!
//! Nothing here knows a socket or HTTP.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::buckets::Buckets;
use crate::household::household;

/// The most connections, where nothing else is said and the open files allow more.
const ALL_MAX: usize = 65_536;
/// The most of one address, where nothing else is said.
const OF_ADDRESS_MAX: usize = 16_384;
/// The most strangers, where nothing else is said: each may make the server hold a head of 64 KiB.
const STRANGERS_MAX: usize = 1_024;
/// The most strangers of one address, where nothing else is said.
const STRANGERS_OF_ADDRESS_MAX: usize = 256;
/// The last places.
pub(crate) const LAST_PLACES: usize = 32;
/// How many last places an address may take at once, and how long until it may take another: a flood from one address
/// is refused before it costs anything.
const LAST_PLACES_OF_ADDRESS: (i64, i64) = (512, 10);
/// The most addresses from which somebody has signed that are kept: those that came last.
const KNOWN_MAX: u64 = 16_384;
/// Open files that are not connections: the store, the log, calls of processors. A quarter of them, within these.
const OTHER_FILES: (u64, u64) = (48, 1_024);

/// How many connections there may be; nothing, where it follows from the open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Allowance {
    /// In all.
    pub(crate) all: Option<usize>,
    /// Of one address.
    pub(crate) of_address: Option<usize>,
    /// Of strangers.
    pub(crate) strangers: Option<usize>,
    /// Of strangers from one address.
    pub(crate) strangers_of_address: Option<usize>,
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caps {
    /// In all.
    pub(crate) all: usize,
    /// Of one address.
    pub(crate) of_address: usize,
    /// Of strangers.
    pub(crate) strangers: usize,
    /// Of strangers from one address.
    pub(crate) strangers_of_address: usize,
}

impl Caps {
    /// None.
    pub(crate) const NONE: Self = Self {
        all: usize::MAX,
        of_address: usize::MAX,
        strangers: usize::MAX,
        strangers_of_address: usize::MAX,
    };
}

impl Allowance {
    /// What it comes to with so many open files.
    pub(crate) fn with_files(self, open_files: u64) -> Caps {
        let others = (open_files / 4).clamp(OTHER_FILES.0, OTHER_FILES.1);
        let room = usize::try_from(open_files.saturating_sub(others)).unwrap_or(usize::MAX);
        let room = room.saturating_sub(LAST_PLACES).max(1);
        let all = self.all.unwrap_or(ALL_MAX).min(room);
        let strangers = self.strangers.unwrap_or((all / 4).clamp(1, STRANGERS_MAX)).min(all);
        let of_one = (strangers / 2).clamp(1, STRANGERS_OF_ADDRESS_MAX);
        Caps {
            all,
            of_address: self.of_address.unwrap_or((all / 2).clamp(1, OF_ADDRESS_MAX)).min(all),
            strangers,
            strangers_of_address: self.strangers_of_address.unwrap_or(of_one).min(strangers),
        }
    }
}

/// All places.
pub(crate) struct Places {
    caps: Caps,
    state: Mutex<State>,
    last_of_address: Buckets,
    /// Addresses from which somebody has signed.
    known: Cache<IpAddr, ()>,
    refused: AtomicU64,
    began: Instant,
}

#[derive(Default)]
struct State {
    all: usize,
    strangers: usize,
    by_address: HashMap<IpAddr, OfAddress>,
    /// Who has a last place, the oldest first.
    last: VecDeque<(u64, CancellationToken)>,
    next: u64,
}

#[derive(Default)]
struct OfAddress {
    all: usize,
    strangers: usize,
}

/// What a connection counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nobody has signed on it, nor from where it comes.
    Stranger,
    /// Somebody has, or a trusted proxy is on the other end.
    Known,
    /// It has a last place, by this number.
    Last(u64),
}

/// Who is on the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A client.
    Client(IpAddr),
    /// A trusted proxy, which speaks for many: no cap by address is for it.
    Proxy(IpAddr),
}

/// A connection's place, until it is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    peer: Peer,
    standing: Mutex<Standing>,
    /// The place is another's from here on.
    pub(crate) lost: CancellationToken,
}

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Connections on which nobody has signed, from where nobody has.
    pub(crate) strangers: usize,
    /// The others.
    pub(crate) known: usize,
    /// In last places.
    pub(crate) last: usize,
    /// Those that had to go, or could not stay.
    pub(crate) refused: u64,
}

impl Places {
    /// So many places, all free.
    pub(crate) fn new(caps: Caps) -> Arc<Self> {
        let (at_once, interval_ms) = LAST_PLACES_OF_ADDRESS;
        Arc::new(Self {
            caps,
            state: Mutex::default(),
            last_of_address: Buckets::new(at_once, interval_ms),
            known: Cache::builder().max_capacity(KNOWN_MAX).eviction_policy(EvictionPolicy::lru()).build(),
            refused: AtomicU64::new(0),
            began: Instant::now(),
        })
    }

    /// How many there are.
    pub(crate) fn caps(&self) -> Caps {
        self.caps
    }

    /// Takes a place, be it the oldest of the last. There is none for an address that has taken too many of those.
    pub(crate) fn take(self: &Arc<Self>, peer: Peer) -> Option<Place> {
        let peer = match peer {
            Peer::Client(address) => Peer::Client(household(address)),
            Peer::Proxy(address) => Peer::Proxy(address),
        };
        let lost = CancellationToken::new();
        let mut state = self.lock();
        let standing = match self.standing(&state, peer) {
            Some(standing) => {
                state.enter(peer, standing);
                standing
            }
            None if self.may_have_last(peer) => self.enter_last(&mut state, lost.clone()),
            None => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        };
        drop(state);
        Some(Place { places: self.clone(), peer, standing: Mutex::new(standing), lost })
    }

    fn may_have_last(&self, peer: Peer) -> bool {
        let Peer::Client(address) = peer else { return true };
        let now_ms = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.last_of_address.take(address, now_ms).is_ok()
    }

    fn standing(&self, state: &State, peer: Peer) -> Option<Standing> {
        if self.caps.all <= state.all {
            return None;
        }
        let Peer::Client(address) = peer else { return Some(Standing::Known) };
        let none = OfAddress::default();
        let of_address = state.by_address.get(&address).unwrap_or(&none);
        if self.caps.of_address <= of_address.all {
            return None;
        }
        if self.known.get(&address).is_some() {
            return Some(Standing::Known);
        }
        let is_room =
            state.strangers < self.caps.strangers && of_address.strangers < self.caps.strangers_of_address;
        is_room.then_some(Standing::Stranger)
    }

    fn enter_last(&self, state: &mut State, lost: CancellationToken) -> Standing {
        if LAST_PLACES <= state.last.len()
            && let Some((_, oldest)) = state.last.pop_front()
        {
            oldest.cancel();
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        state.next += 1;
        state.last.push_back((state.next, lost));
        Standing::Last(state.next)
    }

    /// How many there are.
    pub(crate) fn taken(&self) -> Taken {
        let state = self.lock();
        Taken {
            strangers: state.strangers,
            known: state.all - state.strangers,
            last: state.last.len(),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, peer: Peer, standing: Standing) {
        let stranger = usize::from(standing == Standing::Stranger);
        self.all += 1;
        self.strangers += stranger;
        if let Peer::Client(address) = peer {
            let of_address = self.by_address.entry(address).or_default();
            of_address.all += 1;
            of_address.strangers += stranger;
        }
    }

    /// A stranger is known from here on.
    fn introduce(&mut self, peer: Peer) {
        self.strangers -= 1;
        if let Peer::Client(address) = peer
            && let Some(of_address) = self.by_address.get_mut(&address)
        {
            of_address.strangers -= 1;
        }
    }

    fn leave(&mut self, peer: Peer, standing: Standing) {
        if let Standing::Last(number) = standing {
            self.last.retain(|(other, _)| *other != number);
            return;
        }
        if standing == Standing::Stranger {
            self.introduce(peer);
        }
        self.all -= 1;
        if let Peer::Client(address) = peer
            && let Some(of_address) = self.by_address.get_mut(&address)
        {
            of_address.all -= 1;
            if of_address.all == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Place {
    /// Somebody has signed here. A last place becomes another, if there is one for who is known.
    pub(crate) fn signed(&self) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if *standing == Standing::Known {
            return;
        }
        let mut state = self.places.lock();
        if let Peer::Client(address) = self.peer {
            self.places.known.insert(address, ());
        }
        match *standing {
            Standing::Stranger => state.introduce(self.peer),
            Standing::Last(_) if self.lost.is_cancelled() => return,
            last @ Standing::Last(_) => {
                if self.places.standing(&state, self.peer).is_none() {
                    return;
                }
                state.leave(self.peer, last);
                state.enter(self.peer, Standing::Known);
            }
            Standing::Known => {}
        }
        *standing = Standing::Known;
    }

    /// Whether it is a last one, where a connection may not stay.
    pub(crate) fn is_last(&self) -> bool {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*standing, Standing::Last(_))
    }

    /// It was given up for want of a better.
    pub(crate) fn count_refused(&self) {
        self.places.refused.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let standing = *self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        self.places.lock().leave(self.peer, standing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps { all: 8, of_address: 4, strangers: 4, strangers_of_address: 2 };

    fn client(text: &str) -> Peer {
        Peer::Client(text.parse().unwrap())
    }

    fn take(places: &Arc<Places>, peer: Peer, count: usize) -> Vec<Place> {
        (0..count).filter_map(|_| places.take(peer)).collect()
    }

    #[test]
    fn caps_follow_from_the_open_files() {
        let few = Allowance::default().with_files(256);
        assert!(few.all + LAST_PLACES + 48 < 256 && 64 < few.all, "{few:?}");
        assert!(few.strangers < few.all && few.strangers_of_address < few.strangers, "{few:?}");
        let many = Allowance::default().with_files(u64::MAX);
        assert_eq!((many.all, many.of_address), (ALL_MAX, OF_ADDRESS_MAX));
        let said = Allowance { all: Some(10), strangers: Some(20), ..Allowance::default() };
        assert_eq!(
            said.with_files(1024),
            Caps { all: 10, of_address: 5, strangers: 10, strangers_of_address: 5 }
        );
        assert_eq!(Allowance { all: Some(9_999), ..Allowance::default() }.with_files(256).all, few.all);
    }

    #[test]
    fn strangers_have_a_share_by_address_and_in_all() {
        let places = Places::new(CAPS);
        let one = take(&places, client("192.0.2.1"), 3);
        assert_eq!(one.iter().filter(|place| place.is_last()).count(), 1);
        let two = take(&places, client("192.0.2.2"), 2);
        assert!(two.iter().all(|place| !place.is_last()));
        assert!(places.take(client("192.0.2.3")).unwrap().is_last());
        drop(one);
        assert!(!places.take(client("192.0.2.3")).unwrap().is_last());
        drop(two);
        assert_eq!(places.taken(), Taken { strangers: 0, known: 0, last: 0, refused: 0 });
        assert!(places.lock().by_address.is_empty());
    }

    #[test]
    fn who_has_signed_makes_room_for_others_and_for_its_address() {
        let places = Places::new(CAPS);
        let places_of_one = take(&places, client("192.0.2.1"), 2);
        places_of_one[0].signed();
        places_of_one[0].signed();
        assert_eq!(places.taken(), Taken { strangers: 1, known: 1, last: 0, refused: 0 });
        let more = take(&places, client("192.0.2.1"), 3);
        assert_eq!(more.iter().filter(|place| place.is_last()).count(), 1, "an address has four");
        let strangers = [client("192.0.2.2"), client("192.0.2.3")].map(|peer| take(&places, peer, 2));
        assert_eq!(strangers.iter().flatten().filter(|place| place.is_last()).count(), 1);
    }

    #[test]
    fn the_newest_takes_the_oldest_of_the_last_places() {
        let places = Places::new(CAPS);
        let full = take(&places, client("192.0.2.1"), 2);
        let last = take(&places, client("192.0.2.1"), LAST_PLACES + 1);
        assert!(last[0].lost.is_cancelled() && !last[1].lost.is_cancelled());
        assert_eq!(places.taken().last, LAST_PLACES);
        assert_eq!(places.taken().refused, 1);
        last[2].signed();
        assert!(!last[2].is_last(), "who signs there may stay");
        last[0].signed();
        assert!(last[0].is_last());
        drop((full, last));
        assert_eq!(places.taken(), Taken { strangers: 0, known: 0, last: 0, refused: 1 });
    }

    #[test]
    fn a_trusted_proxy_speaks_for_many() {
        let places = Places::new(CAPS);
        let proxy = Peer::Proxy("10.0.0.1".parse().unwrap());
        let taken = take(&places, proxy, CAPS.all + 1);
        assert_eq!(taken.iter().filter(|place| place.is_last()).count(), 1);
    }

    #[test]
    fn one_household_is_one_address() {
        let places = Places::new(CAPS);
        let taken: Vec<_> = (1..4).map(|n| places.take(client(&format!("2001:db8::{n}"))).unwrap()).collect();
        assert!(taken[2].is_last());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_from_one_address_is_refused() {
        let places = Places::new(CAPS);
        let flood = client("192.0.2.1");
        let (at_once, interval_ms) = LAST_PLACES_OF_ADDRESS;
        let at_once = usize::try_from(at_once).unwrap();
        let held = take(&places, flood, CAPS.strangers_of_address + at_once);
        assert_eq!(held.len(), CAPS.strangers_of_address + at_once);
        assert!(places.take(flood).is_none());
        let refused = places.taken().refused;
        assert!(places.take(flood).is_none() && places.taken().refused == refused + 1);
        assert!(places.take(client("192.0.2.2")).is_some());
        tokio::time::advance(std::time::Duration::from_millis(interval_ms.unsigned_abs())).await;
        assert!(places.take(flood).is_some());
    }
}
