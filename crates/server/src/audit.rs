//! The audit log on its way to a file or to stdout: a bounded queue, and a thread that writes one line of JSON a
//! record, in order. What stands in a record is the service's affair.
//!
//! Nothing that somebody signed is lost while the server runs. Whoever needs a line takes a place in the queue before
//! anything is done, and is turned away where there is none in time; a line that cannot be written is tried again until
//! it can be. What nobody signed has a queue, a thread and a file of its own ([`unsigned`]), so that it neither
//! delays nor pushes out anything else.

mod output;
pub(crate) mod persons;
mod turned_away;
mod unsigned;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use carillon_service::front::audit::{Ledger, Place, Record};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::clock;
use crate::config::audit::{AuditFile, AuditLog};
use crate::error::{Error, Result};
use crate::private_file::{self, PRIVATE};
use output::{LineOutput, Output, Rotating};
pub(crate) use turned_away::TurnedAway;
use unsigned::Unsigned;

/// Records that wait to be written, and places that are taken for some: as many as a disk takes within some tens of
/// milliseconds.
const QUEUE_LEN_MAX: usize = 4_096;
/// The file of the data folder that says where the log is.
const PLACE_FILE: &str = "audit";
/// How long somebody waits for a place before the request is refused. While it lasts the others are refused at once.
const PLACE_TIMEOUT: Duration = Duration::from_secs(5);
/// Records that are written before the file is told to take them.
const BATCH_LEN_MAX: usize = 256;
/// How long until a line that could not be written is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What is measured of the log.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Lines of what somebody signed that could not be taken, and were not told of yet.
    missing: AtomicU64,
    /// All of those.
    missed: AtomicU64,
    /// Requests that nobody signed and that have no line, not told of yet.
    unsigned_missing: AtomicU64,
    /// All of those.
    unsigned_missed: AtomicU64,
}

impl Counts {
    fn miss(&self) {
        self.missing.fetch_add(1, Ordering::Relaxed);
        self.missed.fetch_add(1, Ordering::Relaxed);
    }

    fn miss_unsigned(&self) {
        self.unsigned_missing.fetch_add(1, Ordering::Relaxed);
        self.unsigned_missed.fetch_add(1, Ordering::Relaxed);
    }

    /// Lines that are missing for good: of what somebody signed, and of what nobody did.
    pub(crate) fn left_out(&self) -> [(&'static str, u64); 2] {
        [("signed", &self.missed), ("unsigned", &self.unsigned_missed)]
            .map(|(of, count)| (of, count.load(Ordering::Relaxed)))
    }
}

/// The log.
pub(crate) struct Log {
    /// Where records go.
    pub(crate) ledger: Option<Arc<dyn Ledger>>,
    /// What is measured.
    pub(crate) counts: Arc<Counts>,
    /// Who writes.
    pub(crate) writer: Writer,
}

/// The threads that write. They end when nobody can send them records any more.
#[derive(Default)]
pub(crate) struct Writer(Vec<JoinHandle<u64>>);

impl Writer {
    /// Waits until everything is written, and answers how many lines could not be.
    pub(crate) fn join(self) -> u64 {
        let lost = self.0.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| {
                tracing::error!("the audit log ended badly");
                0
            })
        });
        lost.sum()
    }
}

/// Begins the audit log, if one is to be kept.
pub(crate) fn start(settings: &AuditLog) -> Result<Log> {
    tracing::info!(place = %settings, "audit log");
    let counts = Arc::<Counts>::default();
    let (output, unsigned, lines) = match settings {
        AuditLog::Off => return Ok(Log { ledger: None, counts, writer: Writer::default() }),
        AuditLog::Stdout { unsigned_lines_per_second } => {
            (Output::Stdout(io::stdout()), Output::Stdout(io::stdout()), *unsigned_lines_per_second)
        }
        AuditLog::File(file) => {
            let unsigned = Output::Later(file.of_unsigned());
            (Output::File(open(file)?), unsigned, file.unsigned_lines_per_second)
        }
    };
    let (unsigned, unsigned_writer) = Unsigned::start(lines, unsigned, counts.clone())?;
    let (queue, writer) = Queue::start(output, counts.clone(), unsigned)?;
    Ok(Log { ledger: Some(Arc::new(queue)), counts, writer: Writer(vec![writer, unsigned_writer]) })
}

/// Begins the audit log of a command beside a server, which alone makes room in its file.
pub(crate) fn start_beside(settings: &AuditLog) -> Result<Log> {
    let counts = Arc::<Counts>::default();
    let output = match settings {
        AuditLog::Off => return Ok(Log { ledger: None, counts, writer: Writer::default() }),
        // What the command answers is on stdout.
        AuditLog::Stdout { .. } => Output::Stderr(io::stderr()),
        AuditLog::File(file) => Output::File(open(&AuditFile { bytes_max: u64::MAX, ..file.clone() })?),
    };
    let (queue, writer) = Queue::start(output, counts.clone(), Unsigned::none())?;
    Ok(Log { ledger: Some(Arc::new(queue)), counts, writer: Writer(vec![writer]) })
}

