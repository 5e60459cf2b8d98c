//! A request as somebody would make it who asks only whether they may.
//!
//! A question names a bearer and a resource. What else an operation needs is taken from these two, or assumed; what was
//! assumed is told, because another value may lead to another answer.

use carillon_model::shape::{Location, Member, Shape};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use super::Question;
use crate::error::{Error, Result};
use crate::front::route::Route;
use crate::operation::Incoming;

/// What is assumed of a function and of a bot's program: nobody asks for them by a policy.
const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:assumed";
const BOT_ALIAS: &str = "arn:aws:lex:us-east-1:000000000000:bot-alias/AAAAAAAAAA/AAAAAAAAAA";

/// A request, and what was assumed of it.
pub(super) struct Supposed {
    pub(super) incoming: Incoming,
    pub(super) assumed: Map<String, Value>,
}

/// Whether a member says who or what a request is about: then another value may lead to another answer.
pub(super) fn is_identifying(member: &str) -> bool {
    member != "ClientRequestToken" && ["Arn", "ARN", "Arns", "Id"].iter().any(|end| member.ends_with(end))
}

/// The request that a question means.
pub(super) fn request(route: &Route, question: &Question, token: &str) -> Result<Supposed> {
    let members = (route.members)();
    if let Some(name) =
        question.request.keys().find(|name| !members.iter().any(|member| member.name == **name))
    {
        return Err(Error::bad_request(format!("Request.{name}: is no member of chime:{}", route.name)));
    }
    let mut incoming = Incoming {
        headers: HeaderMap::new(),
        labels: Vec::new(),
        query: Vec::new(),
        body: bytes::Bytes::new(),
    };
    let (mut body, mut assumed) = (Map::new(), Map::new());
    for member in &members {
        let Some((value, is_assumed)) = value(member, question, token)? else { continue };
        if is_assumed {
            assumed.insert(member.name.to_owned(), value.clone());
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match member.location {
            Location::Label(label) => incoming.labels.push((label.to_owned(), text)),
            Location::Query(name) => incoming.query.push((name.to_owned(), text)),
            Location::Header(name) => {
                let text = HeaderValue::from_str(&text);
                let text = text.map_err(|_| Error::bad_request("Bearer: must be an ARN"))?;
                incoming.headers.insert(HeaderName::from_static(name), text);
            }
            Location::Body => drop(body.insert(member.name.to_owned(), value)),
        }
    }
    incoming.body = Value::Object(body).to_string().into();
    Ok(Supposed { incoming, assumed })
}

/// The value of a member, and whether it was assumed.
fn value(member: &Member, question: &Question, token: &str) -> Result<Option<(Value, bool)>> {
    let (bearer, resource) = (question.bearer.as_deref(), question.resource.as_deref());
    let known = match member.location {
        Location::Header(_) => return Ok(bearer.map(|bearer| (json!(bearer), false))),
        _ => question.request.get(member.name).cloned(),
    };
    let named = || resource.filter(|resource| is_named_by(member.name, resource)).map(|named| json!(named));
    if let Some(known) = known.or_else(named) {
        return Ok(Some((known, false)));
    }
    if !member.required {
        return Ok(None);
    }
    let part = |from: Option<&str>| from.and_then(app_instance_of).map(|instance| json!(instance));
    let known = match member.name {
        "AppInstanceArn" => part(resource).or_else(|| part(bearer)),
        "AppInstanceUserId" => resource.and_then(|arn| arn.split_once("/user/")).map(|(_, id)| json!(id)),
        "ClientRequestToken" => Some(json!(token)),
        _ => None,
    };
    if let Some(known) = known {
        return Ok(Some((known, false)));
    }
    let instance = resource.or(bearer).and_then(app_instance_of);
    let assumed = match (member.name, bearer) {
        ("AppInstanceUserArn" | "MemberArn" | "ChannelModeratorArn", Some(bearer)) => json!(bearer),
        ("MemberArns", Some(bearer)) => json!([bearer]),
        ("AppInstanceAdminArn", _) => json!(format!("{}/user/assumed", instance.unwrap_or_default())),
        ("ChannelFlowArn", _) if !matches!(member.location, Location::Query(_)) && resource.is_some() => {
            json!(format!("{}/channel-flow/assumed", instance.unwrap_or_default()))
        }
        (name, _) if member.name.ends_with("Arn") && is_ours(name) => {
            return Err(Error::bad_request(format!("Resource: must be what {name} of the request names")));
        }
        (name, _) => sample(name, &member.shape, &text),
    };
    Ok(Some((assumed, true)))
}

/// Whether the resource is what a member names.
fn is_named_by(member: &str, resource: &str) -> bool {
    let kind = app_instance_of(resource).map(|instance| &resource[instance.len()..]);
    let kind = kind.map(|rest| rest.split('/').nth(1).unwrap_or_default());
    match member {
        "ResourceARN" => true,
        "AppInstanceArn" => kind == Some(""),
        "AppInstanceBotArn" => kind == Some("bot"),
        "AppInstanceAdminArn" => matches!(kind, Some("user" | "bot")),
        "AppInstanceUserArn" => kind == Some("user"),
        "ChannelArn" => kind == Some("channel"),
        "ChannelFlowArn" => kind == Some("channel-flow"),
        _ => false,
    }
}

fn is_ours(member: &str) -> bool {
    member.starts_with("AppInstance") || member.starts_with("Channel") || member == "MemberArn"
}

/// The ARN of the app instance that an ARN is below, or is.
fn app_instance_of(arn: &str) -> Option<&str> {
    let begin = arn.find(":app-instance/")? + ":app-instance/".len();
    Some(arn[begin..].find('/').map_or(arn, |length| &arn[..begin + length]))
}

fn text(name: &str, min: u64, _: Option<&'static str>) -> Value {
    match name {
        "LexBotAliasArn" => json!(BOT_ALIAS),
        name if name.ends_with("Arn") => json!(FUNCTION),
        _ => json!("a".repeat(usize::try_from(min.max(2)).unwrap_or(2))),
    }
}

/// A value of a shape, as small as it may be; `text` chooses texts by name, least length and pattern.
pub(crate) fn sample(
    name: &str,
    shape: &Shape,
    text: &dyn Fn(&str, u64, Option<&'static str>) -> Value,
) -> Value {
    match shape {
        Shape::Text { min, pattern, .. } => text(name, min.unwrap_or(0), *pattern),
        Shape::Choice(values) => json!(values[0]),
        Shape::Integer { min, .. } => json!(min.unwrap_or(0)),
        Shape::Boolean => json!(true),
        Shape::Timestamp => json!("2026-01-15T12:00:00.000Z"),
        Shape::List { of, min, .. } => {
            json!(vec![sample(name, of, text); usize::try_from(min.unwrap_or(1)).unwrap_or(1)])
        }
        Shape::Map(key, value) => {
            let key = sample("key", key, text).as_str().unwrap_or_default().to_owned();
            Value::Object(Map::from_iter([(key, sample("value", value, text))]))
        }
        Shape::Structure(members) => {
            let required = members.iter().filter(|member| member.required);
            required
                .map(|member| (member.name.to_owned(), sample(member.name, &member.shape, text)))
                .collect()
        }
    }
}
