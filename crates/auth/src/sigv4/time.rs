//! When a request was signed, and whether that is now.
//!
//! It reads the two forms of date that clients send and knows no clock: `now` is part of the expectation.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::limits::SKEW_MS_MAX;
use super::{Expectation, Refusal};

/// The latest instant that jiff can hold, hours before the end of the year 9999.
const MS_MAX: i64 = 253_402_207_200_000;

/// The instant of signing, with the text that stands in the string to sign: `20260115T120000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SignedAt {
    text: [u8; 16],
    pub(super) ms: i64,
}

impl SignedAt {
    /// Instants that four-digit years cannot write are moved to the nearest one that they can.
    pub(super) fn from_ms(ms: i64) -> Self {
        let ms = ms.clamp(0, MS_MAX);
        let instant = Timestamp::from_millisecond(ms).expect("clamped to the range of jiff");
        let text = instant.strftime("%Y%m%dT%H%M%SZ").to_string();
        Self { text: text.as_bytes().try_into().expect("years 1970 to 9999 have four digits"), ms }
    }

    /// Reads `20260115T120000Z`, the form of `X-Amz-Date`.
    pub(super) fn parse_basic(text: &str) -> Option<Self> {
        let bytes: [u8; 16] = text.as_bytes().try_into().ok()?;
        if bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        let part = |from: usize, to: usize| -> Option<i16> {
            bytes[from..to].iter().try_fold(0, |sum: i16, byte| {
                byte.is_ascii_digit().then(|| sum * 10 + i16::from(byte - b'0'))
            })
        };
        let small = |from: usize| part(from, from + 2).and_then(|number| i8::try_from(number).ok());
        let civil =
            DateTime::new(part(0, 4)?, small(4)?, small(6)?, small(9)?, small(11)?, small(13)?, 0).ok()?;
        let instant = TimeZone::UTC.to_timestamp(civil).ok()?;
        Some(Self { text: bytes, ms: instant.as_millisecond() })
    }

    /// Reads what a `Date` header may hold: `Thu, 15 Jan 2026 12:00:00 GMT`, or the basic form.
    pub(super) fn parse_date(text: &str) -> Option<Self> {
        Self::parse_basic(text).or_else(|| {
            let instant = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            Some(Self::from_ms(instant.as_millisecond()))
        })
    }

    /// `20260115T120000Z`.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.text).expect("digits, a T and a Z")
    }

    /// `20260115`, as a credential scope has it.
    pub(super) fn day(&self) -> &str {
        &self.text()[..8]
    }
}

impl fmt::Display for SignedAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// How long after its signing a request may arrive.
#[derive(Clone, Copy, Debug)]
pub(super) enum Life {
    /// A header-signed request: as long as clocks may differ.
    Skew,
    /// A presigned request: the milliseconds of its `X-Amz-Expires`.
    Expires(i64),
}

/// Refuses what is too old or not yet valid, in the sentences from which SDKs learn that their clock is off.
pub(super) fn check(signed_at: &SignedAt, life: Life, expectation: &Expectation) -> Result<(), Refusal> {
    let now_ms = expectation.now_ms;
    let life_ms = match life {
        Life::Skew => SKEW_MS_MAX,
        Life::Expires(ms) => ms.saturating_add(expectation.late_allowance_ms),
    };
    let (earliest_ms, latest_ms) = (now_ms.saturating_sub(life_ms), now_ms.saturating_add(SKEW_MS_MAX));
    if signed_at.ms < earliest_ms {
        let life = match life {
            Life::Skew => "5 min".to_owned(),
            Life::Expires(_) => format!("{} s", life_ms / 1000),
        };
        let (earliest, now) = (SignedAt::from_ms(earliest_ms), SignedAt::from_ms(now_ms));
        return Err(Refusal::untimely(format!(
            "Signature expired: {signed_at} is now earlier than {earliest} ({now} - {life}.)"
        )));
    }
    if latest_ms < signed_at.ms {
        let (latest, now) = (SignedAt::from_ms(latest_ms), SignedAt::from_ms(now_ms));
        return Err(Refusal::untimely(format!(
            "Signature not yet current: {signed_at} is still later than {latest} ({now} + 5 min.)"
        )));
    }
    Ok(())
}
