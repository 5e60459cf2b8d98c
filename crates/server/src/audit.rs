//! The audit log on its way to a file or to stdout: a bounded queue, and a thread that writes one line of JSON a
//! record, in order. What stands in a record is the service's affair.
//!
//! Nothing is lost while the server runs: when the queue is full, requests wait; when a line cannot be written,
//! it is tried again until it can be.

use std::fs::{File, OpenOptions, rename};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use carillon_service::audit::{Ledger, Record};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::config::audit::{AuditFile, AuditLog};
use crate::error::{Error, Result};
use crate::private_file::PRIVATE;

/// Records that wait to be written: as many as a disk takes within some tens of milliseconds.
const QUEUE_LEN_MAX: usize = 4_096;
/// Records that are written before the file is told to take them.
const BATCH_LEN_MAX: usize = 256;
/// How long until a line that could not be written is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// The thread that writes. It ends when nobody can send it records any more.
pub(crate) struct Writer(JoinHandle<()>);

impl Writer {
    /// Waits until everything is written.
    pub(crate) fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the audit log ended badly");
        }
    }
}

/// Begins the audit log, if one is to be kept.
pub(crate) fn start(settings: &AuditLog) -> Result<(Option<Ledger>, Option<Writer>)> {
    tracing::info!(place = %settings, "audit log");
    let output = match settings {
        AuditLog::Off => return Ok((None, None)),
        AuditLog::Stdout => Output::Stdout(io::stdout()),
        AuditLog::File(file) => Output::File(Rotating::open(file.clone()).map_err(|error| {
            Error::failure(format!("the audit log {} cannot be written: {error}", file.path.display()))
        })?),
    };
    let (sender, receiver) = channel(QUEUE_LEN_MAX);
    let thread = std::thread::Builder::new().name("audit".to_owned());
    let writer = thread.spawn(move || write_all(receiver, output));
    let writer = writer.map_err(|error| Error::failure(format!("the audit log cannot start: {error}")))?;
    Ok((Some(ledger(sender)), Some(Writer(writer))))
}

fn ledger(sender: Sender<Record>) -> Ledger {
    Arc::new(move |record| {
        let sender = sender.clone();
        Box::pin(async move {
            if sender.send(record).await.is_err() {
                tracing::error!("the audit log has ended before the server");
            }
        })
    })
}

fn write_all(mut receiver: Receiver<Record>, mut output: impl LineOutput) {
    let mut batch = Vec::with_capacity(BATCH_LEN_MAX);
    while receiver.blocking_recv_many(&mut batch, BATCH_LEN_MAX) != 0 {
        for record in batch.drain(..) {
            let mut line = serde_json::to_vec(&record).expect("texts and numbers always serialize");
            line.push(b'\n');
            until_done(&receiver, || output.line(&line));
        }
        until_done(&receiver, || output.flush());
    }
}

/// Tries until it is done, or until the server ends, which a full disk must not prevent.
fn until_done(receiver: &Receiver<Record>, mut attempt: impl FnMut() -> io::Result<()>) {
    while let Err(error) = attempt() {
        tracing::error!(%error, "the audit log cannot be written; requests will wait for it");
        if receiver.sender_strong_count() == 0 {
            return;
        }
        std::thread::park_timeout(RETRY_EVERY);
    }
}

/// Where lines go.
trait LineOutput {
    /// Takes one line, whole; one that could not be taken leaves nothing of it behind.
    fn line(&mut self, line: &[u8]) -> io::Result<()>;
    /// Makes what was taken visible.
    fn flush(&mut self) -> io::Result<()>;
}

enum Output {
    Stdout(io::Stdout),
    File(Rotating),
}

impl LineOutput for Output {
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.write_all(line),
            Self::File(file) => file.line(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(file) => file.file.flush(),
        }
    }
}

/// A file that makes room: at its size it becomes `.1`, what was that becomes `.2`, and the oldest goes.
struct Rotating {
    settings: AuditFile,
    file: File,
    bytes: u64,
}

impl Rotating {
    fn open(settings: AuditFile) -> io::Result<Self> {
        let (file, bytes) = Self::append_to(&settings.path)?;
        Ok(Self { settings, file, bytes })
    }

    fn append_to(path: &Path) -> io::Result<(File, u64)> {
        let file = OpenOptions::new().append(true).create(true).mode(PRIVATE).open(path)?;
        let bytes = file.metadata()?.len();
        Ok((file, bytes))
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let length = u64::try_from(line.len()).expect("a line is short");
        if self.bytes != 0 && self.settings.bytes_max < self.bytes + length {
            self.rotate()?;
        }
        if let Err(error) = self.file.write_all(line) {
            // Half a line would spoil the next one.
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += length;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.settings.files_max).rev() {
            let older = self.numbered(number);
            let newer = if number == 1 { self.settings.path.clone() } else { self.numbered(number - 1) };
            match rename(newer, older) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.settings.files_max == 1 {
            self.file.set_len(0)?;
        }
        (self.file, self.bytes) = Self::append_to(&self.settings.path)?;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut path = self.settings.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
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

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_file_makes_room_and_keeps_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let settings = AuditFile { path: path.clone(), bytes_max: 20, files_max: 3 };
        let mut file = Rotating::open(settings.clone()).unwrap();
        for number in 0..7 {
            file.line(format!("line {number}\n").as_bytes()).unwrap();
        }
        drop(file);
        // A server that starts again goes on where the last one ended.
        Rotating::open(settings).unwrap().line(b"line 7\n").unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("audit.log"), "line 6\nline 7\n");
        assert_eq!(read("audit.log.1"), "line 4\nline 5\n");
        assert_eq!(read("audit.log.2"), "line 2\nline 3\n");
        assert_eq!(folder.path().read_dir().unwrap().count(), 3);
    }

    #[tokio::test]
    async fn records_are_written_in_order_and_all_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let settings = AuditFile { path: path.clone(), bytes_max: 1 << 30, files_max: 2 };
        let (ledger, writer) = start(&AuditLog::File(settings)).unwrap();
        let ledger = ledger.unwrap();
        for number in 0..1_000 {
            ledger(record(number)).await;
        }
        drop(ledger);
        writer.unwrap().join();
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

    #[tokio::test]
    async fn who_has_something_to_say_waits_while_the_queue_is_full() {
        let (sender, receiver) = channel(1);
        let ledger = ledger(sender);
        let (let_through, gate) = mpsc::channel();
        let (told, written) = mpsc::channel();
        // With nobody who reads, the first has its place and the second waits.
        ledger(record(0)).await;
        let mut second = ledger(record(1));
        assert!(futures_util::poll!(&mut second).is_pending());
        let writer = std::thread::spawn(move || write_all(receiver, Gated(gate, Vec::new(), told)));
        let_through.send(()).unwrap();
        let_through.send(()).unwrap();
        second.await;
        drop(ledger);
        writer.join().unwrap();
        let text: Vec<u8> = written.iter().flatten().collect();
        assert_eq!(String::from_utf8(text).unwrap().lines().count(), 2);
    }
}
