//! Texts on their way that may name somebody: what events say, what is to leave the server, what request tokens led to.

use carillon_model::{Key, Timestamp};

use crate::engine::values;
use crate::settlement::Shared;
use crate::{Result, Tx};

/// A text of a row that may name somebody, with what it takes to replace just that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<At> {
    /// Which row.
    pub at: At,
    /// When it was written.
    pub since: Timestamp,
    /// The text.
    pub text: String,
}

/// Where an event is: its channel, and its number there.
pub type OfEvent = (Key, i64);

/// What the next `limit` events after `after` say.
pub fn list_events(tx: &mut Tx, after: OfEvent, limit: i64) -> Result<Vec<Text<OfEvent>>> {
    tx.rows(
        "SELECT channel, sequence, at, payload FROM outbox WHERE (channel, sequence) > ($1, $2)
         ORDER BY channel, sequence LIMIT $3 -- of a person",
        values![after.0, after.1, limit],
        |row| Ok(Text { at: row.read()?, since: row.read()?, text: row.read()? }),
    )
}

/// Has an event say something else, if it still says what was read.
pub fn replace_event(tx: &mut Tx, event: &Text<OfEvent>, by: &str) -> Result<u64> {
    let sql = "UPDATE outbox SET payload = $3 WHERE channel = $1 AND sequence = $2 AND payload = $4";
    tx.execute(sql, values![event.at.0, event.at.1, by, event.text])
}

/// Where something is that is to leave the server: its shard, queue, channel, number and part.
pub type OfOutgoing = (i64, (String, (Key, (i64, i64))));

/// Before the first of them.
pub fn first_outgoing() -> OfOutgoing {
    (i64::MIN, (String::new(), (Key([0; 16]), (0, 0))))
}

/// What the next `limit` rows of what is to leave the server say.
pub fn list_outgoing(tx: &mut Tx, after: &OfOutgoing, limit: i64) -> Result<Vec<Text<OfOutgoing>>> {
    let (shard, (queue, (channel, (sequence, part)))) = after;
    tx.rows(
        "SELECT shard, queue, channel, sequence, part, at, body FROM outgoing
         WHERE (shard, queue, channel, sequence, part) > ($1, $2, $3, $4, $5)
         ORDER BY shard, queue, channel, sequence, part LIMIT $6 -- of a person",
        values![shard, queue, channel, sequence, part, limit],
        |row| Ok(Text { at: row.read()?, since: row.read()?, text: row.read()? }),
    )
}

/// Has something say something else, or nothing, if it still is to leave the server and says what was read.
pub fn replace_outgoing(tx: &mut Tx, one: &Text<OfOutgoing>, by: Option<&str>) -> Result<u64> {
    let (shard, (queue, (channel, (sequence, part)))) = &one.at;
    let place = values![shard, queue, channel, sequence, part, one.text];
    match by {
        Some(by) => tx.execute(
            "UPDATE outgoing SET body = $7 WHERE shard = $1 AND queue = $2 AND channel = $3 AND sequence = $4
               AND part = $5 AND body = $6",
            &[&place[..], values![by]].concat(),
        ),
        None => tx.execute(
            "DELETE FROM outgoing WHERE shard = $1 AND queue = $2 AND channel = $3 AND sequence = $4
               AND part = $5 AND body = $6",
            place,
        ),
    }
}

/// Where a request token is.
pub type OfToken = (Key, String, String);

/// What the next `limit` request tokens led to.
pub fn list_tokens(tx: &mut Tx, after: &OfToken, limit: i64) -> Result<Vec<Text<OfToken>>> {
    tx.rows(
        "SELECT owner, operation, token, created_at, result FROM request_token
         WHERE (owner, operation, token) > ($1, $2, $3) ORDER BY owner, operation, token LIMIT $4 -- of a person",
        values![after.0, after.1, after.2, limit],
        |row| Ok(Text { at: row.read()?, since: row.read()?, text: row.read()? }),
    )
}

/// Forgets a request token, if it was not used anew.
pub fn delete_token(tx: &mut Tx, token: &Text<OfToken>) -> Result<()> {
    let (owner, operation, name) = &token.at;
    tx.settle_if_there(
        Shared::Token(*owner, operation.clone(), name.clone()),
        "DELETE FROM request_token WHERE owner = $1 AND operation = $2 AND token = $3 AND created_at = $4",
        values![owner, operation, name, token.since],
    )
}
