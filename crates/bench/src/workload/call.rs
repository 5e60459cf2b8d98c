//! What a workload is: what its calls are called, and what the next one is. How its scene is made is in its own file,
//! under `kinds/`; when calls are made, and how long they take, is the generator's affair.

use carillon_service::operation::{Operation, Outgoing};
use rand::rngs::StdRng;

use super::ears::Audience;

/// What is called over and over.
pub(crate) trait Workload: Send + Sync {
    /// The names of the kinds of its calls.
    fn kinds(&self) -> &'static [&'static str];

    /// The call with this number. What is left to chance is drawn from `random`.
    fn call(&self, number: u64, random: &mut StdRng) -> Call;

    /// Who listens, if somebody does.
    fn audience(&self) -> Option<&Audience> {
        None
    }

    /// Whether a connection that goes on as soon as it can waits until everybody who listens was told, too.
    fn waits_for_audience(&self) -> bool {
        false
    }

    /// What a call was answered.
    fn note_answer(&self, _call: &Call, _body: &[u8]) {}
}

/// One call.
pub(crate) struct Call {
    /// Its place in the names of kinds.
    pub(crate) kind: usize,
    /// The request.
    pub(crate) outgoing: Outgoing,
    /// The status of a success.
    pub(crate) status: u16,
    /// How many sockets are to be told of it, by its number.
    pub(crate) listeners: usize,
    /// What the workload wants to know of it once it is answered: places of things of its own.
    pub(crate) about: (usize, usize),
}

impl Call {
    /// Calls an operation.
    pub(crate) fn of<O: Operation>(kind: usize, operation: &O) -> Self {
        Self { kind, outgoing: operation.encode(), status: O::STATUS, listeners: 0, about: (0, 0) }
    }

    /// The same, of which so many sockets are told.
    pub(crate) fn heard_by(self, listeners: usize) -> Self {
        Self { listeners, ..self }
    }

    /// The same, about things of the workload's own.
    pub(crate) fn about(self, about: (usize, usize)) -> Self {
        Self { about, ..self }
    }
}
