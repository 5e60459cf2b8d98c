//! What a request brings to a decision.
//!
//! Everything is borrowed, and contexts stand over one another, so that what lasts longer is made once: the
//! tags of a session with the session, the address and the time with the request, a resource's tags with the
//! resource.

use std::borrow::Cow;
use std::net::IpAddr;

/// One question: may this action be done on this resource?
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// With its service, as `chime:SendChannelMessage`; case does not matter.
    pub action: &'a str,
    /// The ARN under test, or `*` where an action knows no resource.
    pub resource: &'a str,
    /// The values that conditions and variables read.
    pub context: &'a Context<'a>,
}

/// The values that conditions and variables read, by key; case does not matter in keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    entries: &'a [Entry<'a>],
    outer: Option<&'a Context<'a>>,
}

impl<'a> Context<'a> {
    /// A context of these entries only; of two with one key the first counts.
    pub const fn new(entries: &'a [Entry<'a>]) -> Self {
        Self { entries, outer: None }
    }

    /// The same, and what it does not hold is looked for in `outer`.
    #[must_use]
    pub const fn over(self, outer: &'a Context<'a>) -> Self {
        Self { outer: Some(outer), ..self }
    }

    /// The value of a key. An empty list is no value.
    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        let here = self.entries.iter().find(|entry| entry.is_named(key)).map(|entry| entry.value);
        let found = here.or_else(|| self.outer?.get(key));
        found.filter(|value| value.count() != 0)
    }
}

/// One key with its value.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The key is `prefix` followed by `name`, so that a tag's key needs no text of its own.
    prefix: &'a str,
    name: &'a str,
    value: Value<'a>,
}

impl<'a> Entry<'a> {
    /// `aws:username` and its value.
    pub const fn new(key: &'a str, value: Value<'a>) -> Self {
        Self { prefix: "", name: key, value }
    }

    /// A tag: `aws:PrincipalTag/` (with its slash), the tag's key, the tag's value.
    pub const fn tag(prefix: &'a str, key: &'a str, value: &'a str) -> Self {
        Self { prefix, name: key, value: Value::Text(value) }
    }

    fn is_named(&self, key: &str) -> bool {
        let key = key.as_bytes();
        key.len() == self.prefix.len() + self.name.len() && {
            let (prefix, name) = key.split_at(self.prefix.len());
            prefix.eq_ignore_ascii_case(self.prefix.as_bytes())
                && name.eq_ignore_ascii_case(self.name.as_bytes())
        }
    }
}

/// The value of a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `aws:username`, `aws:PrincipalArn`, a tag; also any other kind in its written form.
    Text(&'a str),
    /// A key of several values, as `aws:TagKeys`.
    Texts(&'a [&'a str]),
    /// `aws:CurrentTime`, in Unix milliseconds.
    Time(i64),
    /// `aws:EpochTime` in seconds, `aws:MultiFactorAuthAge`, …
    Number(i64),
    /// `aws:SourceIp`.
    Address(IpAddr),
    /// `aws:SecureTransport`, …
    Bool(bool),
}

impl<'a> Value<'a> {
    fn count(self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            _ => 1,
        }
    }

    /// The single values of which this one consists.
    pub(super) fn singles(self) -> impl Iterator<Item = Self> {
        (0..self.count()).map(move |at| match self {
            Self::Texts(texts) => Self::Text(texts[at]),
            single => single,
        })
    }

    /// The written form of a single value; several have none.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        Some(match self {
            Self::Text(text) | Self::Texts(&[text]) => Cow::Borrowed(text),
            Self::Texts(_) => return None,
            Self::Time(ms) => Cow::Owned(jiff::Timestamp::from_millisecond(ms).ok()?.to_string()),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Address(address) => Cow::Owned(address.to_canonical().to_string()),
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
        })
    }
}
