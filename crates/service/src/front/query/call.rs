//! One call of an action: who makes it, when, and what it may need of its surroundings.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use carillon_auth::policy::Entry;
use carillon_model::Timestamp;
use carillon_model::arn::Home;
use carillon_store::Tx;
use carillon_store::iam::Kind;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::fault::{Fault, Result};
use super::form::Form;
use crate::access::rules::{Ask, Asked, Check};
use crate::access::{Access, Caller, Gate, Surrounding};
use crate::front::audit::Notes;
use crate::front::limiter::{Exhausted, Limiter};
use crate::front::service::Service;

/// Letters of ids, as AWS writes them.
const ID_LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Letters of secrets; no shell needs quotes for them.
const SECRET_LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// The random letters of an id: 80 bits.
const ID_LENGTH: usize = 16;
/// The letters of a secret: more than 230 bits.
const SECRET_LENGTH: usize = 40;

/// One call.
pub(super) struct QueryCall {
    /// The instant of the call, by the service's clock.
    pub(super) now: Timestamp,
    /// Who signed; nobody only where no signature is needed.
    pub(super) caller: Option<Caller>,
    pub(super) home: Home,
    pub(super) access: Arc<Access>,
    pub(super) surrounding: Surrounding,
    /// A new version of what is stored, should the call change it.
    pub(super) version: String,
    limiter: Option<Arc<Limiter>>,
    /// Whether it was charged: a transaction may run again, and its call counts once.
    charged: AtomicBool,
    /// What the audit log is told of it.
    pub(super) notes: Notes,
    random: Mutex<StdRng>,
}

impl QueryCall {
    pub(super) fn new(
        service: &Service,
        caller: Option<Caller>,
        surrounding: Surrounding,
        request_id: &str,
    ) -> Self {
        Self {
            now: service.surroundings().clock.now(),
            caller,
            home: service.home().clone(),
            access: service.access.clone(),
            surrounding,
            version: request_id.to_owned(),
            limiter: service.limiter.clone(),
            charged: AtomicBool::new(false),
            notes: Notes::default(),
            random: Mutex::new(StdRng::from_seed(service.random())),
        }
    }

    /// The same call, of which the audit log is told.
    pub(super) fn noting(self, notes: Notes) -> Self {
        Self { notes, ..self }
    }

    /// Who signed.
    pub(super) fn caller(&self) -> Result<&Caller> {
        self.caller.as_ref().ok_or_else(|| carillon_auth::Refusal::MissingAuthenticationToken.into())
    }

    /// Lets the caller do an action on an ARN, or says why not.
    pub(super) fn permit(&self, tx: &mut Tx, form: &Form, action: String, arn: &str) -> Result<()> {
        let ask = Ask::new(action, arn);
        let tags = form.pairs("Tags", ["Key", "Value"]);
        let tags = tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let untagged = form.list("TagKeys").into_iter().map(str::to_owned).collect();
        let said = [("iam:PolicyARN", "PolicyArn"), ("iam:PermissionsBoundary", "PermissionsBoundary")];
        let said = said.into_iter().filter_map(|(key, name)| Some((key, form.find(name)?.to_owned())));
        let said = said.collect();
        let asked = Asked { checks: vec![Check(vec![ask])], tags, untagged, said, ..Asked::default() };
        let (caller, surrounding) = (self.caller()?.clone(), self.surrounding.clone());
        let gate = Gate { caller, asked, surrounding, now: self.now };
        let tags = if gate.reads_resource_tags() { super::iam::tags_of(tx, self, arn)? } else { Vec::new() };
        gate.pass(&self.home, |_| Ok::<_, Fault>(tags.clone()))
    }

    /// Charges the account for an action of IAM that the caller may do.
    pub(super) fn charge_iam(&self, action: &str) -> Result<()> {
        self.charge(|limiter| limiter.iam(action))
    }

    /// Charges a caller for an action of STS.
    pub(super) fn charge_sts(&self, caller: &str) -> Result<()> {
        self.charge(|limiter| limiter.sts(caller))
    }

    fn charge(&self, take: impl FnOnce(&Limiter) -> std::result::Result<(), Exhausted>) -> Result<()> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        if self.charged.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        Ok(take(limiter)?)
    }

    /// What conditions read of where and when the call is made.
    pub(super) fn entries(&self) -> Vec<Entry<'_>> {
        self.surrounding.entries(self.now, &self.home)
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

    /// Random bytes.
    pub(super) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }

    /// A new id of this kind, as `AKIA`.
    pub(super) fn new_id(&self, kind: &str) -> String {
        kind.to_owned() + &self.letters(ID_LETTERS, ID_LENGTH)
    }

    /// A new secret access key.
    pub(super) fn new_secret(&self) -> String {
        self.letters(SECRET_LETTERS, SECRET_LENGTH)
    }

    fn letters(&self, alphabet: &[u8], length: usize) -> String {
        let mut text = String::with_capacity(length);
        // A byte past the last whole alphabet is drawn again, or the first letters would come more often.
        let fair = 256 - 256 % alphabet.len();
        while text.len() < length {
            let [byte] = self.random();
            if usize::from(byte) < fair {
                text.push(char::from(alphabet[usize::from(byte) % alphabet.len()]));
            }
        }
        text
    }

    /// An ARN of IAM.
    pub(super) fn arn(&self, resource: &str) -> String {
        format!("arn:aws:iam::{}:{resource}", self.home.account())
    }
}

/// A time as the protocol writes it.
pub(super) fn iso(time: Timestamp) -> String {
    let text = time.to_string();
    text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
}
