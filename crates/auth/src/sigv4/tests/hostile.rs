//! Nothing that a stranger sends may panic, and nothing of it is accepted.

use proptest::prelude::*;

use super::*;

#[test]
fn every_prefix_of_an_authorization_is_refused() {
    let authorization = message().header_mut("authorization").clone();
    for end in 0..authorization.len() {
        let mut sent = message();
        authorization[..end].clone_into(sent.header_mut("authorization"));
        sent.verify(&EXPECTATION).unwrap_err();
    }
}

#[test]
fn no_clock_is_too_strange() {
    for now_ms in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
        let expectation = Expectation { now_ms, late_allowance_ms: i64::MAX, ..EXPECTATION };
        message().verify(&expectation).unwrap_err();
    }
}

/// Texts that come near to what the parsers look for.
fn crooked() -> impl Strategy<Value = String> {
    let scrap = prop_oneof![
        Just("AWS4-HMAC-SHA256 "),
        Just("Credential=AKIDEXAMPLE/20260115/us-east-1/chime/aws4_request"),
        Just("SignedHeaders=host"),
        Just("Signature="),
        Just("X-Amz-Signature="),
        Just("X-Amz-Algorithm=AWS4-HMAC-SHA256"),
        Just("X-Amz-Date=20260115T120000Z"),
        Just("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        Just(","),
        Just(";"),
        Just("&"),
        Just("/"),
        Just("/.."),
        Just("="),
        Just("%"),
        Just("%C3"),
        Just("+"),
        Just(" "),
        Just("é"),
    ];
    prop_oneof![any::<String>(), proptest::collection::vec(scrap, 0..12).prop_map(|scraps| scraps.concat())]
}

/// What looks like a date in either form, and what does not.
const DATES: &str = "[0-9]{8}T[0-9]{6}Z|\\PC{0,40}|\
    [A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} (GMT|[+-][0-9]{4})";

proptest! {
    #[test]
    fn crooked_texts_are_refused(
        method in any::<String>(),
        (path, query) in (crooked(), crooked()),
        (authorization, date, token) in (proptest::option::of(crooked()), crooked(), any::<String>()),
        body in any::<Vec<u8>>(),
    ) {
        let headers = [("host", "h"), ("x-amz-date", date.as_str()), ("x-amz-security-token", token.as_str())];
        let mut sent = Sent::new(&method, &path, &query, &headers, &body);
        if let Some(authorization) = authorization {
            sent.headers.push(("authorization".to_owned(), authorization));
        }
        prop_assert!(sent.verify(&EXPECTATION).is_err());
    }

    #[test]
    fn crooked_parts_around_a_good_signature_are_refused(
        path in crooked(), query in crooked(), host in any::<String>()
    ) {
        let mut sent = Sent { path, query, ..message() };
        *sent.header_mut("host") = host;
        prop_assert!(sent.verify(&EXPECTATION).is_err());
    }

    #[test]
    fn any_date_is_read_or_not(text in DATES) {
        let _ = crate::sigv4::time::SignedAt::parse_date(&text);
    }
}
