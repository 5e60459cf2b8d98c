//! Texts with wildcards and variables.
//!
//! A pattern is split once. A variable's value is then compared as it is: a tag that holds `*` matches a star,
//! not everybody. Matching goes back to the last `*` only, so it takes at most the product of the two lengths.

use std::borrow::Cow;

use super::verdict::Verdict;
use super::{Context, Malformed};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `*`
    Any,
    /// `?`
    One,
    /// `${key}` or `${key, 'default'}`
    Variable {
        key: String,
        default: Option<String>,
    },
}

/// The language of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// `2008-10-17`, and what does not say: `${aws:username}` is ordinary text.
    Old,
    /// `2012-10-17`
    WithVariables,
}

/// What is special in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Syntax {
    wildcards: bool,
    variables: bool,
}

impl Syntax {
    /// Actions, which know no variables.
    pub(super) const ACTIONS: Self = Self { wildcards: true, variables: false };

    /// Resources, and the values of operators that know wildcards.
    pub(super) fn globs(version: Version) -> Self {
        Self { wildcards: true, ..Self::values(version) }
    }

    /// The values of operators that know none.
    pub(super) fn values(version: Version) -> Self {
        Self { wildcards: false, variables: version == Version::WithVariables }
    }
}

/// How a text is compared with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Exact,
    /// ASCII letters are alike in both cases.
    AnyCase,
    /// The value is an ARN, and no wildcard reaches over one of the five colons that part it.
    Arn,
}

/// The colons between the six parts of an ARN; those of the resource part are ordinary characters.
const ARN_COLONS: usize = 5;

impl Pattern {
    pub(super) fn parse(text: &str, syntax: Syntax) -> Result<Self, Malformed> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let special = match c {
                '*' if syntax.wildcards => Some((Part::Any, 1)),
                '?' if syntax.wildcards => Some((Part::One, 1)),
                '$' if syntax.variables && rest.starts_with("${") => Some(variable(rest)?),
                _ => None,
            };
            match special {
                Some((Part::Text(text), length)) => {
                    plain.push_str(&text);
                    rest = &rest[length..];
                }
                Some((part, length)) => {
                    push_text(&mut parts, &mut plain);
                    // A second star in a row adds nothing.
                    if (part != Part::Any) || parts.last() != Some(&Part::Any) {
                        parts.push(part);
                    }
                    rest = &rest[length..];
                }
                None => {
                    plain.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        push_text(&mut parts, &mut plain);
        Ok(Self { parts })
    }

    pub(super) fn has_variables(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Variable { .. }))
    }

    /// The keys of its variables.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable { key, .. } => Some(key.as_str()),
            _ => None,
        })
    }

    /// Whether it is `*` alone, which stands for everything.
    pub(super) fn is_everything(&self) -> bool {
        self.parts == [Part::Any]
    }

    pub(super) fn matches(&self, text: &str, manner: Manner, context: &Context<'_>) -> Verdict {
        let Some(values) = self.values(context) else { return Verdict::Unknown };
        let mut barrier = 0;
        if manner == Manner::Arn && !self.is_everything() {
            match arn_prefix(text) {
                Some(length) => barrier = length,
                None => return Verdict::Unknown,
            }
        }
        Verdict::of(Walk { parts: &self.parts, values: &values, text, manner, barrier }.reaches_the_end())
    }

    /// Which of all texts that begin with `prefix` it matches. Without values for its variables, it says the same of
    /// each.
    pub(super) fn reach(&self, prefix: &str, context: &Context<'_>) -> Reach {
        let Some(values) = self.values(context) else { return Reach::None };
        // A star at the end that may be empty may be anything.
        if self.parts.last() == Some(&Part::Any)
            && self.matches(prefix, Manner::Exact, context) == Verdict::Yes
        {
            return Reach::All;
        }
        let mut values = values.iter();
        let plain = self.parts.iter().map_while(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Variable { .. } => values.next().map(AsRef::as_ref),
            Part::Any | Part::One => None,
        });
        let begins: String = plain.collect();
        let may = begins.starts_with(prefix) || prefix.starts_with(&begins);
        if may { Reach::Some } else { Reach::None }
    }

    /// The text that it stands for, variables replaced; for patterns without wildcards.
    pub(super) fn fill(&self, context: &Context<'_>) -> Option<String> {
        let values = self.values(context)?;
        let mut values = values.iter();
        let texts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Any => "*",
            Part::One => "?",
            Part::Variable { .. } => values.next().map_or("", |value| value),
        });
        Some(texts.collect())
    }

    /// The values of its variables in order, unless one has none. An empty value is none.
    fn values<'r>(&'r self, context: &Context<'r>) -> Option<Vec<Cow<'r, str>>> {
        let variables = self.parts.iter().filter_map(|part| match part {
            Part::Variable { key, default } => Some((key, default)),
            _ => None,
        });
        let values = variables.map(|(key, default)| {
            let value = context.get(key).and_then(super::Value::text).filter(|text| !text.is_empty());
            value.or_else(|| default.as_deref().map(Cow::Borrowed))
        });
        values.collect()
    }
}

