//! Each way to be refused, with the words that reach the client.

use super::*;

fn refused(sent: &Sent, expectation: &Expectation) -> (&'static str, String) {
    let refusal = sent.verify(expectation).unwrap_err();
    (refusal.exception(), refusal.to_string())
}

#[test]
fn a_request_without_a_signature_is_told_so() {
    let sent = Sent::new("GET", "/channels", "a=b", &[("host", "h")], b"");
    assert_eq!(
        refused(&sent, &EXPECTATION),
        ("MissingAuthenticationTokenException", "Missing Authentication Token".into())
    );
}

#[test]
fn the_skew_messages_are_those_that_sdks_know() {
    // The request was signed at 12:00; five minutes either way are admitted.
    let at = |now_ms| message().verify(&Expectation { now_ms, ..EXPECTATION });
    at(NOON_MS - 300_000).unwrap();
    at(NOON_MS + 300_000).unwrap();
    let late = at(NOON_MS + 15 * 60_000).unwrap_err();
    assert_eq!(late.exception(), "InvalidSignatureException");
    assert_eq!(
        late.to_string(),
        "Signature expired: 20260115T120000Z is now earlier than 20260115T121000Z (20260115T121500Z - 5 min.)"
    );
    let early = at(NOON_MS - 15 * 60_000).unwrap_err();
    assert_eq!(
        early.to_string(),
        "Signature not yet current: 20260115T120000Z is still later than 20260115T115000Z (20260115T114500Z + 5 min.)"
    );
}

#[test]
fn another_scope_is_told_what_is_expected() {
    let sent = message();
    let region = Expectation { region: "eu-west-1", ..EXPECTATION };
    assert_eq!(refused(&sent, &region).1, "Credential should be scoped to region 'eu-west-1'.");
    let services = Expectation { services: &["sts", "iam"], ..EXPECTATION };
    assert_eq!(refused(&sent, &services).1, "Credential should be scoped to service 'sts' or 'iam'.");
    let mut yesterday = message();
    *yesterday.header_mut("authorization") =
        yesterday.header_mut("authorization").replace("20260115", "20260114");
    assert_eq!(
        refused(&yesterday, &EXPECTATION).1,
        "Date in Credential scope does not match the date of the request: it should be '20260115', from \
         '20260115T120000Z'."
    );
}

#[test]
fn unknown_key_expired_token_and_wrong_secret_are_three_answers() {
    let sent = message();
    let answer = |secret: Result<Secret, NoSecret>| {
        let credentials = move |_: &str, _: Option<&str>| secret.clone();
        let refusal =
            sent.view(|request| Verifier::new().verify(request, &EXPECTATION, &credentials)).unwrap_err();
        (refusal.exception(), refusal.to_string())
    };
    assert_eq!(
        answer(Err(NoSecret::Unknown)),
        ("UnrecognizedClientException", "The security token included in the request is invalid.".into())
    );
    assert_eq!(
        answer(Err(NoSecret::Expired)),
        ("ExpiredTokenException", "The security token included in the request is expired".into())
    );
    assert_eq!(
        answer(Ok(Secret::new("another".to_owned()))),
        (
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
             Access Key and signing method. Consult the service documentation for details."
                .into()
        )
    );
}

#[test]
fn a_replaced_secret_takes_effect_at_once() {
    let (sent, verifier) = (message(), Verifier::new());
    let verify = |secret: &str| {
        let secret = Secret::new(secret.to_owned());
        let credentials = move |_: &str, _: Option<&str>| Ok(secret.clone());
        sent.view(|request| verifier.verify(request, &EXPECTATION, &credentials))
    };
    for _ in 0..3 {
        verify(SECRET).unwrap();
        assert_eq!(verify("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEX"), Err(Refusal::mismatch()));
    }
}

#[test]
fn what_could_mean_two_things_is_refused() {
    for name in ["authorization", "x-amz-date", "x-amz-security-token"] {
        let mut sent = message();
        sent.headers.extend([(name.to_owned(), "1".to_owned()), (name.to_owned(), "2".to_owned())]);
        assert_eq!(refused(&sent, &EXPECTATION).1, format!("Header '{name}' may be given only once."));
    }
    let both = Sent { query: "X-Amz-Signature=1".to_owned(), ..message() };
    assert!(refused(&both, &EXPECTATION).1.contains("not in both"));
}

