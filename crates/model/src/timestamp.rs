//! An instant, in milliseconds, and its two wire forms.
//!
//! REST bodies carry epoch seconds with a millisecond fraction; queries, events and streams carry ISO 8601.
//! The type serializes as REST does; [`Timestamp::iso`] gives the other form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::shape::{Described, Shape};
use crate::text::Violation;

/// An instant, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant this many milliseconds after 1970.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// The instant this many milliseconds later.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// `2026-01-15T12:00:03.070Z`: always three digits of fraction, because phones parse exactly that.
    pub fn iso(self) -> impl fmt::Display {
        let instant = jiff::Timestamp::from_millisecond(self.0).unwrap_or_default();
        fmt::from_fn(move |f| write!(f, "{instant:.3}"))
    }
}

impl FromStr for Timestamp {
    type Err = Violation;
    fn from_str(text: &str) -> Result<Self, Violation> {
        let instant: jiff::Timestamp =
            text.parse().map_err(|_| Violation::new("must be an ISO 8601 timestamp with its offset"))?;
        Ok(Self(instant.as_millisecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iso().fmt(f)
    }
}

impl Serialize for Timestamp {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this century have 41 bits")]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64 / 1000.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self((f64::deserialize(deserializer)? * 1000.0).round() as i64))
    }
}

impl Described for Timestamp {
    fn shape() -> Shape {
        Shape::Timestamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_wire_forms() {
        let time = Timestamp::from_ms(1_768_478_403_070);
        assert_eq!(time.to_string(), "2026-01-15T12:00:03.070Z");
        assert_eq!(serde_json::to_string(&time).unwrap(), "1768478403.07");
        assert_eq!(serde_json::from_str::<Timestamp>("1768478403.07").unwrap(), time);
        assert_eq!("2026-01-15T13:00:03.070+01:00".parse(), Ok(time));
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
