//! What nobody signed: as many lines a second as the operator allows, in a queue, a thread and a file of their own, and
//! for the rest a line that counts. Nobody ever waits for it, and nothing is tried twice.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use carillon_service::front::audit::Record;
use tokio::time::Instant;

use super::output::LineOutput;
use super::{Counts, line_of, spawn};
use crate::clock;
use crate::error::Result;

/// Records that wait to be written. They come slowly, so it is full only where the disk is.
const QUEUE_LEN_MAX: usize = 64;
/// How often it is told how many lines are missing.
const TELL_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Unsigned {
    /// Nothing where no such lines are kept.
    sender: Option<SyncSender<Record>>,
    window: Mutex<Window>,
    counts: Arc<Counts>,
}

/// The lines of one second.
struct Window {
    since: Instant,
    taken: u32,
    most: u32,
}

impl Window {
    fn takes(&mut self, now: Instant) -> bool {
        if Duration::from_secs(1) <= now.duration_since(self.since) {
            (self.since, self.taken) = (now, 0);
        }
        let takes = self.taken < self.most;
        self.taken += u32::from(takes);
        takes
    }
}

impl Unsigned {
    pub(super) fn start(
        most: u32,
        output: impl LineOutput + Send + 'static,
        counts: Arc<Counts>,
    ) -> Result<(Self, JoinHandle<u64>)> {
        let (sender, receiver) = sync_channel(QUEUE_LEN_MAX);
        let told = counts.clone();
        let writer = spawn("audit-unsigned", move || write_all(&receiver, output, &told))?;
        let window = Mutex::new(Window { since: Instant::now(), taken: 0, most });
        Ok((Self { sender: Some(sender), window, counts }, writer))
    }

    pub(super) fn none() -> Self {
        let window = Mutex::new(Window { since: Instant::now(), taken: 0, most: 0 });
        Self { sender: None, window, counts: Arc::default() }
    }

    pub(super) fn takes(&self) -> bool {
        let takes = self.window.lock().unwrap_or_else(PoisonError::into_inner).takes(Instant::now());
        if !takes {
            self.counts.miss_unsigned();
        }
        takes
    }

    pub(super) fn take(&self, record: Record) {
        let taken = self.sender.as_ref().is_some_and(|sender| sender.try_send(record).is_ok());
        if !taken {
            self.counts.miss_unsigned();
        }
    }
}

fn write_all(receiver: &Receiver<Record>, mut output: impl LineOutput, counts: &Counts) -> u64 {
    let mut told_at = Instant::now();
    loop {
        let next = receiver.recv_timeout(TELL_EVERY);
        let is_last = matches!(next, Err(RecvTimeoutError::Disconnected));
        if let Ok(record) = next {
            write(&mut output, &record, counts, 1);
        }
        if is_last || TELL_EVERY <= told_at.elapsed() {
            told_at = Instant::now();
            let missing = counts.unsigned_missing.swap(0, Ordering::Relaxed);
            if missing != 0 {
                write(&mut output, &Record::of_left_out(missing, clock::real()), counts, missing);
            }
        }
        if is_last {
            return 0;
        }
    }
}

/// Writes a line that stands for so many requests, or counts them as missing.
fn write(output: &mut impl LineOutput, record: &Record, counts: &Counts, requests: u64) {
    let written = output.line(&line_of(record)).and_then(|()| output.flush());
    if let Err(error) = written {
        tracing::warn!(%error, requests, "the audit log of unsigned requests cannot be written");
        counts.unsigned_missing.fetch_add(requests, Ordering::Relaxed);
        if record.left_out == 0 {
            counts.unsigned_missed.fetch_add(requests, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_second_has_room_for_so_many_lines() {
        let since = Instant::now();
        let mut window = Window { since, taken: 0, most: 2 };
        let at = |ms| since + Duration::from_millis(ms);
        let taken: Vec<bool> = [0, 10, 20, 999, 1_000, 1_001, 1_002].map(|ms| window.takes(at(ms))).into();
        assert_eq!(taken, [true, true, false, false, true, true, false]);
    }

    struct Kept(Arc<Mutex<Vec<serde_json::Value>>>);

    impl LineOutput for Kept {
        fn line(&mut self, line: &[u8]) -> io::Result<()> {
            self.0.lock().unwrap().push(serde_json::from_slice(line)?);
            Ok(())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_has_no_line_is_counted_in_one() {
        let (lines, counts) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Counts>::default());
        let (unsigned, writer) = Unsigned::start(3, Kept(lines.clone()), counts.clone()).unwrap();
        for _ in 0..100 {
            if unsigned.takes() {
                unsigned.take(Record::of_left_out(0, clock::real()));
            }
        }
        drop(unsigned);
        writer.join().unwrap();
        let lines = lines.lock().unwrap();
        let left_out: u64 = lines.iter().map(|line| line["left_out"].as_u64().unwrap()).sum();
        let told = lines.iter().filter(|line| line["left_out"] == 0).count() as u64;
        assert_eq!(told + left_out, 100);
        assert_eq!(counts.left_out()[1], ("unsigned", left_out));
        assert!(3 <= told && lines.len() < 20, "{lines:?}");
    }
}
