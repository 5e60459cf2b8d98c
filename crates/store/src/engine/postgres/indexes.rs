//! Indexes that are made while others write.

use tokio_postgres::{Client, SimpleQueryMessage};

use super::statement::Outcome;
use super::terms::TIMEOUTS;
use crate::{Error, Result};

/// An index that is to be made.
pub(super) struct Index {
    name: String,
    rest: String,
    /// What lets the connection take its time, where it is its own.
    patience: String,
}

/// The indexes of a migration.
pub(super) fn indexes(ddl: &str, is_pooled: bool) -> Result<Vec<Index>> {
    let timeouts = TIMEOUTS.iter().filter(|_| !is_pooled).map(|(name, _)| format!("SET {name} = 0"));
    let patience = timeouts.collect::<Vec<_>>().join("; ");
    let statements = ddl.split(';').map(str::trim).filter(|statement| !statement.is_empty());
    let index = |statement: &str| {
        let named = statement.strip_prefix("CREATE INDEX ").and_then(|index| index.split_once(' '));
        let (name, rest) =
            named.ok_or_else(|| Error::broken(format!("a migration makes indexes only: {statement}")))?;
        Ok(Index { name: name.to_owned(), rest: rest.to_owned(), patience: patience.clone() })
    };
    statements.map(index).collect()
}

impl Index {
    /// Makes it. One that was begun and is of no use is in the way.
    pub(super) async fn make(&self, client: &Client) -> Outcome<()> {
        let Self { name, rest, patience } = self;
        client.batch_execute(patience).await?;
        let left = format!(
            "SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = pg_index.indexrelid
             WHERE relname = '{name}' AND pg_table_is_visible(pg_class.oid) AND NOT indisvalid"
        );
        let left = client.simple_query(&left).await?;
        if left.iter().any(|message| matches!(message, SimpleQueryMessage::Row(_))) {
            client.batch_execute(&format!("DROP INDEX CONCURRENTLY {name}")).await?;
        }
        client.batch_execute(&format!("CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} {rest}")).await
    }
}
