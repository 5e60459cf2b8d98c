//! What the service answers, as rows of the store. Keys are made of ARNs, so that a repetition makes the same ones.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use carillon_model::arn::IdentityKind;
use carillon_model::bot::Lex;
use carillon_model::channel_flow::Processor;
use carillon_model::{AppInstanceArn, IdentityArn, Key, MessageKey, Timestamp};
use carillon_store::moving::Columns;
use serde_json::{Value, json};

/// What an ARN ends with.
pub(super) fn id_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}

/// The key of what an ARN names.
pub(super) fn key_of(arn: &str) -> Key {
    let digest = digest(&SHA256, arn.as_bytes());
    let bytes = digest.as_ref()[..16].try_into().expect("16 of 32 bytes");
    Key::random(bytes)
}

/// A member of an answer, as text.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// A time of an answer: seconds, with fractions.
pub(super) fn at(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "times are far from where whole milliseconds end")]
    value.as_f64().map(|seconds| (seconds * 1000.0).round() as i64)
}

/// The same, where there must be one.
pub(super) fn when(value: &Value, name: &str) -> i64 {
    at(&value[name]).unwrap_or_default()
}

/// An object's members.
pub(super) fn columns(object: Value) -> Columns {
    if let Value::Object(columns) = object { columns } else { Columns::new() }
}

/// People who are named somewhere, and are there no more.
#[derive(Debug, Default)]
pub(super) struct People {
    known: HashMap<String, Key>,
    /// Their rows.
    pub(super) gone: Vec<Columns>,
}

impl People {
    /// Somebody who is there.
    pub(super) fn know(&mut self, arn: &str, key: Key) {
        self.known.insert(arn.to_owned(), key);
    }

    /// The key of whom an answer names.
    pub(super) fn key(&mut self, named: &Value, seen_at: i64) -> Key {
        let arn = text(named, "Arn");
        if let Some(key) = self.known.get(arn) {
            return *key;
        }
        let key = key_of(arn);
        self.know(arn, key);
        let kind = IdentityArn::try_from(arn.to_owned()).map_or(IdentityKind::User, |arn| arn.kind());
        let instance = arn.rsplitn(3, '/').nth(2).unwrap_or_default();
        let instance = AppInstanceArn::try_from(instance.to_owned()).ok().and_then(|arn| arn.key());
        self.gone.push(columns(json!({
            "key": key, "app_instance": instance, "kind": kind.segment(), "id": id_of(arn),
            "name": text(named, "Name"), "created_at": seen_at, "updated_at": seen_at, "membership_count": 0,
            "deleted_at": seen_at,
        })));
        key
    }
}

/// An expiration: days and what they count from.
fn expiration(of: &Value, row: &mut Columns) {
    let settings = &of["ExpirationSettings"];
    row.insert("expiration_days".to_owned(), settings["ExpirationDays"].clone());
    row.insert("expiration_criterion".to_owned(), settings["ExpirationCriterion"].clone());
}

pub(super) fn user(instance: Key, user: &Value, admin_since: Option<i64>, memberships: usize) -> Columns {
    let arn = text(user, "AppInstanceUserArn");
    let mut row = columns(json!({
        "key": key_of(arn), "app_instance": instance, "kind": "user", "id": id_of(arn), "name": text(user, "Name"),
        "metadata": user["Metadata"], "created_at": when(user, "CreatedTimestamp"),
        "updated_at": when(user, "LastUpdatedTimestamp"), "admin_since": admin_since,
        "membership_count": memberships, "deleted_at": null,
    }));
    expiration(user, &mut row);
    row
}

/// A bot; nothing where its configuration is not one that is known.
pub(super) fn bot(instance: Key, bot: &Value, memberships: usize) -> Option<Columns> {
    let (arn, lex) = (text(bot, "AppInstanceBotArn"), &bot["Configuration"]["Lex"]);
    let invoked_by = lex
        .get("InvokedBy")
        .map(|by| json!({ "standard": by["StandardMessages"], "targeted": by["TargetedMessages"] }));
    let configuration: Lex = serde_json::from_value(json!({
        "alias": lex["LexBotAliasArn"], "locale": lex["LocaleId"], "welcome_intent": lex["WelcomeIntent"],
        "invoked_by": invoked_by, "responds_to": lex["RespondsTo"],
    }))
    .ok()?;
    Some(columns(json!({
        "key": bot_key(arn), "app_instance": instance, "kind": "bot", "id": id_of(arn), "name": text(bot, "Name"),
        "metadata": bot["Metadata"], "created_at": when(bot, "CreatedTimestamp"),
        "updated_at": when(bot, "LastUpdatedTimestamp"), "membership_count": memberships, "deleted_at": null,
        "configuration": serde_json::to_string(&configuration).ok()?,
    })))
}

/// The key of a bot, which the id in its ARN spells where it can.
pub(super) fn bot_key(arn: &str) -> Key {
    Key::from_uuid(id_of(arn)).unwrap_or_else(|| key_of(arn))
}

