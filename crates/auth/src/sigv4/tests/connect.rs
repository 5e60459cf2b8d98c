//! `/connect` as amazon-chime-sdk-js 3.32.0 signs it: the worked vector of the specification, and its
//! neighbours.

use super::*;
use crate::sigv4::query::Query;

const QUERY: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=AKIDEXAMPLE%2F20260115%2Fus-east-1%2Fchime%2Faws4_request\
    &X-Amz-Date=20260115T120000Z&X-Amz-Expires=10&X-Amz-Security-Token=FwoG%2Fexample%2Btoken%3D%3D\
    &X-Amz-SignedHeaders=host&X-Amzn-User-Agent=chrome-138&X-Amzn-Version=3.32.0&prefetch-on=connect\
    &prefetch-sort-by=unread&sessionId=3f1c2a5e-1111-4222-8333-abcdefabcdef\
    &userArn=arn%3Aaws%3Achime%3Aus-east-1%3A111122223333%3Aapp-instance%2F8d1e2f30-aaaa-4bbb-8ccc-000000000001\
    %2Fuser%2Fus-east-1%3A7b0c5a52-1234-4abc-9def-0123456789ab\
    &X-Amz-Signature=8f693f16b47a3471a172d3a3a8d1a59a0ca159746ebbc92fc3689a4526dfe709";

fn connect() -> Sent {
    Sent::new("GET", "/connect", QUERY, &[("host", "ws.chat.example.test:8443")], b"")
}

/// Every text that differs from `text` in one byte, out of a few bytes that matter to a parser.
fn mutations(text: &str) -> impl Iterator<Item = String> + '_ {
    (0..text.len()).flat_map(move |at| {
        let old = text.as_bytes()[at];
        [old ^ 1, old ^ 0x20, b'%', b'&', b'+', b'0']
            .into_iter()
            .filter(move |new| *new != old && new.is_ascii())
            .map(move |new| {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = new;
                String::from_utf8(bytes).unwrap()
            })
    })
}

/// What a query says, however it is encoded.
fn meaning(query: &str) -> Option<(Vec<u8>, Option<String>)> {
    let query = Query::parse(query).ok()?;
    let mut canonical = Vec::new();
    query.push_canonical(&mut canonical);
    Some((canonical, query.find("X-Amz-Signature").ok()?))
}

#[test]
fn the_worked_vector_is_accepted() {
    let verified = connect().verify(&EXPECTATION).unwrap();
    assert_eq!(verified.session_token.as_deref(), Some(TOKEN));
    assert_eq!(verified.signed_at_ms, NOON_MS);
}

#[test]
fn the_worked_vector_in_other_clothes_is_accepted() {
    let mut sent = connect();
    sent.query = QUERY.replace("%2F", "/").replace("%3A", "%3a");
    let (first, rest) = sent.query.split_once('&').unwrap();
    sent.query = format!("{rest}&{first}");
    *sent.header_mut("host") = " WS.chat.Example.test:8443".to_owned();
    sent.verify(&EXPECTATION).unwrap();
}

#[test]
fn every_mutation_of_one_byte_is_refused() {
    let verifier = Verifier::new();
    let verify = |sent: &Sent| {
        sent.view(|request| verifier.verify(request, &EXPECTATION, &one_key))
            .map(|verified| (verified, sent.clone()))
    };
    let signed = connect();
    let mut refused = 0;
    for query in mutations(QUERY).filter(|query| meaning(query) != meaning(QUERY)) {
        verify(&Sent { query, ..signed.clone() }).unwrap_err();
        refused += 1;
    }
    for path in mutations("/connect") {
        verify(&Sent { path, ..signed.clone() }).unwrap_err();
    }
    for method in mutations("GET") {
        verify(&Sent { method, ..signed.clone() }).unwrap_err();
    }
    let host = "ws.chat.example.test:8443";
    for other in mutations(host).filter(|other| !other.eq_ignore_ascii_case(host)) {
        verify(&Sent { headers: vec![("host".to_owned(), other)], ..signed.clone() }).unwrap_err();
    }
    verify(&Sent { body: b"x".to_vec(), ..signed.clone() }).unwrap_err();
    assert!(3000 < refused, "{refused}");
}

