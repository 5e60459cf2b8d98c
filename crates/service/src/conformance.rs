//! The referee: every declaration is compared with `spec/api.json`, which is data made by others, and what the original
//! lacks with `spec/extensions.json`, which clients are made from.
//!
//! It walks our operations and, for each, the published one: method, path, status, every member's place, type,
//! bounds, whether it is required, the members of the answer, and the list of errors. A difference is printed
//! with both sides; the declaration is wrong, not the file.

use std::collections::{BTreeMap, BTreeSet};

use carillon_model::shape::{Location, Member, Shape};
use serde_json::Value;

use crate::error::ErrorCode;
use crate::front::route::Route;

/// Members that the interface lets be absent and the documentation calls mandatory, with the reason to differ.
const STRICTER: [(&str, &str); 0] = [];

struct Api<'a> {
    shapes: &'a Value,
}

fn published() -> Value {
    serde_json::from_str(include_str!("../../../spec/api.json")).unwrap()
}

fn extensions() -> Value {
    serde_json::from_str(include_str!("../../../spec/extensions.json")).unwrap()
}

/// The operation as each interface that has it publishes it: three names stand in both.
fn find<'a>(all: &'a Value, name: &str) -> Vec<(Api<'a>, &'a Value)> {
    let apis = all.as_object().unwrap().values();
    apis.filter_map(|api| Some((Api { shapes: &api["shapes"] }, api["operations"].get(name)?))).collect()
}

