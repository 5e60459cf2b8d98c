//! A session, as everyone who has to do with one speaks of it: whose it is and what it may do, where it sits, what it
//! is shown, and why it ends. Who admits it knows no socket, and who serves it knows no operation.

use std::time::Duration;

use crate::key::Key;
use crate::timestamp::Timestamp;

/// Whose session begins, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrance {
    /// The user.
    pub user: Key,
    /// The client's name for the connection: one that has it already is replaced.
    pub client: String,
    /// When it was admitted: of two of the same name, the later one stays.
    pub admitted_at: Timestamp,
    /// Sessions that the user may have; one more ends the oldest.
    pub sessions_max: usize,
    /// How long the session is held before it begins: the user connects more often than it may, and a client that is
    /// told to come back before it was established tells nobody when it is.
    pub begins_in: Duration,
    /// Frames that the client may send in a second, pings among them; one more ends the session.
    pub frames_max: u32,
}

/// Where someone is told of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The channel.
    pub channel: Key,
    /// The sub-channel; of an ordinary channel, the channel itself.
    pub place: Key,
    /// Whether they belong as a hidden member.
    pub hidden: bool,
    /// The number of the channel's latest event when this was so.
    pub number: i64,
}

/// Where the user of a session sits.
#[derive(Debug)]
pub struct Seated {
    /// Everything before this was told before the seats were read.
    pub told: Timestamp,
    /// All places of the user.
    pub seats: Vec<Seat>,
    /// Channels where the user does not sit and of whose events it was told lately, each with the number of the latest.
    pub left: Vec<(Key, i64)>,
}

/// A frame that a session is shown before it is told of anything.
#[derive(Debug)]
pub struct Shown {
    /// The frame.
    pub frame: String,
    /// The event that it tells again, by its channel and its number there.
    pub event: Option<(Key, i64)>,
}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// The code, which decides whether the client comes back.
    pub code: u16,
    /// A few words for people.
    pub reason: &'static str,
}

impl Close {
    /// The code that tells a client to come back later.
    pub const TRY_LATER: u16 = 1013;
    /// More frames than a client may send in a second; the client stops.
    pub const FLOOD: Self =
        Self { code: 1008, reason: "more frames a second than connection_frames_per_second_max" };
    /// Our failure; the client comes back.
    pub const INTERNAL: Self = Self { code: 1011, reason: "internal error" };
    /// The server goes down; the client comes back.
    pub const RESTART: Self = Self { code: 1012, reason: "service restart" };
    /// Too much at once; the client comes back.
    pub const OVERLOADED: Self = Self { code: Self::TRY_LATER, reason: "try again later" };
    /// The client reads too slowly; it comes back and reads what it missed.
    pub const TOO_SLOW: Self = Self { code: Self::TRY_LATER, reason: "the client reads too slowly" };
    /// Whoever asks was refused too often; the client comes back.
    pub const TOO_OFTEN: Self =
        Self { code: Self::TRY_LATER, reason: "the rate refused_calls_per_second is exhausted" };
    /// The user connects more often than it may, and too many of its connections wait for their turn; the client comes
    /// back. It is refused the upgrade, which costs the least.
    pub const TOO_MANY_WAIT: Self =
        Self { code: Self::TRY_LATER, reason: "the rate connections_per_second is exhausted" };
    /// The credentials that opened the socket are over; the client comes back with fresh ones.
    pub const EXPIRED: Self = Self { code: 4001, reason: "the credentials have expired" };
    /// The same client connected again, or too many did; this one must not come back.
    pub const REPLACED: Self = Self { code: 4002, reason: "replaced by a newer connection" };
    /// The user was deleted; the client must not come back.
    pub const GONE: Self = Self::forbidden("the user was deleted");

    /// Not allowed; the client stops.
    pub const fn forbidden(reason: &'static str) -> Self {
        Self { code: 4003, reason }
    }

    /// Not authenticated; the client stops.
    pub const fn unsigned(reason: &'static str) -> Self {
        Self { code: 4401, reason }
    }
}
