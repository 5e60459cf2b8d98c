//! Channel flows, and the channels that have one.

use carillon_model::arn::{AppInstanceArn, ChannelArn, ChannelFlowArn};
use carillon_model::channel_flow::{ChannelFlow, Processor};
use carillon_model::text::{ChannelMode, ChannelPrivacy, Metadata, NonEmptyResourceName};
use carillon_model::{Key, Timestamp};

use crate::engine::values;
use crate::row::{Written, read, row, sql};
use crate::settlement::Shared;
use crate::{Result, Tx};

row! { ($) flow_columns:
    fn flow(row, instance: &AppInstanceArn) -> ChannelFlow {
        key, name, processors, created_at, updated_at;
        arn: instance.channel_flow(&key.uuid())
    }
}

/// Adds a flow.
pub fn insert(tx: &mut Tx, instance: Key, flow: &ChannelFlow) -> Result<()> {
    let sql = flow_columns!(INSERT INTO channel_flow (app_instance, ..));
    tx.defer(sql, &flow.values(values![instance]))
}

/// The flow that an ARN names.
pub fn find(tx: &mut Tx, arn: &ChannelFlowArn) -> Result<Option<ChannelFlow>> {
    let Some((instance, key)) = keys(arn) else { return Ok(None) };
    tx.row(
        sql!("SELECT " flow_columns!(f)
             " FROM channel_flow f JOIN app_instance a ON a.key = f.app_instance AND a.deleted_at IS NULL
             WHERE f.app_instance = $1 AND f.key = $2"),
        values![instance, key],
        |row| flow(row, &arn.app_instance()),
    )
}

/// Holds a flow that a channel is about to be given, so that nobody deletes it meanwhile.
pub fn hold(tx: &mut Tx, arn: &ChannelFlowArn, flow: Key) -> Result<()> {
    tx.settle(
        Shared::Flow(flow),
        "UPDATE channel_flow SET updated_at = updated_at
         WHERE app_instance = $1 AND key = $2
           AND EXISTS (SELECT 1 FROM app_instance a WHERE a.key = $1 AND a.deleted_at IS NULL)",
        values![arn.app_instance_key(), flow],
    )
}

/// How many flows an app instance has, counting no further than `most`.
pub fn count(tx: &mut Tx, instance: Key, most: i64) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM (SELECT 1 FROM channel_flow WHERE app_instance = $1 LIMIT $2) AS counted";
    Ok(tx.row(sql, values![instance, most], read)?.unwrap_or_default())
}

/// Up to `limit` flows of an app instance after `after`, in the order of their keys.
pub fn list(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<ChannelFlow>> {
    let Some(key) = instance.key() else { return Ok(Vec::new()) };
    tx.rows(
        sql!("SELECT " flow_columns!()
             " FROM channel_flow WHERE app_instance = $1 AND $2 < key ORDER BY key LIMIT $3"),
        values![key, after.unwrap_or(Key([0; 16])), limit],
        |row| flow(row, instance),
    )
}

/// Replaces the name and all processors of a flow.
pub fn update(
    tx: &mut Tx,
    (arn, key): (&ChannelFlowArn, Key),
    name: &NonEmptyResourceName,
    processors: &[Processor],
    now: Timestamp,
) -> Result<()> {
    tx.settle(
        Shared::Flow(key),
        "UPDATE channel_flow SET name = $3, processors = $4, updated_at = $5
         WHERE app_instance = $1 AND key = $2
           AND EXISTS (SELECT 1 FROM app_instance a WHERE a.key = $1 AND a.deleted_at IS NULL)",
        values![arn.app_instance_key(), key, name, processors.to_vec(), now],
    )
}

/// Takes a flow away that no channel has. Held first: a channel that is being given the flow holds it too, so one of
/// the two sees the other.
pub fn delete(tx: &mut Tx, arn: &ChannelFlowArn, flow: Key) -> Result<()> {
    hold(tx, arn, flow)?;
    tx.settle(
        Shared::Flow(flow),
        "DELETE FROM channel_flow WHERE app_instance = $1 AND key = $2
           AND NOT EXISTS (SELECT 1 FROM channel c WHERE c.flow = $2 AND c.deleted_at IS NULL)",
        values![arn.app_instance_key(), flow],
    )
}

/// Takes up to `limit` flows of a deleted app instance away; answers how many.
pub fn delete_some(tx: &mut Tx, instance: Key, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM channel_flow WHERE app_instance = $1 AND key IN
           (SELECT key FROM channel_flow WHERE app_instance = $1 LIMIT $2)",
        values![instance, limit],
    )
}

/// The key of the flow that a channel has.
pub fn find_key_of(tx: &mut Tx, channel: Key) -> Result<Option<Key>> {
    let sql = "SELECT flow FROM channel WHERE key = $1 AND flow IS NOT NULL";
    tx.row(sql, values![channel], read)
}

/// The key of the flow that the channel has which an ARN names.
pub fn find_key_by_arn(tx: &mut Tx, arn: &ChannelArn) -> Result<Option<Key>> {
    let sql = "SELECT flow FROM channel
               WHERE app_instance = $1 AND id = $2 AND deleted_at IS NULL AND flow IS NOT NULL";
    tx.row(sql, values![arn.app_instance_key(), arn.id()], read)
}

/// Gives a claimed channel a flow, or takes it away.
pub fn set_of(tx: &mut Tx, channel: Key, flow: Option<Key>) -> Result<()> {
    tx.defer("UPDATE channel SET flow = $2 WHERE key = $1", values![channel, flow])
}

/// Whether any channel has this flow.
pub fn is_associated(tx: &mut Tx, flow: Key) -> Result<bool> {
    let sql = "SELECT 1 FROM channel WHERE flow = $1 AND deleted_at IS NULL LIMIT 1";
    Ok(tx.row(sql, values![flow], |_| Ok(()))?.is_some())
}

/// A channel that has a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Associated {
    /// Its ARN.
    pub arn: ChannelArn,
    /// Its name.
    pub name: NonEmptyResourceName,
    /// Who may add members.
    pub mode: ChannelMode,
    /// Who may find and read it.
    pub privacy: ChannelPrivacy,
    /// What the application wrote on it.
    pub metadata: Option<Metadata>,
}

/// Up to `limit` channels that have a flow and whose ids come after `after`, in the order of their ids.
pub fn list_associated(
    tx: &mut Tx,
    (instance, flow): (&AppInstanceArn, Key),
    after: &str,
    limit: i64,
) -> Result<Vec<Associated>> {
    tx.rows(
        "SELECT id, name, mode, privacy, metadata FROM channel
         WHERE flow = $1 AND $2 < id AND deleted_at IS NULL ORDER BY id LIMIT $3",
        values![flow, after, limit],
        |row| {
            Ok(Associated {
                arn: instance.channel(&row.read::<String>()?),
                name: row.read()?,
                mode: row.read()?,
                privacy: row.read()?,
                metadata: row.read()?,
            })
        },
    )
}

fn keys(arn: &ChannelFlowArn) -> Option<(Key, Key)> {
    arn.app_instance_key().zip(Key::from_uuid(arn.id()))
}
