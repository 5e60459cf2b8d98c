//! Bots. What they share with users stands with the identities.

use carillon_model::arn::{AppInstanceArn, IdentityArn, IdentityKind};
use carillon_model::bot::{AppInstanceBot, Lex};
use carillon_model::text::{Metadata, ResourceName};
use carillon_model::{Key, Timestamp};

use crate::engine::values;
use crate::row::{Written, row, sql};
use crate::settlement::Shared;
use crate::{Result, Tx};

row! { ($) bot_columns:
    fn bot(row, arn: IdentityArn) -> AppInstanceBot {
        key, name, metadata, configuration, created_at, updated_at;
        arn: arn
    }
}

/// Adds a bot.
pub fn insert(tx: &mut Tx, instance: Key, bot: &AppInstanceBot) -> Result<()> {
    let sql = bot_columns!(INSERT INTO identity (app_instance, kind, id, membership_count, ..));
    tx.defer(sql, &bot.values(values![instance, bot.arn.kind(), bot.arn.id(), 0_i64]))
}

/// The bot that an ARN names.
pub fn find(tx: &mut Tx, arn: &IdentityArn) -> Result<Option<AppInstanceBot>> {
    let Some(instance) = arn.app_instance_key() else { return Ok(None) };
    tx.row(
        sql!("SELECT " bot_columns!(i)
             " FROM identity i JOIN app_instance a ON a.key = i.app_instance AND a.deleted_at IS NULL
             WHERE i.app_instance = $1 AND i.kind = 'bot' AND i.id = $2 AND i.deleted_at IS NULL"),
        values![instance, arn.id()],
        |row| bot(row, arn.clone()),
    )
}

/// Up to `limit` bots whose ids come after `after`, in the order of their ids.
pub fn list(tx: &mut Tx, instance: &AppInstanceArn, after: &str, limit: i64) -> Result<Vec<AppInstanceBot>> {
    let Some(key) = instance.key() else { return Ok(Vec::new()) };
    tx.rows(
        sql!("SELECT id, " bot_columns!()
             " FROM identity WHERE app_instance = $1 AND kind = 'bot' AND $2 < id AND deleted_at IS NULL
             ORDER BY id LIMIT $3"),
        values![key, after, limit],
        |row| {
            let id: String = row.read()?;
            bot(row, instance.identity(IdentityKind::Bot, &id))
        },
    )
}

/// The bots among the members of a place of a channel that are not hidden, in the order of their ids.
pub fn list_in(
    tx: &mut Tx,
    instance: &AppInstanceArn,
    channel: Key,
    sub_channel: Key,
) -> Result<Vec<AppInstanceBot>> {
    let Some(key) = instance.key() else { return Ok(Vec::new()) };
    tx.rows(
        sql!("SELECT i.id, " bot_columns!(i)
             " FROM identity i JOIN membership m ON m.channel = $2 AND m.member = i.key AND m.sub_channel = $3
             WHERE i.app_instance = $1 AND i.kind = 'bot' AND i.deleted_at IS NULL AND m.kind = 'DEFAULT'
             ORDER BY i.id"),
        values![key, channel, sub_channel],
        |row| {
            let id: String = row.read()?;
            bot(row, instance.identity(IdentityKind::Bot, &id))
        },
    )
}

/// Replaces the name, the metadata, and where one is given the configuration of a bot.
pub fn update(
    tx: &mut Tx,
    key: Key,
    name: &ResourceName,
    metadata: Option<&Metadata>,
    configuration: Option<&Lex>,
    now: Timestamp,
) -> Result<()> {
    let sql = "UPDATE identity SET name = $2, metadata = $3, updated_at = $5,
                 configuration = CASE WHEN CAST($4 AS TEXT) IS NULL THEN configuration ELSE $4 END
               WHERE key = $1 AND deleted_at IS NULL";
    tx.settle(Shared::Person(key), sql, values![key, name, metadata, configuration, now])
}