/// A flow; nothing where its id is none of ours, or a processor not one that is known.
pub(super) fn flow(instance: Key, flow: &Value) -> Option<Columns> {
    let key = Key::from_uuid(id_of(text(flow, "ChannelFlowArn")))?;
    let processors = flow["Processors"].as_array()?.iter().map(|processor| {
        let lambda = &processor["Configuration"]["Lambda"];
        json!({
            "name": processor["Name"], "function": lambda["ResourceArn"], "invocation": lambda["InvocationType"],
            "order": processor["ExecutionOrder"], "fallback": processor["FallbackAction"],
        })
    });
    let processors: Vec<Processor> = serde_json::from_value(processors.collect()).ok()?;
    Some(columns(json!({
        "app_instance": instance, "key": key, "name": text(flow, "Name"),
        "processors": serde_json::to_string(&processors).ok()?, "created_at": when(flow, "CreatedTimestamp"),
        "updated_at": when(flow, "LastUpdatedTimestamp"),
    })))
}

pub(super) fn channel(instance: Key, channel: &Value, people: &mut People) -> Columns {
    let (arn, elastic) = (text(channel, "ChannelArn"), &channel["ElasticChannelConfiguration"]);
    let created_at = when(channel, "CreatedTimestamp");
    let flow = channel["ChannelFlowArn"].as_str().and_then(|arn| Key::from_uuid(id_of(arn)));
    let updated_at = when(channel, "LastUpdatedTimestamp");
    let last_message_at = at(&channel["LastMessageTimestamp"]);
    let mut row = columns(json!({
        "key": key_of(arn), "app_instance": instance, "id": id_of(arn), "name": text(channel, "Name"),
        "mode": channel["Mode"], "privacy": channel["Privacy"], "metadata": channel["Metadata"],
        "created_by": people.key(&channel["CreatedBy"], created_at), "created_at": created_at,
        "updated_at": updated_at, "last_message_at": last_message_at, "sequence": 0,
        "clock": last_message_at.unwrap_or_default().max(updated_at), "flow": flow, "deleted_at": null,
        "maximum_sub_channels": elastic["MaximumSubChannels"],
        "target_memberships_per_sub_channel": elastic["TargetMembershipsPerSubChannel"],
        "minimum_membership_percentage": elastic["MinimumMembershipPercentage"],
    }));
    expiration(channel, &mut row);
    row
}

/// A message, which the channel has seen, or its sender alone.
pub(super) fn message(
    (channel, sub_channel): (Key, Key),
    message: &Value,
    released: bool,
    people: &mut People,
) -> (MessageKey, Columns) {
    let created_at = when(message, "CreatedTimestamp");
    let key = message_key(text(message, "MessageId"), created_at);
    let target = message["Target"].get(0).map(|target| people.key(&named(&target["MemberArn"]), created_at));
    let redacted = message["Redacted"].as_bool().unwrap_or_default();
    let attributes = message["MessageAttributes"].as_object().map(|attributes| {
        let texts = attributes.iter().map(|(name, value)| (name.clone(), value["StringValues"].clone()));
        Value::Object(texts.collect()).to_string()
    });
    let unless_redacted = |value: &Value| if redacted { Value::Null } else { value.clone() };
    let row = json!({
        "sub_channel": sub_channel, "key": key, "channel": channel,
        "sender": people.key(&message["Sender"], created_at), "target": target, "kind": message["Type"],
        "persistence": "PERSISTENT", "status": status_of(message), "status_detail": message["Status"]["Detail"],
        "content": unless_redacted(&message["Content"]), "metadata": unless_redacted(&message["Metadata"]),
        "content_type": message["ContentType"], "attributes": attributes, "redacted": i64::from(redacted),
        "edited_at": at(&message["LastEditedTimestamp"]), "updated_at": when(message, "LastUpdatedTimestamp"),
        "released": i64::from(released),
    });
    (key, columns(row))
}

/// How far a message has come: where there is no flow, an answer may leave it out.
pub(super) fn status_of(message: &Value) -> &str {
    message["Status"]["Value"].as_str().unwrap_or("SENT")
}

fn named(arn: &Value) -> Value {
    json!({ "Arn": arn, "Name": "" })
}

/// The key of a message: what its id spells, if this spells its time, too. Of another id a key is made that is ordered
/// by the time.
fn message_key(id: &str, created_at: i64) -> MessageKey {
    let created = Timestamp::from_ms(created_at);
    let spelled = MessageKey::from_hex(id).filter(|key| key.created() == created);
    spelled.unwrap_or_else(|| MessageKey::new(created, 0, key_of(id).0))
}

/// Whether the id of a message can be kept.
pub(super) fn is_kept(message: &Value) -> bool {
    let key = message_key(text(message, "MessageId"), when(message, "CreatedTimestamp"));
    key.to_string() == text(message, "MessageId")
}
