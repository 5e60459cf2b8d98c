//! The letters of our headers' names. HTTP knows no case there, but some clients look names up by their letters
//! alone: the AWS SDK for Android asks for `x-amzn-ErrorType` and `Date` and finds nothing else.
//!
//! hyper writes names in lower case or in title case, which is `X-Amzn-Errortype`. A third way it keeps for proxies:
//! what it read with `preserve_header_case` carries the letters that came, as an extension whose type is private,
//! and a message with that extension is written in those letters. So a request that has our names is read once,
//! from memory, and its extensions go with every answer. `docs/decisions/0080-letters-of-headers.md` says why so.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use futures_util::FutureExt as _;
use http::{Extensions, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

/// The names that title case does not spell as their readers do, in a request. All others are in title case.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: carillon\r\nConnection: close\r\n\
    x-amzn-ErrorType: 1\r\nx-amzn-RequestId: 1\r\nx-amz-retry-after: 1\r\nSec-WebSocket-Accept: 1\r\n\r\n";

/// What an answer must carry to be written in our letters.
#[derive(Clone)]
pub(crate) struct Letters(Extensions);

impl Letters {
    /// Learns the letters. Nothing is waited for: all that is read is there.
    pub(crate) fn learn() -> Self {
        let learned = Mutex::new(Extensions::new());
        let service = service_fn(|request: Request<Incoming>| {
            *learned.lock().unwrap_or_else(PoisonError::into_inner) = request.into_parts().0.extensions;
            std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty())))
        });
        let memory = TokioIo::new(tokio::io::join(REQUEST, tokio::io::sink()));
        let mut reader = http1::Builder::new();
        // The request is all there is: its end comes before the answer does.
        reader.preserve_header_case(true).half_close(true);
        let read = reader.serve_connection(memory, service).now_or_never();
        assert!(matches!(read, Some(Ok(()))), "a request that lies in memory is read at once: {read:?}");
        Self(learned.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same answer, to be written in our letters.
    pub(crate) fn spell<B>(&self, mut response: Response<B>) -> Response<B> {
        response.extensions_mut().extend(self.0.clone());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_takes_the_letters_with_it() {
        let letters = Letters::learn();
        assert!(!letters.0.is_empty());
        assert_eq!(letters.spell(Response::new(())).extensions().len(), letters.0.len());
    }
}
