//! Streams: each row is a record, and goes as it is into the sink that its stream is mapped to, or to Kinesis.

mod file;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use carillon_model::channel_flow::Failure;
use carillon_model::event::channel_of_record;
use carillon_model::{AppInstanceArn, Key};
use carillon_service::error::{Error, Result};
use carillon_service::{Clock, Service};
use carillon_store::outgoing::{Outgoing as Row, STREAM};
use carillon_store::{self as store, Tx};
use carillon_targets::streams::{Record, Sink as Wire, Streams as Wires};
use carillon_targets::wire::Refusal;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::{Consumer, Manner, Verdict};
pub(crate) use file::File;

/// Records of one call, and their bytes: what Kinesis takes, with room for what names their channels.
const RECORDS_MAX: usize = 500;
const BYTES_MAX: usize = 4_000_000;

/// Where the records of a stream go.
pub(crate) enum Sink {
    /// Into a file.
    File(File),
    /// Elsewhere.
    Wire(Wire),
}

/// The consumer of streams.
pub(crate) struct Streams {
    service: Arc<Service>,
    clock: Arc<dyn Clock>,
    sinks: HashMap<String, Sink>,
    wires: Wires,
    patience: Duration,
}

impl Streams {
    /// Streams that are mapped to sinks, by their ARNs.
    pub(crate) fn new(
        (service, clock): (Arc<Service>, Arc<dyn Clock>),
        sinks: HashMap<String, Sink>,
        wires: Wires,
        patience: Duration,
    ) -> Self {
        Self { service, clock, sinks, wires, patience }
    }

    /// Whether the app instance of a record has this stream still. What is known here may be older than the record, so
    /// the store has the last word.
    async fn has_stream(&self, instance: Key, stream: &str) -> Result<bool> {
        if self.service.store().outlets().has_stream(instance, stream) {
            return Ok(true);
        }
        let read = move |tx: &mut Tx| Ok::<_, Error>(store::streaming::list(tx, instance)?);
        let stored = self.service.store().read(read).await?;
        Ok(stored.iter().any(|(_, resource)| resource.as_str() == stream))
    }

    /// Of each row whether its stream is still to have it; nothing where that cannot be read.
    async fn wanted(&self, stream: &str, rows: &[Row]) -> Option<Vec<bool>> {
        let mut known: HashMap<&str, bool> = HashMap::new();
        let mut wanted = Vec::with_capacity(rows.len());
        for row in rows {
            let arn = channel_of_record(&row.body).unwrap_or_default();
            let instance = arn.split_once("/channel/").map_or("", |(instance, _)| instance);
            if !known.contains_key(instance) {
                let key = AppInstanceArn::try_from(instance.to_owned()).ok().and_then(|arn| arn.key());
                let is_wanted = match key {
                    Some(key) => self.has_stream(key, stream).await.ok()?,
                    None => false,
                };
                known.insert(instance, is_wanted);
            }
            wanted.push(known[instance]);
        }
        Some(wanted)
    }

    async fn put(&self, stream: &str, records: &[Record<'_>]) -> Vec<std::result::Result<(), Failure>> {
        let sink = match self.sinks.get(stream) {
            Some(Sink::File(file)) => {
                let lines = records.iter().flat_map(|record| [record.body, "\n"]).collect();
                return vec![file.append(lines).await; records.len()];
            }
            Some(Sink::Wire(sink)) => Some(sink),
            None => None,
        };
        let all = self.wires.put(stream, sink, records, self.clock.real()).await;
        if let Some(Refusal { failure, code, message, .. }) = all.iter().find_map(|put| put.as_ref().err()) {
            tracing::debug!(stream, reason = %failure.reason, code, message, "a stream did not take records");
        }
        all.into_iter().map(|put| put.map_err(|refusal| refusal.failure)).collect()
    }
}

impl Consumer for Streams {
    fn kind(&self) -> &'static str {
        STREAM
    }

    fn manner(&self) -> Manner {
        Manner { rows_max: RECORDS_MAX, bytes_max: BYTES_MAX, calls_max: 1 }
    }

    fn report(&self) -> Option<&'static str> {
        Some("Chime Messaging Streaming Failure")
    }

    fn patience(&self, _: &Row) -> Duration {
        self.patience
    }

    fn hand_over<'a>(&'a self, stream: &'a str, rows: &'a [Row]) -> BoxFuture<'a, Vec<Verdict>> {
        async move {
            let Some(wanted) = self.wanted(stream, rows).await else {
                return rows.iter().map(|_| Verdict::NotMade).collect();
            };
            let kept = rows.iter().zip(&wanted).filter(|(_, is_wanted)| **is_wanted);
            let record = |(row, _): (&'a Row, &bool)| Record {
                key: channel_of_record(&row.body).unwrap_or_default(),
                body: &row.body,
            };
            let records: Vec<Record<'_>> = kept.map(record).collect();
            let results = if records.is_empty() { Vec::new() } else { self.put(stream, &records).await };
            let mut results = results.into_iter();
            let verdict = |is_wanted: &bool| match is_wanted {
                false => Verdict::GiveUp("its app instance has this stream no more".to_owned()),
                true => match results.next() {
                    Some(Ok(())) => Verdict::Done,
                    Some(Err(failure)) => Verdict::Again(failure, None),
                    None => Verdict::NotMade,
                },
            };
            wanted.iter().map(verdict).collect()
        }
        .boxed()
    }
}
