//! An operation on the wire: how a request that somebody signed becomes a call, and its answer the body of a response.

use std::sync::Arc;

use bytes::Bytes;
use carillon_model::shape::{Described as _, Member, Shape};
use carillon_store::Tx;
use futures_util::future::BoxFuture;
use http::Method;

use crate::access::{Caller, Gate, Surrounding};
use crate::call::Call;
use crate::error::{Error, ErrorCode, Result};
use crate::front::audit::Notes;
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
}

/// An operation, ready to be called through the wire.
pub struct Route {
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
}

/// Reads an operation, runs it, and writes its answer; nothing for an answer without a body.
type Handle = fn(Arc<Service>, Asked) -> BoxFuture<'static, Result<Option<Bytes>>>;

/// The route of an operation that reads.
fn read<O: Read>() -> Route {
    route::<O>(Effect::Read, |service, asked| {
        Box::pin(async move {
            let answer = run_read::<O>(&service, &asked).await;
            counted(&service, &asked, answer)
        })
    })
}

/// The route of an operation that writes.
fn write<O: Write>() -> Route {
    route::<O>(Effect::Write, |service, asked| {
        Box::pin(async move {
            let answer = run_write::<O>(&service, &asked).await;
            counted(&service, &asked, answer)
        })
    })
}

async fn run_read<O: Read>(service: &Service, asked: &Asked) -> Result<Option<Bytes>> {
    let (operation, call, gate) = service.admit::<O>(asked)?;
    let run = move |tx: &mut Tx| {
        pass(gate.as_ref(), tx, &call)?;
        operation.run(tx, &call)
    };
    encode::<O>(&service.store().read(run).await?)
}

async fn run_write<O: Write>(service: &Service, asked: &Asked) -> Result<Option<Bytes>> {
    let (operation, call, gate) = service.admit::<O>(asked)?;
    let (lane, exclusive) = (operation.lane(), operation.exclusive().map(str::to_owned));
    let _entered = service.enter(exclusive.as_deref())?;
    let run = move |tx: &mut Tx| {
        pass(gate.as_ref(), tx, &call)?;
        operation.run(tx, &call)
    };
    let response = service.store().write(lane, run).await?;
    asked.notes.answer(&response);
    encode::<O>(&response)
}

/// Passes a gate that depends on the tags of what is acted on, in the transaction that acts on it; only then the call
/// is charged. Exchanged credentials are looked at for whether their user is still there.
fn pass(gate: Option<&Gate>, tx: &mut Tx, call: &Call) -> Result<()> {
    if let Some(gate) = gate {
        gate.pass_in(tx, &call.surroundings.home)?;
        call.admit()?;
    }
    call.check_user(tx)
}

/// The answer, where a refusal by policy counts.
fn counted<T>(service: &Service, asked: &Asked, answer: Result<T>) -> Result<T> {
    if answer.as_ref().is_err_and(|error| error.code == ErrorCode::AccessDenied) {
        service.count_refusal(&asked.caller)?;
    }
    answer
}

fn route<O: Operation>(effect: Effect, handle: Handle) -> Route {
    Route {
        name: O::NAME,
        method: O::METHOD,
        uri: O::URI,
        status: O::STATUS,
        effect,
        errors: O::ERRORS,
        members: O::members,
        response: O::Response::shape,
        handle,
    }
}

fn encode<O: Operation>(response: &O::Response) -> Result<Option<Bytes>> {
    if O::STATUS == 204 {
        return Ok(None);
    }
    let body = serde_json::to_vec(response).map_err(|source| Error {
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
