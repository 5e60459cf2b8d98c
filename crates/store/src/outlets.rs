//! Outlets: what of each app instance leaves the server, or is to be told what changes. All of it is in memory, so
//! that a write whose app instance has no consumer costs a look there and nothing else.
//!
//! A commit that changes it changes what is known here before anybody is answered; what other nodes changed is read
//! again and again ([`crate::Store::refresh_outlets`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carillon_model::Key;
use carillon_model::event::{Event, EventMessageType};
use carillon_model::text::{AnyArn, MessagingDataType};

use crate::row::read;
use crate::{Result, Store, Tx};

/// One type of data, and the stream that it goes to.
pub type Streaming = (MessagingDataType, AnyArn);

/// What leaves the server, of all app instances of which something does.
#[derive(Debug, Clone, Default)]
pub struct Outlets {
    of: HashMap<Key, Outlet>,
    skips: Skips,
}

/// Messages that no stream is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Skips {
    /// CONTROL messages.
    pub control: bool,
    /// `NON_PERSISTENT` messages.
    pub non_persistent: bool,
}

/// What of an app instance leaves the server.
#[derive(Debug, Clone, Default)]
struct Outlet {
    streams: Vec<Streaming>,
    has_bots: bool,
    is_searched: bool,
}

impl Outlets {
    pub(crate) fn read(tx: &mut Tx) -> Result<Self> {
        let mut outlets = Self::default();
        let sql = "SELECT app_instance, data_type, resource FROM streaming_configuration";
        for (instance, streaming) in tx.rows(sql, &[], read::<(Key, Streaming)>)? {
            outlets.of(instance).streams.push(streaming);
        }
        for instance in tx.rows("SELECT key FROM app_instance WHERE 0 < bot_count", &[], read::<Key>)? {
            outlets.of(instance).has_bots = true;
        }
        for instance in tx.rows("SELECT app_instance FROM search_instance", &[], read::<Key>)? {
            outlets.of(instance).is_searched = true;
        }
        Ok(outlets)
    }

    fn of(&mut self, instance: Key) -> &mut Outlet {
        self.of.entry(instance).or_default()
    }

    /// The stream of an app instance for a type of data.
    pub fn stream(&self, instance: Key, data_type: MessagingDataType) -> Option<&str> {
        let mut streams = self.of.get(&instance)?.streams.iter();
        streams.find(|(of, _)| *of == data_type).map(|(_, stream)| stream.as_str())
    }

    /// Whether events of an app instance go into any stream.
    pub fn has_streams(&self, instance: Key) -> bool {
        self.of.get(&instance).is_some_and(|outlet| !outlet.streams.is_empty())
    }

    /// Whether events of an app instance go into this stream.
    pub fn has_stream(&self, instance: Key, stream: &str) -> bool {
        let streams = self.of.get(&instance).map_or(&[][..], |outlet| &outlet.streams);
        streams.iter().any(|(_, resource)| resource.as_str() == stream)
    }

    /// Whether an app instance has bots.
    pub fn has_bots(&self, instance: Key) -> bool {
        self.of.get(&instance).is_some_and(|outlet| outlet.has_bots)
    }

    /// Whether an app instance has an index for searches, which must be told what is changed.
    pub fn is_searched(&self, instance: Key) -> bool {
        self.of.get(&instance).is_some_and(|outlet| outlet.is_searched)
    }

    /// The stream that an event goes into.
    pub(crate) fn stream_of(&self, event: &Event) -> Option<&str> {
        if self.of.is_empty() {
            return None;
        }
        let (data_type, found) = (event.kind.data_type()?, event.locate()?);
        let is_skipped = self.skips.control && event.message_type == EventMessageType::Control
            || self.skips.non_persistent && found.is_non_persistent;
        if is_skipped { None } else { self.stream(found.app_instance, data_type) }
    }
}

impl Store {
    /// What of each app instance leaves the server, as it is known here.
    pub fn outlets(&self) -> Arc<Outlets> {
        self.outlets.current()
    }

    /// Says what is not streamed.
    pub fn skip(&self, skips: Skips) {
        self.outlets.skip(skips);
    }

    /// Reads anew what leaves the server: another node may have changed it.
    pub async fn refresh_outlets(&self) -> Result<()> {
        let turn = self.outlets.turn();
        let read = self.read(Outlets::read).await?;
        self.outlets.take(read, turn);
        Ok(())
    }
}

/// What a transaction changes of it.
#[derive(Debug)]
pub(crate) enum Alteration {
    /// These are the streams from now on.
    Streams(Vec<Streaming>),
    /// There is a bot.
    Bot,
    /// There is an index for searches, or there is none any more.
    Searched(bool),
}

/// What is known of all outlets.
#[derive(Default)]
pub(crate) struct Known(Mutex<State>);

#[derive(Default)]
struct State {
    current: Arc<Outlets>,
    /// How often a commit of this process changed it.
    turn: u64,
}

impl Known {
    pub(crate) fn current(&self) -> Arc<Outlets> {
        self.state().current.clone()
    }

    pub(crate) fn turn(&self) -> u64 {
        self.state().turn
    }

    /// Takes what was read, unless a commit changed something since.
    pub(crate) fn take(&self, read: Outlets, turn: u64) {
        let mut state = self.state();
        if state.turn == turn {
            state.current = Arc::new(Outlets { skips: state.current.skips, ..read });
        }
    }

    /// Knows what is not streamed.
    pub(crate) fn skip(&self, skips: Skips) {
        let mut state = self.state();
        state.current = Arc::new(Outlets { skips, ..Outlets::clone(&state.current) });
    }

    /// Knows what a commit changed.
    pub(crate) fn alter(&self, alterations: Vec<(Key, Alteration)>) {
        if alterations.is_empty() {
            return;
        }
        let mut state = self.state();
        let mut outlets = Outlets::clone(&state.current);
        for (instance, alteration) in alterations {
            match alteration {
                Alteration::Streams(streams) => outlets.of(instance).streams = streams,
                Alteration::Bot => outlets.of(instance).has_bots = true,
                Alteration::Searched(is_searched) => outlets.of(instance).is_searched = is_searched,
            }
        }
        state.current = Arc::new(outlets);
        state.turn += 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
