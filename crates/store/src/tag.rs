//! Tags of resources.

use carillon_model::AppInstanceArn;
use carillon_model::text::{TagKey, TagValue};

use crate::engine::{Query, Value, values};
use crate::row::read;
use crate::{Result, Tx};

/// Sets a tag of the resource with this ARN, over one with the same key.
pub fn set(tx: &mut Tx, resource: &str, key: &TagKey, value: &TagValue) -> Result<()> {
    let sql = "INSERT INTO tag (resource, key, value) VALUES ($1, $2, $3)
               ON CONFLICT (resource, key) DO UPDATE SET value = EXCLUDED.value";
    tx.defer(sql, values![resource, key, value])
}

/// All tags of the resource with this ARN, in the order of their keys. Their number has a quota.
pub fn list(tx: &mut Tx, resource: &str) -> Result<Vec<(TagKey, TagValue)>> {
    let sql = "SELECT key, value FROM tag WHERE resource = $1 ORDER BY key";
    tx.rows(sql, values![resource], read)
}

/// All tags of each of these resources.
pub fn list_all(tx: &mut Tx, resources: &[&str]) -> Result<Vec<Vec<(TagKey, TagValue)>>> {
    let query = |resource: &&str| Query {
        sql: "SELECT key, value FROM tag WHERE resource = $1 ORDER BY key",
        values: values![*resource].iter().map(Value::to_owned).collect(),
    };
    let queries: Vec<_> = resources.iter().map(query).collect();
    tx.answers(&queries, read)
}

/// The value of a tag of a resource; where it has none with this key, that of the resource above it.
pub fn find_nearest(tx: &mut Tx, resource: &str, above: &str, key: &str) -> Result<Option<TagValue>> {
    let sql = "SELECT value FROM tag WHERE resource IN ($1, $2) AND key = $3
               ORDER BY CASE WHEN resource = $1 THEN 0 ELSE 1 END LIMIT 1";
    tx.row(sql, values![resource, above, key], read)
}

/// Deletes all tags of the resource with this ARN, because another may get the ARN. Their number has a quota.
pub fn delete_all(tx: &mut Tx, resource: &str) -> Result<()> {
    tx.defer("DELETE FROM tag WHERE resource = $1", values![resource])
}

/// Deletes up to `limit` tags of resources of an app instance, whose ARNs begin with its ARN and a slash; answers
/// how many.
pub fn delete_some(tx: &mut Tx, instance: &AppInstanceArn, limit: i64) -> Result<u64> {
    // `0` is the character after `/`.
    let (from, until) = (format!("{}/", instance.as_str()), format!("{}0", instance.as_str()));
    tx.execute(
        "DELETE FROM tag WHERE (resource, key) IN
           (SELECT resource, key FROM tag WHERE $1 < resource AND resource < $2 ORDER BY resource LIMIT $3)",
        values![from, until, limit],
    )
}

/// Takes a tag away, where it is there.
pub fn delete(tx: &mut Tx, resource: &str, key: &TagKey) -> Result<()> {
    tx.defer("DELETE FROM tag WHERE resource = $1 AND key = $2", values![resource, key])
}
