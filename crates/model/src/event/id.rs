//! The id that an event's frame carries in a header of its own, for clients that resume.

use std::fmt;
use std::str::FromStr;

use crate::key::Key;
use crate::timestamp::Timestamp;

/// How far the client of a session has come: `<time>` or `<time>.<channel>.<sequence>` on the wire, in which clients
/// should see one opaque text.
///
/// The time is a lower bound: a session that was sent this was sent everything before it, in whatever channel. The
/// channel's own events it was sent up to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId {
    /// Everything before this was told.
    pub told: Timestamp,
    /// The event itself: its channel, and its number there.
    pub last: Option<(Key, i64)>,
}

impl EventId {
    /// Before everything.
    pub const BEGINNING: Self = Self { told: Timestamp::from_ms(0), last: None };
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.told.ms())?;
        match self.last {
            Some((channel, sequence)) => write!(f, ".{channel}.{sequence}"),
            None => Ok(()),
        }
    }
}

impl FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |text: &str| text.parse::<i64>().ok().filter(|number| 0 <= *number).ok_or(());
        let mut parts = text.split('.');
        let told = Timestamp::from_ms(number(parts.next().ok_or(())?)?);
        let last = match (parts.next(), parts.next()) {
            (None, _) => None,
            (Some(channel), Some(sequence)) => Some((Key::from_hex(channel).ok_or(())?, number(sequence)?)),
            (Some(_), None) => return Err(()),
        };
        if parts.next().is_some() { Err(()) } else { Ok(Self { told, last }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        for last in [None, Some((Key([7; 16]), 42))] {
            let id = EventId { told: Timestamp::from_ms(1_768_478_400_000), last };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        let key = "0".repeat(32);
        for wrong in ["", "x", "-1", "1.", "1.2", &format!("1.{key}"), &format!("1.{key}.x"), "1..2"] {
            assert_eq!(wrong.parse::<EventId>(), Err(()), "{wrong}");
        }
        assert_eq!(format!("1.{key}.2.3").parse::<EventId>(), Err(()));
    }
}
