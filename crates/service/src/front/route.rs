//! An operation on the wire: how a request that somebody signed becomes a call, and its answer the body of a response.

use std::sync::Arc;

use bytes::Bytes;
use carillon_access::{Caller, Gate, Sieve, Surrounding};
use carillon_model::shape::{Described as _, Member, Shape};
use carillon_model::{Timestamp, json};
use carillon_store::{self as store, Tx};
use futures_util::future::BoxFuture;
use http::Method;

use crate::call::{Call, Due};
use crate::error::{Error, ErrorCode, Result};
use crate::front::actions;
use crate::front::audit::Notes;
use crate::front::onlooker::Onlooker;
use crate::front::ready::Ready;
use crate::front::service::Service;
use crate::operation::{Effect, Incoming, Operation, Read, Visitor, Write};
use crate::operations;

/// A request for an operation, and who asks.
pub(crate) struct Asked {
    /// The request.
    pub(crate) incoming: Incoming,
    /// Who signed it.
    pub(crate) caller: Caller,
    /// Where it came from.
    pub(crate) surrounding: Surrounding,
    /// What the audit log is told of it.
    pub(crate) notes: Notes,
    /// Who looks on, where it is only tried.
    pub(crate) onlooker: Option<Arc<Onlooker>>,
}

/// An operation, ready to be called through the wire.
pub struct Route {
    /// What its action in policies begins with.
    pub service: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its method.
    pub method: Method,
    /// Its URI template.
    pub uri: &'static str,
    /// The status of its success.
    pub status: u16,
    /// Whether it changes something.
    pub effect: Effect,
    /// The errors that it declares, beside everyone's.
    pub errors: &'static [ErrorCode],
    /// Its members.
    pub members: fn() -> Vec<Member>,
    /// The shape of its answer.
    pub response: fn() -> Shape,
    /// Reads it, runs it, and writes its answer; nothing for an answer without a body.
    pub(crate) handle: Handle,
    /// Tries it, and leaves no trace; nothing for what is no operation.
    pub(crate) explain: Option<Explain>,
}

/// Reads an operation, runs it, and writes its answer; nothing for an answer without a body.
type Handle = fn(Arc<Service>, Asked) -> BoxFuture<'static, Result<Option<Bytes>>>;

/// Tries an operation: what it would be refused with, if it would.
type Explain = fn(Arc<Service>, Asked) -> BoxFuture<'static, Result<()>>;

/// The route of an operation that reads.
fn read<O: Read>() -> Route {
    route::<O>(
        Effect::Read,
        |service, asked| {
            Box::pin(async move {
                let answer = run_read::<O>(&service, &asked).await;
                counted(&service, &asked, answer)
            })
        },
        |service, asked| Box::pin(async move { run_read::<O>(&service, &asked).await.map(drop) }),
    )
}

/// The route of an operation that writes.
fn write<O: Write>() -> Route {
    route::<O>(
        Effect::Write,
        |service, asked| {
            Box::pin(async move {
                let answer = run_write::<O>(&service, &asked).await;
                counted(&service, &asked, answer)
            })
        },
        |service, asked| Box::pin(async move { try_write::<O>(&service, &asked).await }),
    )
}

async fn run_read<O: Read>(service: &Service, asked: &Asked) -> Result<Option<Bytes>> {
    let ready = service.admit::<O>(asked)?;
    let look = ready.operation.look(&ready.call);
    let run = move |tx: &mut Tx| {
        ready.pass(tx)?;
        ready.operation.run(tx, &ready.call)
    };
    encode::<O>(&service.store().read_looking(look, run).await?)
}

async fn run_write<O: Write>(service: &Service, asked: &Asked) -> Result<Option<Bytes>> {
    let ready = service.admit::<O>(asked)?;
    let response = service.change(ready).await?;
    asked.notes.answer(&response);
    encode::<O>(&response)
}

/// Runs an operation that writes, and undoes it.
async fn try_write<O: Write>(service: &Service, asked: &Asked) -> Result<()> {
    let ready = service.admit::<O>(asked)?;
    let run = |ready: &Ready<O>, tx: &mut Tx| {
        ready.pass(tx)?;
        ready.operation.run(tx, &ready.call)?;
        Err::<(), _>(Tried::Done)
    };
    match service.change_by(ready, run).await {
        Ok(()) | Err(Tried::Done) => Ok(()),
        Err(Tried::Refused(error)) => Err(error),
    }
}

/// How a try ended. Either way it is refused, so that nothing of it stands.
enum Tried {
    Done,
    Refused(Error),
}

