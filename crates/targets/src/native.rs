//! A function behind plain HTTP: the same JSON, posted, with a signature that only the two sides can make.

use std::fmt;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use carillon_model::Timestamp;
use carillon_model::channel_flow::{Failure, Reason};
use data_encoding::HEXLOWER;
use reqwest::{Client, RequestBuilder, StatusCode, Url};

use crate::trace;

/// When the call was made, in seconds since 1970; part of what is signed, so that a call cannot be replayed later.
const TIMESTAMP_HEADER: &str = "x-carillon-timestamp";
/// `v1=` and, in hexadecimal, the HMAC-SHA256 of the timestamp, a full stop, and the body.
const SIGNATURE_HEADER: &str = "x-carillon-signature";

/// Where a function is, and what it shares with us.
#[derive(Clone)]
pub struct Native {
    url: Url,
    secret: Option<String>,
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Native").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Native {
    /// A function at this URL; with a secret, its calls are signed.
    pub fn new(url: &str, secret: Option<String>) -> Result<Self, String> {
        let url = parse_url(url)?;
        if secret.as_deref() == Some("") {
            return Err("the secret is empty".to_owned());
        }
        Ok(Self { url, secret })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// A signed call of it, or of what is at this path below it.
    pub(crate) fn post_to(
        &self,
        http: &Client,
        path: &str,
        payload: String,
        now: Timestamp,
    ) -> RequestBuilder {
        let mut url = self.url.clone();
        if !path.is_empty() {
            url.set_path(&format!("{}{path}", self.url.path().trim_end_matches('/')));
        }
        self.post(http, url, payload, now)
    }

    fn post(&self, http: &Client, url: Url, payload: String, now: Timestamp) -> RequestBuilder {
        let mut request = http.post(url).header("content-type", "application/json");
        if let Some(secret) = &self.secret {
            let seconds = now.ms().div_euclid(1000);
            request = request
                .header(TIMESTAMP_HEADER, seconds.to_string())
                .header(SIGNATURE_HEADER, signature(secret, seconds, &payload));
        }
        if let Some(parent) = trace::parent() {
            request = request.header(trace::HEADER, parent);
        }
        request.body(payload)
    }

    pub(crate) async fn call(&self, http: &Client, payload: &str, now: Timestamp) -> Result<(), Failure> {
        match self.post(http, self.url.clone(), payload.to_owned(), now).send().await {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(refused(response.status())),
            Err(error) => {
                let reason = if error.is_timeout() { Reason::TimedOut } else { Reason::NotReachable };
                Err(Failure { reason, permanent: false })
            }
        }
    }
}

/// The URL that an operator wrote.
pub(crate) fn parse_url(url: &str) -> Result<Url, String> {
    let url: Url = url.parse().map_err(|error| format!("{url} is no URL: {error}"))?;
    if matches!(url.scheme(), "http" | "https") {
        Ok(url)
    } else {
        Err(format!("{url} is neither http nor https"))
    }
}

fn refused(status: StatusCode) -> Failure {
    let (reason, permanent) = match status.as_u16() {
        401 | 403 => (Reason::NotPermitted, true),
        404 | 410 => (Reason::NotFound, true),
        408 => (Reason::TimedOut, false),
        429 => (Reason::Throttled, false),
        300..500 => (Reason::Refused, true),
        _ => (Reason::Refused, false),
    };
    Failure { reason, permanent }
}

fn signature(secret: &str, seconds: i64, payload: &str) -> String {
    let key = Key::new(HMAC_SHA256, secret.as_bytes());
    let tag = sign(&key, format!("{seconds}.{payload}").as_bytes());
    format!("v1={}", HEXLOWER.encode(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_covers_time_and_body() {
        // Made with: printf '1768478400.{}' | openssl dgst -sha256 -hmac secret
        let known = "v1=73e822d7aed8642014f8af09001985f05859013123303138ad6d4e6a45546992";
        assert_eq!(signature("secret", 1_768_478_400, "{}"), known);
        assert_ne!(signature("secret", 1_768_478_401, "{}"), known);
        assert_ne!(signature("secret", 1_768_478_400, "{ }"), known);
    }

    #[test]
    fn what_an_operator_wrote_wrongly_is_refused_and_no_secret_is_shown() {
        for wrong in ["", "processor", "ftp://127.0.0.1/", "http://"] {
            assert!(Native::new(wrong, None).is_err(), "{wrong}");
        }
        assert!(Native::new("http://127.0.0.1/", Some(String::new())).is_err());
        let native = Native::new("http://127.0.0.1/", Some("hush".to_owned())).unwrap();
        assert!(!format!("{native:?}").contains("hush"));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (status, permanent) in
            [(302, true), (400, true), (403, true), (404, true), (429, false), (503, false)]
        {
            assert_eq!(refused(StatusCode::from_u16(status).unwrap()).permanent, permanent, "{status}");
        }
    }
}