/// Tells commands that run beside the server, and were not told, where the log is.
pub(crate) fn remember(settings: &AuditLog, data_dir: &Path) -> Result<()> {
    let path = data_dir.join(PLACE_FILE);
    let kept = match settings {
        AuditLog::File(file) => std::path::absolute(&file.path)
            .and_then(|place| private_file::write(&path, &place.to_string_lossy(), PRIVATE)),
        AuditLog::Off | AuditLog::Stdout { .. } => match std::fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        },
    };
    kept.map_err(|error| Error::failure(format!("{} cannot be written: {error}", path.display())))
}

/// Where the log is: as the settings say, or as the last server on this folder had it.
pub(crate) fn recall(settings: &AuditLog, data_dir: &Path) -> Result<AuditLog> {
    let path = data_dir.join(PLACE_FILE);
    if *settings != AuditLog::Off {
        return Ok(settings.clone());
    }
    match std::fs::read_to_string(&path) {
        Ok(place) => Ok(AuditLog::File(AuditFile::at(place.into()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(AuditLog::Off),
        Err(error) => Err(Error::failure(format!("{} cannot be read: {error}", path.display()))),
    }
}

fn open(file: &AuditFile) -> Result<Rotating> {
    Rotating::open(file.clone()).map_err(|error| {
        Error::failure(format!("the audit log {} cannot be written: {error}", file.path.display()))
    })
}

fn spawn(name: &str, run: impl FnOnce() -> u64 + Send + 'static) -> Result<JoinHandle<u64>> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(|error| Error::failure(format!("the audit log cannot start: {error}")))
}

/// The way to the thread that writes.
struct Queue {
    sender: Sender<Record>,
    /// Whether somebody has waited for a place in vain, and nobody has had one since.
    is_stuck: Arc<AtomicBool>,
    counts: Arc<Counts>,
    unsigned: Unsigned,
}

impl Queue {
    fn start(output: Output, counts: Arc<Counts>, unsigned: Unsigned) -> Result<(Self, JoinHandle<u64>)> {
        let (sender, receiver) = channel(QUEUE_LEN_MAX);
        let told = counts.clone();
        let writer = spawn("audit", move || write_all(receiver, output, &told))?;
        Ok((Self { sender, is_stuck: Arc::default(), counts, unsigned }, writer))
    }
}

impl Ledger for Queue {
    fn place(&self) -> BoxFuture<'static, Option<Place>> {
        let (sender, is_stuck) = (self.sender.clone(), self.is_stuck.clone());
        Box::pin(async move {
            let permit = match sender.try_reserve_owned() {
                Ok(permit) => permit,
                Err(TrySendError::Full(_)) if is_stuck.load(Ordering::Relaxed) => return None,
                Err(TrySendError::Full(sender)) => {
                    let Ok(reserved) = tokio::time::timeout(PLACE_TIMEOUT, sender.reserve_owned()).await
                    else {
                        if !is_stuck.swap(true, Ordering::Relaxed) {
                            tracing::error!(
                                "the audit log takes no lines: requests that need one are refused"
                            );
                        }
                        return None;
                    };
                    reserved.ok()?
                }
                Err(TrySendError::Closed(_)) => return None,
            };
            is_stuck.store(false, Ordering::Relaxed);
            let place: Place = Box::new(move |record| drop(permit.send(record)));
            Some(place)
        })
    }

    fn missed(&self) {
        self.counts.miss();
    }

    fn takes_unsigned(&self) -> bool {
        self.unsigned.takes()
    }

    fn take_unsigned(&self, record: Record) {
        self.unsigned.take(record);
    }
}

fn line_of(record: &Record) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).expect("texts and numbers always serialize");
    line.push(b'\n');
    line
}

/// Writes until nobody sends any more, and answers how many lines were given up then.
fn write_all(mut receiver: Receiver<Record>, mut output: impl LineOutput, counts: &Counts) -> u64 {
    let mut batch = Vec::with_capacity(BATCH_LEN_MAX);
    let mut lost = 0;
    while receiver.blocking_recv_many(&mut batch, BATCH_LEN_MAX) != 0 {
        let missing = counts.missing.swap(0, Ordering::Relaxed);
        let told = (missing != 0).then(|| Record::of_left_out(missing, clock::real()));
        for record in told.into_iter().chain(batch.drain(..)) {
            let line = line_of(&record);
            lost += u64::from(!until_done(&receiver, || output.line(&line)));
        }
        until_done(&receiver, || output.flush());
    }
    if lost != 0 {
        tracing::error!(lines = lost, "the audit log ends without lines that could not be written");
    }
    lost
}

