//! The verifier against what others signed, against an oracle, and against hostile requests.

mod connect;
mod hostile;
mod oracle;
mod recorded;
mod refusals;

use super::*;

const ACCESS_KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "FwoG/example+token==";
/// 20260115T120000Z.
const NOON_MS: i64 = 1_768_478_400_000;

const EXPECTATION: Expectation =
    Expectation { region: "us-east-1", services: &["chime"], now_ms: NOON_MS, late_allowance_ms: 60_000 };

/// Knows one access key, with or without a session.
fn one_key(access_key_id: &str, _session_token: Option<&str>) -> Result<Secret, NoSecret> {
    if access_key_id == ACCESS_KEY { Ok(Secret::new(SECRET.to_owned())) } else { Err(NoSecret::Unknown) }
}

/// A request that can be changed and then looked at as a [`SignedRequest`].
#[derive(Clone, Debug)]
struct Sent {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Sent {
    fn new(method: &str, path: &str, query: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: body.to_vec(),
        }
    }

    fn view<T>(&self, look: impl FnOnce(&SignedRequest) -> T) -> T {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let Self { method, path, query, body, .. } = self;
        look(&SignedRequest { method, path, query, headers: &headers, body })
    }

    fn verify(&self, expectation: &Expectation) -> Result<Verified, Refusal> {
        self.view(|request| Verifier::new().verify(request, expectation, &one_key))
    }

    fn header_mut(&mut self, name: &str) -> &mut String {
        &mut self.headers.iter_mut().find(|header| header.0 == name).unwrap().1
    }
}

fn signer(secret: &Secret) -> Signer<'_> {
    Signer { access_key_id: ACCESS_KEY, secret, session_token: None, region: "us-east-1", service: "chime" }
}

/// A message sent at noon, signed by ourselves.
fn message() -> Sent {
    let headers = [
        ("host", "chat.example.test:8080"),
        ("x-amz-date", "20260115T120000Z"),
        ("content-type", "application/json"),
        ("x-amz-chime-bearer", "arn:aws:chime:us-east-1:111122223333:app-instance/a/user/ana"),
    ];
    let mut sent =
        Sent::new("POST", "/channels/arn%3Aaws%3Achime/messages", "", &headers, b"{\"Content\":\"hi\"}");
    let secret = Secret::new(SECRET.to_owned());
    let authorization = sent.view(|request| sign(request, &signer(&secret), NOON_MS)).unwrap();
    sent.headers.push(("authorization".to_owned(), authorization));
    sent
}

#[test]
fn what_we_sign_we_accept() {
    let verified = message().verify(&EXPECTATION).unwrap();
    assert_eq!((verified.access_key_id.as_str(), verified.signed_at_ms), (ACCESS_KEY, NOON_MS));
    assert_eq!((verified.region.as_str(), verified.service.as_str()), ("us-east-1", "chime"));
    assert_eq!(verified.session_token, None);
}

#[test]
fn what_we_presign_we_accept() {
    let secret = Secret::new(SECRET.to_owned());
    let signer = Signer { session_token: Some(TOKEN), ..signer(&secret) };
    for query in ["", "sessionId=42&userArn=arn%3Aaws"] {
        let mut sent = Sent::new("GET", "/connect", query, &[("host", "chat.example.test")], b"");
        sent.query = sent.view(|request| presign(request, &signer, NOON_MS, 10)).unwrap();
        assert_eq!(sent.verify(&EXPECTATION).unwrap().session_token.as_deref(), Some(TOKEN));
    }
}
