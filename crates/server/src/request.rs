//! Requests of our own making: signed as any client's, for the demo and for load.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use carillon_auth::{SignedRequest, Signer, SigningKey, sign_with};
use carillon_model::Timestamp;
use carillon_service::operation::Outgoing;
use http::Request;

use crate::credentials::RootKey;

/// The signing name of both interfaces.
pub const SIGNING_NAME: &str = "chime";

/// How long a signing key is good for.
const DAY_MS: i64 = 86_400_000;

/// Who signs, and for which region.
pub struct Author<'a> {
    key: &'a RootKey,
    region: &'a str,
    host: &'a str,
    /// The key of a day, and which day that is.
    today: Mutex<Option<(i64, SigningKey)>>,
}

impl<'a> Author<'a> {
    /// Signs with a key, for a region, what goes to a host.
    pub fn new(key: &'a RootKey, region: &'a str, host: &'a str) -> Self {
        Self { key, region, host, today: Mutex::default() }
    }

    /// The request, signed at this time.
    pub fn sign(&self, outgoing: &Outgoing, now: Timestamp) -> Request<Bytes> {
        let body = outgoing.body();
        let (method, target) = (&outgoing.method, target(outgoing));
        let mut request = Request::builder().method(method).uri(&*target);
        for (name, value) in self.headers(outgoing, &body, now) {
            request = request.header(name, &*value);
        }
        let request = request.body(Bytes::from(body));
        request.expect("encoded paths and texts of ours are legal in a request")
    }

    /// The same, as it goes over a wire.
    pub fn write(&self, outgoing: &Outgoing, now: Timestamp) -> Vec<u8> {
        let body = outgoing.body();
        let (headers, length) = (self.headers(outgoing, &body, now), body.len().to_string());
        let mut request = Vec::with_capacity(1_024 + body.len());
        let first = [outgoing.method.as_str(), " ", &target(outgoing), " HTTP/1.1\r\n"];
        let lines =
            headers.iter().map(|(name, value)| (*name, &**value)).chain([("content-length", &*length)]);
        let lines = lines.flat_map(|(name, value)| [name, ": ", value, "\r\n"]);
        for part in first.into_iter().chain(lines) {
            request.extend_from_slice(part.as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(&body);
        request
    }

    /// The headers of the request, the signature among them.
    fn headers<'b>(
        &'b self,
        outgoing: &'b Outgoing,
        body: &[u8],
        now: Timestamp,
    ) -> Vec<(&'static str, Cow<'b, str>)> {
        let mut headers = vec![("host", Cow::from(self.host)), ("x-amz-date", Cow::from(basic_date(now)))];
        headers.extend(outgoing.headers.iter().map(|(name, value)| (*name, Cow::from(value))));
        let secret = self.key.secret();
        let signer = Signer {
            access_key_id: &self.key.access_key_id,
            secret: &secret,
            session_token: None,
            region: self.region,
            service: SIGNING_NAME,
        };
        let to_sign: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
        let (method, path, query) = (outgoing.method.as_str(), &outgoing.path, &outgoing.query);
        let request = SignedRequest { method, path, query, headers: &to_sign, body };
        let authorization = sign_with(&self.key_of(&signer, now.ms()), &request, &signer, now.ms());
        headers.push(("authorization", authorization.expect("requests of ours keep the limits").into()));
        headers
    }

    /// The key of the day on which this instant is, derived once a day.
    fn key_of(&self, signer: &Signer, ms: i64) -> SigningKey {
        let day = ms.div_euclid(DAY_MS);
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        match &*today {
            Some((of, key)) if *of == day => key.clone(),
            _ => today.insert((day, signer.key(ms))).1.clone(),
        }
    }
}

/// The path, and the query where there is one.
fn target(outgoing: &Outgoing) -> Cow<'_, str> {
    match outgoing.query.as_str() {
        "" => Cow::from(&outgoing.path),
        query => Cow::from(format!("{}?{query}", outgoing.path)),
    }
}

/// `20260115T120000Z`, as a signature dates itself.
pub fn basic_date(time: Timestamp) -> String {
    let iso = time.to_string();
    let seconds = iso.split('.').next().unwrap_or_default();
    seconds.chars().filter(char::is_ascii_alphanumeric).chain(['Z']).collect()
}

#[cfg(test)]
mod tests {
    use carillon_service::operation::Operation as _;
    use carillon_service::operations::identity::list_app_instances::ListAppInstances;

    use super::*;

    #[test]
    fn what_is_written_is_what_was_signed_on_every_day() {
        let root = RootKey::new("AKIATEST".to_owned(), "secret".to_owned()).unwrap();
        let author = Author::new(&root, "us-east-1", "localhost");
        let list =
            ListAppInstances { max_results: None, next_token: Some("a/b".to_owned().try_into().unwrap()) };
        for day in [0, 1, 0] {
            let now = Timestamp::from_ms(1_768_478_403_070 + day * DAY_MS);
            let (signed, written) = (author.sign(&list.encode(), now), author.write(&list.encode(), now));
            let fresh = Author::new(&root, "us-east-1", "localhost").sign(&list.encode(), now);
            assert_eq!(signed.headers(), fresh.headers());
            let written = String::from_utf8(written).unwrap();
            let (first, rest) = written.split_once("\r\n").unwrap();
            assert_eq!(first, format!("GET {} HTTP/1.1", signed.uri()));
            for (name, value) in signed.headers() {
                let line = format!("{name}: {}\r\n", value.to_str().unwrap());
                assert!(rest.contains(&line), "{line} is not in {rest}");
            }
            assert!(rest.ends_with("content-length: 0\r\n\r\n"));
        }
    }

    #[test]
    fn a_date_is_written_as_signatures_write_it() {
        assert_eq!(basic_date(Timestamp::from_ms(1_768_478_403_070)), "20260115T120003Z");
    }
}
