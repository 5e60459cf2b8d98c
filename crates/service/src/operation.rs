//! What an operation is: a declaration, and a function from a transaction, a call and a request to a response.
//!
//! `#[operation]` makes the declaration; the operation's file adds `impl Read` or `impl Write`. Everything
//! else (routing, signature, policy, transaction, encoding) happens around it, in `front`.

use bytes::Bytes;
use carillon_model::shape::{Described, Member};
use carillon_model::text::{MaxResults, NextToken, Violation};
use carillon_model::{IdentityArn, Key};
use carillon_store::{Lane, Look, Tx};
use http::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::call::Call;
use crate::error::{Error, ErrorCode, Result};
use crate::json_bounds;

/// The header that names who acts.
pub const BEARER_HEADER: &str = "x-amz-chime-bearer";

/// The characters that stay as they are in a path or a query: RFC 3986's unreserved ones.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The declaration of an operation, as the macro makes it.
pub trait Operation: Sized + Send + Sync + 'static {
    /// What it answers.
    type Response: Response;
    /// Its name, which is also its IAM action.
    const NAME: &'static str;
    /// Its method.
    const METHOD: Method;
    /// Its URI template, with the constant query that tells it from its siblings.
    const URI: &'static str;
    /// The status of its success.
    const STATUS: u16;
    /// The errors that it declares, beside [`ErrorCode::EVERYONES`].
    const ERRORS: &'static [ErrorCode];

    /// Its members.
    fn members() -> Vec<Member>;
    /// Reads it from a request.
    fn decode(incoming: &Incoming) -> Result<Self>;
    /// Writes it into a request, as a client would.
    fn encode(&self) -> Outgoing;
    /// What it asks, without its token, its bearer and where its page begins: equal for requests that ask
    /// the same.
    fn canonical(&self) -> Vec<u8>;
    /// What its path names.
    fn labels(&self) -> Vec<&str>;
    /// The ARN of what it is about, wherever that stands.
    fn named(&self) -> Option<&str>;
    /// The sub-channel that it names.
    fn sub_channel(&self) -> Option<&str>;
    /// What it acts on, for the audit log: the members that are ARNs or ids, and the structures that have some.
    fn each_resource(&self, note: &mut dyn FnMut(&'static str, serde_json::Value));
    /// Who acts.
    fn bearer(&self) -> Option<&IdentityArn>;
}

/// An operation that lists in pages.
pub trait Paged: Operation {
    /// The length that a page is asked to have, and where it begins.
    fn page(&self) -> (Option<MaxResults>, Option<&NextToken>);
    /// Asks for the page that begins there; without a token, for the first.
    fn begin_at(&mut self, token: Option<NextToken>);
}

/// What an operation answers.
pub trait Response: Serialize + DeserializeOwned + Described + Send + 'static {}
impl<T: Serialize + DeserializeOwned + Described + Send + 'static> Response for T {}

/// An operation that changes nothing.
pub trait Read: Operation {
    /// What it looks at first, where that is worth a round trip less. It is no part of the snapshot.
    fn look(&self, _call: &Call) -> Option<Look> {
        None
    }
    /// Answers, from one snapshot.
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Self::Response>;
}

/// An operation that changes something. Its function may run more than once; only what it did last stands.
pub trait Write: Operation {
    /// What it goes by as it arrives, where that matters. Where it is another by the time it acts, on whatever node,
    /// whoever made it so was at it at the same moment, which is a conflict: [`Call::went_by`].
    const GOES_BY: Option<GoesBy<Self>> = None;

    /// The lane that it writes in: that of the first that its path names, where it does not say otherwise.
    fn lane(&self) -> Lane {
        let named = self.labels().first().and_then(|label| label.parse().ok());
        named.map_or(Lane::Account, |arn| Lane::of(&arn))
    }
    /// What it looks at first: how its bearer stands to the channel that its path names, if it does.
    fn look(&self, call: &Call) -> Option<Look> {
        call.look(&self.labels().first()?.parse().ok()?)
    }
    /// Changes and answers, or refuses and leaves no trace.
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Self::Response>;
}

/// Finds what an operation goes by.
pub type GoesBy<O> = fn(&O, &mut Tx) -> Result<Option<Key>>;

/// Whether an operation changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does not.
    Read,
    /// It does.
    Write,
}

/// Whoever wants to know all operations, one after the other.
pub trait Visitor {
    /// One that changes nothing.
    fn read<O: Read>(&mut self);
    /// One that changes something.
    fn write<O: Write>(&mut self);
}

