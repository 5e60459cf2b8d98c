//! The values of one condition, compiled for what they are compared with.

use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::operator::{Comparison, Order};
use super::pattern::{Manner, Pattern, Syntax, Version};
use super::verdict::Verdict;
use super::{Context, Malformed, Value};

#[derive(Clone, Debug)]
pub(super) enum Operands {
    Texts(Vec<Pattern>),
    /// Compared letter by letter in small letters, also beyond ASCII.
    TextsAnyCase(Vec<Pattern>),
    Arns(Vec<Pattern>),
    Bools(Vec<Pattern>),
    /// Whether the key must be absent.
    Null(bool),
    Numbers(Order, Vec<f64>),
    /// In Unix milliseconds.
    Dates(Order, Vec<i64>),
    Networks(Vec<IpNet>),
    Bytes(Vec<Vec<u8>>),
}

impl Operands {
    pub(super) fn parse(
        comparison: Comparison,
        texts: &[String],
        version: Version,
    ) -> Result<Self, Malformed> {
        let (plain, like) = (Syntax::values(version), Syntax::globs(version));
        Ok(match comparison {
            Comparison::Text => Self::Texts(each(texts, |text| Pattern::parse(text, plain))?),
            Comparison::TextAnyCase => Self::TextsAnyCase(each(texts, |text| Pattern::parse(text, plain))?),
            Comparison::TextLike => Self::Texts(each(texts, |text| Pattern::parse(text, like))?),
            Comparison::Arn => Self::Arns(each(texts, |text| arn_pattern(text, like))?),
            Comparison::Bool => Self::Bools(each(texts, |text| bool_pattern(text, plain))?),
            Comparison::Null => Self::Null(null(texts)?),
            Comparison::Number(order) => {
                Self::Numbers(order, each(texts, |text| need(number(text), text, "a number"))?)
            }
            Comparison::Date(order) => {
                Self::Dates(order, each(texts, |text| need(date_ms(text), text, "a date"))?)
            }
            Comparison::Address => {
                Self::Networks(each(texts, |text| need(network(text), text, "an address or a network"))?)
            }
            Comparison::Binary => Self::Bytes(each(texts, |text| need(bytes(text), text, "base64"))?),
        })
    }

    /// Those values that may hold variables.
    pub(super) fn patterns(&self) -> &[Pattern] {
        match self {
            Self::Texts(patterns)
            | Self::TextsAnyCase(patterns)
            | Self::Arns(patterns)
            | Self::Bools(patterns) => patterns,
            Self::Null(_) | Self::Numbers(..) | Self::Dates(..) | Self::Networks(_) | Self::Bytes(_) => &[],
        }
    }

    /// Whether a single value of the request is among the policy's.
    pub(super) fn compare(&self, value: Value<'_>, context: &Context<'_>) -> Verdict {
        match self {
            Self::Texts(patterns) => among(patterns, value, Manner::Exact, context),
            Self::Arns(patterns) => among(patterns, value, Manner::Arn, context),
            Self::Bools(patterns) => among(patterns, value, Manner::AnyCase, context),
            Self::TextsAnyCase(patterns) => among_any_case(patterns, value, context),
            // It is about the key, not about a value.
            Self::Null(absent) => Verdict::of(!absent),
            Self::Numbers(order, numbers) => {
                let Some(actual) = number_of(value) else { return Verdict::Unknown };
                // Both are finite.
                Verdict::of(numbers.iter().any(|number| order.admits(actual.total_cmp(number))))
            }
            Self::Dates(order, dates) => {
                let Some(actual) = date_ms_of(value) else { return Verdict::Unknown };
                Verdict::of(dates.iter().any(|date| order.admits(actual.cmp(date))))
            }
            Self::Networks(networks) => {
                let Some(actual) = address_of(value) else { return Verdict::Unknown };
                Verdict::of(networks.iter().any(|network| network.contains(&actual)))
            }
            Self::Bytes(expected) => {
                let Some(actual) = value.text().and_then(|text| bytes(&text)) else {
                    return Verdict::Unknown;
                };
                Verdict::of(expected.contains(&actual))
            }
        }
    }
}

fn each<T>(texts: &[String], read: impl Fn(&str) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
    texts.iter().map(|text| read(text)).collect()
}

fn need<T>(found: Option<T>, text: &str, what: &str) -> Result<T, Malformed> {
    found.ok_or_else(|| Malformed::new(format!("{text:?} is not {what}")))
}

fn among(patterns: &[Pattern], value: Value<'_>, manner: Manner, context: &Context<'_>) -> Verdict {
    let Some(text) = value.text() else { return Verdict::Unknown };
    Verdict::any(patterns.iter().map(|pattern| pattern.matches(&text, manner, context)))
}

fn among_any_case(patterns: &[Pattern], value: Value<'_>, context: &Context<'_>) -> Verdict {
    let Some(text) = value.text() else { return Verdict::Unknown };
    let text = text.to_lowercase();
    Verdict::any(patterns.iter().map(|pattern| match pattern.fill(context) {
        Some(filled) => Verdict::of(filled.to_lowercase() == text),
        None => Verdict::Unknown,
    }))
}

/// `*`, or something that can be an ARN: written out, or with a variable that may hold the rest.
fn arn_pattern(text: &str, syntax: Syntax) -> Result<Pattern, Malformed> {
    let pattern = Pattern::parse(text, syntax)?;
    let is_arn = text.starts_with("arn:") && text.splitn(6, ':').count() == 6;
    if is_arn || pattern.is_everything() || pattern.has_variables() {
        return Ok(pattern);
    }
    Err(Malformed::new(format!("{text:?} is neither an ARN nor *")))
}

fn bool_pattern(text: &str, syntax: Syntax) -> Result<Pattern, Malformed> {
    let pattern = Pattern::parse(text, syntax)?;
    let is_bool = text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false");
    if is_bool || pattern.has_variables() {
        return Ok(pattern);
    }
    Err(Malformed::new(format!("{text:?} is neither true nor false")))
}

fn null(texts: &[String]) -> Result<bool, Malformed> {
    match texts {
        [text] if text.eq_ignore_ascii_case("true") => Ok(true),
        [text] if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(Malformed::new("must be one of true and false")),
    }
}

/// A decimal number; `inf`, `nan` and exponents are not.
fn number(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = unsigned.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    // Adding zero makes one zero of the two.
    text.parse::<f64>().ok().filter(|number| plain && number.is_finite()).map(|number| number + 0.0)
}

fn number_of(value: Value<'_>) -> Option<f64> {
    number(&value.text()?)
}

/// `2026-01-15T12:00:00Z`, `2026-01-15` (its first instant in UTC), or seconds since 1970.
fn date_ms(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1000);
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.as_millisecond());
    }
    if text.len() != "2026-01-15".len() {
        return None;
    }
    let date: Date = text.parse().ok()?;
    Some(TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?.as_millisecond())
}

fn date_ms_of(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Time(ms) => Some(ms),
        other => date_ms(&other.text()?),
    }
}

/// One address, or a network in CIDR form; the bits behind the prefix do not matter.
fn network(text: &str) -> Option<IpNet> {
    if let Ok(network) = text.parse::<IpNet>() {
        return Some(network);
    }
    text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()))
}

fn address_of(value: Value<'_>) -> Option<IpAddr> {
    let address = match value {
        Value::Address(address) => address,
        other => other.text()?.parse().ok()?,
    };
    // An IPv4 client of a socket that listens on both families.
    Some(address.to_canonical())
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text).ok()
}
