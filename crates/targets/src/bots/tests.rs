use std::io::Write as _;
use std::sync::Mutex;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carillon_model::channel_flow::{Failure, Reason};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

const NOW: Timestamp = Timestamp::from_ms(1_768_478_400_000);
const ALIAS: &str = "arn:aws:lex:us-east-1:000000000000:bot-alias/ABCDE12345/TSTALIASID";
const CHAT: &str = "arn:aws:lex:us-east-1:000000000000:bot-alias/CHATCHAT00/TSTALIASID";

type Called = Arc<Mutex<Vec<(String, Value)>>>;

/// Programs at a server that gives the answer that a test made.
async fn programs(
    status: u16,
    headers: &'static [(&'static str, String)],
    body: String,
) -> (Programs, Called) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let calls = Called::default();
    let noted = calls.clone();
    let answer = move |uri: Uri, _: HeaderMap, sent: Bytes| {
        noted.lock().unwrap().push((uri.path().to_owned(), serde_json::from_slice(&sent).unwrap()));
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, value.as_str());
        }
        let response = response.body(Body::from(body.clone())).unwrap();
        async move { response }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    let chat = Chat::new(&url, "small".to_owned(), Some("key".to_owned()), Some("Be brief.".to_owned()), 20);
    let named = HashMap::from([(CHAT.to_owned(), Program::Chat(chat.unwrap()))]);
    let http = reqwest::Client::new();
    (Programs::new(named, http, Arc::new(Aws::played(&url))), calls)
}

fn question<'a>(alias: &'a str, asked: Asked<'a>) -> Question<'a> {
    Question { bot: "arn:bot", alias, locale: "en_US", channel: "arn:channel", asked }
}

fn answer(is_private: bool) -> Asked<'static> {
    Asked::Answer { text: "Book", message: "m1", sender: "arn:ana", is_private }
}

fn packed(json: &Value) -> String {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(json.to_string().as_bytes()).unwrap();
    STANDARD.encode(gzip.finish().unwrap())
}

#[tokio::test]
async fn lex_is_asked_by_its_ids_and_read_as_it_spells_things() {
    let body = json!({
        "messages": [
            { "content": "For which day?", "contentType": "PlainText" },
            {
                "contentType": "ImageResponseCard",
                "imageResponseCard": { "title": "Pick", "buttons": [{ "text": "Today", "value": "today" }] },
            },
        ],
        "sessionState": { "intent": { "name": "BookRoom", "state": "InProgress", "slots": {} } },
        "sessionId": "s1",
    });
    let (programs, calls) = programs(200, &[], body.to_string()).await;
    let reply = programs.ask(&question(ALIAS, answer(false)), Vec::new(), NOW).await.unwrap();
    assert_eq!(
        serde_json::to_value(&reply.messages).unwrap(),
        json!([
            { "Content": "For which day?", "ContentType": "PlainText" },
            {
                "ContentType": "ImageResponseCard",
                "ImageResponseCard": { "Title": "Pick", "Buttons": [{ "Text": "Today", "Value": "today" }] },
            },
        ])
    );
    assert_eq!(
        (reply.intent.unwrap().name.as_deref(), reply.session.as_deref()),
        (Some("BookRoom"), Some("s1"))
    );
    let (path, sent) = calls.lock().unwrap().pop().unwrap();
    let session = session(&question(ALIAS, answer(false)));
    let due = format!("/v1/bots/ABCDE12345/botAliases/TSTALIASID/botLocales/en_US/sessions/{session}/text");
    assert_eq!(path, due);
    assert_eq!(
        sent,
        json!({
            "text": "Book",
            "requestAttributes": { "CHIME.channel.arn": "arn:channel", "CHIME.sender.arn": "arn:ana" },
            "sessionState": { "originatingRequestId": "m1" },
        })
    );
}

