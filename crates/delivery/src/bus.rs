//! The bus: a faster way for news of what the store holds. Nothing depends on it but latency: what it loses, says
//! twice, late or in another order, is found by numbers and by beats.

mod nats;

pub use nats::{BusError, NatsSettings};

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use carillon_model::Key;

use nats::{Nats, REFUSED_RETRY_AFTER};

/// Who takes up what other nodes say.
pub type Hearer = Box<dyn Fn(&[u8]) + Send + Sync>;

/// A bus that somebody else plays, as a simulation does. It may lose, double and delay what it likes.
pub trait Carrier: Send + Sync {
    /// Says who takes up what other nodes say.
    fn hears(&self, hearer: Hearer);
    /// Says something about a subject to whoever subscribed to it.
    fn publish(&self, subject: String, news: Bytes);
    /// From here on news of this comes; once, however often it is said.
    fn subscribe(&self, subject: String);
    /// From here on none comes.
    fn unsubscribe(&self, subject: String);
}

/// How nodes tell each other of events.
pub struct Bus(pub(crate) To);

/// Where news goes.
#[derive(Clone)]
pub(crate) enum To {
    /// To nobody else: this process is alone.
    Nobody,
    /// To the other nodes, by NATS.
    Nats(Arc<Nats>),
    /// To the other nodes, by whoever plays the bus.
    Played(Arc<dyn Carrier>),
}

/// What news is about, and who hears it: whoever subscribed to it. Neither ARNs nor ids stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// All that happens in a channel, whose events are numbered together.
    Channel(Key),
    /// All that names a user.
    User(Key),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(key) => write!(f, "c.{key}"),
            Self::User(key) => write!(f, "u.{key}"),
        }
    }
}

impl Bus {
    /// Of a process that is alone.
    pub fn local() -> Self {
        Self(To::Nobody)
    }

    /// Of one of several nodes of a simulation.
    pub fn played(carrier: Arc<dyn Carrier>) -> Self {
        Self(To::Played(carrier))
    }

    /// Connects to NATS.
    pub async fn connect(settings: &NatsSettings) -> Result<Self, BusError> {
        let nats = Arc::new(Nats::connect(settings).await?);
        tokio::spawn(nats.clone().try_again(REFUSED_RETRY_AFTER));
        Ok(Self(To::Nats(nats)))
    }
}

impl To {
    /// Whether there may be other nodes.
    pub(crate) fn is_shared(&self) -> bool {
        !matches!(self, Self::Nobody)
    }

    /// Says who takes up what other nodes say, each of a subject after the one before it.
    pub(crate) fn hears(&self, hearer: impl Fn(&[u8]) + Send + Sync + 'static) {
        match self {
            Self::Nobody => {}
            Self::Nats(nats) => nats.hears(Box::new(hearer)),
            Self::Played(carrier) => carrier.hears(Box::new(hearer)),
        }
    }

    /// Publishes, or drops what cannot be taken at once: who misses it finds it in the store.
    pub(crate) fn publish(&self, subject: Subject, bytes: impl FnOnce() -> Bytes) {
        match self {
            Self::Nobody => {}
            Self::Nats(nats) => nats.publish(subject, bytes()),
            Self::Played(carrier) => carrier.publish(subject.to_string(), bytes()),
        }
    }

    /// From here on news of this comes; once, however often it is said.
    pub(crate) fn subscribe(&self, subject: Subject) {
        match self {
            Self::Nobody => {}
            Self::Nats(nats) => nats.subscribe(subject),
            Self::Played(carrier) => carrier.subscribe(subject.to_string()),
        }
    }

    /// From here on none comes.
    pub(crate) fn unsubscribe(&self, subject: Subject) {
        match self {
            Self::Nobody => {}
            Self::Nats(nats) => nats.unsubscribe(subject),
            Self::Played(carrier) => carrier.unsubscribe(subject.to_string()),
        }
    }

    /// Whether the bus can be reached.
    pub(crate) fn is_reachable(&self) -> bool {
        match self {
            Self::Nobody | Self::Played(_) => true,
            Self::Nats(nats) => nats.reachable.load(Ordering::Relaxed),
        }
    }

    /// News that could not be taken.
    pub(crate) fn dropped(&self) -> u64 {
        match self {
            Self::Nobody | Self::Played(_) => 0,
            Self::Nats(nats) => nats.dropped.load(Ordering::Relaxed),
        }
    }
}
