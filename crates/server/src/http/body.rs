//! The body of a request: whole, under a limit, in time.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use carillon_service::dispatch::BODY_BYTES_MAX;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;

/// How long a body may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a body that is too large is still taken off the wire, and thrown away: a client that only
/// writes would otherwise never see why the connection went away.
const DISCARD_BYTES_MAX: usize = 8 * BODY_BYTES_MAX;
/// How long that may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It has more than [`BODY_BYTES_MAX`].
    TooLarge,
    /// It took too long.
    Slow,
    /// The client went away, or does not speak HTTP.
    Broken,
}

/// Reads a body. One that says that it is too large is not read at all, any other no further than the limit.
pub async fn read(headers: &HeaderMap, mut body: Body) -> Result<Bytes, Fault> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let announced: Option<usize> = announced;
    if announced.is_some_and(|length| BODY_BYTES_MAX < length) {
        discard(body);
        return Err(Fault::TooLarge);
    }
    let collected = tokio::time::timeout(READ_TIMEOUT, collect(&mut body)).await.unwrap_or(Err(Fault::Slow));
    if collected == Err(Fault::TooLarge) {
        discard(body);
    }
    collected
}

async fn collect(body: &mut Body) -> Result<Bytes, Fault> {
    let Some(first) = next(body).await? else { return Ok(Bytes::new()) };
    // Nearly every body is one piece, which is passed on as it is.
    let Some(second) = next(body).await? else { return bounded(first) };
    let mut whole = BytesMut::from(first);
    let mut piece = Some(second);
    while let Some(more) = piece {
        if BODY_BYTES_MAX < whole.len() + more.len() {
            return Err(Fault::TooLarge);
        }
        whole.extend_from_slice(&more);
        piece = next(body).await?;
    }
    Ok(whole.freeze())
}

fn bounded(whole: Bytes) -> Result<Bytes, Fault> {
    if whole.len() <= BODY_BYTES_MAX { Ok(whole) } else { Err(Fault::TooLarge) }
}

/// The next piece; trailers are not one.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Fault> {
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame.map_err(|_| Fault::Broken)?.into_data() {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}

/// Throws a bounded rest away while the refusal is on its way.
fn discard(mut body: Body) {
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    fn pieces(count: usize, length: usize) -> Body {
        let piece = Bytes::from(vec![b'x'; length]);
        Body::from_stream(stream::iter((0..count).map(move |_| Ok::<_, Infallible>(piece.clone()))))
    }

    async fn length(body: Body) -> Result<usize, Fault> {
        read(&HeaderMap::new(), body).await.map(|whole| whole.len())
    }

    #[tokio::test]
    async fn a_body_may_be_as_long_as_the_limit() {
        assert_eq!(length(Body::empty()).await, Ok(0));
        assert_eq!(length(pieces(1, BODY_BYTES_MAX)).await, Ok(BODY_BYTES_MAX));
        assert_eq!(length(pieces(16, BODY_BYTES_MAX / 16)).await, Ok(BODY_BYTES_MAX));
        assert_eq!(length(pieces(1, BODY_BYTES_MAX + 1)).await, Err(Fault::TooLarge));
        assert_eq!(length(pieces(17, BODY_BYTES_MAX / 16)).await, Err(Fault::TooLarge));
    }

    #[tokio::test]
    async fn one_that_says_that_it_is_too_large_is_not_read() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, (BODY_BYTES_MAX + 1).into())]);
        assert_eq!(read(&headers, never).await, Err(Fault::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_come_is_given_up() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        assert_eq!(length(never).await, Err(Fault::Slow));
    }

    #[tokio::test]
    async fn one_that_breaks_off_is_not_a_body() {
        let broken = Body::from_stream(stream::iter([Ok("x"), Err(std::io::Error::other("gone"))]));
        assert_eq!(length(broken).await, Err(Fault::Broken));
    }
}
