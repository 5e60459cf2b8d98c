//! What is recorded, and how much of it.

use carillon_model::text::{ChannelMode, ChannelPrivacy};
use carillon_model::{ChannelArn, IdentityArn};

use super::resources::{RESOURCES_BYTES_MAX, names_resource};
use super::*;
use serde_json::{Map, json};

use crate::constraints::{request, sample};
use crate::operation::{BEARER_HEADER, Effect};
use crate::operations::messaging::describe_channel::DescribeChannel;
use crate::testing::*;

fn describe(channel: &ChannelArn, who: &IdentityArn) -> DescribeChannel {
    DescribeChannel { channel_arn: channel.clone(), chime_bearer: who.clone() }
}

fn private_channel(world: &mut World, who: &IdentityArn) -> ChannelArn {
    world.channel_of(who, ChannelMode::Restricted, ChannelPrivacy::Private)
}

#[engine_test]
fn every_write_is_recorded_and_no_read(world: &mut World) {
    let ana = world.user("ana");
    let channel = private_channel(world, &ana);
    world.take_records();
    let sent = world.call(&message_request(&channel, &ana, "the content")).unwrap();
    let message_id = serde_json::to_value(&sent).unwrap()["MessageId"].as_str().unwrap().to_owned();
    world.call(&describe(&channel, &ana)).unwrap();
    let records = world.take_records();
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!(record.action.as_deref(), Some("chime:SendChannelMessage"));
    assert_eq!((record.result.as_str(), record.status), ("OK", 201));
    assert_eq!(record.bearer.as_deref(), Some(ana.as_str()));
    assert_eq!(record.access_key_id.as_deref(), Some("ROOT"));
    assert!(record.principal.as_deref().unwrap().ends_with(":root"));
    assert_eq!(record.resources["ChannelArn"], channel.as_str());
    assert_eq!(record.resources["MessageId"], message_id);
    assert!(!serde_json::to_string(record).unwrap().contains("the content"));
}

#[engine_test]
fn every_refusal_is_recorded(world: &mut World) {
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    let channel = private_channel(world, &ana);
    world.take_records();
    world.call(&describe(&channel, &bob)).unwrap_err();
    world.call(&message_request(&channel, &bob, "the content")).unwrap_err();
    let records = world.take_records();
    let told: Vec<_> = records
        .iter()
        .map(|record| (record.action.as_deref().unwrap(), record.result.as_str(), record.status))
        .collect();
    let expected =
        [("chime:DescribeChannel", "Forbidden", 403), ("chime:SendChannelMessage", "Forbidden", 403)];
    assert_eq!(told, expected);
}

/// What of a member's value must stand in a record, by the names that it has there.
fn expected(path: &str, name: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) if names_resource(name.trim_end_matches('s')) => {
            found.push((path.to_owned(), text.clone()));
        }
        Value::Array(items) => items.iter().for_each(|item| expected(path, name, item, found)),
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| expected(&format!("{path}.{name}"), name, value, found));
        }
        _ => {}
    }
}

fn has(record: &Record, name: &str, text: &str) -> bool {
    match record.resources.get(name) {
        Some(Value::Array(items)) => items.iter().any(|item| item == text),
        Some(one) => one == text,
        None => false,
    }
}

