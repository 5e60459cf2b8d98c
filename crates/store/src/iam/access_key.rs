//! Access keys of users. Their secrets are sealed before they come here.

use carillon_model::Timestamp;

use crate::engine::values;
use crate::row::{Written, read, row, sql};
use crate::{Result, Tx};

/// An access key.
#[derive(Clone, PartialEq)]
pub struct AccessKey {
    /// Its id.
    pub id: String,
    /// The id of the user whose it is.
    pub principal: String,
    /// The secret, sealed.
    pub sealed_secret: Vec<u8>,
    /// Whether it may sign.
    pub active: bool,
    /// Since when there is one.
    pub created_at: Timestamp,
}

row! { ($) access_key_columns:
    fn access_key(row) -> AccessKey { id, principal, sealed_secret: (secret), active, created_at }
}

/// Adds a key.
pub fn insert(tx: &mut Tx, key: &AccessKey) -> Result<()> {
    tx.defer(access_key_columns!(INSERT INTO iam_access_key (..)), &key.values(&[]))
}

/// The keys of a user. Their number has a quota.
pub fn list(tx: &mut Tx, principal: &str) -> Result<Vec<AccessKey>> {
    let sql = sql!("SELECT " access_key_columns!() " FROM iam_access_key WHERE principal = $1 ORDER BY id");
    tx.rows(sql, values![principal], access_key)
}

/// Every key.
pub fn all(tx: &mut Tx) -> Result<Vec<AccessKey>> {
    let sql = sql!("SELECT " access_key_columns!() " FROM iam_access_key ORDER BY id");
    tx.rows(sql, &[], access_key)
}

/// The name of the user whose a key is.
pub fn find_user_name(tx: &mut Tx, id: &str) -> Result<Option<String>> {
    let sql =
        "SELECT r.name FROM iam_access_key k JOIN iam_principal r ON r.id = k.principal WHERE k.id = $1";
    tx.row(sql, values![id], read)
}

/// Lets a user's key sign, or not; false where they have no such key.
pub fn set_active(tx: &mut Tx, principal: &str, id: &str, active: bool) -> Result<bool> {
    let sql = "UPDATE iam_access_key SET active = $3 WHERE principal = $1 AND id = $2";
    Ok(tx.execute(sql, values![principal, id, active])? == 1)
}

/// Up to `limit` ids and sealed secrets of keys whose ids follow `after`.
pub fn list_sealed(tx: &mut Tx, after: &str, limit: i64) -> Result<Vec<(String, Vec<u8>)>> {
    let sql = "SELECT id, secret FROM iam_access_key WHERE $1 < id ORDER BY id LIMIT $2";
    tx.rows(sql, values![after, limit], read)
}

/// Replaces the sealed secret of a key: the key that seals has changed.
pub fn reseal(tx: &mut Tx, id: &str, sealed_secret: &[u8]) -> Result<()> {
    tx.defer("UPDATE iam_access_key SET secret = $2 WHERE id = $1", values![id, sealed_secret])
}

/// Takes a user's key away; false where they have no such key.
pub fn delete(tx: &mut Tx, principal: &str, id: &str) -> Result<bool> {
    let sql = "DELETE FROM iam_access_key WHERE principal = $1 AND id = $2";
    Ok(tx.execute(sql, values![principal, id])? == 1)
}