impl From<Error> for Tried {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<store::Error> for Tried {
    fn from(error: store::Error) -> Self {
        Self::Refused(error.into())
    }
}

impl Service {
    /// Reads an operation from a request, and lets it pass the first gate if it may. A gate that depends on what is
    /// stored is left to be passed in the transaction.
    fn admit<O: Operation>(&self, asked: &Asked) -> Result<Box<Ready<O>>> {
        let operation = O::decode(&asked.incoming)?;
        asked.notes.operation(&operation);
        if let Some(onlooker) = &asked.onlooker {
            onlooker.decoded();
        }
        let foreign = |label: &&str| label.starts_with("arn:") && !self.home().owns(label);
        if operation.labels().iter().any(foreign) {
            return Err(Error::forbidden("The resource is not of this region and account"));
        }
        let caller = &asked.caller;
        let bill = || Some(self.limiter.as_ref()?.bill(&operation, caller.counted_as()));
        let due = match &asked.onlooker {
            Some(onlooker) => Some(Box::new(onlooker.clone()) as Box<dyn Due>),
            None => bill().map(|bill| Box::new(bill) as Box<dyn Due>),
        };
        let principal = if caller.is_root() {
            self.access.root_key_id().to_owned()
        } else {
            caller.arn(self.home().account())
        };
        let call = Call::new(
            O::NAME,
            operation.bearer().cloned(),
            self.surroundings().clone(),
            principal,
            self.random(),
        )
        .owing(due)
        .bound_to(caller.bound_to());
        let (gate, sieve) = self.gate(&operation, asked, call.now)?;
        let call = call.sieved_by(sieve);
        match &gate {
            None => call.admit()?,
            Some(_) if asked.onlooker.is_some() => {}
            Some(_) => self.may_be_refused(caller)?,
        }
        Ok(Ready::new(operation, call, gate))
    }

    /// The gate, where it is still to be passed, and what policies say of each thing behind it, where they tell some
    /// from others.
    fn gate<O: Operation>(
        &self,
        operation: &O,
        asked: &Asked,
        now: Timestamp,
    ) -> Result<(Option<Gate>, Option<Sieve>)> {
        let Asked { caller, surrounding, onlooker, .. } = asked;
        if caller.is_root() {
            return Ok((None, None));
        }
        let asked = actions::asked(operation, self.home());
        let witness = onlooker.as_ref().map(|onlooker| onlooker.witness());
        let gate = Gate { caller: caller.clone(), asked, surrounding: surrounding.clone(), now, witness };
        let sieve = Sieve::of(&gate, self.home());
        Ok((gate.pass_early(self.home())?, sieve))
    }
}

/// The answer, where a refusal by policy counts.
fn counted<T>(service: &Service, asked: &Asked, answer: Result<T>) -> Result<T> {
    if answer.as_ref().is_err_and(|error| error.code == ErrorCode::AccessDenied) {
        service.count_refusal(&asked.caller)?;
    }
    answer
}

fn route<O: Operation>(effect: Effect, handle: Handle, explain: Explain) -> Route {
    Route {
        service: "chime",
        name: O::NAME,
        method: O::METHOD,
        uri: O::URI,
        status: O::STATUS,
        effect,
        errors: O::ERRORS,
        members: O::members,
        response: O::Response::shape,
        handle,
        explain: Some(explain),
    }
}

fn encode<O: Operation>(response: &O::Response) -> Result<Option<Bytes>> {
    if O::STATUS == 204 {
        return Ok(None);
    }
    let body = json::to_vec(response).map_err(|source| Error {
        source: Some(Box::new(source)),
        ..Error::new(ErrorCode::ServiceFailure, "The answer could not be written")
    })?;
    Ok(Some(body.into()))
}

/// The routes of all operations.
pub fn all() -> Vec<Route> {
    let mut routes = Routes(Vec::new());
    operations::visit(&mut routes);
    routes.0
}

struct Routes(Vec<Route>);

impl Visitor for Routes {
    fn read<O: Read>(&mut self) {
        self.0.push(read::<O>());
    }

    fn write<O: Write>(&mut self) {
        self.0.push(write::<O>());
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::messaging::send_channel_message::SendChannelMessage;

    /// What an operation is about goes through all futures between the wire and the store.
    #[test]
    fn the_future_of_a_write_has_no_room_for_what_it_writes() {
        fn size<F: Future>(_: impl FnOnce(&'static Service, &'static Asked) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(run_write::<SendChannelMessage>);
        assert!(size <= 1_024, "{size} bytes");
    }
}
