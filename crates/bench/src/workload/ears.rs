//! Open sockets that listen for messages, each known by its number: when was the last one told that should be?

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use carillon_model::IdentityArn;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::times::Times;
use crate::crowd::{Crowd, Door};
use crate::scene::number_at;
use carillon_server::error::{Error, Result};

/// Messages that may be on their way at once.
const SLOTS: usize = 1 << 16;
/// Bells that are rung when everybody was told, each for one message of so many.
const BELLS: usize = 64;
/// How long the last sockets may take to be told once all calls are answered.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(20);
/// How often it is looked whether they were.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What came to the sockets.
pub(crate) struct Ears {
    start: Instant,
    slots: Box<[Slot]>,
    bells: [Notify; BELLS],
    /// From when a call was due until the last socket was told.
    told: Mutex<Times>,
    /// How often a socket was to be told of something, and was.
    due: AtomicU64,
    delivered: AtomicU64,
}

#[derive(Default)]
struct Slot {
    number: AtomicU64,
    began_us: AtomicU64,
    left: AtomicUsize,
}

/// How often sockets were told of something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// How often one was to be told.
    pub(crate) due: u64,
    /// How often one was.
    pub(crate) delivered: u64,
}

/// Who listens.
pub(crate) struct Audience {
    /// What comes to them.
    pub(crate) ears: Arc<Ears>,
    crowd: Crowd,
}

impl Audience {
    /// Opens a socket for each user.
    pub(crate) async fn gather(door: &Door, users: &[IdentityArn]) -> Result<Self> {
        let ears = Ears::new();
        let crowd = Crowd::listening(door, users, || {
            let (ears, mut seen_at) = (ears.clone(), 0);
            move |frame: &[u8]| ears.hear(frame, &mut seen_at)
        });
        Ok(Self { crowd: crowd.await?, ears })
    }

    /// How many sockets have ended, which none should.
    pub(crate) fn gone(&self) -> usize {
        self.crowd.gone()
    }
}

impl Ears {
    /// Nobody listens yet.
    fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            bells: std::array::from_fn(|_| Notify::new()),
            told: Mutex::default(),
            due: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
        })
    }

    /// Of the message with this number, due at this time, so many sockets will be told.
    pub(crate) fn expect(&self, number: u64, began: Instant, listeners: usize) {
        let slot = self.slot(number);
        let began_us = u64::try_from((began - self.start).as_micros()).unwrap_or(u64::MAX);
        slot.began_us.store(began_us, Ordering::Relaxed);
        slot.left.store(listeners, Ordering::Relaxed);
        slot.number.store(number, Ordering::Release);
        self.due.fetch_add(listeners as u64, Ordering::Relaxed);
    }

    /// The message with this number was refused, so nobody will be told.
    pub(crate) fn forget(&self, number: u64, listeners: usize) {
        let slot = self.slot(number);
        slot.left.store(0, Ordering::Release);
        self.due.fetch_sub(listeners as u64, Ordering::Relaxed);
        self.bells[bell(number)].notify_waiters();
    }

    fn slot(&self, number: u64) -> &Slot {
        &self.slots[usize::try_from(number % SLOTS as u64).unwrap_or_default()]
    }

    /// A frame came to a socket; `seen_at` is where the number stood in the one before.
    fn hear(&self, frame: &[u8], seen_at: &mut usize) {
        let Some(number) = number_at(frame, seen_at) else { return };
        let number = number as u64;
        let slot = self.slot(number);
        if slot.number.load(Ordering::Acquire) != number || slot.left.load(Ordering::Acquire) == 0 {
            return;
        }
        self.delivered.fetch_add(1, Ordering::Relaxed);
        if slot.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let began = self.start + Duration::from_micros(slot.began_us.load(Ordering::Relaxed));
            self.told.lock().unwrap_or_else(PoisonError::into_inner).note(began.elapsed());
            self.bells[bell(number)].notify_waiters();
        }
    }

    /// Waits until everybody was told of the message with this number.
    pub(crate) async fn all_told(&self, number: u64) -> Result<()> {
        let slot = self.slot(number);
        let told = async {
            loop {
                let rung = self.bells[bell(number)].notified();
                let mut rung = std::pin::pin!(rung);
                rung.as_mut().enable();
                if slot.left.load(Ordering::Acquire) == 0 {
                    return;
                }
                rung.await;
            }
        };
        let late = |_| Error::failure("a message did not come to all sockets in time");
        timeout(ARRIVAL_TIMEOUT, told).await.map_err(late)
    }

    /// What was heard so far.
    pub(crate) fn heard(&self) -> Heard {
        Heard { due: self.due.load(Ordering::Relaxed), delivered: self.delivered.load(Ordering::Relaxed) }
    }

    /// Waits until everybody was told of everything, or for as long as that may take; answers how long it took since
    /// this was asked last.
    pub(crate) async fn take_times(&self) -> Times {
        let deadline = Instant::now() + ARRIVAL_TIMEOUT;
        while self.heard().delivered < self.heard().due && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn bell(number: u64) -> usize {
    usize::try_from(number % BELLS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u64) -> Vec<u8> {
        format!(r#"{{"Payload":"{{\"Content\":\"message number {number} ...\"}}"}}"#).into_bytes()
    }

    #[tokio::test]
    async fn a_message_is_told_once_its_last_socket_has_it() {
        let ears = Ears::new();
        ears.expect(7, Instant::now(), 2);
        let mut seen_at = [0, 0];
        ears.hear(&frame(7), &mut seen_at[0]);
        assert_eq!(ears.heard(), Heard { due: 2, delivered: 1 });
        assert_eq!(ears.told.lock().unwrap().count(), 0);
        ears.hear(&frame(8), &mut seen_at[1]);
        ears.hear(&frame(7), &mut seen_at[1]);
        ears.all_told(7).await.unwrap();
        assert_eq!(ears.heard(), Heard { due: 2, delivered: 2 });
        assert_eq!(ears.take_times().await.count(), 1);
        assert_eq!(ears.take_times().await.count(), 0);
    }

    #[tokio::test]
    async fn nobody_waits_for_what_was_refused() {
        let ears = Ears::new();
        ears.expect(3, Instant::now(), 5);
        ears.forget(3, 5);
        ears.all_told(3).await.unwrap();
        assert_eq!(ears.heard(), Heard::default());
    }
}
