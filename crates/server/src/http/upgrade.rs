//! The upgrade of a request to a WebSocket (RFC 6455, section 4.2): what it must ask for, and the answer that accepts
//! it.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carillon_delivery::WebSocket;
use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

/// What is hashed behind a client's key, so that nobody answers who does not know what a WebSocket is.
const ACCEPTS: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The only version that there is.
const VERSION: &[u8] = b"13";

/// A request that asks for a WebSocket.
pub(super) struct Upgrade {
    accept: HeaderValue,
    upgraded: OnUpgrade,
}

impl Upgrade {
    /// What a request asks for, if it is that.
    pub(super) fn of(parts: &mut Parts) -> Option<Self> {
        let headers = &parts.headers;
        let asks = parts.method == Method::GET
            && says(headers, header::CONNECTION, b"upgrade")
            && says(headers, header::UPGRADE, b"websocket")
            && headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == VERSION);
        let accept = accept(headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| asks)?.as_bytes());
        Some(Self { accept, upgraded: parts.extensions.remove()? })
    }

    /// The answer that accepts it, and the socket, once that is written.
    pub(super) fn accept(self) -> (Response, impl Future<Output = hyper::Result<WebSocket>> + Send) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        (response, async { Ok(WebSocket::new(TokioIo::new(self.upgraded.await?))) })
    }
}

/// Whether one of the words of a header is this, in whatever letters.
fn says(headers: &HeaderMap, name: HeaderName, word: &[u8]) -> bool {
    let mut words =
        headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    words.any(|one| one.trim_ascii().eq_ignore_ascii_case(word))
}

fn accept(key: &[u8]) -> HeaderValue {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, ACCEPTS].concat());
    HeaderValue::try_from(STANDARD.encode(hash)).expect("base64 is letters, digits and a few signs")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_key_is_accepted_as_the_standard_says() {
        // The example of section 1.3.
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_what_asks_for_a_socket_is_upgraded() {
        let asked = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let upgrade = |method: Method, headers: &[(&'static str, &'static str)]| {
            let mut request = Request::builder().method(method);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            // A connection that can be upgraded carries this.
            let mut request = request.body(()).unwrap();
            let upgraded = hyper::upgrade::on(&mut request);
            request.extensions_mut().insert(upgraded);
            Upgrade::of(&mut request.into_parts().0).is_some()
        };
        assert!(upgrade(Method::GET, &asked));
        assert!(!upgrade(Method::POST, &asked));
        for left_out in 0..asked.len() {
            let mut some = asked.to_vec();
            some.remove(left_out);
            assert!(!upgrade(Method::GET, &some), "without {}", asked[left_out].0);
        }
        for (at, value) in [(0, "close"), (1, "h2c"), (2, "8")] {
            let mut other = asked;
            other[at].1 = value;
            assert!(!upgrade(Method::GET, &other), "{value}");
        }
    }
}