#[tokio::test]
async fn a_welcome_is_read_from_headers() {
    let state = json!({ "intent": { "name": "Welcome", "state": "Fulfilled" } });
    let messages = json!([{ "content": "Good day", "contentType": "PlainText" }]);
    let headers = [("x-amz-lex-messages", packed(&messages)), ("x-amz-lex-session-state", packed(&state))];
    let (programs, calls) = programs(200, Box::leak(Box::new(headers)), String::new()).await;
    let reply = programs.ask(&question(ALIAS, Asked::Welcome("Welcome")), Vec::new(), NOW).await.unwrap();
    assert_eq!(reply.messages, [Saying::plain("Good day".to_owned())]);
    assert_eq!(reply.intent.unwrap().state.as_deref(), Some("Fulfilled"));
    let (path, sent) = calls.lock().unwrap().pop().unwrap();
    assert!(path.ends_with(&session(&question(ALIAS, answer(false)))), "the conversation with all: {path}");
    assert_eq!(sent["requestAttributes"], json!({ "CHIME.channel.arn": "arn:channel" }));
    assert_eq!(sent["sessionState"]["intent"]["name"], "Welcome");
}

#[tokio::test]
async fn nonsense_is_a_failure_that_may_pass() {
    let refused = Failure { reason: Reason::Refused, permanent: false };
    let (text, _) = programs(200, &[], "<html>".to_owned()).await;
    for alias in [ALIAS, CHAT] {
        assert_eq!(
            text.ask(&question(alias, answer(false)), Vec::new(), NOW).await.unwrap_err().failure,
            refused
        );
    }
    let welcome = question(ALIAS, Asked::Welcome("Welcome"));
    for header in ["%", "AAAA", &packed(&json!("no list")), &packed(&json!("x".repeat(2 * 1024 * 1024)))] {
        let headers = Box::leak(Box::new([("x-amz-lex-messages", header.to_owned())]));
        let (programs, _) = programs(200, headers, String::new()).await;
        assert_eq!(programs.ask(&welcome, Vec::new(), NOW).await.unwrap_err().failure, refused, "{header}");
    }
    let (empty, _) = programs(200, &[], "{}".to_owned()).await;
    assert!(empty.ask(&question(ALIAS, answer(false)), Vec::new(), NOW).await.unwrap().messages.is_empty());
    assert!(empty.ask(&question(CHAT, answer(false)), Vec::new(), NOW).await.is_err());
}

#[tokio::test]
async fn a_model_gets_its_instructions_and_the_conversation() {
    let body = json!({ "choices": [{ "message": { "role": "assistant", "content": "Gladly." } }] });
    let (programs, calls) = programs(200, &[], body.to_string()).await;
    let history =
        vec![Turn::of_other("Hi".into()), Turn::of_bot("Hello".into()), Turn::of_other("Book".into())];
    let reply = programs.ask(&question(CHAT, answer(false)), history, NOW).await.unwrap();
    assert_eq!(reply.messages, [Saying::plain("Gladly.".to_owned())]);
    let (path, sent) = calls.lock().unwrap().pop().unwrap();
    assert_eq!((path.as_str(), &sent["model"]), ("/v1/chat/completions", &json!("small")));
    let role = |role: &str, content: &str| json!({ "role": role, "content": content });
    let due =
        [role("system", "Be brief."), role("user", "Hi"), role("assistant", "Hello"), role("user", "Book")];
    assert_eq!(sent["messages"], json!(due));
}

#[test]
fn a_conversation_in_private_is_each_askers_own() {
    let of = |asked| session(&question(ALIAS, asked));
    let other = Asked::Answer { text: "", message: "m2", sender: "arn:bob", is_private: true };
    assert_eq!(of(answer(false)), of(Asked::Welcome("Welcome")));
    assert_ne!(of(answer(false)), of(answer(true)));
    assert_ne!(of(answer(true)), of(other));
    assert!(of(other).bytes().all(|byte| byte.is_ascii_hexdigit()) && of(other).len() == 64);
}
