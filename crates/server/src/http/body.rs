//! The body of a request: whole, under a limit, in time. It is not read before somebody asks for it.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use carillon_service::dispatch::{BODY_BYTES_MAX, NoBody};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;

/// How long a body may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a body that nobody wants is still taken off the wire, and thrown away: a client that only
/// writes would otherwise never see why the connection went away.
const DISCARD_BYTES_MAX: usize = 8 * BODY_BYTES_MAX;
/// How long that may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// A body that is still on its way.
pub struct Unread {
    announced: Option<usize>,
    /// Nothing, once it was read whole.
    rest: Option<Body>,
}

impl Unread {
    /// The body of a request with these headers.
    pub fn new(headers: &HeaderMap, body: Body) -> Self {
        let length = headers.get(header::CONTENT_LENGTH);
        let announced = length.and_then(|value| value.to_str().ok()?.parse().ok());
        Self { announced, rest: (!body.is_end_stream()).then_some(body) }
    }

    /// Reads it, `most` bytes of it. One that says that it is longer is not read at all.
    pub async fn read(&mut self, most: usize) -> Result<Bytes, NoBody> {
        let Some(body) = &mut self.rest else { return Ok(Bytes::new()) };
        if self.announced.is_some_and(|length| most < length) {
            return Err(NoBody::TooLarge(most));
        }
        let collected = tokio::time::timeout(READ_TIMEOUT, collect(body, most)).await;
        let whole = collected.unwrap_or(Err(NoBody::Incomplete))?;
        self.rest = None;
        Ok(whole)
    }

    /// Whether something of it may still come, so that the connection can have no other request.
    pub fn is_left(&self) -> bool {
        self.rest.is_some()
    }

    /// Throws a bounded rest away while the answer is on its way.
    pub fn discard(self) {
        let Some(mut body) = self.rest else { return };
        tokio::spawn(async move {
            let discarding = async {
                let mut length = 0;
                while length < DISCARD_BYTES_MAX
                    && let Ok(Some(piece)) = next(&mut body).await
                {
                    length += piece.len();
                }
            };
            // Whoever is still writing finds the connection gone.
            let _ = tokio::time::timeout(DISCARD_TIMEOUT, discarding).await;
        });
    }
}

async fn collect(body: &mut Body, most: usize) -> Result<Bytes, NoBody> {
    let Some(first) = next(body).await? else { return Ok(Bytes::new()) };
    // Nearly every body is one piece, which is passed on as it is.
    let Some(second) = next(body).await? else {
        return if first.len() <= most { Ok(first) } else { Err(NoBody::TooLarge(most)) };
    };
    let mut whole = BytesMut::from(first);
    let mut piece = Some(second);
    while let Some(more) = piece {
        if most < whole.len() + more.len() {
            return Err(NoBody::TooLarge(most));
        }
        whole.extend_from_slice(&more);
        piece = next(body).await?;
    }
    Ok(whole.freeze())
}

/// The next piece; trailers are not one.
async fn next(body: &mut Body) -> Result<Option<Bytes>, NoBody> {
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame.map_err(|_| NoBody::Incomplete)?.into_data() {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    const TOO_LARGE: NoBody = NoBody::TooLarge(BODY_BYTES_MAX);

    fn pieces(count: usize, length: usize) -> Body {
        let piece = Bytes::from(vec![b'x'; length]);
        Body::from_stream(stream::iter((0..count).map(move |_| Ok::<_, Infallible>(piece.clone()))))
    }

    async fn length(body: Body) -> Result<usize, NoBody> {
        Unread::new(&HeaderMap::new(), body).read(BODY_BYTES_MAX).await.map(|whole| whole.len())
    }

    #[tokio::test]
    async fn a_body_may_be_as_long_as_the_limit() {
        assert_eq!(length(Body::empty()).await, Ok(0));
        assert_eq!(length(pieces(1, BODY_BYTES_MAX)).await, Ok(BODY_BYTES_MAX));
        assert_eq!(length(pieces(16, BODY_BYTES_MAX / 16)).await, Ok(BODY_BYTES_MAX));
        assert_eq!(length(pieces(1, BODY_BYTES_MAX + 1)).await, Err(TOO_LARGE));
        assert_eq!(length(pieces(17, BODY_BYTES_MAX / 16)).await, Err(TOO_LARGE));
    }

    #[tokio::test]
    async fn one_that_says_that_it_is_too_large_is_not_read() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, (BODY_BYTES_MAX + 1).into())]);
        let mut unread = Unread::new(&headers, never);
        assert_eq!(unread.read(BODY_BYTES_MAX).await, Err(TOO_LARGE));
        assert!(unread.is_left());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_come_is_given_up() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        assert_eq!(length(never).await, Err(NoBody::Incomplete));
    }

    #[tokio::test]
    async fn one_that_breaks_off_is_not_a_body() {
        let broken = Body::from_stream(stream::iter([Ok("x"), Err(std::io::Error::other("gone"))]));
        assert_eq!(length(broken).await, Err(NoBody::Incomplete));
    }
}