#[test]
fn every_operation_is_as_published() {
    let mut all = published();
    all.as_object_mut().unwrap().extend(extensions().as_object().unwrap().clone());
    let mut differences = Vec::new();
    for route in crate::front::route::all() {
        let found = find(&all, route.name);
        assert!(!found.is_empty(), "{} is not published", route.name);
        for (api, operation) in found {
            api.compare(&route, operation, &mut differences);
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn the_report_counts_what_is_there() {
    let all = published();
    let names = |api: &str| -> BTreeSet<String> {
        all[api]["operations"].as_object().unwrap().keys().cloned().collect()
    };
    let published: Vec<String> =
        names("chime-sdk-messaging").into_iter().chain(names("chime-sdk-identity")).collect();
    let ours: BTreeSet<&str> = crate::front::route::all().iter().map(|route| route.name).collect();
    let missing: Vec<&String> = published.iter().filter(|name| !ours.contains(name.as_str())).collect();
    println!(
        "conformance: {} of {} operations; not yet: {missing:?}",
        published.len() - missing.len(),
        published.len()
    );
    assert_eq!(published.len(), 81);
    // This number only grows. Whoever adds an operation raises it.
    assert_eq!(published.len() - missing.len(), 81);
}

/// Where extensions live, so that no path of theirs is ever one of the original.
const EXTENSIONS_PATH: &str = "/_carillon/v1/";

#[test]
fn extensions_are_counted_apart() {
    let (published, extensions) = (published(), extensions());
    let described = extensions["carillon-extensions"]["operations"].as_object().unwrap();
    for (name, operation) in described {
        assert!(find(&published, name).is_empty(), "{name} is published");
        assert!(operation["uri"].as_str().unwrap().starts_with(EXTENSIONS_PATH), "{name}");
    }
    let routes = crate::front::route::all();
    let ours: BTreeSet<&str> = routes
        .iter()
        .filter(|route| route.uri.starts_with(EXTENSIONS_PATH))
        .map(|route| route.name)
        .collect();
    println!("conformance: {} extensions", ours.len());
    assert_eq!(ours, described.keys().map(String::as_str).collect());
}

impl Api<'_> {
    fn compare(&self, route: &Route, operation: &Value, differences: &mut Vec<String>) {
        let mut differ = |what: &str, ours: &dyn std::fmt::Debug, theirs: &dyn std::fmt::Debug| {
            differences.push(format!("{}: {what}: ours {ours:?}, published {theirs:?}", route.name));
        };
        if route.method.as_str() != operation["method"] {
            differ("method", &route.method, &operation["method"]);
        }
        if route.uri != operation["uri"] {
            differ("uri", &route.uri, &operation["uri"]);
        }
        if u64::from(route.status) != operation["status"].as_u64().unwrap() {
            differ("status", &route.status, &operation["status"]);
        }
        let ours: BTreeSet<&str> =
            route.errors.iter().chain(&ErrorCode::EVERYONES).map(|code| code.exception()).collect();
        let theirs: BTreeSet<&str> =
            operation["errors"].as_array().unwrap().iter().map(|error| error.as_str().unwrap()).collect();
        if ours != theirs {
            differ("errors", &ours, &theirs);
        }
        let input = self.structure(name_of(&operation["input"]));
        for (what, ours, theirs) in differing(&(route.members)(), &input) {
            if !STRICTER.contains(&(route.name, what.as_str())) {
                differ(&format!("input {what}"), &ours, &theirs);
            }
        }
        let Shape::Structure(answer) = (route.response)() else { panic!("an answer is a structure") };
        let answer: Vec<Member> = answer.into_iter().map(|member| lenient(&member)).collect();
        let output: Vec<Member> = name_of(&operation["output"])
            .map(|name| self.structure(Some(name)).iter().map(lenient).collect())
            .unwrap_or_default();
        for (what, ours, theirs) in differing(&answer, &output) {
            differ(&format!("output {what}"), &ours, &theirs);
        }
    }

    fn structure(&self, name: Option<&str>) -> Vec<Member> {
        let Some(name) = name else { return Vec::new() };
        let shape = &self.shapes[name];
        let required: Vec<&str> =
            shape["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let members = shape["members"].as_object().unwrap();
        members
            .iter()
            .map(|(name, member)| Member {
                name: leak(name),
                location: location(member),
                required: required.contains(&name.as_str()),
                shape: self.shape(name_of(&member["shape"]).unwrap()),
            })
            .collect()
    }

    fn shape(&self, name: &str) -> Shape {
        let shape = &self.shapes[name];
        let (min, max) = (shape["min"].as_u64(), shape["max"].as_u64());
        let inner = |key: &str| Box::new(self.shape(name_of(&shape[key]).unwrap()));
        match shape["type"].as_str().unwrap() {
            "string" if shape["enum"].is_array() => Shape::Choice(Vec::leak(
                shape["enum"].as_array().unwrap().iter().map(|value| leak(value.as_str().unwrap())).collect(),
            )),
            "string" => Shape::Text { min, max, pattern: shape["pattern"].as_str().map(leak) },
            "integer" => Shape::Integer { min: shape["min"].as_i64(), max: shape["max"].as_i64() },
            "boolean" => Shape::Boolean,
            "timestamp" => Shape::Timestamp,
            "list" => Shape::List { of: inner("member"), min, max },
            "map" => Shape::Map(inner("key"), inner("value")),
            "structure" => Shape::Structure(self.structure(Some(name))),
            other => panic!("an unknown type: {other}"),
        }
    }
}

fn name_of(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["shape"].as_str())
}

fn location(member: &Value) -> Location {
    let wire = || leak(member["wire"].as_str().unwrap());
    match member["in"].as_str() {
        None => Location::Body,
        Some("uri") => Location::Label(wire()),
        Some("querystring") => Location::Query(wire()),
        Some("header") => Location::Header(wire()),
        Some(other) => panic!("an unknown place: {other}"),
    }
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

/// What an answer promises: names and types. Whether a member can be absent, and the bounds of what we wrote
/// ourselves, are ours to keep.
fn lenient(member: &Member) -> Member {
    Member { required: false, shape: lenient_shape(&member.shape), ..member.clone() }
}

fn lenient_shape(shape: &Shape) -> Shape {
    match shape {
        Shape::Text { .. } => Shape::Text { min: None, max: None, pattern: None },
        Shape::Integer { .. } => Shape::Integer { min: None, max: None },
        Shape::List { of, .. } => Shape::List { of: Box::new(lenient_shape(of)), min: None, max: None },
        Shape::Map(key, value) => Shape::Map(Box::new(lenient_shape(key)), Box::new(lenient_shape(value))),
        Shape::Structure(members) => {
            let mut members: Vec<Member> = members.iter().map(lenient).collect();
            members.sort_by_key(|member| member.name);
            Shape::Structure(members)
        }
        other => other.clone(),
    }
}

/// Absent bounds and the bounds that hold anyway are the same.
fn normal(member: &Member) -> Member {
    Member { shape: normal_shape(&member.shape), ..member.clone() }
}

fn normal_shape(shape: &Shape) -> Shape {
    match shape {
        Shape::Text { min, max, pattern } => {
            Shape::Text { min: Some(min.unwrap_or(0)), max: *max, pattern: *pattern }
        }
        Shape::List { of, min, max } => Shape::List { of: Box::new(normal_shape(of)), min: *min, max: *max },
        Shape::Map(key, value) => Shape::Map(Box::new(normal_shape(key)), Box::new(normal_shape(value))),
        Shape::Structure(members) => {
            let mut members: Vec<Member> = members.iter().map(normal).collect();
            members.sort_by_key(|member| member.name);
            Shape::Structure(members)
        }
        other => other.clone(),
    }
}

fn differing(ours: &[Member], theirs: &[Member]) -> Vec<(String, Option<Member>, Option<Member>)> {
    let by_name = |members: &[Member]| -> BTreeMap<&'static str, Member> {
        members.iter().map(|member| (member.name, normal(member))).collect()
    };
    let (ours, theirs) = (by_name(ours), by_name(theirs));
    let names: BTreeSet<&str> = ours.keys().chain(theirs.keys()).copied().collect();
    names
        .into_iter()
        .filter(|name| ours.get(name) != theirs.get(name))
        .map(|name| (name.to_owned(), ours.get(name).cloned(), theirs.get(name).cloned()))
        .collect()
}
