//! One call of an action: who makes it, when, and what it may need of its surroundings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use carillon_auth::policy::Entry;
use carillon_model::Timestamp;
use carillon_store::iam::Kind;

use super::fault::{Fault, Result};
use super::form::Form;
use crate::random::Random;
use crate::{Access, Caller, Surrounding, When};

/// What a call is made of.
pub struct Request {
    /// Who signed; nobody only where no signature is needed.
    pub caller: Option<Caller>,
    /// Where it came from.
    pub surrounding: Surrounding,
    /// When it came.
    pub when: When,
    /// The id of the request: a new version of what is stored, should the call change it.
    pub id: String,
    /// Of the call's own randomness.
    pub seed: [u8; 32],
    /// Whoever stands around the call.
    pub overseer: Arc<dyn Overseer>,
}

/// Who has a say in a call while it is made.
pub trait Overseer: Send + Sync {
    /// Policies are asked about this ARN. A transaction may begin again, and what it did last stands.
    fn asks_about(&self, arn: &str);
    /// Policies have admitted the call, which counts once; an error says that there are too many of its kind.
    fn count(&self, call: Counted<'_>) -> Result<()>;
}

/// What a call counts as.
#[derive(Debug, Clone, Copy)]
pub enum Counted<'a> {
    /// This action of IAM.
    Iam(&'a str),
    /// An action of STS, for this caller.
    Sts(&'a str),
}

/// One call.
pub(super) struct QueryCall {
    /// The instant of the call.
    pub(super) when: When,
    /// Who signed; nobody only where no signature is needed.
    pub(super) caller: Option<Caller>,
    pub(super) access: Arc<Access>,
    pub(super) surrounding: Surrounding,
    /// A new version of what is stored, should the call change it.
    pub(super) version: String,
    /// Whoever stands around the call.
    pub(super) overseer: Arc<dyn Overseer>,
    /// Whether it was counted: a transaction may run again, and its call counts once.
    counted: AtomicBool,
    pub(super) random: Random,
}

impl QueryCall {
    pub(super) fn new(access: Arc<Access>, request: Request) -> Self {
        let Request { caller, surrounding, when, id, seed, overseer } = request;
        Self {
            when,
            caller,
            access,
            surrounding,
            version: id,
            overseer,
            counted: AtomicBool::new(false),
            random: Random::new(seed),
        }
    }

    /// Who signed.
    pub(super) fn caller(&self) -> Result<&Caller> {
        self.caller.as_ref().ok_or_else(|| carillon_auth::Refusal::MissingAuthenticationToken.into())
    }

    /// Counts the call, which policies have admitted.
    pub(super) fn count(&self, call: Counted<'_>) -> Result<()> {
        if self.counted.swap(true, Ordering::Relaxed) { Ok(()) } else { self.overseer.count(call) }
    }

    /// What conditions read of where and when the call is made.
    pub(super) fn entries(&self) -> Vec<Entry<'_>> {
        self.surrounding.entries(self.when.now, &self.access.home)
    }

    /// The user that a request is about: the caller itself, where it names none.
    pub(super) fn user_name<'a>(&'a self, form: &'a Form) -> Result<&'a str> {
        let own = || {
            let actor = self.caller.as_ref()?.actor.as_ref()?;
            (actor.principal.kind == Kind::User).then_some(actor.principal.name.as_str())
        };
        let name = form.find("UserName").or_else(own);
        name.ok_or_else(|| Fault::invalid("UserName: is required of a caller that is not a user"))
    }

    /// An ARN of IAM.
    pub(super) fn arn(&self, resource: &str) -> String {
        format!("arn:aws:iam::{}:{resource}", self.access.home.account())
    }
}

/// A time as the protocol writes it.
pub(super) fn iso(time: Timestamp) -> String {
    let text = time.to_string();
    text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
}
