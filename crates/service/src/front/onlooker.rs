//! Who looks on while an operation is tried.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carillon_access::Witness;
use carillon_model::ChannelFlowArn;

use crate::call::rule::Grant;
use crate::call::{Due, View};
use crate::error::Result;

/// Notes how far a call comes. Its transaction may run again, and what it did last stands.
#[derive(Debug, Default)]
pub(crate) struct Onlooker {
    witness: Arc<Witness>,
    came: Mutex<Came>,
}

/// How far a call came.
#[derive(Debug, Default, Clone)]
pub(crate) struct Came {
    /// Whether there is a request: nothing that it says is malformed.
    pub(crate) is_decoded: bool,
    /// By which grant a rule admitted the bearer to a channel.
    pub(crate) grant: Option<Grant>,
    /// The flow that the message passes.
    pub(crate) flow: Option<ChannelFlowArn>,
}

impl Onlooker {
    /// Who watches the gate.
    pub(crate) fn witness(&self) -> Arc<Witness> {
        self.witness.clone()
    }

    /// How far the call came.
    pub(crate) fn came(&self) -> Came {
        self.note().clone()
    }

    /// The request can be read.
    pub(crate) fn decoded(&self) {
        self.note().is_decoded = true;
    }

    fn note(&self) -> MutexGuard<'_, Came> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is tried costs nothing.
impl Due for Arc<Onlooker> {
    fn admit(&self) -> Result<()> {
        let mut came = self.note();
        *came = Came { is_decoded: came.is_decoded, ..Came::default() };
        Ok(())
    }

    fn pay_channel(&self, _: &View, grant: Grant) -> Result<()> {
        self.note().grant = Some(grant);
        Ok(())
    }

    fn enter_flow(&self, flow: &ChannelFlowArn) {
        self.note().flow = Some(flow.clone());
    }
}
