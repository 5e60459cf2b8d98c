//! What is answered to calls of ours: by the programs of bots, and by whatever refuses.

use carillon_targets::testing::{of_chat, of_lex, of_lex_welcome, refusal};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::Target;
use crate::outcome::note;

/// The body of an answer, read as one of Lex and of a model of language; as a header, too.
pub(super) const BOT: Target = Target {
    name: "bot",
    about: "what the programs of bots answer",
    words: "messages content contentType PlainText ImageResponseCard imageResponseCard buttons text value \
            title sessionState intent name state sessionId choices message H4sIAAAAAAAA",
    is_quick: true,
    run: bot,
};

/// A line with the status, lines of headers, an empty line, the body: of a processor, a stream, a push service.
pub(super) const REFUSAL: Target = Target {
    name: "refusal",
    about: "how processors, streams and push services refuse",
    words: "x-amzn-errortype retry-after x-amz-retry-after __type code message Message error \
            ThrottlingException ExpiredTokenException ResourceNotFoundException # :",
    is_quick: true,
    run: refused,
};

fn bot(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        headers.insert("x-amz-lex-messages", value.clone());
        headers.insert("x-amz-lex-session-state", value);
    }
    for read in [of_lex(bytes), of_chat(bytes), of_lex_welcome(&headers)] {
        match read {
            Ok(reply) => {
                let count = "m".repeat(reply.messages.len().min(4));
                note(&format!("{count} {:?}", reply.intent.is_some()));
            }
            Err(refusal) => note(&refusal.message),
        }
    }
}

fn refused(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.trim().parse().ok()).unwrap_or(500);
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let refusal = refusal(status, &headers, body.as_bytes());
    assert!(refusal.message.chars().count() <= 500 && refusal.code.chars().count() <= 500);
    note(&format!("{:?} {}", refusal.failure, refusal.retry_after.is_some()));
}