fn push_text(parts: &mut Vec<Part>, plain: &mut String) {
    if !plain.is_empty() {
        parts.push(Part::Text(std::mem::take(plain)));
    }
}

/// Reads the `${…}` at the start of a text, with its length.
fn variable(text: &str) -> Result<(Part, usize), Malformed> {
    let fault = |what: &str| Err(Malformed::new(format!("{text:?} {what}")));
    let inner = &text[2..];
    // A default may hold a brace, so its closing quote is looked for first.
    let end = match (inner.find('}'), inner.find('\'')) {
        (Some(brace), Some(quote)) if quote < brace => inner.find("'}").map(|at| at + 1),
        (brace, _) => brace,
    };
    let Some(end) = end else { return fault("begins a variable that does not end") };
    let (name, length) = (&inner[..end], end + "${}".len());
    if let "*" | "?" | "$" = name {
        return Ok((Part::Text(name.to_owned()), length));
    }
    let (key, default) = match name.split_once(',') {
        None => (name.trim(), None),
        Some((key, default)) => {
            let quoted = default.trim().strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
            let Some(quoted) = quoted else { return fault("has a default that is not in single quotes") };
            (key.trim(), Some(quoted.to_owned()))
        }
    };
    if !is_key(key) {
        return fault("names a variable that is not a condition key, as aws:username is");
    }
    Ok((Part::Variable { key: key.to_owned(), default }, length))
}

/// Whether a text has the form of a condition key: a service, a colon and a name.
pub(super) fn is_key(text: &str) -> bool {
    let plain = !text.contains(['{', '}', '$', '*', '?', '\'', ',']);
    plain && text.rsplit_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty())
}

/// Which texts that begin alike a pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    All,
    None,
    /// Some of them, or it is not seen at a glance.
    Some,
}

/// The length of an ARN's first five parts, with their colons.
fn arn_prefix(text: &str) -> Option<usize> {
    let (last, _) = text.match_indices(':').nth(ARN_COLONS - 1)?;
    text.starts_with("arn:").then_some(last + 1)
}

/// One comparison of a pattern with a text.
struct Walk<'w> {
    parts: &'w [Part],
    values: &'w [Cow<'w, str>],
    text: &'w str,
    manner: Manner,
    /// No wildcard takes a colon that stands before this place.
    barrier: usize,
}

/// A place in a comparison: the next part, the next value of a variable, the next byte of the text.
#[derive(Clone, Copy)]
struct Place {
    part: usize,
    value: usize,
    byte: usize,
}

impl Walk<'_> {
    fn reaches_the_end(&self) -> bool {
        let mut place = Place { part: 0, value: 0, byte: 0 };
        let mut star: Option<Place> = None;
        loop {
            if self.parts.get(place.part) == Some(&Part::Any) {
                place.part += 1;
                if place.part == self.parts.len() && self.barrier <= place.byte {
                    return true;
                }
                star = Some(place);
            } else if place.part == self.parts.len() && place.byte == self.text.len() {
                return true;
            } else if let Some(next) = self.step(place) {
                place = next;
            } else {
                // The last star takes one character more. Stars before it need not be asked again: they took
                // the least that they could, so the last one has all the room there is.
                let Some(wider) =
                    star.and_then(|star| Some(Place { byte: self.swallow(star.byte)?, ..star }))
                else {
                    return false;
                };
                star = Some(wider);
                place = wider;
            }
        }
    }

    /// Past the part at `place`, if it matches there.
    fn step(&self, place: Place) -> Option<Place> {
        let Place { part, value, byte } = place;
        let part_at = self.parts.get(part)?;
        let next = match part_at {
            Part::Any => return None,
            Part::One => return Some(Place { part: part + 1, value, byte: self.swallow(byte)? }),
            Part::Text(text) => Place { part: part + 1, value, byte: byte + text.len() },
            Part::Variable { .. } => {
                Place { part: part + 1, value: value + 1, byte: byte + self.values[value].len() }
            }
        };
        let expected = match part_at {
            Part::Text(text) => text,
            _ => self.values[value].as_ref(),
        };
        let actual = self.text.as_bytes().get(byte..next.byte)?;
        let same = match self.manner {
            Manner::AnyCase => actual.eq_ignore_ascii_case(expected.as_bytes()),
            Manner::Exact | Manner::Arn => actual == expected.as_bytes(),
        };
        same.then_some(next)
    }

    /// Past the one character at `byte`, if a wildcard may take it.
    fn swallow(&self, byte: usize) -> Option<usize> {
        let c = self.text[byte..].chars().next()?;
        (c != ':' || self.barrier <= byte).then_some(byte + c.len_utf8())
    }
}
