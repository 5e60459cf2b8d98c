//! What was deleted, out of the way of whoever asks the database.

use std::sync::Arc;

use super::terms::TIMEOUTS;
use super::{Address, Postgres};
use crate::Result;
use crate::engine::Kind;

impl Postgres {
    /// Marks what was deleted of these tables as free, and forgets the samples of what they held. The bytes stay where
    /// they are until something else is written there, which is the database's own affair.
    pub(crate) fn clean(address: &Arc<Address>, tables: &[&str]) -> Result<()> {
        let mut postgres = Self::open(address, Kind::Write)?;
        postgres.is_migrating = true;
        let patience = TIMEOUTS.map(|(name, _)| format!("SET {name} = 0")).join("; ");
        postgres.wait("a time-out", |client| async move { client.batch_execute(&patience).await })?;
        for table in tables {
            let sql = format!("VACUUM (ANALYZE) {table}");
            postgres.wait("VACUUM", |client| async move { client.batch_execute(&sql).await })?;
        }
        Ok(())
    }
}
