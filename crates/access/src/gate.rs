//! The first gate: whether policies let a caller do what it asks for.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use carillon_auth::policy::{Context, Entry, Request, Value};
use carillon_model::Timestamp;
use carillon_model::arn::Home;
use carillon_model::text::{TagKey, TagValue};
use carillon_store::{self as store, Tx};

use crate::caller::{Caller, Portrait};
use crate::verdict::{Verdict, verdict};
use crate::witness::Witness;

/// What the key of a tag that the request gives begins with, in conditions.
const REQUEST_TAG: &str = "aws:RequestTag/";
/// What the key of a tag of the resource begins with, in conditions.
const RESOURCE_TAG: &str = "aws:ResourceTag/";
/// The same, as policies about IAM have it too.
const IAM_RESOURCE_TAG: &str = "iam:ResourceTag/";

/// What conditions may read of where and when a request was made.
#[derive(Debug, Clone, Default)]
pub struct Surrounding {
    /// The address that it came from.
    pub address: Option<IpAddr>,
    /// What the client says that it is.
    pub user_agent: Option<String>,
    /// The page that the client says it comes from.
    pub referer: Option<String>,
    /// Whether it came over TLS, where that is known.
    pub is_secure: Option<bool>,
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

/// One thing that must be allowed: of several ways to ask for it one is enough, and none may be denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check(pub Vec<Ask>);

/// An action on an ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The action, with its service.
    pub action: Cow<'static, str>,
    /// The ARN, or `*` where the action knows none.
    pub resource: String,
    /// Whether it is enough that this is allowed; where it is not, it only must not be denied.
    pub suffices: bool,
}

impl Ask {
    /// One that suffices.
    pub fn new(action: impl Into<Cow<'static, str>>, resource: impl Into<String>) -> Self {
        Self { action: action.into(), resource: resource.into(), suffices: true }
    }
}

/// All that a request asks for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Each must be allowed.
    pub checks: Vec<Check>,
    /// The tags that the request gives.
    pub tags: Vec<(String, String)>,
    /// The keys of the tags that it takes away.
    pub untagged: Vec<String>,
    /// Whose tags stand for those of what is not there yet, or is many: the app instance, and whoever acts.
    pub origins: Vec<String>,
    /// What conditions read of the request besides, by their keys.
    pub said: Vec<(&'static str, String)>,
    /// What the answer will be about, one thing after the other, and what must be allowed on each that it shows.
    pub among: Option<Among>,
}

/// Things of one kind that a request does not name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Among {
    /// The action, with its service.
    pub action: Cow<'static, str>,
    /// What their ARNs begin with.
    pub prefix: String,
}

/// A caller before the gate, and what it asks for. Root passes without being looked at.
#[derive(Clone)]
pub struct Gate {
    /// The caller.
    pub caller: Caller,
    /// What it asks for.
    pub asked: Asked,
    /// Where the request came from.
    pub surrounding: Surrounding,
    /// The instant of the call.
    pub now: Timestamp,
    /// Who watches, for somebody who asks why.
    pub witness: Option<Arc<Witness>>,
}

/// Why a caller does not pass: in words that say nothing about what exists.
#[derive(Debug)]
pub struct Denied(pub String);

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

impl Gate {
    /// Whether the decision may depend on the tags of what is acted on, which someone must read.
    pub(crate) fn reads_resource_tags(&self) -> bool {
        self.caller.all_documents().any(|held| held.document.reads_resource_tags())
    }

    /// Lets the caller pass, or says why not, where no tag of what is acted on matters; where one does, the gate comes
    /// back, to be passed in the transaction.
    pub fn pass_early(self, home: &Home) -> Result<Option<Self>, Denied> {
        if self.reads_resource_tags() {
            return Ok(Some(self));
        }
        self.pass(home, |_| Ok::<_, Denied>(Vec::new()))?;
        Ok(None)
    }

    /// Lets the caller pass, or says why not. `tags` reads the tags of an ARN.
    pub(crate) fn pass<E: From<Denied>>(
        &self,
        home: &Home,
        mut tags: impl FnMut(&str) -> Result<Vec<(String, String)>, E>,
    ) -> Result<(), E> {
        if let Some(witness) = &self.witness {
            witness.forget();
        }
        if self.caller.is_root() {
            return Ok(());
        }
        self.in_context(home, |context| {
            self.asked.checks.iter().try_for_each(|check| self.check(check, context, home, &mut tags))
        })
    }

    fn check<E: From<Denied>>(
        &self,
        check: &Check,
        context: &Context<'_>,
        home: &Home,
        tags: &mut impl FnMut(&str) -> Result<Vec<(String, String)>, E>,
    ) -> Result<(), E> {
        let (mut allowed, mut denied) = (false, None);
        for ask in &check.0 {
            let mut of_resource = tags(&ask.resource)?;
            for origin in self.asked.origins.iter().filter(|origin| **origin != ask.resource) {
                of_resource.extend(tags(origin)?);
            }
            match self.verdict((&ask.action, &ask.resource), &of_resource, context) {
                Verdict::Allowed => allowed |= ask.suffices,
                verdict @ Verdict::NotAllowed(_) => denied = denied.or(Some((ask, verdict))),
                verdict @ Verdict::Denied(_) => return Err(self.denied(home.account(), ask, verdict).into()),
            }
        }
        match denied.filter(|_| !allowed) {
            Some((ask, verdict)) => Err(self.denied(home.account(), ask, verdict).into()),
            None => Ok(()),
        }
    }

    /// What policies say of an action on a resource that has these tags.
    pub(crate) fn verdict(
        &self,
        (action, resource): (&str, &str),
        tags: &[(String, String)],
        context: &Context<'_>,
    ) -> Verdict {
        // Of two tags with one key the first counts, which is the one nearest to the resource.
        let tag = |prefix| tags.iter().map(move |(key, value)| Entry::tag(prefix, key, value));
        let entries: Vec<_> = tag(RESOURCE_TAG).chain(tag(IAM_RESOURCE_TAG)).collect();
        let context = Context::new(&entries).over(context);
        let request = Request { action, resource, context: &context };
        match &self.witness {
            None => verdict(&self.caller, &request),
            Some(witness) => witness.watch(&self.caller, &request),
        }
    }

    /// What conditions read of the caller and the request, whatever is acted on.
    pub(crate) fn in_context<T>(&self, home: &Home, read: impl FnOnce(&Context<'_>) -> T) -> T {
        let portrait = Portrait::new(&self.caller, home.account());
        let of_caller = portrait.entries();
        let of_caller = Context::new(&of_caller);
        let keys = self.tag_keys();
        let of_request = self.entries(home, &keys);
        read(&Context::new(&of_request).over(&of_caller))
    }

    /// Lets the caller pass by what the tags of a snapshot say, or says why not.
    pub fn pass_in<E>(&self, tx: &mut Tx, home: &Home) -> Result<(), E>
    where
        E: From<Denied> + From<store::Error>,
    {
        self.pass(home, |resource| Ok(texts(&store::tag::list(tx, resource)?)))
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

/// Tags, as conditions read them.
pub(crate) fn texts(tags: &[(TagKey, TagValue)]) -> Vec<(String, String)> {
    tags.iter().map(|(key, value)| (key.as_str().to_owned(), value.as_str().to_owned())).collect()
}