/// What an operation with status 204 answers.
#[carillon_macros::shape]
pub struct NoContent {}

/// A request whose signature was verified and whose operation is known.
pub struct Incoming {
    /// The headers.
    pub headers: HeaderMap,
    /// The labels of the path, decoded.
    pub labels: Vec<(String, String)>,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Incoming {
    /// The body as JSON; where there is none, as an empty object.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T> {
        let text: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        json_bounds::check(text)?;
        // Whoever is asked for the way to what is wrong pays for it at every member.
        if let Ok(body) = serde_json::from_slice(text) {
            return Ok(body);
        }
        let mut reader = serde_json::Deserializer::from_slice(text);
        let body = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            undecodable(if path == "." { "" } else { &path }, error.inner())
        })?;
        reader.end().map_err(|_| Error::bad_request("The body has more than one JSON value"))?;
        Ok(body)
    }

    pub(crate) fn label<T: std::str::FromStr<Err = Violation>>(&self, name: &str, wire: &str) -> Result<T> {
        let value = self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str());
        required(value, wire)
    }

    pub(crate) fn query<T: std::str::FromStr<Err = Violation>>(&self, name: &str, wire: &str) -> Result<T> {
        required(self.find_query(name), wire)
    }

    pub(crate) fn optional_query<T: std::str::FromStr<Err = Violation>>(
        &self,
        name: &str,
        wire: &str,
    ) -> Result<Option<T>> {
        // Clients that walk pages begin with an empty token, and send what their user left empty as it is.
        let given = self.find_query(name).filter(|value| !value.is_empty());
        given.map(|value| required(Some(value), wire)).transpose()
    }

    /// The value of a query parameter.
    pub fn find_query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Who acts. Absent or malformed, it is a matter of authentication, not of syntax.
    pub(crate) fn bearer(&self) -> Result<IdentityArn> {
        self.optional_bearer()?.ok_or_else(|| Error::unauthorized("The x-amz-chime-bearer header is missing"))
    }

    pub(crate) fn optional_bearer(&self) -> Result<Option<IdentityArn>> {
        let Some(value) = self.headers.get(BEARER_HEADER) else { return Ok(None) };
        let arn = value.to_str().ok().and_then(|text| text.parse().ok());
        arn.map(Some).ok_or_else(|| Error::unauthorized(crate::call::INVALID_BEARER))
    }
}

/// Says what is wrong with a body, in our own words: what the library says names types of this server.
fn undecodable(path: &str, error: &serde_json::Error) -> Error {
    let text = error.to_string();
    let words = text.split(" at line ").next().unwrap_or_default();
    if matches!(error.classify(), Category::Syntax | Category::Eof | Category::Io) {
        let told = match words {
            "recursion limit exceeded" => "is nested too deep",
            "number out of range" => "holds a number that is out of range",
            _ => "is not JSON",
        };
        return Error::bad_request(if path.is_empty() {
            format!("The body {told}")
        } else {
            format!("{path}: {told}")
        });
    }
    let within = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let quoted = || words.split('`').nth(1).unwrap_or_default();
    let (path, words) = match words.split_once(' ') {
        Some(("missing", rest)) if rest.starts_with("field") => (within(quoted()), "is required"),
        // The library's path names the member that stands twice; where it does not, its words do.
        Some(("duplicate", rest)) if rest.starts_with("field") => {
            let name = quoted();
            let named = path == name || path.ends_with(&format!(".{name}"));
            (if named { path.to_owned() } else { within(name) }, "must stand only once")
        }
        Some(("invalid", rest))
            if ["type:", "value:", "length"].iter().any(|kind| rest.starts_with(kind)) =>
        {
            (path.to_owned(), expected(words))
        }
        Some(("unknown", _)) => (path.to_owned(), "is not one of the values that it may have"),
        // Our types say themselves what they want.
        _ => (path.to_owned(), words),
    };
    Error::bad_request(if path.is_empty() { format!("The body {words}") } else { format!("{path}: {words}") })
}

/// What a member must be, by what the library expected.
fn expected(words: &str) -> &'static str {
    match words.rsplit_once(", expected ").map_or("", |(_, expected)| expected) {
        "a string" | "a borrowed string" | "string or map" | "variant identifier" => "must be a string",
        "a boolean" => "must be true or false",
        "a map" => "must be an object",
        "a sequence" => "must be a list",
        "i64" | "u64" | "i32" | "u32" => "must be a whole number",
        "f64" => "must be a number",
        expected if expected.starts_with("struct ") => "must be an object",
        _ => "has the wrong type",
    }
}

