//! Requests that are signed as every AWS SDK signs them.

use std::net::SocketAddr;

use carillon_auth::{Secret, SignedRequest, Signer, presign, sign};
use carillon_model::Timestamp;

use crate::Result;
use crate::wire::http;

/// The region of every measurement.
const REGION: &str = "us-east-1";
/// The signing name of both interfaces.
const SERVICE: &str = "chime";
/// How long the address of a socket is good for.
const EXPIRES_S: u32 = 300;

/// Who signs, and to whom.
#[derive(Clone)]
pub(crate) struct Key {
    /// The access key.
    pub(crate) id: String,
    /// Its secret.
    pub(crate) secret: String,
    /// The server.
    pub(crate) address: SocketAddr,
}

/// One request, before it is signed.
pub(crate) struct Call<'a> {
    /// Where, encoded.
    pub(crate) path: &'a str,
    /// The query, encoded.
    pub(crate) query: &'a str,
    /// In whose name.
    pub(crate) bearer: Option<&'a str>,
    /// JSON.
    pub(crate) body: &'a str,
}

impl Key {
    /// The bytes of a POST.
    pub(crate) fn post(&self, call: &Call<'_>) -> Result<Vec<u8>> {
        let (now_ms, host) = (crate::now_ms(), self.address.to_string());
        let date = basic_date(now_ms);
        let mut headers = vec![("host", host.as_str()), ("x-amz-date", &date)];
        headers.extend(call.bearer.map(|bearer| ("x-amz-chime-bearer", bearer)));
        let secret = Secret::new(self.secret.clone());
        let request = SignedRequest {
            method: "POST",
            path: call.path,
            query: call.query,
            headers: &headers,
            body: call.body.as_bytes(),
        };
        let authorization =
            sign(&request, &self.signer(&secret), now_ms).map_err(|_| "a request cannot be signed")?;
        headers.push(("authorization", &authorization));
        let target = if call.query.is_empty() {
            call.path.to_owned()
        } else {
            format!("{}?{}", call.path, call.query)
        };
        Ok(http::request("POST", &target, &host, &headers[1..], call.body.as_bytes()))
    }

    /// The bytes of a user's request for a socket.
    pub(crate) fn connect(&self, user: &str) -> Result<Vec<u8>> {
        let host = self.address.to_string();
        let query = format!("sessionId=peers&userArn={}", encoded(user));
        let headers = [("host", host.as_str())];
        let secret = Secret::new(self.secret.clone());
        let request =
            SignedRequest { method: "GET", path: "/connect", query: &query, headers: &headers, body: b"" };
        let query = presign(&request, &self.signer(&secret), crate::now_ms(), EXPIRES_S)
            .map_err(|_| "the address of a socket cannot be signed")?;
        Ok(http::upgrade_request(&format!("/connect?{query}"), &host))
    }

    fn signer<'a>(&'a self, secret: &'a Secret) -> Signer<'a> {
        Signer { access_key_id: &self.id, secret, session_token: None, region: REGION, service: SERVICE }
    }
}

/// An ARN in a path or a query.
pub(crate) fn encoded(arn: &str) -> String {
    arn.replace(':', "%3A").replace('/', "%2F")
}

/// `20260115T120000Z`, as a signature dates itself.
fn basic_date(ms: i64) -> String {
    let iso = Timestamp::from_ms(ms).to_string();
    let seconds = iso.split('.').next().unwrap_or_default();
    seconds.chars().filter(char::is_ascii_alphanumeric).chain(['Z']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_bears_its_signature() {
        let (id, secret) = ("AKIAEXAMPLE".to_owned(), "secret".to_owned());
        let key = Key { id, secret, address: "127.0.0.1:9".parse().unwrap() };
        let call = Call { path: "/channels", query: "", bearer: Some("arn:x"), body: "{}" };
        let text = String::from_utf8(key.post(&call).unwrap()).unwrap();
        assert!(
            text.starts_with("POST /channels HTTP/1.1\r\nhost: 127.0.0.1:9\r\ncontent-length: 2\r\n"),
            "{text}"
        );
        assert!(text.contains("authorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/"), "{text}");
        assert!(text.contains("SignedHeaders=host;x-amz-chime-bearer;x-amz-date,"), "{text}");
        assert_eq!(basic_date(1_768_478_403_070), "20260115T120003Z");
    }
}