#[test]
fn a_client_that_signs_its_own_encoding_is_accepted() {
    // Android's form encoder and JavaScript's encodeURIComponent leave what RFC 3986 wants encoded.
    let secret = Secret::new(SECRET.to_owned());
    let mut sent = connect();
    let bare = QUERY.rsplit_once('&').unwrap().0.replace("chrome-138", "it's+(new)!*");
    let signed_at = time::SignedAt::from_ms(NOON_MS);
    sent.query.clone_from(&bare);
    let signature = sent.view(|request| {
        let query = Query::parse(&bare).unwrap();
        let hash = canonical::Canonical::new(request, &query, "host")
            .hash(canonical::QueryReading::Raw, canonical::HostReading::AsSent)
            .unwrap();
        let key = SigningKey::derive(&secret, "20260115", "us-east-1", "chime");
        encoding::hex(&key.sign(&signed_at, "20260115/us-east-1/chime/aws4_request", &hash))
    });
    sent.query = format!("{bare}&X-Amz-Signature={}", str::from_utf8(&signature).unwrap());
    sent.verify(&EXPECTATION).unwrap();
    sent.query = sent.query.replace("it's", "its");
    assert_eq!(sent.verify(&EXPECTATION), Err(Refusal::mismatch()));
}

#[test]
fn a_presigned_request_lives_from_five_minutes_before_until_the_allowance() {
    let at = |offset_ms| connect().verify(&Expectation { now_ms: NOON_MS + offset_ms, ..EXPECTATION });
    for good in [-300_000, 0, 10_000, 70_000] {
        at(good).unwrap();
    }
    assert_eq!(
        at(-300_001).unwrap_err().to_string(),
        "Signature not yet current: 20260115T120000Z is still later than 20260115T115959Z (20260115T115459Z + 5 min.)"
    );
    assert_eq!(
        at(70_001).unwrap_err().to_string(),
        "Signature expired: 20260115T120000Z is now earlier than 20260115T120000Z (20260115T120110Z - 70 s.)"
    );
}

#[test]
fn an_odd_parameter_is_refused_by_name() {
    for (old, new, message) in [
        ("X-Amz-Expires=10", "X-Amz-Expires=0", "'X-Amz-Expires' must be from 1 to 604800 seconds."),
        ("X-Amz-Expires=10", "X-Amz-Expires=604801", "'X-Amz-Expires' must be from 1 to 604800 seconds."),
        ("X-Amz-Expires=10", "X-Amz-Expires=%2B10", "'X-Amz-Expires' must be from 1 to 604800 seconds."),
        ("X-Amz-Expires=10&", "", "A presigned request requires 'X-Amz-Expires' in its query."),
        ("HMAC-SHA256", "ECDSA-P256-SHA256", "'X-Amz-Algorithm' must be 'AWS4-HMAC-SHA256'."),
        ("X-Amz-Date=", "X-Amz-Date=1&X-Amz-Date=", "Query parameter 'X-Amz-Date' may be given only once."),
        ("Token=F", "Token=%FF", "Query parameter 'X-Amz-Security-Token' must be UTF-8."),
        ("Headers=host", "Headers=x-a", "'Host' must be a 'SignedHeader'."),
        ("Headers=host", "Headers=host%3Bx-a", "'x-a' is a 'SignedHeader' but was not received."),
    ] {
        let mut sent = connect();
        sent.query = sent.query.replace(old, new);
        let refusal = sent.verify(&EXPECTATION).unwrap_err();
        assert_eq!(
            (refusal.exception(), refusal.to_string().as_str()),
            ("InvalidSignatureException", message)
        );
    }
}
