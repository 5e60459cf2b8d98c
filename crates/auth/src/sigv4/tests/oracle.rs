//! Random requests signed by the `aws-sigv4` crate: accepted as signed, refused after any change.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials as OracleCredentials;
use aws_sigv4::http_request::{self, SignableBody, SignableRequest, SignatureLocation, SigningSettings};
use aws_sigv4::sign::v4;
use proptest::prelude::*;

use super::*;

const HOST: &str = "chat.example.test:8080";

/// A client's request before it is signed: parts as a client would encode them.
fn unsigned() -> impl Strategy<Value = Sent> {
    let segment = "[a-zA-Z0-9._~:@!$&'()*+,;=-]{1,12}|arn%3Aaws%3Achime%3A[a-z0-9-]{1,8}%2Fuser%2F[a-z0-9]{1,8}\
        |%C3%A9[a-z]%20|\\.\\.?|";
    // A dot segment at the end is left out: the oracle keeps the slash before it, botocore and the JavaScript
    // SDK do not, and we do as they do.
    let path = proptest::collection::vec(segment, 0..6)
        .prop_map(|segments| format!("/{}", segments.join("/")))
        .prop_filter("ends in a dot segment", |path| !path.ends_with("/.") && !path.ends_with("/.."));
    let parameter = "[a-zA-Z0-9-]{1,6}(=([a-zA-Z0-9._~:/-]|%2B|%20|%3D|%2F|%C3%A9|\\+|\\*){0,12})?";
    let query = proptest::collection::vec(parameter, 0..6).prop_map(|parameters| parameters.join("&"));
    let headers =
        proptest::collection::btree_map("x-[a-z0-9]{1,8}", " {0,2}[!-~]{0,9} {0,3}[!-~]{1,9} {0,2}", 0..5);
    let body = proptest::collection::vec(any::<u8>(), 0..200);
    ("(GET|POST|PUT|DELETE)", path, query, headers, body).prop_map(|(method, path, query, headers, body)| {
        Sent { method, path, query, headers: headers.into_iter().collect(), body }
    })
}

/// Has the oracle sign, and gives the request as it would be sent.
fn signed_by_oracle(sent: &Sent, token: Option<&str>, location: SignatureLocation) -> Sent {
    let identity = OracleCredentials::new(ACCESS_KEY, SECRET, token.map(str::to_owned), None, "test").into();
    let mut settings = SigningSettings::default();
    settings.signature_location = location;
    settings.expires_in = (location == SignatureLocation::QueryParams).then(|| Duration::from_secs(10));
    let noon = SystemTime::UNIX_EPOCH + Duration::from_millis(NOON_MS.unsigned_abs());
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("chime")
        .time(noon)
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let mut target = format!("http://{HOST}{}", sent.path);
    if !sent.query.is_empty() {
        target = format!("{target}?{}", sent.query);
    }
    let headers = sent.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let signable =
        SignableRequest::new(&sent.method, &target, headers, SignableBody::Bytes(&sent.body)).unwrap();
    let (instructions, _) = http_request::sign(signable, &parameters).unwrap().into_parts();
    let mut request = http::Request::builder().method(sent.method.as_str()).uri(&target).body(()).unwrap();
    instructions.apply_to_request_http1x(&mut request);
    let mut signed = sent.clone();
    signed.query = request.uri().query().unwrap_or_default().to_owned();
    signed.headers.push(("host".to_owned(), HOST.to_owned()));
    for (name, value) in request.headers() {
        signed.headers.push((name.as_str().to_owned(), value.to_str().unwrap().to_owned()));
    }
    signed
}

/// Changes one part that the signature covers.
fn tamper(signed: &mut Sent, part: u8) {
    match part {
        0 => signed.method.push('X'),
        1 => signed.path.push_str("x/y"),
        2 => signed.query.push_str("&zz"),
        3 => signed.body.push(0),
        4 => signed.header_mut("host").push('1'),
        _ => {
            // A header of the client's own if there is one; they stand first.
            signed.headers[0].1.push('!');
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_the_oracle_signs_is_accepted_until_it_is_changed(
        sent in unsigned(),
        token in proptest::option::of(Just(TOKEN)),
        in_query: bool,
        part in 0_u8..6,
    ) {
        let location = if in_query { SignatureLocation::QueryParams } else { SignatureLocation::Headers };
        let mut signed = signed_by_oracle(&sent, token, location);
        let verified = signed.verify(&EXPECTATION).unwrap();
        prop_assert_eq!(verified.session_token.as_deref(), token);
        tamper(&mut signed, part);
        prop_assert!(signed.verify(&EXPECTATION).is_err());
    }
}
