//! The body of a request: whole, under a limit, in time, and within the room that there is for all of them. It is not
//! read before somebody asks for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use carillon_service::front::request::{BODY_BYTES_MAX, NoBody};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::pace::{BODY_GRACE, Overdue, Patience};

/// The least room for all bodies: a few of the largest, beside the small ones.
pub(crate) const BODIES_BYTES_LEAST: usize = 8 * BODY_BYTES_MAX;
/// What a small body has at most: nearly every request of the interface. Small ones have a quarter of the room for
/// themselves, so that large ones cannot keep a message waiting.
const SMALL_BYTES_MAX: usize = 32 * 1024;
/// How long a body may wait for room, before its request is refused.
const ROOM_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a body that nobody wants is still taken off the wire, and thrown away: a client that only
/// writes would otherwise never see why the connection went away.
const DISCARD_BYTES_MAX: usize = 8 * BODY_BYTES_MAX;
/// The same of a stranger's: a client of ours with a wrong key or clock has sent no more.
const DISCARD_OF_STRANGER_BYTES_MAX: usize = 256 * 1024;
/// How long that may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Room for the bodies of all requests, and the time that each has.
pub struct Intake {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    bytes_max: usize,
    patience: Patience,
    overdue: Arc<Overdue>,
    refused: AtomicU64,
}

impl Intake {
    /// Room for so many bytes.
    pub(crate) fn new(bytes_max: usize, patience: Patience, overdue: Arc<Overdue>) -> Self {
        let small = bytes_max / 4;
        let room = |bytes: usize| Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
        let (small, large) = (room(small), room(bytes_max - small));
        Self { small, large, bytes_max, patience, overdue, refused: AtomicU64::new(0) }
    }

    /// The bytes for which there is no room any more.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes_max.saturating_sub(self.small.available_permits() + self.large.available_permits())
    }

    /// How many bodies found no room.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Waits for room for a body.
    async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, NoBody> {
        let room = if bytes <= SMALL_BYTES_MAX { &self.small } else { &self.large };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Ok(Ok(permit)) = timeout(ROOM_TIMEOUT, room.clone().acquire_many_owned(bytes)).await else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(NoBody::Overloaded);
        };
        Ok(permit)
    }

    /// Until when the next piece must come, where so many bytes came `since`.
    fn due(&self, since: Instant, length: usize) -> Instant {
        let seconds = length as u64 / u64::from(self.patience.body_bytes_per_second);
        since + (BODY_GRACE + Duration::from_secs(seconds)).min(self.patience.body)
    }
}

impl Default for Intake {
    fn default() -> Self {
        Self::new(64 * BODY_BYTES_MAX, Patience::default(), Arc::default())
    }
}

/// A body that is still on its way. It keeps its room until it is dropped, so that what is made of the body is counted
/// too.
pub struct Unread {
    announced: Option<usize>,
    /// Nothing, once it was read whole.
    rest: Option<Body>,
    room: Option<OwnedSemaphorePermit>,
    discard_bytes_max: usize,
}

impl Unread {
    /// The body of a request with these headers.
    pub fn new(headers: &HeaderMap, body: Body) -> Self {
        let length = headers.get(header::CONTENT_LENGTH);
        let announced = length.and_then(|value| value.to_str().ok()?.parse().ok());
        Self {
            announced,
            rest: (!body.is_end_stream()).then_some(body),
            room: None,
            discard_bytes_max: DISCARD_OF_STRANGER_BYTES_MAX,
        }
    }

