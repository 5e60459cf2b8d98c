//! Erasures: what is to be taken away of a person, how far that has come, and how much it was.
//!
//! The row is the order, the progress and the receipt. It names the person by their key; the id that they had is there
//! only until nothing else holds it. Every function that writes is a step of the one job that erases.

mod traces;

use carillon_model::arn::{AppInstanceArn, ChannelArn, IdentityArn};
use carillon_model::{Key, MessageKey, Timestamp};
use serde::{Deserialize, Serialize};

use crate::engine::{Column, FromColumn, ToValue, Value, values};
use crate::row::{read, row, sql};
use crate::settlement::Shared;
use crate::{Result, Tx, setting};
pub use traces::*;

/// The tag that has a channel keep what it holds, whatever its value but `off`.
pub const HOLD: &str = "carillon:hold";
/// What the names of settings begin with that say of whom something may be left in free room; the person's key follows.
const IN_FREE_ROOM: &str = "in-free-room ";
/// What somebody is called of whom nothing else is left.
pub const NAME: &str = "Erased user";

/// How far an erasure has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It was asked for: which channels are held is to be found out.
    Asked,
    /// The user is to be ended, and loses their name.
    End,
    /// What they said is to be erased, and they are to leave their channels.
    Messages,
    /// What is under way is to be gone through: events, what leaves the server, tokens. Their id is replaced.
    Traces,
    /// Nothing is left to do.
    Done,
}

impl Stage {
    const ALL: [Self; 5] = [Self::Asked, Self::End, Self::Messages, Self::Traces, Self::Done];

    fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "ASKED",
            Self::End => "END",
            Self::Messages => "MESSAGES",
            Self::Traces => "TRACES",
            Self::Done => "DONE",
        }
    }
}

impl ToValue for Stage {
    fn to_value(&self) -> Value<'_> {
        Value::Text(self.as_str().into())
    }
}

impl FromColumn for Stage {
    fn from_column(column: Column<'_>) -> Option<Self> {
        let Column::Text(text) = column else { return None };
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }
}

/// A channel that keeps what somebody said there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldChannel {
    /// Its ARN.
    pub channel_arn: String,
    /// How many messages of theirs it holds.
    pub messages: i64,
}

/// How much was erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Devices.
    pub endpoints: i64,
    /// Messages that others see as erased from now on.
    pub messages: i64,
    /// Messages that nobody else ever saw, which are gone: they waited in a flow, or failed there.
    pub unseen: i64,
    /// Events of which copies for late readers said who it was, or what they said.
    pub events: i64,
    /// What was to leave the server.
    pub outgoing: i64,
    /// Request tokens.
    pub tokens: i64,
}

/// An erasure.
#[derive(Debug, Clone, PartialEq)]
pub struct Erasure {
    /// Whose.
    pub person: Key,
    /// Of which app instance.
    pub app_instance: Key,
    /// The id that they had, until nothing holds it.
    pub id: Option<String>,
    /// Whether what they said stays.
    pub keeps_messages: bool,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// How far it has come.
    pub stage: Stage,
    /// When the user was ended.
    pub begun_at: Option<Timestamp>,
    /// The channels that keep what they said, as JSON.
    pub held: String,
    /// When it was done.
    pub ended_at: Option<Timestamp>,
    /// How much was erased.
    pub erased: Erased,
}

impl Erasure {
    /// The channels that keep what they said.
    pub fn held(&self) -> Vec<HeldChannel> {
        serde_json::from_str(&self.held).unwrap_or_default()
    }

    /// Whether such a channel keeps their name and their id, too: whose words they are is a part of what it holds.
    pub fn keeps_name(&self) -> bool {
        !self.held().is_empty()
    }

    /// The id that stands in the place of theirs.
    pub fn new_id(&self) -> String {
        format!("erased-{}", self.person)
    }
}

row! { ($) erasure_columns:
    fn erasure(row) -> Erasure {
        person, app_instance, id, keeps_messages, asked_at, stage, begun_at, held, ended_at;
        erased: Erased {
            endpoints: row.read()?, messages: row.read()?, unseen: row.read()?, events: row.read()?,
            outgoing: row.read()?, tokens: row.read()?,
        }
    }
}

/// Erasures as [`erasure`] reads them; the rest of the statement follows.
macro_rules! select {
    ($rest:literal) => {
        sql!("SELECT " erasure_columns!() ", endpoints, messages, unseen, events, outgoing, tokens FROM erasure " $rest)
    };
}

