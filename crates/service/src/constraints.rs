//! Every operation, and every constraint that it declares, broken one at a time.
//!
//! The cases are made from the declarations, so a new operation or member is tested as soon as it is declared. An
//! otherwise valid request that breaks one constraint is a `BadRequest` that names the member; without a usable
//! bearer it is Unauthorized.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use carillon_model::shape::{Location, Member, Shape};
use carillon_model::text::whole;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use regex::Regex;
use serde_json::{Map, Value, json};

use crate::front::route::Route;
use crate::testing::World;

const INSTANCE: &str =
    "arn:aws:chime:us-east-1:111122223333:app-instance/8d1e2f30-aaaa-4bbb-8ccc-000000000001";

/// One value that breaks one constraint; nothing, for a member that is left out.
struct Case {
    broken: &'static str,
    /// The member that the message must name.
    named: &'static str,
    value: Option<Value>,
}

#[test]
fn every_constraint_of_every_operation_is_kept() {
    World::once(|world| {
        let mut count = 0;
        let mut wrong = Vec::new();
        for route in crate::front::route::all() {
            for member in (route.members)() {
                for case in cases(&member) {
                    count += 1;
                    let (status, answer) = send(world, &route, &member, case.value.as_ref());
                    let bearer = matches!(member.location, Location::Header(_));
                    let message = answer["Message"].as_str().unwrap_or_default();
                    let right = if bearer {
                        status == 401 && answer["Code"] == "Unauthorized"
                    } else {
                        status == 400 && answer["Code"] == "BadRequest" && message.contains(case.named)
                    };
                    if !right {
                        let (name, broken) = (route.name, case.broken);
                        wrong.push(format!("{name}.{}: {broken}: {status} {answer}", member.name));
                    }
                }
            }
        }
        println!("constraints: {count} cases of {} operations", crate::front::route::all().len());
        assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(crate::front::route::all().len() < count, "the declarations have constraints");
    });
}

#[test]
fn an_empty_optional_query_is_an_absent_one() {
    World::once(|world| {
        let mut count = 0;
        let mut wrong = Vec::new();
        for route in crate::front::route::all() {
            for member in (route.members)() {
                if member.required || !matches!(member.location, Location::Query(_)) {
                    continue;
                }
                count += 1;
                let absent = send(world, &route, &member, None);
                let empty = send(world, &route, &member, Some(&json!("")));
                let named = empty.1["Message"].as_str().is_some_and(|words| words.contains(member.name));
                if empty != absent || named {
                    wrong.push(format!("{}.{}: {empty:?}, not {absent:?}", route.name, member.name));
                }
            }
        }
        println!("empty queries: {count}");
        assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(20 < count, "only {count} optional members travel in queries");
    });
}

/// What the libraries say that read bodies, and no client should learn.
const LIBRARY_WORDS: [&str; 12] = [
    "invalid type",
    "invalid value",
    "expected",
    "struct",
    "at line",
    "column",
    "missing field",
    "duplicate field",
    "recursion",
    "EOF",
    "trailing",
    "key must be",
];

