//! Assuming a role with the token of an identity provider: the token says who asks, so there is no signature.
//!
//! Only providers that the account has are asked for their keys, so nobody can send this server anywhere.

use std::sync::Arc;

use carillon_auth::jwt::{Claims, Expectation, Refusal, Token};
use carillon_auth::policy::{self, Context, Entry, Trust, Value};
use carillon_store::iam::OidcProvider;
use carillon_store::{self as store};

use super::WEB_IDENTITY_ACTION as ACTION;
use super::assume::{Wish, find_role, give};
use crate::query::call::{Counted, QueryCall};
use crate::query::fault::{Fault, Result};
use crate::query::form::Form;
use crate::query::iam::{self, TAGS_MAX};
use crate::query::xml::Element;
use crate::snapshot::Actor;
use crate::web_identity::{self, Disbelief, KeySource};

/// The claim with the tags of the session.
const TAGS_CLAIM: &str = "https://aws.amazon.com/tags";
/// The claim that says who stands behind the session.
const SOURCE_IDENTITY_CLAIM: &str = "https://aws.amazon.com/source_identity";

pub(super) async fn assume_role(call: QueryCall, form: &Form) -> Result<Vec<Element>> {
    let mut wish = Wish::read(form)?;
    let (provider, claims) = believe(&call, form.get("WebIdentityToken")?).await?;
    let subject = claims.text("sub").ok_or_else(|| invalid("the token has no subject"))?.to_owned();
    call.count(Counted::Sts(&format!("{} {subject}", provider.url)))?;
    let audience = claims.audiences().first().map(|audience| (*audience).to_owned());
    (wish.tags, wish.transitive) = tags(&claims)?;
    wish.source_identity = claims.text(SOURCE_IDENTITY_CLAIM).map(str::to_owned);
    let arn = iam::provider_arn(&call, &provider.url);
    wish.provided = provided(&provider, &arn, &subject, &claims);
    let role_arn = form.get("RoleArn")?;
    let role = find_role(&call, role_arn);
    let trusts =
        |role: &Arc<Actor>| wish.actions(ACTION).all(|action| trusts(&call, role, &arn, action, &wish));
    let Some(role) = role.filter(trusts) else {
        return Err(Fault::denied(format!("Not authorized to perform {ACTION} on {role_arn}")));
    };
    let mut elements = give(call, &role, wish).await?;
    elements.push(Element::text("SubjectFromWebIdentityToken", subject));
    elements.push(Element::text("Provider", arn));
    elements.extend(audience.map(|audience| Element::text("Audience", audience)));
    Ok(elements)
}

/// The provider that has signed a token, and what it says.
async fn believe(call: &QueryCall, token: &str) -> Result<(OidcProvider, Claims)> {
    let parsed = Token::parse(token).map_err(|refusal| invalid(&refusal.to_string()))?;
    let issuer = parsed.claimed_issuer().ok_or_else(|| invalid("the token has no issuer"))?.to_owned();
    let bare = issuer.split_once("://").map_or("", |(_, bare)| bare).trim_end_matches('/').to_owned();
    let find = move |tx: &mut store::Tx| store::iam::oidc_provider::find(tx, &bare);
    let provider = call.access.store.read(find).await?;
    let provider = provider.filter(|provider| iam::issuer(&provider.url) == issuer.trim_end_matches('/'));
    let provider = provider.ok_or_else(|| invalid("the account has no provider with the token's issuer"))?;
    if provider.client_ids.is_empty() {
        return Err(invalid("the provider has no client ids, so the token is for another audience"));
    }
    // Whoever made the token knows real time only, wherever a test has moved ours.
    let now_ms = call.when.real.ms();
    let expectation = Expectation { audiences: &provider.client_ids, issuer: Some(&issuer), now_ms };
    let source = KeySource::Issuer(iam::issuer(&provider.url));
    let claims = web_identity::verify(&*call.access.key_sets, &source, token, &expectation).await;
    let claims = claims.map_err(|disbelief| match disbelief {
        Disbelief::Refused(Refusal::Expired) => {
            Fault::new(400, "ExpiredTokenException", disbelief.to_string())
        }
        Disbelief::Refused(refusal) => invalid(&refusal.to_string()),
        Disbelief::Unreachable => Fault::new(400, "IDPCommunicationError", disbelief.to_string()),
    })?;
    Ok((provider, claims))
}

fn invalid(why: &str) -> Fault {
    Fault::new(400, "InvalidIdentityToken", format!("The web identity token is not accepted: {why}"))
}

/// Tags, and the keys of those that a session hands on.
type Tags = (Vec<(String, String)>, Vec<String>);

/// The tags that a token gives the session, and those that it hands on.
fn tags(claims: &Claims) -> Result<Tags> {
    let Some(given) = claims.get(TAGS_CLAIM) else { return Ok((Vec::new(), Vec::new())) };
    let refused = || Fault::new(403, "IDPRejectedClaim", "The token's tags are not texts, or too many");
    let tags = given["principal_tags"].as_object().into_iter().flatten().map(|(key, value)| {
        let value = value.as_str().or_else(|| value.as_array()?.first()?.as_str())?;
        Some((key.clone(), value.to_owned()))
    });
    let tags: Vec<_> = tags.collect::<Option<_>>().ok_or_else(refused)?;
    if TAGS_MAX < tags.len() {
        return Err(refused());
    }
    let transitive = given["transitive_tag_keys"].as_array().into_iter().flatten();
    Ok((tags, transitive.filter_map(|key| key.as_str().map(str::to_owned)).collect()))
}

/// What conditions read of the token, in this session and in the policy that gives it.
fn provided(
    provider: &OidcProvider,
    arn: &str,
    subject: &str,
    claims: &Claims,
) -> Vec<(String, Vec<String>)> {
    let key = |name: &str| format!("{}:{name}", provider.url);
    let texts = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    let methods = claims.get("amr").and_then(|value| value.as_array());
    let methods = methods.map(|methods| methods.iter().filter_map(|method| method.as_str()).collect());
    let mut keys = vec![
        ("aws:FederatedProvider".to_owned(), vec![arn.to_owned()]),
        (key("aud"), texts(claims.audiences())),
        (key("sub"), vec![subject.to_owned()]),
    ];
    keys.extend(methods.map(|methods| (key("amr"), texts(methods))));
    keys
}

fn trusts(call: &QueryCall, role: &Actor, provider: &str, action: &str, wish: &Wish) -> bool {
    let (keys, transitive) = wish.tag_keys();
    let mut entries = wish.entries(role, (&keys, &transitive));
    let values: Vec<Vec<&str>> =
        wish.provided.iter().map(|(_, values)| values.iter().map(String::as_str).collect()).collect();
    let said = wish.provided.iter().zip(&values);
    entries.extend(said.map(|((key, _), values)| Entry::new(key, Value::Texts(values))));
    entries.extend(call.entries());
    let context = Context::new(&entries);
    let trust = role.trust.as_ref();
    let trust = trust.map(|trust| trust.decide(&policy::Caller::Federated(provider), action, &context));
    matches!(trust, Some(Trust::Named(_)))
}