/// Everyone who has, or had, this ARN: an id may be given anew when its user was deleted. Also those whose erasure is
/// under way, and who have another id by now.
pub fn list_named(tx: &mut Tx, arn: &IdentityArn) -> Result<Vec<Key>> {
    tx.rows(
        "SELECT key FROM identity WHERE app_instance = $1 AND kind = 'user' AND id = $2
         UNION SELECT person FROM erasure WHERE app_instance = $1 AND id = $2 AND ended_at IS NULL
         ORDER BY key -- of a person",
        values![arn.app_instance_key(), arn.id()],
        read,
    )
}

/// Asks for an erasure. Asked again, it begins anew, with all that is left: a channel may be held no more.
pub fn ask(tx: &mut Tx, person: Key, keeps_messages: bool, now: Timestamp) -> Result<()> {
    tx.defer(
        "INSERT INTO erasure (person, app_instance, id, keeps_messages, asked_at, stage, held)
         SELECT key, app_instance, id, $2, $3, 'ASKED', '[]' FROM identity WHERE key = $1
         ON CONFLICT (person) DO UPDATE SET keeps_messages = EXCLUDED.keeps_messages, asked_at = EXCLUDED.asked_at,
           id = EXCLUDED.id, stage = EXCLUDED.stage, held = EXCLUDED.held, ended_at = NULL
         WHERE erasure.ended_at IS NOT NULL",
        values![person, keeps_messages, now],
    )
}

/// The erasure of someone.
pub fn find(tx: &mut Tx, person: Key) -> Result<Option<Erasure>> {
    tx.row(select!("WHERE person = $1"), values![person], erasure)
}

/// The first erasure after `after` that is not done.
pub fn find_open(tx: &mut Tx, after: Key) -> Result<Option<Erasure>> {
    let sql = select!("WHERE ended_at IS NULL AND $1 < person ORDER BY person LIMIT 1");
    tx.row(sql, values![after], erasure)
}

/// Notes that an erasure has come to the next stage.
pub fn set_stage(tx: &mut Tx, person: Key, stage: Stage) -> Result<()> {
    tx.defer("UPDATE erasure SET stage = $2 WHERE person = $1", values![person, stage])
}

/// Notes which channels keep what they said.
pub fn set_held(tx: &mut Tx, person: Key, held: &[HeldChannel]) -> Result<()> {
    let held = serde_json::to_string(held).expect("texts and numbers always serialize");
    tx.defer("UPDATE erasure SET held = $2 WHERE person = $1", values![person, held])
}

/// Adds to how much was erased.
pub fn count(tx: &mut Tx, person: Key, more: Erased) -> Result<()> {
    let Erased { endpoints, messages, unseen, events, outgoing, tokens } = more;
    tx.defer(
        "UPDATE erasure SET endpoints = endpoints + $2, messages = messages + $3, unseen = unseen + $4,
           events = events + $5, outgoing = outgoing + $6, tokens = tokens + $7
         WHERE person = $1",
        values![person, endpoints, messages, unseen, events, outgoing, tokens],
    )
}

/// Notes that nothing is left to do but in free room, and forgets who it was.
pub fn end(tx: &mut Tx, person: Key, now: Timestamp) -> Result<()> {
    setting::set(tx, &format!("{IN_FREE_ROOM}{person}"), "")?;
    let sql = "UPDATE erasure SET stage = 'DONE', ended_at = $2, id = NULL WHERE person = $1";
    tx.defer(sql, values![person, now])
}

/// The names of settings, one for each erasure that is done, of which something may be left in free room.
pub fn list_in_free_room(tx: &mut Tx) -> Result<Vec<String>> {
    // `!` is the character after the blank.
    let (from, until) = (IN_FREE_ROOM, format!("{}!", IN_FREE_ROOM.trim_end()));
    tx.rows(
        "SELECT name FROM setting WHERE $1 < name AND name < $2 ORDER BY name",
        values![from, until],
        read,
    )
}

/// Forgets one of those.
pub(crate) fn forget_in_free_room(tx: &mut Tx, name: &str) -> Result<()> {
    tx.execute("DELETE FROM setting WHERE name = $1", values![name]).map(drop)
}

/// Deletes up to `limit` erasures of a deleted app instance; answers how many.
pub fn delete_some(tx: &mut Tx, instance: Key, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM erasure WHERE person IN
           (SELECT person FROM erasure WHERE app_instance = $1 ORDER BY person LIMIT $2)",
        values![instance, limit],
    )
}

/// Takes the rest of what a user was, who is ended: the name, where it is not kept.
pub fn begin(tx: &mut Tx, of: &Erasure, now: Timestamp) -> Result<()> {
    if !of.keeps_name() {
        let sql = "UPDATE identity SET name = $2 WHERE key = $1 AND deleted_at IS NOT NULL";
        tx.settle(Shared::Person(of.person), sql, values![of.person, NAME])?;
    }
    let sql = "UPDATE erasure SET stage = 'MESSAGES', begun_at = $2 WHERE person = $1";
    tx.defer(sql, values![of.person, of.begun_at.unwrap_or(now)])
}