/// Tries until it is done, or until the server ends, which a full disk must not prevent.
fn until_done(receiver: &Receiver<Record>, mut attempt: impl FnMut() -> io::Result<()>) -> bool {
    while let Err(error) = attempt() {
        tracing::error!(%error, "the audit log cannot be written; requests will wait for it");
        if receiver.sender_strong_count() == 0 {
            return false;
        }
        std::thread::park_timeout(RETRY_EVERY);
    }
    true
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use carillon_model::Timestamp;
    use carillon_model::arn::Home;

    use super::*;

    fn record(number: usize) -> Record {
        let home = Home::new("us-east-1", "000000000000");
        let resource = ("ChannelArn", &*format!("arn:{number}"));
        Record::of_service("ExpireChannel", resource, &home, Timestamp::from_ms(0))
    }

    fn lines(path: &std::path::Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn records_are_written_in_order_and_all_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let log = start(&AuditLog::File(AuditFile::at(path.clone()))).unwrap();
        let ledger = log.ledger.unwrap();
        for number in 0..1_000 {
            ledger.place().await.unwrap()(record(number));
        }
        drop(ledger);
        assert_eq!(log.writer.join(), 0);
        let arns: Vec<String> = lines(&path)
            .iter()
            .map(|line| line["resources"]["ChannelArn"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(arns, (0..1_000).map(|number| format!("arn:{number}")).collect::<Vec<_>>());
    }

    /// Takes a line only when it is let.
    struct Gated(mpsc::Receiver<()>, Vec<u8>, mpsc::Sender<Vec<u8>>);

    impl LineOutput for Gated {
        fn line(&mut self, line: &[u8]) -> io::Result<()> {
            self.0.recv().map_err(|_| io::Error::other("closed"))?;
            self.1.extend(line);
            Ok(())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.2.send(std::mem::take(&mut self.1)).map_err(|_| io::Error::other("closed"))
        }
    }

    /// A queue with one place, whose thread has yet to begin.
    fn queue_of_one() -> (Queue, Receiver<Record>) {
        let (sender, receiver) = channel(1);
        let queue =
            Queue { sender, is_stuck: Arc::default(), counts: Arc::default(), unsigned: Unsigned::none() };
        (queue, receiver)
    }

    #[tokio::test]
    async fn whoever_needs_a_line_waits_for_a_place() {
        let (queue, receiver) = queue_of_one();
        let counts = queue.counts.clone();
        let (let_through, gate) = mpsc::channel();
        let (told, written) = mpsc::channel();
        // With nobody who reads, the first has its place and the second waits.
        queue.place().await.unwrap()(record(0));
        let mut second = queue.place();
        assert!(futures_util::poll!(&mut second).is_pending());
        let writer = std::thread::spawn(move || write_all(receiver, Gated(gate, Vec::new(), told), &counts));
        let_through.send(()).unwrap();
        let_through.send(()).unwrap();
        second.await.unwrap()(record(1));
        drop(queue);
        assert_eq!(writer.join().unwrap(), 0);
        let text: Vec<u8> = written.iter().flatten().collect();
        assert_eq!(String::from_utf8(text).unwrap().lines().count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn where_there_is_no_place_in_time_nobody_waits_any_more_until_there_is_one() {
        let (queue, mut receiver) = queue_of_one();
        let first = queue.place().await.unwrap();
        assert!(queue.place().await.is_none());
        let mut next = queue.place();
        assert!(matches!(futures_util::poll!(&mut next), std::task::Poll::Ready(None)));
        // A place that was not used is free again.
        drop(first);
        queue.place().await.unwrap()(record(0));
        assert!(!queue.is_stuck.load(Ordering::Relaxed));
        assert!(receiver.recv().await.is_some());
    }

    #[test]
    fn lines_that_are_missing_are_told() {
        let (queue, receiver) = queue_of_one();
        let counts = queue.counts.clone();
        queue.missed();
        queue.missed();
        queue.sender.try_send(record(0)).unwrap();
        drop(queue);
        let (told, written) = mpsc::channel();
        let (let_through, gate) = mpsc::channel();
        (0..2).for_each(|_| let_through.send(()).unwrap());
        write_all(receiver, Gated(gate, Vec::new(), told), &counts);
        let text: Vec<u8> = written.iter().flatten().collect();
        let first: serde_json::Value =
            serde_json::from_slice(text.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
        assert_eq!((&first["result"], &first["left_out"]), (&"LinesLeftOut".into(), &2.into()));
        assert_eq!(counts.left_out()[0], ("signed", 2));
    }
}
