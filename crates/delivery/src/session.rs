//! A session, as events see it: what waits for its socket, and where it sits.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carillon_model::Key;
use carillon_model::event::Event;
use carillon_model::session::{Close, Entrance};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::news::Present;
use crate::web_socket::Frame;

/// Frames that wait for one slow socket. Past it the session is closed: it is never waited for.
pub(crate) const SESSION_QUEUE_LEN_MAX: usize = 1024;
/// As many frames may wait before a socket is told what is no event: a slow one has all its room for events.
const ASIDES_BELOW: usize = 64;
/// And bytes of frames. Messages of the published size never come to this; all sessions of a channel share their bytes.
pub(crate) const SESSION_QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One socket, as events see it.
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) user: Key,
    pub(crate) client: Box<str>,
    pub(crate) admitted_ms: i64,
    pub(crate) entered_at: Instant,
    /// Sessions that its user may have.
    pub(crate) sessions_max: usize,
    inbox: Mutex<Inbox>,
    /// Rung when frames came to an empty inbox, and when the session is to end.
    bell: Notify,
    seats: Mutex<Taken>,
}

/// What waits for the socket. It holds nothing while nothing waits.
#[derive(Default)]
struct Inbox {
    /// The session is told of its events. What comes before is in the store, and is neither kept nor counted.
    begun: bool,
    frames: VecDeque<Frame>,
    /// How many bytes they have together.
    bytes: usize,
    ending: Option<Close>,
    /// Channels whose events it knows up to a number that is not told here yet: it sat down behind it.
    ahead: Vec<(Key, i64)>,
    /// Of a session that resumed: how it came by the events of each channel.
    resumed: Option<Box<Resumed>>,
}

/// What is shown from the store and what is told must meet, and each event come by one of the two.
struct Resumed {
    is_being_shown: bool,
    channels: HashMap<Key, Came>,
}

/// How the latest event of a channel came.
#[derive(Clone, Copy)]
enum Came {
    /// It was shown up to this one. What is told late, and was shown already, is not told again.
    ShownTo(i64),
    /// It has been told from this one on, which needs no showing.
    ToldFrom(i64),
}

impl Resumed {
    /// Whether an event that is about to be told did not come yet.
    fn tell(&mut self, channel: Key, sequence: i64) -> bool {
        match self.channels.get(&channel) {
            Some(Came::ShownTo(shown)) if sequence <= *shown => return false,
            Some(Came::ToldFrom(_)) => {}
            _ if self.is_being_shown => {
                self.channels.insert(channel, Came::ToldFrom(sequence));
            }
            // Its numbers only grow, so nothing is left to be known of it.
            _ => {
                self.channels.remove(&channel);
            }
        }
        true
    }

    /// Whether an event that is about to be shown was not told, and will not be.
    fn show(&mut self, channel: Key, sequence: i64) -> bool {
        if let Some(Came::ToldFrom(first)) = self.channels.get(&channel) {
            return sequence < *first;
        }
        self.channels.insert(channel, Came::ShownTo(sequence));
        true
    }
}

/// The seats of a session.
#[derive(Default)]
pub(crate) struct Taken {
    /// The places where it sits.
    pub(crate) places: Vec<Key>,
    /// While the store is being read: the places of which events said something since, and the number of the last.
    pub(crate) newer: Option<HashMap<Key, i64>>,
    /// The session was taken out; nothing may put it back.
    pub(crate) gone: bool,
}

/// Sessions that were told something and sleep. They are woken up when this goes.
#[derive(Default)]
pub(crate) struct Told {
    sleeping: Vec<Arc<Session>>,
    /// How often somebody was told something.
    pub(crate) times: usize,
}

impl Told {
    /// Tells one more session of an event.
    pub(crate) fn tell(&mut self, session: &Arc<Session>, event: &Event, frame: &Frame) {
        self.times += 1;
        if session.tell(event, frame) {
            self.sleeping.push(session.clone());
        }
    }
}

impl Told {
    /// Tells one more session what is no event.
    pub(crate) fn tell_aside(&mut self, session: &Arc<Session>, frame: &Frame) {
        if session.tell_aside(frame) {
            self.sleeping.push(session.clone());
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.sleeping.iter().for_each(|session| session.wake());
    }
}

impl Inbox {
    /// Takes a frame in. Whether it is the first that waits, so that the session is to be woken up.
    fn take(&mut self, frame: &Frame) -> bool {
        self.bytes += frame.bytes.len();
        self.frames.push_back(frame.clone());
        self.frames.len() == 1
    }

    /// All that waits.
    fn hand_over(&mut self) -> VecDeque<Frame> {
        self.bytes = 0;
        std::mem::take(&mut self.frames)
    }

    /// Whether an event is part of what it sat down with.
    fn knows(&self, event: &Event) -> bool {
        self.ahead.iter().any(|(channel, number)| *channel == event.channel && event.sequence <= *number)
    }

    /// A session that is shown nothing more, and cannot be told what it was shown, is as any other.
    fn forget_resuming(&mut self) {
        self.resumed = self.resumed.take().filter(|one| one.is_being_shown || !one.channels.is_empty());
    }
}

impl Session {
    /// A session that waits for its seats.
    pub(crate) fn new(number: u64, entrance: Entrance) -> Arc<Self> {
        Arc::new(Self {
            number,
            user: entrance.user,
            client: entrance.client.into(),
            admitted_ms: entrance.admitted_at.ms(),
            entered_at: Instant::now(),
            sessions_max: entrance.sessions_max,
            inbox: Mutex::default(),
            bell: Notify::new(),
            seats: Mutex::new(Taken { newer: Some(HashMap::new()), ..Taken::default() }),
        })
    }