/// Bodies that cannot be read: every member null inside, of every wrong type, too deep, and twice.
#[test]
fn what_cannot_be_read_is_said_in_our_own_words() {
    World::once(|world| {
        let (mut count, mut wrong) = (0, Vec::new());
        for route in crate::front::route::all() {
            for member in (route.members)().into_iter().filter(|member| member.location == Location::Body) {
                for value in unreadable(member.name, &member.shape) {
                    count += 1;
                    let (status, answer) = send(world, &route, &member, Some(&value));
                    let message = answer["Message"].as_str().unwrap_or_default();
                    // What is too deep is refused before anybody looks for members.
                    let named = message.contains(member.name) || message.ends_with("levels deep");
                    let foreign = LIBRARY_WORDS.iter().any(|words| message.contains(words));
                    if (status, &answer["Code"]) != (400, &json!("BadRequest")) || !named || foreign {
                        wrong.push(format!("{}.{} = {value}: {status} {answer}", route.name, member.name));
                    }
                }
            }
        }
        println!("unreadable: {count} bodies");
        assert!(0 < count && wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    });
}

/// Values that no member of this shape can be read from. A member itself may be null, which is as if it were left out.
fn unreadable(name: &str, shape: &Shape) -> Vec<Value> {
    let mut deep = json!([]);
    for _ in 0..200 {
        deep = json!([deep]);
    }
    let wrong = [json!("x"), json!(1.5), json!(true), json!([1]), json!({"x": 1})];
    let fits = |value: &Value| match shape {
        Shape::Text { .. } | Shape::Choice(_) => value.is_string(),
        Shape::Integer { .. } => false,
        Shape::Timestamp => value.is_number(),
        Shape::Boolean => value.is_boolean(),
        Shape::List { .. } => value.is_array(),
        Shape::Map(..) => value.is_object(),
        // The library takes the members of a structure by their places, too.
        Shape::Structure(_) => value.is_object() || value.is_array(),
    };
    let mut values: Vec<Value> = wrong.into_iter().filter(|value| !fits(value)).chain([deep]).collect();
    let inside = |name: &str, shape: &Shape| [vec![Value::Null], unreadable(name, shape)].concat();
    match shape {
        Shape::List { of, .. } => values.extend(inside(name, of).into_iter().map(|value| json!([value]))),
        Shape::Map(key, of) => {
            let key = sample("key", key).as_str().unwrap().to_owned();
            let around = |value| Value::Object(Map::from_iter([(key.clone(), value)]));
            values.extend(inside(name, of).into_iter().map(around));
        }
        Shape::Structure(members) => {
            for member in members {
                let around = |value| with(structure(members), member.name, Some(value));
                values.extend(unreadable(member.name, &member.shape).into_iter().map(around));
            }
        }
        _ => {}
    }
    values
}

/// A body in which a member stands twice, and bodies that are none.
#[test]
fn a_body_that_is_not_json_or_says_a_thing_twice_is_refused_in_our_own_words() {
    World::once(|world| {
        let mut count = 0;
        for route in crate::front::route::all() {
            let members = (route.members)();
            let Some(member) = members.iter().find(|member| member.location == Location::Body) else {
                continue;
            };
            let value = sample(member.name, &member.shape);
            let twice = format!("{{\"{0}\": {value}, \"{0}\": {value}}}", member.name);
            for body in [&*twice, "{", "[", "nonsense", "{\"a\"}", "[1]", "7", "\"x\"", "{} {}"] {
                count += 1;
                let (status, answer) = send_body(world, &route, body);
                let message = answer["Message"].as_str().unwrap_or_default();
                assert_eq!((status, &answer["Code"]), (400, &json!("BadRequest")), "{} {body}", route.name);
                let foreign = LIBRARY_WORDS.iter().any(|words| message.contains(words));
                assert!(!foreign, "{} {body}: {message}", route.name);
                assert!(body != twice || message.contains(member.name), "{} {body}: {message}", route.name);
            }
        }
        println!("bodies that are none: {count}");
        assert!(0 < count);
    });
}

/// Sends a request whose path, query and headers are valid, with this body.
fn send_body(world: &mut World, route: &Route, body: &str) -> (u16, Value) {
    let (path, query, headers, _) = parts(route, |member| {
        let sent = member.required || matches!(member.location, Location::Header(_));
        sent.then(|| sample(member.name, &member.shape))
    });
    world.raw_with(route.method.as_str(), (&path, &query), &headers, body.as_bytes())
}

/// An ARN whose app instance has an id that no server makes names what does not exist, as one whose id was never given.
#[test]
fn a_malformed_app_instance_in_an_arn_is_one_that_does_not_exist() {
    World::once(|world| {
        let ana = world.admin("ana");
        let (mut count, mut wrong) = (0, Vec::new());
        for route in crate::front::route::all() {
            for member in (route.members)() {
                if matches!(member.location, Location::Header(_))
                    || !member.name.to_lowercase().ends_with("arn")
                {
                    continue;
                }
                let named = sample(member.name, &member.shape);
                let Some(arn) = named.as_str().filter(|arn| arn.starts_with(INSTANCE)) else { continue };
                let answers = [arn.to_owned(), arn.replace(INSTANCE, &malformed_instance())].map(|arn| {
                    request(world, &route, |other| match other.location {
                        Location::Header(_) => Some(json!(ana.as_str())),
                        _ if other.name == member.name => Some(json!(arn)),
                        _ => other.required.then(|| sample(other.name, &other.shape)),
                    })
                });
                let codes = answers.each_ref().map(|(status, answer)| (*status, answer["Code"].clone()));
                count += 1;
                if codes[0] != codes[1] {
                    wrong.push(format!("{}.{}: {answers:?}", route.name, member.name));
                }
            }
        }
        println!("ARNs of malformed app instances: {count}");
        assert!(0 < count && wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    });
}

fn malformed_instance() -> String {
    INSTANCE.rsplit_once('/').map(|(start, _)| format!("{start}/no-uuid")).unwrap()
}

/// Sends a request in which every member is valid but this one.
fn send(world: &mut World, route: &Route, broken: &Member, value: Option<&Value>) -> (u16, Value) {
    request(world, route, |member| {
        // The bearer that the interface calls optional and the documentation mandatory is always sent.
        let sent = member.required || matches!(member.location, Location::Header(_));
        let valid = sent.then(|| sample(member.name, &member.shape));
        if member.name == broken.name { value.cloned() } else { valid }
    })
}

/// Sends a request whose members have these values.
pub(crate) fn request(
    world: &mut World,
    route: &Route,
    value_of: impl Fn(&Member) -> Option<Value>,
) -> (u16, Value) {
    Built::of(route, value_of).send(world)
}

/// A request that can be sent again to the letter.
pub(crate) struct Built {
    method: http::Method,
    path: String,
    query: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Built {
    /// One whose members have these values.
    pub(crate) fn of(route: &Route, value_of: impl Fn(&Member) -> Option<Value>) -> Self {
        let (path, query, headers, body) = parts(route, value_of);
        let body = if body.is_empty() { Vec::new() } else { serde_json::to_vec(&body).unwrap() };
        Self { method: route.method.clone(), path, query, headers, body }
    }

    pub(crate) fn send(&self, world: &mut World) -> (u16, Value) {
        world.raw_with(self.method.as_str(), (&self.path, &self.query), &self.headers, &self.body)
    }
}

/// Path, query, headers and body.
type Sent = (String, String, Vec<(&'static str, String)>, Map<String, Value>);

/// Path, query, headers and body of a request whose members have these values.
fn parts(route: &Route, value_of: impl Fn(&Member) -> Option<Value>) -> Sent {
    let (path, query) = route.uri.split_once('?').unwrap_or((route.uri, ""));
    let (mut path, mut query) = (path.to_owned(), query.to_owned());
    let (mut headers, mut body) = (Vec::new(), Map::new());
    for member in (route.members)() {
        let Some(value) = value_of(&member) else { continue };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let encoded = utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string();
        match member.location {
            Location::Label(label) => path = path.replace(&format!("{{{label}}}"), &encoded),
            Location::Query(name) => {
                let separator = if query.is_empty() { "" } else { "&" };
                query.extend([separator, name, "=", encoded.as_str()]);
            }
            Location::Header(name) => headers.push((name, text)),
            Location::Body => drop(body.insert(member.name.to_owned(), value)),
        }
    }
    (path, query, headers, body)
}

/// A valid value.
pub(crate) fn sample(name: &str, shape: &Shape) -> Value {
    crate::front::why::sample(name, shape, &text)
}

fn structure(members: &[Member]) -> Value {
    let required = members.iter().filter(|member| member.required);
    required.map(|member| (member.name.to_owned(), sample(member.name, &member.shape))).collect()
}

/// A text that keeps its limits; of an ARN, one of the kind that the member's name says.
fn text(name: &str, min: u64, pattern: Option<&'static str>) -> Value {
    let child = match name {
        _ if name.contains("ChannelFlow") => "/channel-flow/f",
        _ if name.contains("Channel") && !name.contains("Moderator") => "/channel/c",
        _ if name.contains("AppInstanceUser") || name.contains("Admin") => "/user/u",
        _ if name.contains("Bot") => "/bot/b",
        _ if name == "AppInstanceArn" => "",
        _ => "/user/u",
    };
    let candidates = [
        "a".repeat(usize::try_from(min.max(2)).unwrap()),
        format!("{INSTANCE}{child}"),
        "arn:aws:lambda:us-east-1:111122223333:function:moderate".to_owned(),
        "arn:aws:lex:us-east-1:111122223333:bot-alias/ABCDE12345/TSTALIASID".to_owned(),
    ];
    let fits = |text: &String| pattern.is_none_or(|pattern| matches(pattern, text));
    json!(candidates.into_iter().find(fits).unwrap_or_else(|| panic!("a text for {name} {pattern:?}")))
}

/// Whether a text matches a pattern. Compiling one costs more than a request, so each is compiled once.
fn matches(pattern: &'static str, text: &str) -> bool {
    static COMPILED: LazyLock<Mutex<HashMap<&str, Regex>>> = LazyLock::new(Mutex::default);
    COMPILED.lock().unwrap().entry(pattern).or_insert_with(|| whole(pattern)).is_match(text)
}

fn cases(member: &Member) -> Vec<Case> {
    let mut cases = broken(member.name, &member.shape, member.location == Location::Body);
    if matches!(member.location, Location::Query(_)) && !member.required {
        // An empty one is an absent one.
        cases.retain(|case| case.value != Some(json!("")));
    } else if matches!(member.location, Location::Label(_)) {
        // An empty label is another path, and that is no operation.
        cases.retain(|case| case.value != Some(json!("")));
    } else if member.required {
        cases.push(Case { broken: "missing", named: member.name, value: None });
    }
    if matches!(member.location, Location::Header(_)) {
        // A header cannot carry every text.
        cases.retain(|case| case.value.as_ref().and_then(Value::as_str).is_none_or(str::is_ascii));
        cases.retain(|case| case.broken != "pattern");
    }
    cases
}

/// Values that each break one constraint of a shape; what is nested is broken inside a valid value.
fn broken(name: &'static str, shape: &Shape, in_body: bool) -> Vec<Case> {
    let mut values: Vec<(&'static str, Value)> = Vec::new();
    let mut nested = Vec::new();
    match shape {
        Shape::Text { min, max, pattern } => values.extend(texts(*min, *max, *pattern)),
        Shape::Choice(_) => values.push(("choice", json!("NO_SUCH_CHOICE"))),
        Shape::Integer { min, max } => {
            values.extend(min.map(|min| ("least", json!(min - 1))));
            values.extend(max.map(|max| ("greatest", json!(max + 1))));
        }
        Shape::Boolean => {}
        Shape::Timestamp => values.push(("time", json!("yesterday"))),
        Shape::List { of, min, max } => {
            let list = |length: u64| json!(vec![sample(name, of); usize::try_from(length).unwrap()]);
            values.extend(min.filter(|min| 0 < *min).map(|min| ("fewest", list(min - 1))));
            values.extend(max.map(|max| ("most", list(max + 1))));
            nested.extend(broken(name, of, true).into_iter().map(|case| wrap(case, |value| json!([value]))));
        }
        Shape::Map(key, of) => {
            let key = sample("key", key).as_str().unwrap().to_owned();
            let around = |value| Value::Object(Map::from_iter([(key.clone(), value)]));
            nested.extend(broken(name, of, true).into_iter().map(|case| wrap(case, around)));
        }
        Shape::Structure(members) => {
            for member in members {
                let around = |value| with(structure(members), member.name, Some(value));
                let inner = broken(member.name, &member.shape, true);
                nested.extend(inner.into_iter().map(|case| wrap(case, around)));
                if member.required {
                    let value = Some(with(structure(members), member.name, None));
                    nested.push(Case { broken: "missing inside", named: member.name, value });
                }
            }
        }
    }
    if in_body {
        let wrong =
            if matches!(shape, Shape::Text { .. } | Shape::Choice(_)) { json!(7) } else { json!("x") };
        values.push(("type", wrong));
    }
    let own = values.into_iter().map(|(broken, value)| Case { broken, named: name, value: Some(value) });
    own.chain(nested).collect()
}

fn texts(min: Option<u64>, max: Option<u64>, pattern: Option<&'static str>) -> Vec<(&'static str, Value)> {
    let of_length = |length: u64| json!("a".repeat(usize::try_from(length).unwrap()));
    let mut values = Vec::new();
    values.extend(min.filter(|min| 0 < *min).map(|min| ("shortest", of_length(min - 1))));
    values.extend(max.map(|max| ("longest", of_length(max + 1))));
    if let Some(pattern) = pattern {
        let length = usize::try_from(min.unwrap_or(0).max(3)).unwrap();
        let strange = ["!", "\n", "\u{0}", " "].map(|one| one.repeat(length));
        values.extend(
            strange.into_iter().find(|text| !matches(pattern, text)).map(|text| ("pattern", json!(text))),
        );
    }
    values
}

fn wrap(case: Case, around: impl Fn(Value) -> Value) -> Case {
    Case { value: case.value.map(around), ..case }
}

fn with(mut structure: Value, name: &str, value: Option<Value>) -> Value {
    let members = structure.as_object_mut().unwrap();
    match value {
        Some(value) => drop(members.insert(name.to_owned(), value)),
        None => drop(members.remove(name)),
    }
    structure
}
