//! Kinesis' `PutRecords`.

use std::collections::HashMap;

use carillon_model::Timestamp;
use carillon_model::channel_flow::{Failure, Reason};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::{Put, Record, TIMEOUT};
use crate::aws::{Aws, Call, Service};
use crate::wire::Refusal;

/// Records of one call.
const RECORDS_MAX: usize = 500;
/// Their bytes, with those of their keys.
const BYTES_MAX: usize = 5_000_000;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Request<'a> {
    stream_name: &'a str,
    records: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    data: String,
    partition_key: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answered {
    records: Vec<Outcome>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    error_code: Option<String>,
    #[serde(default)]
    error_message: Option<String>,
}

/// Puts records, in calls that are as large as may be; one that is refused as a whole is made again in halves, so that
/// a record that Kinesis does not take keeps no other back.
pub(super) async fn put(aws: &Aws, stream: &str, records: &[Record<'_>], now: Timestamp) -> Vec<Put> {
    let mut all: Vec<Put> = vec![Ok(()); records.len()];
    let mut failed: HashMap<&str, Refusal> = HashMap::new();
    // What is still to be put, the next at the end.
    let mut parts: Vec<Vec<usize>> = vec![(0..records.len()).collect()];
    while let Some(mut part) = parts.pop() {
        part.retain(|at| match failed.get(records[*at].key) {
            Some(refusal) => {
                all[*at] = Err(refusal.clone());
                false
            }
            None => true,
        });
        let rest = part.split_off(fitting(part.iter().map(|at| &records[*at])));
        parts.extend((!rest.is_empty()).then_some(rest));
        if part.is_empty() {
            continue;
        }
        let called: Vec<Record<'_>> = part.iter().map(|at| records[*at]).collect();
        let outcomes = match call(aws, stream, &called, now).await {
            Err(refusal) if 1 < part.len() && is_of_content(&refusal) => {
                let second = part.split_off(part.len() / 2);
                parts.extend([second, part]);
                continue;
            }
            Err(refusal) => vec![Err(refusal); part.len()],
            Ok(outcomes) => outcomes,
        };
        for (at, outcome) in part.into_iter().zip(outcomes) {
            let key = records[at].key;
            if let Err(refusal) = outcome {
                failed.entry(key).or_insert(refusal);
            }
            // What came after one that was not taken is put again, even where it was taken: the order counts.
            if let Some(refusal) = failed.get(key) {
                all[at] = Err(refusal.clone());
            }
        }
    }
    all
}

/// How many of the first records one call takes: one at least, which Kinesis refuses where it alone is too large.
fn fitting<'a>(records: impl ExactSizeIterator<Item = &'a Record<'a>>) -> usize {
    let (mut bytes, len) = (0, records.len());
    let fits = |record: &&Record<'_>| {
        bytes += record.key.len() + record.body.len();
        bytes <= BYTES_MAX
    };
    records.take(RECORDS_MAX).take_while(fits).count().max(1).min(len)
}

/// Whether the call was refused for what it holds; kinesalite answers 413 without a name to what is too large.
fn is_of_content(refusal: &Refusal) -> bool {
    refusal.failure == Failure { reason: Reason::Refused, permanent: true }
}

async fn call(aws: &Aws, stream: &str, records: &[Record<'_>], now: Timestamp) -> Result<Vec<Put>, Refusal> {
    let stream_name = stream.rsplit_once('/').map_or(stream, |(_, name)| name);
    let mut request = Request { stream_name, records: Vec::with_capacity(records.len()) };
    for record in records {
        let data = BASE64.encode(record.body.as_bytes());
        request.records.push(Entry { data, partition_key: record.key });
    }
    let body = serde_json::to_string(&request).expect("texts always serialize");
    let call = Call {
        service: Service::KINESIS,
        region: stream.split(':').nth(3),
        path: "/",
        headers: &[
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "Kinesis_20131202.PutRecords"),
        ],
        body,
        timeout: TIMEOUT,
    };
    let answer = aws.call(call, now).await?;
    let answered: Answered = serde_json::from_slice(&answer.body)
        .map_err(|error| Refusal::nonsense(&format!("the answer to PutRecords is none: {error}")))?;
    if answered.records.len() != records.len() {
        return Err(Refusal::nonsense("the answer to PutRecords is of another number of records"));
    }
    let put = |Outcome { error_code, error_message }: Outcome| match error_code {
        None => Ok(()),
        Some(code) => Err(Refusal {
            code,
            message: error_message.unwrap_or_default(),
            ..Refusal::transient(Reason::Throttled)
        }),
    };
    Ok(answered.records.into_iter().map(put).collect())
}
