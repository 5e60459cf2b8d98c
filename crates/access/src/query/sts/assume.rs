//! Assuming a role: whether the role trusts the caller, and whether the caller may.

use std::sync::Arc;

use carillon_auth::policy::{self, Context, Entry, Policy, Request, SESSION_CHARACTERS_MAX, Trust, Value};
use carillon_store::iam::{Kind, Tag};

use super::credentials;
use crate::caller::{Caller, Portrait};
use crate::gate::Denied;
use crate::query::call::{Counted, QueryCall};
use crate::query::fault::{Fault, Result};
use crate::query::form::{Form, TextRule};
use crate::query::iam;
use crate::query::xml::Element;
use crate::session::Claims;
use crate::snapshot::Actor;
use crate::verdict::{Verdict, verdict, verdict_of_trusted};

/// The least of a session's seconds, as AWS has it.
const SECONDS_MIN: i64 = 900;
/// The most seconds of any session of a role, as AWS has it.
const SECONDS_MAX: i64 = 43_200;
/// What a session has if the request does not say, as AWS has it.
const SECONDS_DEFAULT: i64 = 3_600;
/// The most seconds of a session that another session of a role asks for, as AWS has it.
const CHAINED_SECONDS_MAX: i64 = 3_600;
/// Managed policies that narrow one session, as AWS has it.
const POLICY_ARNS_MAX: usize = 10;

const SESSION_NAME: TextRule = TextRule { length: (2, 64), ..TextRule::name(64) };
const EXTERNAL_ID: TextRule = TextRule { length: (2, 1_224), ..TextRule::free(1_224) };

/// What a request asks for, beside the role.
pub(super) struct Wish {
    pub(super) name: String,
    pub(super) tags: Vec<Tag>,
    pub(super) transitive: Vec<String>,
    /// Who stands behind the session, if that is said.
    pub(super) source_identity: Option<String>,
    /// What an identity provider says, by the keys of conditions.
    pub(super) provided: Vec<(String, Vec<String>)>,
    policy: Option<String>,
    policy_arns: Vec<String>,
    seconds: i64,
}

impl Wish {
    pub(super) fn read(form: &Form) -> Result<Self> {
        let name = form.text("RoleSessionName", SESSION_NAME)?.to_owned();
        let seconds = form.find_number("DurationSeconds", SECONDS_MIN, SECONDS_MAX)?;
        let policy = form.find("Policy").map(str::to_owned);
        if let Some(text) = &policy {
            let policy = Policy::parse(text).map_err(|reason| Fault::malformed_policy(reason.to_string()))?;
            iam::known_keys(policy.keys())?;
            if SESSION_CHARACTERS_MAX < text.chars().count() {
                return Err(Fault::invalid(format!("Policy: may have {SESSION_CHARACTERS_MAX} characters")));
            }
        }
        let policy_arns = form.pairs("PolicyArns", ["arn", "arn"]);
        if POLICY_ARNS_MAX < policy_arns.len() {
            return Err(Fault::invalid(format!("PolicyArns: may have {POLICY_ARNS_MAX} items")));
        }
        Ok(Self {
            name,
            tags: iam::given(form)?,
            transitive: form.list("TransitiveTagKeys").into_iter().map(str::to_owned).collect(),
            source_identity: form.find_text("SourceIdentity", SESSION_NAME)?.map(str::to_owned),
            provided: Vec::new(),
            policy,
            policy_arns: policy_arns.into_iter().map(|(arn, _)| arn.to_owned()).collect(),
            seconds: seconds.unwrap_or(SECONDS_DEFAULT),
        })
    }

    /// The actions that it takes: one more where it has tags, and one where it says who stands behind it.
    pub(super) fn actions(&self, assume: &'static str) -> impl Iterator<Item = &'static str> {
        let tag = (!self.tags.is_empty()).then_some("sts:TagSession");
        let name = self.source_identity.is_some().then_some("sts:SetSourceIdentity");
        [assume].into_iter().chain(tag).chain(name)
    }

    /// A session hands on who stands behind it, and its transitive tags; nobody can give them another value.
    fn inherit(&mut self, caller: &Caller) -> Result<()> {
        let Some(session) = &caller.session else { return Ok(()) };
        match (&session.claims.source_identity, &self.source_identity) {
            (Some(kept), Some(other)) if kept != other => {
                return Err(Fault::denied("SourceIdentity: that of the calling session cannot be changed"));
            }
            (Some(kept), None) => self.source_identity = Some(kept.clone()),
            _ => {}
        }
        for key in &session.claims.transitive {
            if self.tags.iter().any(|(other, _)| other.eq_ignore_ascii_case(key)) {
                return Err(Fault::invalid(format!(
                    "Tags: {key} is a transitive tag of the calling session"
                )));
            }
            let tags = session.claims.tags.iter().filter(|(other, _)| other.eq_ignore_ascii_case(key));
            self.tags.extend(tags.cloned());
            self.transitive.push(key.clone());
        }
        Ok(())
    }

    /// What conditions read of it and of the role that is wished for: its keys are those of its tags, and of those that
    /// it hands on.
    pub(super) fn entries<'a>(
        &'a self,
        role: &'a Actor,
        (keys, transitive): (&'a [&'a str], &'a [&'a str]),
    ) -> Vec<Entry<'a>> {
        let mut entries = vec![Entry::new("sts:RoleSessionName", Value::Text(&self.name))];
        entries.extend(self.tags.iter().map(|(key, value)| Entry::tag("aws:RequestTag/", key, value)));
        let tags = role.principal.tags.iter();
        entries.extend(tags.map(|(key, value)| Entry::tag("aws:ResourceTag/", key, value)));
        entries.push(Entry::new("aws:TagKeys", Value::Texts(keys)));
        entries.push(Entry::new("sts:TransitiveTagKeys", Value::Texts(transitive)));
        let source = self.source_identity.as_deref().map(Value::Text);
        entries.extend(source.map(|source| Entry::new("sts:SourceIdentity", source)));
        entries
    }

    pub(super) fn tag_keys(&self) -> (Vec<&str>, Vec<&str>) {
        let all = self.tags.iter().map(|(key, _)| key.as_str()).collect();
        (all, self.transitive.iter().map(String::as_str).collect())
    }
}

