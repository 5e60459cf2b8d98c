//! The devices that users are notified on.

use carillon_model::endpoint::Endpoint;
use carillon_model::text::{AllowMessages, EndpointName, EndpointStatusReason};
use carillon_model::{Key, Timestamp};

use crate::engine::{Row, values};
use crate::{Result, Tx};

/// Adds an endpoint.
pub fn insert(tx: &mut Tx, endpoint: &Endpoint) -> Result<()> {
    tx.defer(
        "INSERT INTO endpoint (owner, key, device, name, kind, resource, device_token, voip_device_token,
           allow_messages, status, status_reason, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        values![
            endpoint.owner,
            endpoint.key,
            endpoint.device,
            endpoint.name,
            endpoint.kind,
            endpoint.resource,
            endpoint.device_token,
            endpoint.voip_device_token,
            endpoint.allow_messages,
            endpoint.status,
            endpoint.status_reason,
            endpoint.created_at,
            endpoint.updated_at,
        ],
    )
}

/// An endpoint of a user.
pub fn find(tx: &mut Tx, owner: Key, key: Key) -> Result<Option<Endpoint>> {
    tx.row(
        "SELECT owner, key, device, name, kind, resource, device_token, voip_device_token, allow_messages, status,
           status_reason, created_at, updated_at
         FROM endpoint WHERE owner = $1 AND key = $2",
        values![owner, key],
        endpoint,
    )
}

/// Up to `limit` endpoints of a user after `after`, in the order of their keys, those among them that cannot be
/// reached.
pub fn list(tx: &mut Tx, owner: Key, after: Option<Key>, limit: i64) -> Result<Vec<Endpoint>> {
    tx.rows(
        "SELECT owner, key, device, name, kind, resource, device_token, voip_device_token, allow_messages, status,
           status_reason, created_at, updated_at
         FROM endpoint WHERE owner = $1 AND $2 < key ORDER BY key LIMIT $3",
        values![owner, after.unwrap_or(Key([0; 16])), limit],
        endpoint,
    )
}

/// How many a user has. Their number has a quota.
pub fn count(tx: &mut Tx, owner: Key) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM endpoint WHERE owner = $1";
    Ok(tx.row(sql, values![owner], |row| row.get(0))?.unwrap_or_default())
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

fn endpoint(row: &Row<'_>) -> Result<Endpoint> {
    Ok(Endpoint {
        owner: row.get(0)?,
        key: row.get(1)?,
        device: row.get(2)?,
        name: row.get(3)?,
        kind: row.get(4)?,
        resource: row.get(5)?,
        device_token: row.get(6)?,
        voip_device_token: row.get(7)?,
        allow_messages: row.get(8)?,
        status: row.get(9)?,
        status_reason: row.get(10)?,
        created_at: row.get(11)?,
        updated_at: row.get(12)?,
    })
}
