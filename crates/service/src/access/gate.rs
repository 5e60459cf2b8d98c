//! The first gate: whether policies let a caller do what it asks for.

use std::net::IpAddr;
use std::sync::Arc;

use carillon_auth::policy::{Context, Decision, Entry, Policy, Request, Value, decide};
use carillon_model::Timestamp;
use carillon_model::arn::Home;
use carillon_store::{self as store, Tx};

use super::caller::{Caller, Portrait};
use super::document::Document;
use super::rules::{Ask, Asked};
use crate::error::Error;

/// What the key of a tag that the request gives begins with, in conditions.
const REQUEST_TAG: &str = "aws:RequestTag/";
/// What the key of a tag of the resource begins with, in conditions.
const RESOURCE_TAG: &str = "aws:ResourceTag/";

/// What conditions may read of where and when a request was made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surrounding {
    /// The address that it came from.
    pub(crate) address: Option<IpAddr>,
    /// What the client says that it is.
    pub(crate) user_agent: Option<String>,
}

impl Surrounding {
    /// What conditions read, in the words of their keys.
    pub(crate) fn entries<'a>(&'a self, now: Timestamp, region: &'a str) -> Vec<Entry<'a>> {
        let mut entries = vec![
            Entry::new("aws:CurrentTime", Value::Time(now.ms())),
            Entry::new("aws:EpochTime", Value::Number(now.ms().div_euclid(1000))),
            Entry::new("aws:RequestedRegion", Value::Text(region)),
        ];
        let address = self.address.map(Value::Address);
        let user_agent = self.user_agent.as_deref().map(Value::Text);
        entries.extend(address.map(|address| Entry::new("aws:SourceIp", address)));
        entries.extend(user_agent.map(|user_agent| Entry::new("aws:UserAgent", user_agent)));
        entries
    }
}

/// A caller before the gate, and what it asks for. Root passes without being looked at.
pub(crate) struct Gate {
    pub(crate) caller: Caller,
    pub(crate) asked: Asked,
    pub(crate) surrounding: Surrounding,
    pub(crate) now: Timestamp,
}

/// Why a caller does not pass: in words that say nothing about what exists.
#[derive(Debug)]
pub(crate) struct Denied(pub(crate) String);

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        Self::forbidden(denied.0)
    }
}

impl Gate {
    /// Whether the decision may depend on the tags of what is acted on, which someone must read.
    pub(crate) fn reads_resource_tags(&self) -> bool {
        let all = || self.caller.documents().iter().chain(self.caller.session_documents());
        all().any(|document| document.reads_resource_tags())
    }

    /// Lets the caller pass, or says why not. `tags` reads the tags of an ARN.
    pub(crate) fn pass<E: From<Denied>>(
        &self,
        home: &Home,
        mut tags: impl FnMut(&str) -> Result<Vec<(String, String)>, E>,
    ) -> Result<(), E> {
        if self.caller.actor.is_none() {
            return Ok(());
        }
        let (account, region) = (home.account(), home.region());
        let portrait = Portrait::new(&self.caller, account);
        let of_caller = portrait.entries();
        let of_caller = Context::new(&of_caller);
        let keys = self.tag_keys();
        let of_request = self.entries(region, &keys);
        let of_request = Context::new(&of_request).over(&of_caller);
        for check in &self.asked.checks {
            let (mut allowed, mut denied) = (false, None);
            for ask in &check.0 {
                let tags = tags(&ask.resource)?;
                let entries: Vec<_> =
                    tags.iter().map(|(key, value)| Entry::tag(RESOURCE_TAG, key, value)).collect();
                let context = Context::new(&entries).over(&of_request);
                let request = Request { action: &ask.action, resource: &ask.resource, context: &context };
                match verdict(&self.caller, &request) {
                    Verdict::Allowed => allowed = true,
                    Verdict::NotAllowed => denied = denied.or(Some(ask)),
                    Verdict::Denied => return Err(self.denied(account, ask, "a policy denies it").into()),
                }
            }
            if let Some(ask) = denied.filter(|_| !allowed) {
                return Err(self.denied(account, ask, "no policy allows it").into());
            }
        }
        Ok(())
    }

    /// Lets the caller pass by what the tags of a snapshot say, or says why not.
    pub(crate) fn pass_in(&self, tx: &mut Tx, home: &Home) -> Result<(), Error> {
        self.pass(home, |resource| {
            let tags = store::tag::list(tx, resource)?;
            Ok(tags.iter().map(|(key, value)| (key.as_str().to_owned(), value.as_str().to_owned())).collect())
        })
    }

    fn denied(&self, account: &str, ask: &Ask, why: &str) -> Denied {
        let (caller, Ask { action, resource }) = (self.caller.arn(account), ask);
        Denied(format!("{caller} is not authorized to perform {action} on {resource}: {why}"))
    }

    fn tag_keys(&self) -> Vec<&str> {
        let given = self.asked.tags.iter().map(|(key, _)| key.as_str());
        given.chain(self.asked.untagged.iter().map(String::as_str)).collect()
    }

    fn entries<'a>(&'a self, region: &'a str, keys: &'a [&'a str]) -> Vec<Entry<'a>> {
        let mut entries = self.surrounding.entries(self.now, region);
        let tags = self.asked.tags.iter();
        entries.extend(tags.map(|(key, value)| Entry::tag(REQUEST_TAG, key, value)));
        if !keys.is_empty() {
            entries.push(Entry::new("aws:TagKeys", Value::Texts(keys)));
        }
        entries
    }
}

/// What policies say of one ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// One allows it, and none denies.
    Allowed,
    /// None speaks of it.
    NotAllowed,
    /// One denies it.
    Denied,
}

/// What the policies of a caller that is not root say, within those of its session.
pub(crate) fn verdict(caller: &Caller, request: &Request<'_>) -> Verdict {
    let (own, session) = (caller.documents(), caller.session_documents());
    if own.iter().chain(session).any(|document| document.policy().is_none()) {
        return Verdict::Denied;
    }
    let policies = |documents| decide(compiled(documents), request);
    let mut decision = policies(own);
    if !session.is_empty() {
        decision = decision.within(policies(session));
    }
    match decision {
        Decision::Allow(_) => Verdict::Allowed,
        Decision::Implicit => Verdict::NotAllowed,
        Decision::ExplicitDeny(_) => Verdict::Denied,
    }
}

/// Whether the policies that narrow a session let it do something that its own policies need not allow: because the
/// one who is acted on trusts it by name.
pub(crate) fn verdict_of_trusted(caller: &Caller, request: &Request<'_>) -> Verdict {
    let session = caller.session_documents();
    match verdict(caller, request) {
        Verdict::NotAllowed if session.is_empty() => Verdict::Allowed,
        Verdict::NotAllowed if decide(compiled(session), request).is_allowed() => Verdict::Allowed,
        verdict => verdict,
    }
}

fn compiled(documents: &[Arc<Document>]) -> impl Iterator<Item = &Policy> {
    documents.iter().filter_map(|document| document.policy())
}