pub(super) async fn assume_role(call: QueryCall, form: &Form) -> Result<Vec<Element>> {
    let mut wish = Wish::read(form)?;
    let caller = call.caller()?.clone();
    if caller.kind() == Some(Kind::Role) && CHAINED_SECONDS_MAX < wish.seconds {
        let message = "DurationSeconds: may be 3600 where a session of a role assumes another role";
        return Err(Fault::invalid(message));
    }
    wish.inherit(&caller)?;
    let external_id = form.find_text("ExternalId", EXTERNAL_ID)?;
    let role_arn = form.get("RoleArn")?;
    let role = find_role(&call, role_arn);
    let refused = wish.actions("sts:AssumeRole").find(|action| {
        let (keys, transitive) = wish.tag_keys();
        role.as_ref().is_none_or(|role| {
            let mut entries = wish.entries(role, (&keys, &transitive));
            entries.extend(external_id.map(|id| Entry::new("sts:ExternalId", Value::Text(id))));
            !is_trusted(&call, &caller, role, action, &entries)
        })
    });
    match (role, refused) {
        (Some(role), None) => {
            call.count(Counted::Sts(caller.counted_as()))?;
            give(call, &role, wish).await
        }
        (_, refused) => {
            let (caller, action) =
                (caller.arn(call.access.home.account()), refused.unwrap_or("sts:AssumeRole"));
            // Whether the role is not there, or does not trust them, is nothing that they are told.
            Err(Denied::new(&caller, action, role_arn, Verdict::Allowed).into())
        }
    }
}

/// The role with this ARN, as this node knows it.
pub(super) fn find_role(call: &QueryCall, arn: &str) -> Option<Arc<Actor>> {
    let name = arn.rsplit('/').next().unwrap_or_default();
    call.access.snapshot().find_role(name).filter(|role| role.arn == arn)
}

/// Whether the role trusts the caller, and the caller's own policies do not stand against it. Who is trusted by name
/// needs no more; where the account is, the caller's policies must allow it. Root may what the account may.
fn is_trusted(call: &QueryCall, caller: &Caller, role: &Actor, action: &str, entries: &[Entry<'_>]) -> bool {
    let Some(trust) = &role.trust else { return false };
    let account = call.access.home.account();
    let portrait = Portrait::new(caller, account);
    let of_caller = portrait.entries();
    let of_caller = Context::new(&of_caller);
    let of_call = call.entries();
    let of_call = Context::new(&of_call).over(&of_caller);
    let context = Context::new(entries).over(&of_call);
    let arn = caller.arn(account);
    let role_arn = caller.actor.as_ref().filter(|actor| actor.principal.kind == Kind::Role);
    let role_arn = role_arn.map(|actor| actor.arn.as_str());
    let trusted = policy::Caller::Aws { account, arn: &arn, role_arn };
    let request = Request { action, resource: &role.arn, context: &context };
    match trust.decide(&trusted, action, &context) {
        Trust::Named(_) | Trust::Account(_) if caller.actor.is_none() => true,
        Trust::Named(_) => verdict_of_trusted(caller, &request) == Verdict::Allowed,
        Trust::Account(_) => verdict(caller, &request) == Verdict::Allowed,
        Trust::Implicit | Trust::ExplicitDeny(_) => false,
    }
}

/// Gives out the session, within what the role allows.
pub(super) async fn give(call: QueryCall, role: &Actor, wish: Wish) -> Result<Vec<Element>> {
    let most = role.principal.trusting.as_ref().map_or(0, |trusting| trusting.session_seconds_max);
    if most < wish.seconds {
        return Err(Fault::invalid(format!("DurationSeconds: the role allows {most}")));
    }
    let account = call.access.home.account().to_owned();
    let mut policies: Vec<String> = wish.policy.into_iter().collect();
    if !wish.policy_arns.is_empty() {
        let (arns, account) = (wish.policy_arns, account.clone());
        policies.extend(call.access.store.read(move |tx| iam::documents(tx, &account, &arns)).await?);
    }
    let claims = Claims {
        principal: Some(role.principal.id.clone()),
        name: wish.name,
        tags: wish.tags,
        transitive: wish.transitive,
        policies,
        provided: wish.provided,
        source_identity: wish.source_identity,
        ..Claims::new(&call.random, call.when.now, wish.seconds)
    };
    let source = claims.source_identity.as_ref().map(|source| Element::text("SourceIdentity", source));
    let (name, session) = (&role.principal.name, &claims.name);
    let who = Element::of(
        "AssumedRoleUser",
        [
            Element::text("AssumedRoleId", format!("{}:{session}", role.principal.id)),
            Element::text("Arn", format!("arn:aws:sts::{account}:assumed-role/{name}/{session}")),
        ],
    );
    Ok([credentials(&call, &claims)?, who].into_iter().chain(source).collect())
}
