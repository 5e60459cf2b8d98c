use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

const AT: Timestamp = Timestamp::from_ms(1_768_478_405_678);
const BUS: &str = "arn:aws:events:eu-west-1:000000000000:event-bus/chat";

/// A bus that takes entries, but those whose detail has a code.
async fn bus() -> (Events, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let taken = Arc::<Mutex<Vec<Value>>>::default();
    let calls = taken.clone();
    let answer = move |headers: HeaderMap, body: Bytes| {
        assert_eq!(headers["x-amz-target"], "AWSEvents.PutEvents");
        assert!(headers["authorization"].to_str().unwrap().contains("/eu-west-1/events/aws4_request"));
        let body: Value = serde_json::from_slice(&body).unwrap();
        let entry = |entry: &Value| {
            let detail: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
            match detail["code"].as_str() {
                None => json!({ "EventId": "1" }),
                Some(code) => json!({ "ErrorCode": code, "ErrorMessage": "no" }),
            }
        };
        let entries: Vec<Value> = body["Entries"].as_array().unwrap().iter().map(entry).collect();
        calls.lock().unwrap().push(body);
        async move { json!({ "FailedEntryCount": 0, "Entries": entries }).to_string() }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    let sink = Sink::EventBridge { bus: BUS.to_owned(), source: "carillon.chime".to_owned() };
    (Events::new(sink, reqwest::Client::new(), Arc::new(Aws::played(&url))), taken)
}

fn envelope(detail: &Value) -> String {
    json!({ "version": "0", "detail-type": "Chime", "source": "aws.chime", "detail": detail }).to_string()
}

fn word(sent: &Sent) -> &'static str {
    match sent {
        Sent::Taken => "taken",
        Sent::Later(_) => "later",
        Sent::Never(_) => "never",
    }
}

async fn send(events: &Events, envelopes: &[String]) -> Vec<&'static str> {
    let events_of: Vec<_> = envelopes.iter().map(|envelope| (AT, envelope.as_str())).collect();
    events.send(&events_of, AT).await.iter().map(word).collect()
}

#[tokio::test]
async fn an_entry_is_an_event_under_the_bus_own_source() {
    let (events, taken) = bus().await;
    assert_eq!(send(&events, &[envelope(&json!({ "a": "\"é\"" }))]).await, ["taken"]);
    let taken = taken.lock().unwrap();
    assert_eq!(
        taken[0]["Entries"][0],
        json!({
            "Time": 1_768_478_405, "Source": "carillon.chime", "DetailType": "Chime", "EventBusName": BUS,
            "Detail": json!({ "a": "\"é\"" }).to_string(),
        })
    );
}

#[tokio::test]
async fn each_entry_is_taken_or_not_by_itself_and_what_is_wrong_is_never_sent() {
    let (events, taken) = bus().await;
    let code = |code: &str| envelope(&json!({ "code": code }));
    let long = "x".repeat(ENTRIES_BYTES_MAX);
    let sent = [
        envelope(&json!({})),
        code("ThrottlingException"),
        code("MalformedDetail"),
        code("InternalFailure"),
        envelope(&json!("no object")),
        envelope(&json!({ "long": long })),
        "nothing".to_owned(),
        envelope(&json!({})),
    ];
    let became = send(&events, &sent).await;
    assert_eq!(became, ["taken", "later", "never", "later", "never", "never", "never", "taken"]);
    let taken = taken.lock().unwrap();
    let sizes: Vec<_> = taken.iter().map(|body| body["Entries"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [4, 1]);
}

#[tokio::test]
async fn a_call_has_ten_entries_at_most_and_no_more_bytes_than_the_bus_takes() {
    let (events, taken) = bus().await;
    let small: Vec<_> = (0..12).map(|number| envelope(&json!({ "n": number }))).collect();
    let large: Vec<_> = (0..3).map(|_| envelope(&json!({ "long": "x".repeat(100_000) }))).collect();
    assert_eq!(send(&events, &[small, large].concat()).await, ["taken"; 15]);
    let taken = taken.lock().unwrap();
    let sizes: Vec<_> = taken.iter().map(|body| body["Entries"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [10, 4, 1]);
}
