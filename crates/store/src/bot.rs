//! Bots. What they share with users stands with the identities.

use carillon_model::arn::{AppInstanceArn, IdentityArn, IdentityKind};
use carillon_model::bot::{AppInstanceBot, Lex};
use carillon_model::text::{Metadata, ResourceName};
use carillon_model::{Key, Timestamp};

use crate::engine::{Row, values};
use crate::settlement::Shared;
use crate::{Error, Result, Tx};

/// Adds a bot.
pub fn insert(tx: &mut Tx, instance: Key, bot: &AppInstanceBot) -> Result<()> {
    tx.defer(
        "INSERT INTO identity (key, app_instance, kind, id, name, metadata, created_at, updated_at, configuration,
           membership_count)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0)",
        values![
            bot.key,
            instance,
            bot.arn.kind(),
            bot.arn.id(),
            bot.name,
            bot.metadata,
            bot.created_at,
            bot.updated_at,
            json(&bot.configuration),
        ],
    )
}

/// The bot that an ARN names.
pub fn find(tx: &mut Tx, arn: &IdentityArn) -> Result<Option<AppInstanceBot>> {
    let Some(instance) = arn.app_instance_key() else { return Ok(None) };
    tx.row(
        "SELECT i.key, i.id, i.name, i.metadata, i.configuration, i.created_at, i.updated_at
         FROM identity i JOIN app_instance a ON a.key = i.app_instance AND a.deleted_at IS NULL
         WHERE i.app_instance = $1 AND i.kind = 'bot' AND i.id = $2 AND i.deleted_at IS NULL",
        values![instance, arn.id()],
        |row| bot(row, &arn.app_instance()),
    )
}

/// Up to `limit` bots whose ids come after `after`, in the order of their ids.
pub fn list(tx: &mut Tx, instance: &AppInstanceArn, after: &str, limit: i64) -> Result<Vec<AppInstanceBot>> {
    let Some(key) = instance.key() else { return Ok(Vec::new()) };
    tx.rows(
        "SELECT key, id, name, metadata, configuration, created_at, updated_at FROM identity
         WHERE app_instance = $1 AND kind = 'bot' AND $2 < id AND deleted_at IS NULL ORDER BY id LIMIT $3",
        values![key, after, limit],
        |row| bot(row, instance),
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
    tx.settle(Shared::Person(key), sql, values![key, name, metadata, configuration.map(json), now])
}

fn json(configuration: &Lex) -> String {
    serde_json::to_string(configuration).expect("texts always serialize")
}

fn bot(row: &Row<'_>, instance: &AppInstanceArn) -> Result<AppInstanceBot> {
    let (id, configuration): (String, String) = (row.get(1)?, row.get(4)?);
    let configuration = serde_json::from_str(&configuration)
        .map_err(|error| Error::broken(format!("a stored configuration is not JSON: {error}")))?;
    Ok(AppInstanceBot {
        key: row.get(0)?,
        arn: instance.identity(IdentityKind::Bot, &id),
        name: row.get(2)?,
        metadata: row.get(3)?,
        configuration,
        created_at: row.get(5)?,
        updated_at: row.get(6)?,
    })
}