#[test]
fn every_write_operation_is_recorded_with_all_that_it_names() {
    World::once(|world| {
        let writes = crate::front::route::all().into_iter().filter(|route| route.effect == Effect::Write);
        let (mut count, mut wrong) = (0, Vec::new());
        for route in writes {
            world.take_records();
            let value_of = |member: &carillon_model::shape::Member| {
                // Two ways to say one thing exclude each other.
                (member.name != "NextToken").then(|| sample(member.name, &member.shape))
            };
            let (status, answer) = request(world, &route, value_of);
            let records = world.take_records();
            let [record] = &records[..] else { panic!("{}: {status} {answer} {records:?}", route.name) };
            assert_eq!(record.action.as_deref(), Some(&*format!("chime:{}", route.name)));
            assert_eq!((record.status, record.left_out), (status, 0), "{}", route.name);
            let mut all = Vec::new();
            for member in (route.members)() {
                let value = sample(member.name, &member.shape);
                if matches!(member.location, carillon_model::shape::Location::Header(_)) {
                    assert_eq!(record.bearer.as_deref(), value.as_str(), "{}", route.name);
                } else {
                    expected(member.name, member.name, &value, &mut all);
                }
            }
            count += all.len();
            let names_nothing = all.is_empty() && record.resources.is_empty();
            if names_nothing || all.iter().any(|(name, text)| !has(record, name, text)) {
                wrong.push(format!("{}: {status} {answer}: {all:?}: {:?}", route.name, record.resources));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(60 < count, "{count}");
    });
}

#[engine_test]
fn what_is_recorded_is_what_was_acted_on(world: &mut World) {
    let ana = world.user("ana");
    let channel = private_channel(world, &ana);
    let other = channel.as_str().replace("/channel/", "/channel/other-");
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    world.take_records();
    let mut body = Map::from_iter([
        ("Content".to_owned(), json!("the content")),
        ("ChannelArn".to_owned(), json!(other)),
        ("MemberArn".to_owned(), json!(other)),
        ("MessageId".to_owned(), json!("another")),
    ]);
    body.extend((0..100).map(|number| (format!("A{number}Arn"), json!(other))));
    for (name, value) in [("Type", "STANDARD"), ("Persistence", "PERSISTENT"), ("ClientRequestToken", "once")]
    {
        body.insert(name.to_owned(), json!(value));
    }
    let (path, query) = (
        format!("/channels/{}/messages", encode(channel.as_str())),
        format!("channelArn={}", encode(&other)),
    );
    let headers = [(BEARER_HEADER, ana.as_str().to_owned())];
    let body = serde_json::to_vec(&body).unwrap();
    let (status, sent) = world.raw_with("POST", (&path, &query), &headers, &body);
    assert_eq!(status, 201, "{sent}");
    let records = world.take_records();
    let recorded = json!({ "ChannelArn": channel, "MessageId": sent["MessageId"] });
    assert_eq!(json!(records[0].resources), recorded);
}

#[engine_test]
fn whoever_is_added_in_a_batch_is_recorded_and_whoever_could_not_be(world: &mut World) {
    let ana = world.user("ana");
    let channel = private_channel(world, &ana);
    let mut members: Vec<IdentityArn> =
        (0..99).map(|number| world.user(&format!("member-{number}"))).collect();
    members.push(world.instance().user("nobody"));
    world.take_records();
    let path = format!(
        "/channels/{}/memberships",
        percent_encoding::utf8_percent_encode(channel.as_str(), percent_encoding::NON_ALPHANUMERIC)
    );
    let headers = [(BEARER_HEADER, ana.as_str().to_owned())];
    let body = serde_json::to_vec(&json!({ "MemberArns": members })).unwrap();
    let (status, answer) = world.raw_with("POST", (&path, "operation=batch-create"), &headers, &body);
    assert_eq!(status, 200, "{answer}");
    let records = world.take_records();
    assert_eq!(records[0].resources["MemberArns"], json!(members));
    assert_eq!(records[0].resources["Errors.MemberArn"], json!([members[99]]));
    assert_eq!(records[0].left_out, 0);
}

#[test]
fn what_has_no_room_is_counted() {
    let mut resources = Resources::default();
    let arn = "arn:".to_owned() + &"x".repeat(1_020);
    let many: Vec<&String> = std::iter::repeat_n(&arn, 100).collect();
    resources.note_member("MemberArns", &json!(many));
    resources.note("LongArn", &"x".repeat(TEXT_LENGTH_MAX + 1));
    assert_eq!(resources.named["MemberArns"].as_array().unwrap().len(), RESOURCES_BYTES_MAX / 1_024);
    assert_eq!(resources.left_out, 100 - 64 + 1);
}

#[test]
fn of_structures_only_what_they_name_is_taken() {
    let mut resources = Resources::default();
    let message = json!({ "MessageId": "m", "Content": "arn:secret", "MessageAttributes": {
        "FooArn": { "StringValues": ["secret"] } }, "Names": ["secret"] });
    resources.note_member("ChannelMessage", &message);
    assert_eq!(json!(resources.named), json!({ "ChannelMessage.MessageId": ["m"] }));
}

#[engine_test]
fn of_what_nobody_signed_little_is_taken(world: &mut World) {
    let ana = world.user("ana");
    let channel = private_channel(world, &ana);
    let mine = world.sign_with(Credentials { secret: "wrong".to_owned(), ..Credentials::root() });
    world.take_records();
    let long = "arn:".to_owned() + &"x".repeat(20_000);
    for (path, bearer) in [(channel.as_str(), ana.as_str()), (&long, &long), ("arn:\n{}", "arn:x y")] {
        let path = percent_encoding::utf8_percent_encode(path, percent_encoding::NON_ALPHANUMERIC);
        let headers = [(BEARER_HEADER, bearer.to_owned())];
        let target = (&*format!("/channels/{path}"), &*format!("xArn={long}"));
        let (status, _) = world.raw_with("DELETE", target, &headers, b"{}");
        assert_eq!(status, 403);
    }
    world.sign_with(mine);
    let records = world.take_records();
    let named: Vec<Value> = records.iter().map(|record| json!([record.bearer, record.resources])).collect();
    let first = json!([ana, { "ChannelArn": channel }]);
    assert_eq!(named, [first, json!([null, {}]), json!([null, {}])]);
    for record in records {
        assert!(serde_json::to_vec(&record).unwrap().len() < 1_500, "{record:?}");
        assert_eq!((record.principal, record.status), (None, 403));
    }
}
