//! Kinesis, as a test plays it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::post;
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::*;

const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/chime-messaging-all";

/// Calls, each the bodies that came with it.
type Calls = Arc<Mutex<Vec<Vec<String>>>>;

/// Refuses calls that hold `poison` as a whole, and of others those records that begin with `slow`, the first time.
async fn kinesis(calls: Calls) -> Arc<Aws> {
    let slowed = Arc::new(Mutex::new(false));
    let answer = move |body: Bytes| {
        let (calls, slowed) = (calls.clone(), slowed.clone());
        async move {
            let request: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(request["StreamName"], "chime-messaging-all");
            let read = |record: &Value| {
                let bytes = BASE64.decode(record["Data"].as_str().unwrap().as_bytes()).unwrap();
                String::from_utf8(bytes).unwrap()
            };
            let bodies: Vec<String> = request["Records"].as_array().unwrap().iter().map(read).collect();
            calls.lock().unwrap().push(bodies.clone());
            if bodies.iter().any(|body| body == "poison") {
                return (StatusCode::PAYLOAD_TOO_LARGE, String::new());
            }
            let outcome = |body: &String| {
                if body == "slow" && !std::mem::replace(&mut *slowed.lock().unwrap(), true) {
                    json!({ "ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slower" })
                } else {
                    json!({ "SequenceNumber": "1", "ShardId": "shardId-0" })
                }
            };
            let outcomes: Vec<Value> = bodies.iter().map(outcome).collect();
            (StatusCode::OK, json!({ "FailedRecordCount": 0, "Records": outcomes }).to_string())
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/", post(answer)).layer(DefaultBodyLimit::disable());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Arc::new(Aws::played(&url))
}

async fn put(records: &[(&str, &str)]) -> (Vec<bool>, Vec<Vec<String>>) {
    let calls = Calls::default();
    let streams = Streams::new(reqwest::Client::new(), kinesis(calls.clone()).await);
    let records: Vec<_> = records.iter().map(|(key, body)| Record { key, body }).collect();
    let puts = streams.put(STREAM, None, &records, Timestamp::from_ms(0)).await;
    let calls = calls.lock().unwrap().clone();
    (puts.iter().map(Result::is_ok).collect(), calls)
}

#[tokio::test]
async fn what_follows_a_record_that_was_not_taken_is_to_be_put_again() {
    let (taken, calls) = put(&[("a", "1"), ("b", "slow"), ("a", "2"), ("b", "3")]).await;
    assert_eq!((taken, calls.len()), (vec![true, false, true, false], 1));
}

#[tokio::test]
async fn a_call_that_is_refused_as_a_whole_is_made_again_in_halves() {
    let (taken, calls) = put(&[("a", "1"), ("b", "poison"), ("b", "2"), ("c", "3")]).await;
    assert_eq!(taken, [true, false, false, true]);
    let calls: Vec<Vec<&str>> = calls.iter().map(|call| call.iter().map(String::as_str).collect()).collect();
    assert_eq!(
        calls,
        [vec!["1", "poison", "2", "3"], vec!["1", "poison"], vec!["1"], vec!["poison"], vec!["3"]]
    );
}

#[tokio::test]
async fn a_call_has_so_many_records_and_bytes_with_their_keys() {
    let many: Vec<(&str, &str)> = vec![("key", "body"); 501];
    let (taken, calls) = put(&many).await;
    assert!(taken.iter().all(|taken| *taken));
    assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [500, 1]);
    let (key, body) = ("k".repeat(600_000), "b".repeat(1_400_000));
    let (_, calls) = put(&[(key.as_str(), body.as_str()); 3]).await;
    assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
}