/// Replaces the id, where it is not kept.
pub fn replace_id(tx: &mut Tx, of: &Erasure) -> Result<()> {
    if !of.keeps_name() {
        let sql = "UPDATE identity SET id = $2 WHERE key = $1 AND deleted_at IS NOT NULL";
        tx.settle(Shared::Person(of.person), sql, values![of.person, of.new_id()])?;
    }
    set_stage(tx, of.person, Stage::Traces)
}

/// Whether a deleted user has still to leave channels.
pub fn is_leaving(tx: &mut Tx, person: Key) -> Result<bool> {
    let sql = "SELECT 1 FROM identity WHERE key = $1 AND leaving IS NOT NULL";
    Ok(tx.row(sql, values![person], |_| Ok(()))?.is_some())
}

/// Whether a channel of an app instance is deleted and not yet destroyed.
pub fn is_destroying(tx: &mut Tx, instance: Key) -> Result<bool> {
    let sql =
        "SELECT 1 FROM channel WHERE app_instance = $1 AND deleted_at IS NOT NULL LIMIT 1 -- of a person";
    Ok(tx.row(sql, values![instance], |_| Ok(()))?.is_some())
}

/// Whether a channel keeps what it holds.
pub fn is_held(tx: &mut Tx, channel: &ChannelArn) -> Result<bool> {
    let sql = "SELECT value FROM tag WHERE resource = $1 AND key = $2";
    let value: Option<String> = tx.row(sql, values![channel.as_str(), HOLD], read)?;
    Ok(value.is_some_and(|value| value != "off"))
}

/// The first channel of an app instance whose id comes after `after`.
pub fn find_channel(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    after: &str,
) -> Result<Option<(Key, ChannelArn)>> {
    let sql = "SELECT key, id FROM channel WHERE app_instance = $1 AND $2 < id AND deleted_at IS NULL
               ORDER BY id LIMIT 1";
    tx.row(sql, values![instance.key(), after], |row| {
        Ok((row.read()?, instance.channel(&row.read::<String>()?)))
    })
}

/// The channels of an app instance that keep what they hold, by their ARNs.
pub fn list_held(tx: &mut Tx, instance: &AppInstanceArn) -> Result<Vec<String>> {
    // `0` is the character after `/`.
    let (from, until) =
        (format!("{}/channel/", instance.as_str()), format!("{}/channel0", instance.as_str()));
    let sql = "SELECT resource FROM tag WHERE $1 < resource AND resource < $2 AND key = $3 AND value <> 'off'
               ORDER BY resource";
    tx.rows(sql, values![from, until, HOLD], read)
}

/// Where messages of a channel are: in itself, and in its sub-channels.
pub fn list_places(tx: &mut Tx, channel: Key) -> Result<Vec<Key>> {
    let sql = "SELECT key FROM sub_channel WHERE channel = $1 ORDER BY key";
    let mut places = tx.rows(sql, values![channel], read)?;
    places.push(channel);
    Ok(places)
}

/// Whether anything of somebody is on its way through a flow in a place.
pub fn is_in_flight(tx: &mut Tx, place: Key, sender: Key) -> Result<bool> {
    let sql = "SELECT 1 FROM in_flight WHERE sub_channel = $1 AND sender = $2 LIMIT 1";
    Ok(tx.row(sql, values![place, sender], |_| Ok(()))?.is_some())
}

/// Forgets what of somebody is, or was, on its way through a flow in a place; answers how many messages that were
/// nowhere else.
pub fn delete_in_flight(tx: &mut Tx, place: Key, sender: Key) -> Result<u64> {
    let unseen = tx.execute(
        "DELETE FROM in_flight WHERE sub_channel = $1 AND sender = $2 AND persistence = 'NON_PERSISTENT'
           AND phase <> 'END'",
        values![place, sender],
    )?;
    tx.defer("DELETE FROM in_flight WHERE sub_channel = $1 AND sender = $2", values![place, sender])?;
    Ok(unseen)
}

/// The next `limit` messages of a place after `after`, each with whether it is this sender's and says something.
pub fn list_messages(
    tx: &mut Tx,
    (place, after): (Key, MessageKey),
    sender: Key,
    limit: i64,
) -> Result<Vec<(MessageKey, bool)>> {
    tx.rows(
        "SELECT key, CAST(CASE WHEN sender = $3 AND redacted = 0 THEN 1 ELSE 0 END AS BIGINT) FROM message
         WHERE sub_channel = $1 AND $2 < key ORDER BY key LIMIT $4",
        values![place, after, sender, limit],
        read,
    )
}
