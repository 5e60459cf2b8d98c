//! Where the records of streams go that are not written into a file: Kinesis, a URL, or a subject of NATS `JetStream`.
//! Each takes the same bytes, and the channel's ARN as what the order is kept by.

mod jetstream;
mod kinesis;

use std::sync::Arc;
use std::time::Duration;

use carillon_model::Timestamp;

use crate::aws::Aws;
use crate::native::Native;
use crate::wire::{self, Refusal};
pub use jetstream::{JetStream, JetStreamSettings};

/// The header that has the partition key.
const KEY_HEADER: &str = "x-carillon-partition-key";
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A record.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// What its order is kept by.
    pub key: &'a str,
    /// What it says, to the byte.
    pub body: &'a str,
}

/// What became of a record. After the first of a key that was not taken none of the same key is.
pub type Put = Result<(), Refusal>;

/// Where a stream goes.
#[derive(Debug)]
pub enum Sink {
    /// To a URL, each record by itself.
    Http(Native),
    /// To a subject of NATS that `JetStream` keeps.
    Nats(Box<JetStream>),
}

/// Puts records into streams.
#[derive(Debug)]
pub struct Streams {
    http: reqwest::Client,
    aws: Arc<Aws>,
}

impl Streams {
    /// Puts records by these.
    pub fn new(http: reqwest::Client, aws: Arc<Aws>) -> Self {
        Self { http, aws }
    }

    /// Puts records into a stream, to its sink or, where it has none, to Kinesis; answers for each what became of it.
    /// `now` is the real time.
    pub async fn put(
        &self,
        stream: &str,
        sink: Option<&Sink>,
        records: &[Record<'_>],
        now: Timestamp,
    ) -> Vec<Put> {
        match sink {
            None => kinesis::put(&self.aws, stream, records, now).await,
            Some(Sink::Http(native)) => {
                let send = async |record: Record<'_>| {
                    let request = native.post_to(&self.http, "", record.body.to_owned(), now);
                    wire::send(request.header(KEY_HEADER, record.key), TIMEOUT).await.map(drop)
                };
                each_in_order(records, send).await
            }
            Some(Sink::Nats(nats)) => each_in_order(records, |record| nats.publish(record, KEY_HEADER)).await,
        }
    }
}

/// Sends each record by itself: those of one key one after the other, and none after one that was not taken; those of
/// different keys side by side.
async fn each_in_order<'a, F: Future<Output = Put>>(
    records: &[Record<'a>],
    send: impl Fn(Record<'a>) -> F,
) -> Vec<Put> {
    let send = &send;
    let of_one_key = records.chunk_by(|one, other| one.key == other.key).map(async |records| {
        let mut all: Vec<Put> = Vec::with_capacity(records.len());
        for record in records {
            let put = match all.last() {
                Some(Err(refusal)) => Err(refusal.clone()),
                _ => send(*record).await,
            };
            all.push(put);
        }
        all
    });
    futures_util::future::join_all(of_one_key).await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