fn required<T: std::str::FromStr<Err = Violation>>(value: Option<&str>, wire: &str) -> Result<T> {
    let value = value.ok_or_else(|| Error::bad_request(format!("{wire}: is required")))?;
    value.parse().map_err(|violation| Error::bad_request(format!("{wire}: {violation}")))
}

/// Refuses a list that is too short or too long.
pub(crate) fn check_length(wire: &str, length: Option<usize>, least: u64, most: u64) -> Result<()> {
    match length {
        Some(length) if !(least..=most).contains(&(length as u64)) => Err(Error::bad_request(format!(
            "{wire}: must have at least {least} and at most {most} items, not {length}"
        ))),
        _ => Ok(()),
    }
}

/// Decodes one part of a path; a `%` that begins no escape stands for itself.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    // Whole runs are copied at once; they are most of every ARN.
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        bytes.extend_from_slice(&rest[..at]);
        let escaped = rest.get(at + 1..at + 3).and_then(|digits| {
            let [high, low] = [digits[0], digits[1]].map(|digit| char::from(digit).to_digit(16));
            u8::try_from(high? << 4 | low?).ok()
        });
        bytes.push(escaped.unwrap_or(b'%'));
        rest = &rest[if escaped.is_some() { at + 3 } else { at + 1 }..];
    }
    bytes.extend_from_slice(rest);
    String::from_utf8(bytes).ok()
}

/// A request as a client writes it; it has yet to be signed.
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// The path, encoded.
    pub path: String,
    /// The query, encoded.
    pub query: String,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    body: serde_json::Map<String, serde_json::Value>,
}

impl Outgoing {
    pub(crate) fn new<O: Operation>() -> Self {
        let (path, query) = O::URI.split_once('?').unwrap_or((O::URI, ""));
        let (path, query) = (path.to_owned(), query.to_owned());
        Self { method: O::METHOD, path, query, headers: Vec::new(), body: serde_json::Map::new() }
    }

    /// The body: a JSON object, or nothing.
    pub fn body(&self) -> Vec<u8> {
        if self.body.is_empty() {
            return Vec::new();
        }
        serde_json::to_vec(&self.body).expect("texts, numbers and lists always serialize")
    }

    pub(crate) fn member(&mut self, wire: &str, value: impl IntoMember) {
        if let Some(value) = value.into_member() {
            self.body.insert(wire.to_owned(), value);
        }
    }

    pub(crate) fn label(&mut self, name: &str, value: Option<&impl ToString>) {
        let value = value.map(ToString::to_string).unwrap_or_default();
        let encoded = utf8_percent_encode(&value, UNRESERVED).to_string();
        self.path = self.path.replace(&format!("{{{name}}}"), &encoded);
    }

    pub(crate) fn query(&mut self, name: &str, value: impl IntoText) {
        if let Some(value) = value.into_text() {
            let separator = if self.query.is_empty() { "" } else { "&" };
            self.query.extend([separator, name, "="]);
            self.query.extend(utf8_percent_encode(&value, UNRESERVED));
        }
    }

    pub(crate) fn header(&mut self, name: &'static str, value: impl IntoText) {
        if let Some(value) = value.into_text() {
            self.headers.push((name, value));
        }
    }
}

/// A value, or none, on its way into a body.
pub(crate) trait IntoMember {
    fn into_member(self) -> Option<serde_json::Value>;
}

impl<T: Serialize> IntoMember for Option<&T> {
    fn into_member(self) -> Option<serde_json::Value> {
        self.map(|value| serde_json::to_value(value).expect("texts, numbers and lists always serialize"))
    }
}

impl<T: Serialize> IntoMember for &Option<T> {
    fn into_member(self) -> Option<serde_json::Value> {
        self.as_ref().into_member()
    }
}

/// A value, or none, on its way into a header or a query.
pub(crate) trait IntoText {
    fn into_text(self) -> Option<String>;
}

impl<T: ToString> IntoText for Option<&T> {
    fn into_text(self) -> Option<String> {
        self.map(ToString::to_string)
    }
}

impl<T: ToString> IntoText for &Option<T> {
    fn into_text(self) -> Option<String> {
        self.as_ref().into_text()
    }
}