#[test]
fn authorization_may_stand_with_or_without_spaces() {
    let mut sent = message();
    *sent.header_mut("authorization") = sent.header_mut("authorization").replace(", ", ",");
    sent.verify(&EXPECTATION).unwrap();
    *sent.header_mut("authorization") = sent.header_mut("authorization").replace(',', "\t , ");
    sent.verify(&EXPECTATION).unwrap();
}

#[test]
fn a_malformed_authorization_is_told_what_is_missing() {
    for (old, new, message_part) in [
        ("AWS4-HMAC-SHA256 ", "Bearer ", "requires the algorithm 'AWS4-HMAC-SHA256'"),
        ("Credential=", "Credentials=", "unknown or repeated parameter"),
        ("Signature=", "Credential=", "unknown or repeated parameter"),
        ("/chime/", "/", "exactly 5 slash-delimited elements"),
        ("aws4_request", "aws5_request", "valid terminator: 'aws4_request'"),
        ("AKIDEXAMPLE", "", "begin with an access key id"),
        ("content-type;host", "host;content-type", "in lower case, in order, each name once"),
        ("content-type;host", "Host", "in lower case, in order, each name once"),
        ("content-type;host", "content-type", "'Host' must be a 'SignedHeader'"),
        ("content-type;host", "host;host", "in lower case, in order, each name once"),
        ("SignedHeaders=", "SignedHeaders=absent;", "'absent' is a 'SignedHeader' but was not received"),
    ] {
        let mut sent = message();
        let authorization = sent.header_mut("authorization");
        *authorization = authorization.replace(old, new);
        let (exception, message) = refused(&sent, &EXPECTATION);
        assert_eq!(exception, "InvalidSignatureException");
        assert!(message.contains(message_part), "{message}");
    }
}

#[test]
fn every_bound_is_kept() {
    let long = "x".repeat(TARGET_BYTES_MAX + 1);
    let names: Vec<_> = (0..=SIGNED_HEADERS_MAX).map(|n| format!("a{n:03}")).collect();
    let sent = message();
    let with_names = {
        let mut sent = sent.clone();
        let authorization = sent.header_mut("authorization");
        *authorization = authorization.replace("content-type", &names.join(";"));
        sent
    };
    for (hostile, part) in [
        (Sent { path: long.clone(), ..sent.clone() }, "Path and query"),
        (Sent { query: long.clone(), ..sent.clone() }, "Path and query"),
        (Sent { query: "a&".repeat(QUERY_PARAMETERS_MAX + 1), ..sent.clone() }, "at most 128 parameters"),
        (Sent { headers: vec![("a".to_owned(), long)], ..sent.clone() }, "A header may have"),
        (
            Sent { headers: vec![("a".to_owned(), String::new()); HEADERS_MAX + 1], ..sent },
            "at most 128 headers",
        ),
        (with_names, "At most 64 headers may be signed"),
    ] {
        let (exception, message) = refused(&hostile, &EXPECTATION);
        assert_eq!(exception, "InvalidSignatureException");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn dates_are_read_in_both_forms_only() {
    use crate::sigv4::time::SignedAt;
    for text in ["20260115T120000Z", "Thu, 15 Jan 2026 12:00:00 GMT", "Thu, 15 Jan 2026 12:00:00 +0000"] {
        assert_eq!(SignedAt::parse_date(text), Some(SignedAt::from_ms(NOON_MS)), "{text}");
    }
    for text in [
        "",
        "20260115T120000",
        "20260230T120000Z",
        "20260115T250000Z",
        "2026011-T120000Z",
        "+0260115T120000Z",
    ] {
        assert_eq!(SignedAt::parse_date(text), None, "{text}");
    }
}

#[test]
fn secrets_are_never_printed() {
    let secret = Secret::new(SECRET.to_owned());
    let key = SigningKey::derive(&secret, "20260115", "us-east-1", "chime");
    assert_eq!(format!("{secret:?} {key:?}"), "Secret(…) SigningKey(…)");
}
