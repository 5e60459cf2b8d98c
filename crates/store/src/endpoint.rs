//! The devices that users are notified on.

use std::sync::LazyLock;

use carillon_model::endpoint::Endpoint;
use carillon_model::text::{AllowMessages, EndpointName, EndpointStatusReason};
use carillon_model::{Key, Timestamp};

use crate::engine::{MANY, ToValue, parameters, several, values};
use crate::row::{Written, read, row, sql};
use crate::{Result, Tx};

row! { ($) endpoint_columns:
    fn endpoint(row) -> Endpoint {
        owner, key, device, name, kind, resource, device_token, voip_device_token, allow_messages, status,
        status_reason, created_at, updated_at
    }
}

/// Adds an endpoint.
pub fn insert(tx: &mut Tx, endpoint: &Endpoint) -> Result<()> {
    tx.defer(endpoint_columns!(INSERT INTO endpoint (..)), &endpoint.values(&[]))
}

/// An endpoint of a user.
pub fn find(tx: &mut Tx, owner: Key, key: Key) -> Result<Option<Endpoint>> {
    let sql = sql!("SELECT " endpoint_columns!() " FROM endpoint WHERE owner = $1 AND key = $2");
    tx.row(sql, values![owner, key], endpoint)
}

/// Up to `limit` endpoints of a user after `after`, in the order of their keys, those among them that cannot be
/// reached.
pub fn list(tx: &mut Tx, owner: Key, after: Option<Key>, limit: i64) -> Result<Vec<Endpoint>> {
    let sql = sql!("SELECT " endpoint_columns!()
                   " FROM endpoint WHERE owner = $1 AND $2 < key ORDER BY key LIMIT $3");
    tx.rows(sql, values![owner, after.unwrap_or(Key([0; 16])), limit], endpoint)
}

/// The endpoints of up to [`crate::LIST_LEN_MAX`] users that can be reached, and are to be. One read, however many.
pub fn list_reachable(tx: &mut Tx, owners: &[Key]) -> Result<Vec<Endpoint>> {
    static ONE: LazyLock<String> = LazyLock::new(|| reachable_sql(1));
    static ALL: LazyLock<String> = LazyLock::new(|| reachable_sql(MANY));
    if owners.is_empty() {
        return Ok(Vec::new());
    }
    let mut values = Vec::new();
    let sql = several(&ONE, &ALL, &mut values, owners.iter().map(ToValue::to_value));
    tx.rows(sql, &values, endpoint)
}

fn reachable_sql(count: usize) -> String {
    format!(
        "SELECT {} FROM endpoint WHERE owner IN ({}) AND status = 'ACTIVE' AND allow_messages <> 'NONE'
         ORDER BY owner, key",
        endpoint_columns!(),
        parameters(1, count)
    )
}

/// Says that an endpoint can no longer be reached, unless its device was registered anew.
pub fn deactivate(
    tx: &mut Tx,
    (owner, key): (Key, Key),
    reason: EndpointStatusReason,
    now: Timestamp,
) -> Result<()> {
    tx.defer(
        "UPDATE endpoint SET status = 'INACTIVE', status_reason = $3, updated_at = $4
         WHERE owner = $1 AND key = $2 AND status = 'ACTIVE'",
        values![owner, key, reason, now],
    )
}

/// How many a user has. Their number has a quota.
pub fn count(tx: &mut Tx, owner: Key) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM endpoint WHERE owner = $1";
    Ok(tx.row(sql, values![owner], read)?.unwrap_or_default())
}

/// Changes what is given of an endpoint; false where there is none.
pub fn update(
    tx: &mut Tx,
    (owner, key): (Key, Key),
    name: Option<&EndpointName>,
    allow_messages: Option<AllowMessages>,
    now: Timestamp,
) -> Result<bool> {
    let sql = "UPDATE endpoint SET updated_at = $5,
                 name = CASE WHEN CAST($3 AS TEXT) IS NULL THEN name ELSE $3 END,
                 allow_messages = CASE WHEN CAST($4 AS TEXT) IS NULL THEN allow_messages ELSE $4 END
               WHERE owner = $1 AND key = $2";
    Ok(tx.execute(sql, values![owner, key, name, allow_messages, now])? == 1)
}

/// Says that a device now belongs to `owner`: their older registrations of it go away, and those of others can no
/// longer be reached.
pub fn give_device(tx: &mut Tx, device: &[u8; 32], owner: Key, now: Timestamp) -> Result<()> {
    tx.defer("DELETE FROM endpoint WHERE device = $1 AND owner = $2", values![device, owner])?;
    tx.defer(
        "UPDATE endpoint SET status = 'INACTIVE', status_reason = $3, updated_at = $4
         WHERE device = $1 AND owner <> $2 AND status = 'ACTIVE'",
        values![device, owner, EndpointStatusReason::InvalidDeviceToken, now],
    )
}

/// Takes an endpoint away; false where there is none.
pub fn delete(tx: &mut Tx, owner: Key, key: Key) -> Result<bool> {
    Ok(tx.execute("DELETE FROM endpoint WHERE owner = $1 AND key = $2", values![owner, key])? == 1)
}

/// Takes all endpoints of a user away. Their number has a quota.
pub fn delete_all(tx: &mut Tx, owner: Key) -> Result<()> {
    tx.defer("DELETE FROM endpoint WHERE owner = $1", values![owner])
}
