//! What somebody wants to know who looks at a whole store: which targets outside it names. Each goes through a table,
//! once, when an operator asks.

use carillon_model::bot::Lex;
use carillon_model::channel_flow::Processor;

use crate::row::read;
use crate::{Result, Row, Tx};

/// The processors of all flows.
pub fn list_processors(tx: &mut Tx) -> Result<Vec<Processor>> {
    let flows = tx.rows("SELECT processors FROM channel_flow", &[], read::<Vec<Processor>>)?;
    Ok(flows.into_iter().flatten().collect())
}

/// The streams that events of some app instance go into.
pub fn list_streams(tx: &mut Tx) -> Result<Vec<String>> {
    tx.rows("SELECT DISTINCT resource FROM streaming_configuration", &[], read)
}

/// What speaks for each bot.
pub fn list_bots(tx: &mut Tx) -> Result<Vec<Lex>> {
    tx.rows(
        "SELECT i.configuration FROM app_instance a
         JOIN identity i ON i.app_instance = a.key AND i.kind = 'bot' AND i.deleted_at IS NULL
         WHERE 0 < a.bot_count AND a.deleted_at IS NULL",
        &[],
        read,
    )
}

/// The push applications of devices that want to be told, each with how many these are.
pub fn count_devices(tx: &mut Tx) -> Result<Vec<(String, i64)>> {
    let each = |row: &mut Row<'_>| Ok((row.read()?, row.read()?));
    tx.rows("SELECT resource, COUNT(*) FROM endpoint WHERE status = 'ACTIVE' GROUP BY resource", &[], each)
}
