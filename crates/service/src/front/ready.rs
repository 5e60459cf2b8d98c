//! An operation that was read and admitted, on its way to the store.

use std::sync::Arc;

use carillon_access::Gate;
use carillon_store::Tx;

use crate::call::Call;
use crate::error::{Error, Result};

/// An operation that may run. It is large and goes to the store through several futures, each of which would have room
/// for it; so it stays where it is.
pub(crate) struct Ready<O> {
    pub(crate) operation: Arc<O>,
    pub(crate) call: Call,
    gate: Option<Gate>,
}

impl<O> Ready<O> {
    pub(crate) fn new(operation: O, call: Call, gate: Option<Gate>) -> Box<Self> {
        Box::new(Self { operation: Arc::new(operation), call, gate })
    }

    /// Passes a gate that depends on the tags of what is acted on, in the transaction that acts on it; only then the
    /// call is charged. Exchanged credentials are looked at for whether their user is still there.
    pub(crate) fn pass(&self, tx: &mut Tx) -> Result<()> {
        if let Some(gate) = &self.gate {
            gate.pass_in::<Error>(tx, &self.call.surroundings.home)?;
            self.call.admit()?;
        }
        self.call.check_user(tx)
    }
}
