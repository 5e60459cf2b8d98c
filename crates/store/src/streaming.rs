//! Where the events of an app instance are streamed to.

use carillon_model::Key;
use carillon_model::text::{AnyArn, MessagingDataType};

use crate::engine::values;
use crate::{Result, Tx};

/// One type of data, and the stream that it goes to.
pub type Streaming = (MessagingDataType, AnyArn);

/// The configurations of an app instance, in the order of their types: one for each at most.
pub fn list(tx: &mut Tx, instance: Key) -> Result<Vec<Streaming>> {
    tx.rows(
        "SELECT data_type, resource FROM streaming_configuration WHERE app_instance = $1 ORDER BY data_type",
        values![instance],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// Adds a configuration.
pub fn insert(tx: &mut Tx, instance: Key, (data_type, resource): &Streaming) -> Result<()> {
    tx.defer(
        "INSERT INTO streaming_configuration (app_instance, data_type, resource) VALUES ($1, $2, $3)",
        values![instance, data_type, resource],
    )
}

/// Takes all configurations of an app instance away.
pub fn delete_all(tx: &mut Tx, instance: Key) -> Result<()> {
    tx.defer("DELETE FROM streaming_configuration WHERE app_instance = $1", values![instance])
}
