//! Where the events of an app instance are streamed to.

use carillon_model::Key;

use crate::engine::values;
use crate::outlets::{Alteration, Streaming};
use crate::row::read;
use crate::{Result, Tx};

/// The configurations of an app instance, in the order of their types: one for each at most.
pub fn list(tx: &mut Tx, instance: Key) -> Result<Vec<Streaming>> {
    tx.rows(
        "SELECT data_type, resource FROM streaming_configuration WHERE app_instance = $1 ORDER BY data_type",
        values![instance],
        read,
    )
}

/// Puts these configurations in the place of those of an app instance.
pub fn replace(tx: &mut Tx, instance: Key, all: &[Streaming]) -> Result<()> {
    tx.defer("DELETE FROM streaming_configuration WHERE app_instance = $1", values![instance])?;
    for (data_type, resource) in all {
        tx.defer(
            "INSERT INTO streaming_configuration (app_instance, data_type, resource) VALUES ($1, $2, $3)",
            values![instance, data_type, resource],
        )?;
    }
    tx.alter_outlet(instance, Alteration::Streams(all.to_vec()));
    Ok(())
}
