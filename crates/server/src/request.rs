//! Requests of our own making: signed as any client's, for the demo and for load.

use bytes::Bytes;
use carillon_auth::{SignedRequest, Signer, sign};
use carillon_model::Timestamp;
use carillon_service::operation::Outgoing;
use http::Request;

use crate::credentials::RootKey;

/// The signing name of both interfaces.
pub const SIGNING_NAME: &str = "chime";

/// Who signs, and for which region.
pub struct Author<'a> {
    /// With which key.
    pub key: &'a RootKey,
    /// For which region.
    pub region: &'a str,
    /// To which host.
    pub host: &'a str,
}

impl Author<'_> {
    /// The request, signed at this time.
    pub fn sign(&self, outgoing: &Outgoing, now: Timestamp) -> Request<Bytes> {
        let (body, date) = (outgoing.body(), basic_date(now));
        let mut headers = vec![("host", self.host), ("x-amz-date", date.as_str())];
        headers.extend(outgoing.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let secret = self.key.secret();
        let signer = Signer {
            access_key_id: &self.key.access_key_id,
            secret: &secret,
            session_token: None,
            region: self.region,
            service: SIGNING_NAME,
        };
        let (method, path, query) = (outgoing.method.as_str(), &outgoing.path, &outgoing.query);
        let request = SignedRequest { method, path, query, headers: &headers, body: &body };
        let authorization = sign(&request, &signer, now.ms()).expect("requests of ours keep the limits");
        let target = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.header("authorization", authorization).body(Bytes::from(body));
        request.expect("encoded paths and texts of ours are legal in a request")
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
    use super::*;

    #[test]
    fn a_date_is_written_as_signatures_write_it() {
        assert_eq!(basic_date(Timestamp::from_ms(1_768_478_403_070)), "20260115T120003Z");
    }
}
