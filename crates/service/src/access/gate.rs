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
/// The same, as policies about IAM have it too.
const IAM_RESOURCE_TAG: &str = "iam:ResourceTag/";

/// What conditions may read of where and when a request was made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surrounding {
    /// The address that it came from.
    pub(crate) address: Option<IpAddr>,
    /// What the client says that it is.
    pub(crate) user_agent: Option<String>,
    /// The page that the client says it comes from.
    pub(crate) referer: Option<String>,
    /// Whether it came over TLS, where that is known.
    pub(crate) is_secure: Option<bool>,
}

impl Surrounding {
    /// What conditions read, in the words of their keys.
    pub(crate) fn entries<'a>(&'a self, now: Timestamp, home: &'a Home) -> Vec<Entry<'a>> {
        let mut entries = vec![
            Entry::new("aws:CurrentTime", Value::Time(now.ms())),
            Entry::new("aws:EpochTime", Value::Number(now.ms().div_euclid(1000))),
            Entry::new("aws:RequestedRegion", Value::Text(home.region())),
            // What is of another account is refused before policies are asked, and no service of AWS calls here.
            Entry::new("aws:ResourceAccount", Value::Text(home.account())),
            Entry::new("aws:ViaAWSService", Value::Bool(false)),
            Entry::new("aws:PrincipalIsAWSService", Value::Bool(false)),
        ];
        entries.extend(self.is_secure.map(|is| Entry::new("aws:SecureTransport", Value::Bool(is))));
        let referer = self.referer.as_deref().map(Value::Text);
        entries.extend(referer.map(|referer| Entry::new("aws:Referer", referer)));
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

impl Denied {
    /// The sentence of AWS: who, what, on what, and which policy is missing or denies.
    pub(crate) fn new(caller: &str, action: &str, resource: &str, verdict: Verdict) -> Self {
        let why = match verdict {
            Verdict::Denied(layer) => {
                format!(" with an explicit deny in {} policy", layer.article_and_words())
            }
            Verdict::NotAllowed(layer) => {
                format!(" because no {} policy allows the {action} action", layer.words())
            }
            // It is not a policy of theirs that refuses, and whose it is, is nothing that they are told.
            Verdict::Allowed => String::new(),
        };
        Self(format!("User: {caller} is not authorized to perform: {action} on resource: {resource}{why}"))
    }
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        Self::access_denied(denied.0)
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
        let account = home.account();
        let portrait = Portrait::new(&self.caller, account);
        let of_caller = portrait.entries();
        let of_caller = Context::new(&of_caller);
        let keys = self.tag_keys();
        let of_request = self.entries(home, &keys);
        let of_request = Context::new(&of_request).over(&of_caller);
        for check in &self.asked.checks {
            let (mut allowed, mut denied) = (false, None);
            for ask in &check.0 {
                let mut of_resource = tags(&ask.resource)?;
                for origin in self.asked.origins.iter().filter(|origin| **origin != ask.resource) {
                    of_resource.extend(tags(origin)?);
                }
                // Of two tags with one key the first counts, which is the one nearest to the resource.
                let tag = |prefix| of_resource.iter().map(move |(key, value)| Entry::tag(prefix, key, value));
                let entries: Vec<_> = tag(RESOURCE_TAG).chain(tag(IAM_RESOURCE_TAG)).collect();
                let context = Context::new(&entries).over(&of_request);
                let request = Request { action: &ask.action, resource: &ask.resource, context: &context };
                match verdict(&self.caller, &request) {
                    Verdict::Allowed => allowed |= ask.suffices,
                    verdict @ Verdict::NotAllowed(_) => denied = denied.or(Some((ask, verdict))),
                    verdict @ Verdict::Denied(_) => return Err(self.denied(account, ask, verdict).into()),
                }
            }
            if let Some((ask, verdict)) = denied.filter(|_| !allowed) {
                return Err(self.denied(account, ask, verdict).into());
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

    fn denied(&self, account: &str, ask: &Ask, verdict: Verdict) -> Denied {
        Denied::new(&self.caller.arn(account), &ask.action, &ask.resource, verdict)
    }

    fn tag_keys(&self) -> Vec<&str> {
        let given = self.asked.tags.iter().map(|(key, _)| key.as_str());
        given.chain(self.asked.untagged.iter().map(String::as_str)).collect()
    }

    fn entries<'a>(&'a self, home: &'a Home, keys: &'a [&'a str]) -> Vec<Entry<'a>> {
        let mut entries = self.surrounding.entries(self.now, home);
        entries.extend(self.asked.said.iter().map(|(key, value)| Entry::new(key, Value::Text(value))));
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
    /// None of these speaks of it.
    NotAllowed(Layer),
    /// One of these denies it.
    Denied(Layer),
}

/// Whose policies they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Those of the user or the role.
    Identity,
    /// Those that narrow the session.
    Session,
}

impl Layer {
    fn words(self) -> &'static str {
        match self {
            Self::Identity => "identity-based",
            Self::Session => "session",
        }
    }

    fn article_and_words(self) -> &'static str {
        match self {
            Self::Identity => "an identity-based",
            Self::Session => "a session",
        }
    }
}

/// What the policies of a caller that is not root say, within those of its session.
pub(crate) fn verdict(caller: &Caller, request: &Request<'_>) -> Verdict {
    let own = verdict_of(Layer::Identity, caller.documents(), request);
    let session = caller.session_documents();
    if session.is_empty() || matches!(own, Verdict::Denied(_)) {
        return own;
    }
    match (own, verdict_of(Layer::Session, session, request)) {
        (_, denied @ Verdict::Denied(_)) => denied,
        (Verdict::Allowed, narrowed) => narrowed,
        (own, _) => own,
    }
}

/// What policies of one layer say. One that cannot be read denies everything.
fn verdict_of(layer: Layer, documents: &[Arc<Document>], request: &Request<'_>) -> Verdict {
    if documents.iter().any(|document| document.policy().is_none()) {
        return Verdict::Denied(layer);
    }
    match decide(compiled(documents), request) {
        Decision::Allow(_) => Verdict::Allowed,
        Decision::Implicit => Verdict::NotAllowed(layer),
        Decision::ExplicitDeny(_) => Verdict::Denied(layer),
    }
}

/// Whether the policies that narrow a session let it do something that its own policies need not allow: because the
/// one who is acted on trusts it by name.
pub(crate) fn verdict_of_trusted(caller: &Caller, request: &Request<'_>) -> Verdict {
    let session = caller.session_documents();
    match verdict(caller, request) {
        Verdict::NotAllowed(_) if session.is_empty() => Verdict::Allowed,
        Verdict::NotAllowed(_) => verdict_of(Layer::Session, session, request),
        verdict => verdict,
    }
}

fn compiled(documents: &[Arc<Document>]) -> impl Iterator<Item = &Policy> {
    documents.iter().filter_map(|document| document.policy())
}