    /// Reads it, `most` bytes of it. One that says that it is longer is not read at all.
    pub async fn read(&mut self, intake: &Intake, most: usize) -> Result<Bytes, NoBody> {
        let Some(body) = &mut self.rest else { return Ok(Bytes::new()) };
        // Only who claims to be somebody is asked for as much.
        if most == BODY_BYTES_MAX {
            self.discard_bytes_max = DISCARD_BYTES_MAX;
        }
        if self.announced.is_some_and(|length| most < length) {
            return Err(NoBody::TooLarge(most));
        }
        self.room = Some(intake.room(self.announced.unwrap_or(most)).await?);
        let whole = collect(body, intake, most).await?;
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
                while length < self.discard_bytes_max
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

async fn collect(body: &mut Body, intake: &Intake, most: usize) -> Result<Bytes, NoBody> {
    let since = Instant::now();
    let mut whole = Whole::Nothing;
    loop {
        let due = intake.due(since, whole.len());
        let Ok(piece) = timeout_at(due, next(body)).await else {
            Overdue::count(&intake.overdue.bodies);
            return Err(NoBody::Incomplete);
        };
        let Some(piece) = piece? else { return Ok(whole.freeze()) };
        if most < whole.len() + piece.len() {
            return Err(NoBody::TooLarge(most));
        }
        whole = whole.and(piece);
    }
}

/// What came of a body. Nearly every body is one piece, which is passed on as it is.
enum Whole {
    Nothing,
    One(Bytes),
    More(BytesMut),
}

impl Whole {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(piece) => piece.len(),
            Self::More(pieces) => pieces.len(),
        }
    }

    fn and(self, piece: Bytes) -> Self {
        let mut pieces = match self {
            Self::Nothing => return Self::One(piece),
            Self::One(first) => BytesMut::from(first),
            Self::More(pieces) => pieces,
        };
        pieces.extend_from_slice(&piece);
        Self::More(pieces)
    }

    fn freeze(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(piece) => piece,
            Self::More(pieces) => pieces.freeze(),
        }
    }
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

    use futures_util::{StreamExt as _, stream};

    use super::*;

    const TOO_LARGE: NoBody = NoBody::TooLarge(BODY_BYTES_MAX);

    fn pieces(count: usize, length: usize) -> Body {
        let piece = Bytes::from(vec![b'x'; length]);
        Body::from_stream(stream::iter((0..count).map(move |_| Ok::<_, Infallible>(piece.clone()))))
    }

    async fn length(body: Body) -> Result<usize, NoBody> {
        let mut unread = Unread::new(&HeaderMap::new(), body);
        unread.read(&Intake::default(), BODY_BYTES_MAX).await.map(|whole| whole.len())
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
        assert_eq!(unread.read(&Intake::default(), BODY_BYTES_MAX).await, Err(TOO_LARGE));
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

    #[tokio::test(start_paused = true)]
    async fn one_that_trickles_is_given_up_long_before_it_is_whole() {
        let trickle = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"x")), ()))
        });
        let began = Instant::now();
        assert_eq!(length(Body::from_stream(trickle)).await, Err(NoBody::Incomplete));
        assert!(began.elapsed() < Duration::from_secs(12));
        let slow = stream::iter(0..BODY_BYTES_MAX / 32_768).then(|_| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, Infallible>(Bytes::from(vec![b'x'; 32_768]))
        });
        assert_eq!(length(Body::from_stream(slow)).await, Ok(BODY_BYTES_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_room_for_so_many_and_always_for_small_ones() {
        let intake = Intake::new(BODIES_BYTES_LEAST, Patience::default(), Arc::default());
        let read = async |length: usize| {
            let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, length.into())]);
            let mut unread = Unread::new(&headers, pieces(1, length));
            unread.read(&intake, BODY_BYTES_MAX).await.map(|_| unread)
        };
        let mut large = Vec::new();
        while let Ok(unread) = read(BODY_BYTES_MAX).await {
            large.push(unread);
        }
        assert_eq!((large.len(), intake.refused()), (6, 1));
        assert_eq!(intake.bytes(), 6 * BODY_BYTES_MAX);
        assert!(read(SMALL_BYTES_MAX).await.is_ok());
        large.pop();
        assert!(read(BODY_BYTES_MAX).await.is_ok());
        drop(large);
        assert_eq!(intake.bytes(), 0);
    }
}
