//! STS: credentials for a while.
//!
//! Everything that it needs stands in memory or in the request; the token that it gives out is the only place where
//! a session is kept.

mod assume;
mod web_identity;

use carillon_model::Timestamp;
use carillon_store::iam::Kind;

use super::call::{Counted, QueryCall, iso};
use super::fault::{Fault, Result};
use super::form::Form;
use super::xml::Element;
use crate::session::{Claims, TOKEN_BYTES_MAX};

/// The action that needs no signature: the token that it carries says who asks.
pub(super) const WEB_IDENTITY: &str = "AssumeRoleWithWebIdentity";
/// The same, as policies and the audit log name it.
pub const WEB_IDENTITY_ACTION: &str = "sts:AssumeRoleWithWebIdentity";
/// How long a user's own session may be, and is if the request does not say, in seconds, as AWS has it.
const OWN_SECONDS: (i64, i64, i64) = (900, 129_600, 43_200);
/// How long root's own session may be, in seconds, as AWS has it.
const ROOT_SECONDS_MAX: i64 = 3_600;

/// The names of the actions.
pub(super) const ACTIONS: [&str; 4] = ["AssumeRole", WEB_IDENTITY, "GetCallerIdentity", "GetSessionToken"];

/// Does what a request asks for.
pub(super) async fn act(call: QueryCall, form: &Form) -> Result<Vec<Element>> {
    match form.get("Action")? {
        "AssumeRole" => assume::assume_role(call, form).await,
        WEB_IDENTITY => web_identity::assume_role(call, form).await,
        "GetCallerIdentity" => {
            call.count(Counted::Sts(call.caller()?.counted_as()))?;
            caller_identity(&call)
        }
        "GetSessionToken" => {
            call.count(Counted::Sts(call.caller()?.counted_as()))?;
            session_token(&call, form)
        }
        name => Err(Fault::new(400, "InvalidAction", format!("There is no action {name} of STS here"))),
    }
}

fn caller_identity(call: &QueryCall) -> Result<Vec<Element>> {
    let (caller, account) = (call.caller()?, call.access.home.account());
    Ok(vec![
        Element::text("Arn", caller.arn(account)),
        Element::text("UserId", caller.user_id(account)),
        Element::text("Account", account),
    ])
}

fn session_token(call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let caller = call.caller()?;
    if caller.session.is_some() {
        return Err(Fault::denied("GetSessionToken cannot be called with credentials of a session"));
    }
    let (least, most, usual) = OWN_SECONDS;
    let seconds = form.find_number("DurationSeconds", least, most)?.unwrap_or(usual);
    let seconds = if caller.kind() == Some(Kind::User) { seconds } else { seconds.min(ROOT_SECONDS_MAX) };
    let principal = caller.actor.as_ref().map(|actor| actor.principal.id.clone());
    Ok(vec![credentials(call, &Claims { principal, ..Claims::new(&call.random, call.when.now, seconds) })?])
}

/// Credentials with these claims.
fn credentials(call: &QueryCall, claims: &Claims) -> Result<Element> {
    let token = call.access.sessions.seal(claims, call.random.bytes());
    if TOKEN_BYTES_MAX < token.len() {
        let percent = token.len() * 100 / TOKEN_BYTES_MAX;
        return Err(Fault::new(
            400,
            "PackedPolicyTooLarge",
            format!("Policies and tags take {percent} % of the space that a session token has"),
        ));
    }
    Ok(Element::of(
        "Credentials",
        [
            Element::text("AccessKeyId", &claims.access_key_id),
            Element::text("SecretAccessKey", &claims.secret),
            Element::text("SessionToken", token),
            Element::text("Expiration", iso(Timestamp::from_ms(claims.expires_ms))),
        ],
    ))
}
