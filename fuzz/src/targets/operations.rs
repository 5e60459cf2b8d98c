//! The decoders of the 81 operations. What one reads it can write, and reads as the same again.

use carillon_auth::parse_query;
use carillon_model::shape::{Location, Member, Shape};
use carillon_service::operation::{Incoming, Operation, Read, Visitor, Write};
use carillon_service::operations;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::Target;
use crate::outcome::note;

pub(crate) const NAME: &str = "operations";

/// A line with the operation's name, lines of labels, queries and headers, an empty line, the body.
pub(super) const TARGET: Target = Target {
    name: NAME,
    about: "the decoders of the 81 operations",
    words: "label query header arn:aws:chime:us-east-1:111122223333:app-instance/ /user/u /channel/c /bot/b \
            /channel-flow/f 8d1e2f30-aaaa-4bbb-8ccc-000000000001 null true UNRESTRICTED PUBLIC STANDARD \
            PERSISTENT NON_PERSISTENT CONTROL ChannelArn Metadata Tags Key Value",
    is_quick: true,
    run,
};

/// What decodes one operation, and how its request is made.
struct Decoder {
    name: &'static str,
    members: fn() -> Vec<Member>,
    decode: fn(&Incoming),
}

#[derive(Default)]
struct Decoders(Vec<Decoder>);

impl Visitor for Decoders {
    fn read<O: Read>(&mut self) {
        self.add::<O>();
    }

    fn write<O: Write>(&mut self) {
        self.add::<O>();
    }
}

impl Decoders {
    fn all() -> Vec<Decoder> {
        let mut decoders = Self::default();
        operations::visit(&mut decoders);
        decoders.0
    }

    fn add<O: Operation>(&mut self) {
        self.0.push(Decoder { name: O::NAME, members: O::members, decode: decode::<O> });
    }
}

thread_local! {
    static DECODERS: Vec<Decoder> = Decoders::all();
}

fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let name = lines.next().unwrap_or_default();
    let mut incoming = Incoming {
        headers: HeaderMap::new(),
        labels: Vec::new(),
        query: Vec::new(),
        body: body.to_owned().into(),
    };
    for line in lines {
        let mut words = line.splitn(3, ' ');
        let (Some(place), Some(name), value) = (words.next(), words.next(), words.next()) else { continue };
        let value = value.unwrap_or_default();
        match place {
            "label" => incoming.labels.push((name.to_owned(), value.to_owned())),
            "query" => incoming.query.push((name.to_owned(), value.to_owned())),
            _ => {
                if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
                    incoming.headers.insert(name, value);
                }
            }
        }
    }
    DECODERS.with(|decoders| {
        let found = decoders.iter().find(|decoder| decoder.name == name);
        let any = name.bytes().fold(0, |sum, byte| sum + usize::from(byte)) % decoders.len();
        let decoder = found.unwrap_or(&decoders[any]);
        note(decoder.name);
        (decoder.decode)(&incoming);
    });
}

fn decode<O: Operation>(incoming: &Incoming) {
    let read = match O::decode(incoming) {
        Ok(read) => read,
        Err(error) => {
            assert!(error.code.status() < 500, "{}: {error}", O::NAME);
            return note(&error.message);
        }
    };
    note("read");
    let written = read.encode();
    let mut again = Incoming {
        headers: HeaderMap::new(),
        labels: incoming.labels.clone(),
        query: parse_query(&written.query).expect("what we write is UTF-8"),
        body: written.body().into(),
    };
    for (name, value) in &written.headers {
        again.headers.insert(*name, value.parse().expect("it was a header before"));
    }
    let read_again =
        O::decode(&again).unwrap_or_else(|error| panic!("{} reads not what it wrote: {error}", O::NAME));
    assert_eq!(read.canonical(), read_again.canonical(), "{}", O::NAME);
    let _ = (read.labels(), read.named(), read.sub_channel(), read.bearer());
    read.each_resource(&mut |_, _| {});
}

/// For each operation a request with all its members, and one with those that it must have.
pub(crate) fn samples() -> Vec<Vec<u8>> {
    let decoders = Decoders::all();
    let all = decoders.iter().flat_map(|decoder| [true, false].map(|is_full| sample(decoder, is_full)));
    all.map(String::into_bytes).collect()
}

fn sample(decoder: &Decoder, is_full: bool) -> String {
    let (mut head, mut body) = (decoder.name.to_owned(), Map::new());
    for member in (decoder.members)() {
        let is_bearer = matches!(member.location, Location::Header(_));
        if !(is_full || member.required || is_bearer) {
            continue;
        }
        let value = value(member.name, &member.shape);
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match member.location {
            Location::Label(name) => head.extend(["\nlabel ", name, " ", text.as_str()]),
            Location::Query(name) => head.extend(["\nquery ", name, " ", text.as_str()]),
            Location::Header(name) => head.extend(["\nheader ", name, " ", text.as_str()]),
            Location::Body => drop(body.insert(member.name.to_owned(), value)),
        }
    }
    format!("{head}\n\n{}", Value::Object(body))
}

/// A value of this shape, which most of its limits let pass.
fn value(name: &str, shape: &Shape) -> Value {
    match shape {
        Shape::Text { min, .. } => text(name, *min),
        Shape::Choice(choices) => json!(choices.first()),
        Shape::Integer { min, .. } => json!(min.unwrap_or(1)),
        Shape::Boolean => json!(true),
        Shape::Timestamp => json!(1_768_478_400),
        Shape::List { of, .. } => json!([value(name, of)]),
        Shape::Map(_, of) => json!({ "k": value(name, of) }),
        Shape::Structure(members) => {
            members.iter().map(|member| (member.name.to_owned(), value(member.name, &member.shape))).collect()
        }
    }
}

fn text(name: &str, min: Option<u64>) -> Value {
    const INSTANCE: &str =
        "arn:aws:chime:us-east-1:111122223333:app-instance/8d1e2f30-aaaa-4bbb-8ccc-000000000001";
    let child = match name {
        "AppInstanceArn" => "",
        "LexBotAliasArn" => {
            return json!("arn:aws:lex:us-east-1:111122223333:bot-alias/ABCDE12345/TSTALIASID");
        }
        "LocaleId" => return json!("en_US"),
        "ResourceArn" => return json!("arn:aws:lambda:us-east-1:111122223333:function:f"),
        _ if name.contains("ChannelFlow") => "/channel-flow/f",
        _ if name.contains("Channel") && !name.contains("Moderator") => "/channel/c",
        _ if name.contains("Bot") => "/bot/b",
        _ => "/user/u",
    };
    if name.to_lowercase().ends_with("arn") || matches!(name, "ChimeBearer" | "MemberArns" | "ModeratorArns")
    {
        return json!(format!("{INSTANCE}{child}"));
    }
    json!("ab".repeat(min.map_or(1, |min| usize::try_from(min).unwrap_or(1).max(1))))
}
