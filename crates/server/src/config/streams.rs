//! What an operator says about streams: `[streams]` and `[streaming]` of `carillon.toml`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use carillon_model::arn::Home;
use carillon_store::Skips;
use carillon_targets::Native;
use carillon_targets::streams::{JetStream, JetStreamSettings, Sink as Wire};
use serde::{Deserialize, Serialize};

use super::flows::Target;
use crate::error::{Error, Result};
use crate::outgoing::streams::{File, Sink};

/// How long a record is tried unless the operator says otherwise.
const RETRY_SECONDS: u32 = 24 * 60 * 60;

/// `[streams."<ARN>"]`: where the records of a stream go that is not in Kinesis.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Stream {
    /// To a URL, each record by itself, signed as a call of a target is.
    Http(Target),
    /// To a subject of NATS that `JetStream` keeps.
    Nats(Subject),
    /// Into a file, one record a line.
    File(Path),
}

/// Where a subject of NATS is.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// `nats://host:port` or `tls://host:port`, perhaps with a user and a password.
    #[serde(skip_serializing)]
    url: String,
    /// The subject.
    subject: String,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Path {
    /// Where it is.
    path: PathBuf,
}

/// `[streaming]`: what is streamed, and for how long it is tried.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Streaming {
    /// Seconds that a record is tried before it is given up; 86,400 by default.
    retry_seconds: Option<u32>,
    /// Whether CONTROL messages are left out; false by default.
    skip_control: Option<bool>,
    /// Whether `NON_PERSISTENT` messages are left out; false by default.
    skip_non_persistent: Option<bool>,
}

impl Streaming {
    /// How long a record is tried.
    pub(crate) fn patience(&self) -> Result<Duration> {
        match self.retry_seconds.unwrap_or(RETRY_SECONDS) {
            0 => Err(Error::usage("streaming.retry_seconds must be at least 1")),
            seconds => Ok(Duration::from_secs(u64::from(seconds))),
        }
    }

    /// What is not streamed.
    pub(crate) fn skips(&self) -> Skips {
        Skips {
            control: self.skip_control.unwrap_or_default(),
            non_persistent: self.skip_non_persistent.unwrap_or_default(),
        }
    }
}

/// Where the records of each stream go that is mapped; of any other, to Kinesis.
pub(crate) fn sinks(written: &BTreeMap<String, Stream>, home: &Home) -> Result<HashMap<String, Sink>> {
    let mut sinks = HashMap::new();
    for (arn, stream) in written {
        let at = |words: String| Error::usage(format!("streams.\"{arn}\": {words}"));
        let start = format!("arn:aws:kinesis:{}:{}:stream/chime-messaging-", home.region(), home.account());
        if !arn.starts_with(&start) {
            return Err(at("is not the ARN of a stream of messaging".to_owned())
                .hint(format!("It is what PutMessagingStreamingConfigurations names: {start}….")));
        }
        let sink = match stream {
            Stream::Http(target) => {
                let native = Native::new(&target.url, target.secret.clone()).map_err(at)?;
                Sink::Wire(Wire::Http(native))
            }
            Stream::Nats(Subject { url, subject }) => {
                let settings = JetStreamSettings { url: url.clone(), subject: subject.clone() };
                Sink::Wire(Wire::Nats(Box::new(JetStream::new(settings).map_err(at)?)))
            }
            Stream::File(Path { path }) => {
                let unusable = |error| at(format!("{} cannot be written: {error}", path.display()));
                Sink::File(File::new(path.clone()).map_err(unusable)?)
            }
        };
        sinks.insert(arn.clone(), sink);
    }
    Ok(sinks)
}

/// Looks whether sinks can be used; answers how many there are, and which cannot be reached at present. A subject that
/// nothing keeps is refused: what is published there would be lost.
pub async fn check(written: &BTreeMap<String, Stream>, home: &Home) -> Result<(usize, Vec<String>)> {
    let (sinks, mut away) = (sinks(written, home)?, Vec::new());
    for (arn, sink) in &sinks {
        let Sink::Wire(Wire::Nats(nats)) = sink else { continue };
        match nats.check().await {
            Ok(Ok(())) => {}
            Ok(Err(words)) => return Err(Error::usage(format!("streams.\"{arn}\": {words}"))),
            Err(words) => away.push(format!("streams.\"{arn}\": {words}")),
        }
    }
    Ok((sinks.len(), away))
}

/// The same at the start of a server: what cannot be reached is said, and its records wait.
pub(crate) async fn begin(written: &BTreeMap<String, Stream>, home: &Home) -> Result<()> {
    for words in check(written, home).await?.1 {
        tracing::warn!("{words}; its records wait");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/chime-messaging-all";

    fn read(text: &str) -> Result<HashMap<String, Sink>> {
        let home = Home::new("us-east-1", "000000000000");
        let written = toml::from_str(text).map_err(|error| Error::usage(error.to_string()))?;
        sinks(&written, &home)
    }

    #[test]
    fn each_kind_of_sink_is_read_and_what_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("records").display().to_string();
        for sink in [
            "kind = 'http'\nurl = 'https://ingest.internal/chime'\nsecret = 'hush'".to_owned(),
            "kind = 'nats'\nurl = 'nats://me:hush@127.0.0.1:4222'\nsubject = 'chime.all'".to_owned(),
            format!("kind = 'file'\npath = '{file}'"),
        ] {
            assert_eq!(read(&format!("['{STREAM}']\n{sink}")).unwrap().len(), 1, "{sink}");
            let written: BTreeMap<String, Stream> = toml::from_str(&format!("['{STREAM}']\n{sink}")).unwrap();
            assert!(!format!("{written:?}").contains("hush"));
        }
        for (arn, sink, words) in [
            (STREAM, "kind = 'pigeon'".to_owned(), "pigeon"),
            (STREAM, "kind = 'http'\nurl = 'ftp://x'".to_owned(), "neither http nor https"),
            (
                STREAM,
                "kind = 'nats'\nurl = 'http://x'\nsubject = 'a'".to_owned(),
                "neither nats:// nor tls://",
            ),
            (STREAM, "kind = 'nats'\nurl = 'nats://x'\nsubject = 'a.>'".to_owned(), "is no subject"),
            (STREAM, format!("kind = 'file'\npath = '{}'", folder.path().display()), "cannot be written"),
            (STREAM, "kind = 'file'\npath = 'x'\ncolour = 'red'".to_owned(), "colour"),
            (
                "arn:aws:kinesis:us-east-1:1:stream/x",
                format!("kind = 'file'\npath = '{file}'"),
                "is not the ARN",
            ),
        ] {
            let error = read(&format!("['{arn}']\n{sink}")).err().unwrap().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