    /// It, for those who compare it with theirs.
    pub(crate) fn present(&self) -> Present {
        Present { admitted_ms: self.admitted_ms, number: self.number, client: self.client.to_string() }
    }

    /// It has all its seats.
    pub(crate) fn end_seating(&self) {
        let mut taken = self.seats();
        taken.newer = None;
        taken.places.shrink_to_fit();
    }

    /// Whether it is to end, and why.
    pub(crate) fn is_ending(&self) -> Option<Close> {
        self.inbox().ending
    }

    /// Ends the session with this code, unless it is ending already. What it was not sent is dropped.
    pub(crate) fn end(&self, close: Close) {
        let mut inbox = self.inbox();
        if inbox.ending.is_none() {
            *inbox = Inbox { ending: Some(close), ..Inbox::default() };
            self.wake();
        }
    }

    /// Waits until the session is to end.
    pub(crate) async fn ending(&self) -> Close {
        loop {
            if let Some(close) = self.is_ending() {
                return close;
            }
            self.bell.notified().await;
        }
    }

    /// Waits for what is to be sent, and takes all of it; or answers why the session ends.
    pub(crate) async fn frames(&self) -> Result<VecDeque<Frame>, Close> {
        loop {
            {
                let mut inbox = self.inbox();
                if let Some(close) = inbox.ending {
                    return Err(close);
                }
                if !inbox.frames.is_empty() {
                    return Ok(inbox.hand_over());
                }
            }
            self.bell.notified().await;
        }
    }

    /// Whether an event is part of what it sat down with: it neither tells it anything, nor moves it.
    pub(crate) fn knows(&self, event: &Event) -> bool {
        self.inbox().knows(event)
    }

    /// It sits down in a channel behind this number, which is not told here yet.
    pub(crate) fn sit_ahead(&self, channel: Key, number: i64) {
        self.inbox().ahead.push((channel, number));
    }

    /// Forgets where it sat down ahead of what was told by now, and if `all` is over where nobody listens either;
    /// answers whether anything is left.
    pub(crate) fn catch_up(&self, told: impl Fn(Key) -> Option<i64>, all: bool) -> bool {
        // Whoever tells holds what is asked here, and then the inbox.
        let mut ahead = self.inbox().ahead.clone();
        ahead.retain(|(channel, number)| told(*channel).map_or(!all, |told| told < *number));
        ahead.shrink_to_fit();
        let is_left = !ahead.is_empty();
        self.inbox().ahead = ahead;
        is_left
    }

    /// From here on the session is told of its events, all of them. What it was told before happened before it is
    /// established, and is in the store: there one that resumes is shown it.
    pub(crate) fn begin(&self, resumes: bool) {
        let mut inbox = self.inbox();
        inbox.begun = true;
        inbox.resumed = resumes.then(|| Box::new(Resumed { is_being_shown: true, channels: HashMap::new() }));
    }

    /// Whether an event of a session that resumes is to be shown: it was not told, and will not be.
    pub(crate) fn show(&self, channel: Key, sequence: i64) -> bool {
        let mut inbox = self.inbox();
        inbox.resumed.as_mut().is_none_or(|resumed| resumed.show(channel, sequence))
    }

    /// All that was missed has been shown.
    pub(crate) fn end_showing(&self) {
        let mut inbox = self.inbox();
        if let Some(resumed) = &mut inbox.resumed {
            resumed.is_being_shown = false;
            resumed.channels.retain(|_, came| matches!(came, Came::ShownTo(_)));
            resumed.channels.shrink_to_fit();
        }
        inbox.forget_resuming();
    }

    /// Tells the session of an event, by the frame that all share. Where nothing waited before, it is still to be woken
    /// up, once all is told that there is to tell: so it sends that in one go.
    #[must_use]
    pub(crate) fn tell(&self, event: &Event, frame: &Frame) -> bool {
        let mut inbox = self.inbox();
        if !inbox.begun || inbox.ending.is_some() {
            return false;
        }
        if inbox.knows(event) {
            return false;
        }
        if let Some(resumed) = &mut inbox.resumed {
            if !resumed.tell(event.channel, event.sequence) {
                return false;
            }
            inbox.forget_resuming();
        }
        if SESSION_QUEUE_LEN_MAX <= inbox.frames.len() || SESSION_QUEUE_BYTES_MAX <= inbox.bytes {
            drop(inbox);
            self.end(Close::TOO_SLOW);
            return false;
        }
        inbox.take(frame)
    }

    /// Tells the session what is no event, so that it may be left out: it is, where too much waits. Whether the session
    /// is still to be woken up.
    #[must_use]
    pub(crate) fn tell_aside(&self, frame: &Frame) -> bool {
        let mut inbox = self.inbox();
        if !inbox.begun || inbox.ending.is_some() || ASIDES_BELOW <= inbox.frames.len() {
            return false;
        }
        inbox.take(frame)
    }

    fn wake(&self) {
        self.bell.notify_one();
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seats(&self) -> MutexGuard<'_, Taken> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Session {
    /// Takes what waits for it.
    pub(crate) fn take_waiting(&self) -> VecDeque<String> {
        let text = |frame: Frame| crate::frames::text_in(&frame.bytes).to_owned();
        self.inbox().hand_over().into_iter().map(text).collect()
    }

    /// Whether it still tells what it is shown from what it is told.
    pub(crate) fn is_resuming(&self) -> bool {
        self.inbox().resumed.is_some()
    }
}
