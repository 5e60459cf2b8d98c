//! An instant, in milliseconds, and its two wire forms.
//!
//! REST bodies carry epoch seconds with a millisecond fraction; queries, events and streams carry ISO 8601.
//! The type serializes as REST does; [`Timestamp::iso`] gives the other form. A query is read in both: the SDK for
//! iOS writes epoch seconds there.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

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

    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
    fn from_seconds(seconds: f64) -> Self {
        Self((seconds * 1000.0).round() as i64)
    }

    /// `2026-01-15T12:00:03.070Z`: always three digits of fraction, because phones parse exactly that.
    pub fn iso(self) -> impl fmt::Display {
        fmt::from_fn(move |f| match self.of_four_digits() {
            Some(text) => f.write_str(std::str::from_utf8(&text).unwrap_or_default()),
            None => write!(f, "{:.3}", jiff::Timestamp::from_millisecond(self.0).unwrap_or_default()),
        })
    }

    /// The same, from 1970 to the year 9999: several of them are written for each message.
    fn of_four_digits(self) -> Option<[u8; 24]> {
        let ms = u64::try_from(self.0).ok().filter(|ms| *ms < END_OF_FOUR_DIGITS_MS)?;
        let (seconds, ms) = (ms / 1_000, ms % 1_000);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Years begin in March here, so that a leap day is the last of its year, and 400 of them are 146,097 days:
        // http://howardhinnant.github.io/date_algorithms.html#civil_from_days
        let days = days + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year + era * 400 + u64::from(month <= 2);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (end, count, mut number) in [
            (4, 4, year),
            (7, 2, month),
            (10, 2, day),
            (13, 2, second / 3_600),
            (16, 2, second / 60 % 60),
            (19, 2, second % 60),
            (23, 3, ms),
        ] {
            for at in (end - count..end).rev() {
                text[at] = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        Some(text)
    }
}

/// The beginning of the year 10000.
const END_OF_FOUR_DIGITS_MS: u64 = 253_402_300_800_000;

impl FromStr for Timestamp {
    type Err = Violation;
    fn from_str(text: &str) -> Result<Self, Violation> {
        let instant = match text.parse::<f64>() {
            Ok(seconds) if seconds.is_finite() => {
                jiff::Timestamp::from_millisecond(Self::from_seconds(seconds).0).ok()
            }
            _ => text.parse().ok(),
        };
        let words = "must be an ISO 8601 timestamp with its offset, or seconds since 1970";
        Ok(Self(instant.ok_or(Violation::new(words))?.as_millisecond()))
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
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

/// A time as seconds, as SDKs write it, or as text, as people do.
struct Written;

impl de::Visitor<'_> for Written {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an ISO 8601 timestamp with its offset, or seconds since 1970")
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Timestamp, E> {
        Ok(Timestamp::from_seconds(seconds))
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds of this century have 32 bits")]
    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Timestamp, E> {
        self.visit_f64(seconds as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds of this century have 32 bits")]
    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Timestamp, E> {
        self.visit_f64(seconds as f64)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
        text.parse().map_err(E::custom)
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
        assert_eq!(serde_json::from_str::<Timestamp>("\"2026-01-15T12:00:03.070Z\"").unwrap(), time);
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
        assert_eq!("2026-01-15T13:00:03.070+01:00".parse(), Ok(time));
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn every_day_is_written_as_the_calendar_has_it() {
        let written = |ms: i64| Timestamp(ms).to_string();
        let by_calendar = |ms| format!("{:.3}", jiff::Timestamp::from_millisecond(ms).unwrap());
        // A step that meets all hours, and every day of some centuries in the end.
        for step in 0..150_000 {
            let ms = step * 86_399_999;
            assert_eq!(written(ms), by_calendar(ms));
        }
        for ms in [0, 1, 999, 951_782_399_999, 4_107_542_399_999, 253_402_207_200_000, -1] {
            assert_eq!(written(ms), by_calendar(ms));
        }
    }

    #[test]
    fn a_time_is_read_in_every_form_that_an_sdk_writes() {
        for (text, ms) in [
            ("2020-01-01T00:00:00Z", 0),
            ("2020-01-01T00:00:00.000Z", 0),
            ("2020-01-01T00:00:00.12Z", 120),
            ("2020-01-01T00:00:00.123456Z", 123),
            ("2020-01-01T00:00:00.123456789Z", 123),
            ("2020-01-01T00:00:00+00:00", 0),
            ("2020-01-01T00:00:00+0000", 0),
            ("2020-01-01T01:00:00.5+01:00", 500),
            ("2019-12-31T23:59:59-00:00", -1000),
            ("2020-01-01t00:00:00z", 0),
            ("20200101T000000Z", 0),
            ("1577836800", 0),
            ("1577836800.000000", 0),
            ("1577836800.123", 123),
            ("1577836800.123456", 123),
            ("1.5778368e9", 0),
        ] {
            assert_eq!(text.parse(), Ok(Timestamp(1_577_836_800_000 + ms)), "{text}");
        }
        assert_eq!("-1.5".parse(), Ok(Timestamp(-1500)));
        for bad in [
            "",
            "nan",
            "inf",
            "-inf",
            "1e300",
            "-1e300",
            "1577836800000",
            "2020-01-01T00:00:00",
            "2020-01-01",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }
}
