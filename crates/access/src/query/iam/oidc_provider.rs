//! Issuers of JSON web tokens.

use carillon_store::Tx;
use carillon_store::iam::{self, OidcProvider};

use super::{Action, read, write};
use crate::query::call::{QueryCall, iso};
use crate::query::fault::{Fault, Result};
use crate::query::form::{Form, TextRule};
use crate::query::xml::Element;

/// Identity providers of the account, as AWS has it.
const PROVIDERS_MAX: usize = 100;
/// Audiences of one provider, as AWS has it.
const CLIENT_IDS_MAX: usize = 100;
/// Thumbprints of one provider, as AWS has it.
const THUMBPRINTS_MAX: usize = 5;
const CLIENT_ID: TextRule = TextRule::free(255);

pub(super) const ACTIONS: &[Action] = &[
    write("CreateOpenIDConnectProvider", new_arn, create),
    read("GetOpenIDConnectProvider", arn, get),
    read("ListOpenIDConnectProviders", |_, call, _| Ok(super::all(call, "oidc-provider")), list),
    write("DeleteOpenIDConnectProvider", arn, delete),
    write("UpdateOpenIDConnectProviderThumbprint", arn, update_thumbprints),
    write("AddClientIDToOpenIDConnectProvider", arn, add_client_id),
    write("RemoveClientIDFromOpenIDConnectProvider", arn, remove_client_id),
];

/// The ARN of the provider that a request names.
pub(super) fn arn(_: &mut Tx, _: &QueryCall, form: &Form) -> Result<String> {
    Ok(form.get("OpenIDConnectProviderArn")?.to_owned())
}

fn new_arn(_: &mut Tx, call: &QueryCall, form: &Form) -> Result<String> {
    Ok(arn_of(call, url(form.get("Url")?)?))
}

/// The ARN of the provider with this URL.
pub(in crate::query) fn arn_of(call: &QueryCall, url: &str) -> String {
    call.arn(&format!("oidc-provider/{url}"))
}

/// A URL as it is kept: without the scheme. Only a provider on this machine, for tests, may go without TLS.
fn url(text: &str) -> Result<&str> {
    let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let bare = bare.map(|bare| bare.strip_suffix('/').unwrap_or(bare));
    let good =
        |bare: &&str| issuer(bare).trim_end_matches('/') == text.trim_end_matches('/') && is_plain(bare);
    bare.filter(good).ok_or_else(|| Fault::invalid("Url: must be an https:// URL without a query"))
}

fn is_plain(bare: &str) -> bool {
    let letters = bare.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\"<>\\^`{|}".contains(&byte));
    !bare.is_empty() && bare.len() <= 255 && letters
}

/// The URL of an issuer, with its scheme.
pub(in crate::query) fn issuer(bare: &str) -> String {
    let host = bare.split('/').next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let scheme = if matches!(name, "127.0.0.1" | "localhost" | "[::1]") { "http" } else { "https" };
    format!("{scheme}://{bare}")
}

/// The provider that a request names by its ARN.
pub(super) fn find(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<OidcProvider> {
    let arn = form.get("OpenIDConnectProviderArn")?;
    let url = arn.strip_prefix(&arn_of(call, "")).unwrap_or_default();
    iam::oidc_provider::find(tx, url)?.ok_or_else(|| Fault::missing("OpenID Connect provider", arn))
}

fn create(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let client_ids = form.list("ClientIDList");
    for client_id in &client_ids {
        CLIENT_ID.check("ClientIDList", client_id)?;
    }
    if CLIENT_IDS_MAX < client_ids.len() {
        return Err(Fault::limit("client ids of a provider", 100));
    }
    let provider = OidcProvider {
        url: url(form.get("Url")?)?.to_owned(),
        client_ids: client_ids.into_iter().map(str::to_owned).collect(),
        thumbprints: thumbprints(form)?,
        tags: super::tag::given(form)?,
        created_at: call.when.now,
    };
    if PROVIDERS_MAX <= iam::oidc_provider::all(tx)?.len() {
        return Err(Fault::limit("OpenID Connect providers of the account", 100));
    }
    if !iam::oidc_provider::insert(tx, &provider)? {
        return Err(Fault::exists("OpenID Connect provider", &provider.url));
    }
    let arn = Element::text("OpenIDConnectProviderArn", arn_of(call, &provider.url));
    Ok(vec![arn, super::tag::shape(&provider.tags)])
}

fn get(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let provider = find(tx, call, form)?;
    let texts = |texts: &[String]| texts.iter().map(|text| Element::text("member", text)).collect::<Vec<_>>();
    Ok(vec![
        Element::text("Url", &provider.url),
        Element::of("ClientIDList", texts(&provider.client_ids)),
        Element::of("ThumbprintList", texts(&provider.thumbprints)),
        Element::text("CreateDate", iso(provider.created_at)),
        super::tag::shape(&provider.tags),
    ])
}

fn list(tx: &mut Tx, call: &QueryCall, _: &Form) -> Result<Vec<Element>> {
    let providers = iam::oidc_provider::all(tx)?;
    let members = providers
        .iter()
        .map(|provider| Element::of("member", [Element::text("Arn", arn_of(call, &provider.url))]));
    Ok(vec![Element::of("OpenIDConnectProviderList", members)])
}

fn delete(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let provider = find(tx, call, form)?;
    iam::oidc_provider::delete(tx, &provider.url)?;
    Ok(Vec::new())
}

fn update_thumbprints(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let mut provider = find(tx, call, form)?;
    provider.thumbprints = thumbprints(form)?;
    iam::oidc_provider::update(tx, &provider)?;
    Ok(Vec::new())
}

fn add_client_id(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let mut provider = find(tx, call, form)?;
    let client_id = form.text("ClientID", CLIENT_ID)?.to_owned();
    if !provider.client_ids.contains(&client_id) {
        provider.client_ids.push(client_id);
    }
    if CLIENT_IDS_MAX < provider.client_ids.len() {
        return Err(Fault::limit("client ids of a provider", 100));
    }
    iam::oidc_provider::update(tx, &provider)?;
    Ok(Vec::new())
}

fn remove_client_id(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let mut provider = find(tx, call, form)?;
    let client_id = form.get("ClientID")?;
    provider.client_ids.retain(|other| other != client_id);
    iam::oidc_provider::update(tx, &provider)?;
    Ok(Vec::new())
}

fn thumbprints(form: &Form) -> Result<Vec<String>> {
    let thumbprints = form.list("ThumbprintList");
    let is_digest = |text: &&str| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !thumbprints.iter().all(is_digest) {
        return Err(Fault::invalid("ThumbprintList: must hold digests of 40 hexadecimal digits"));
    }
    if THUMBPRINTS_MAX < thumbprints.len() {
        return Err(Fault::limit("thumbprints of a provider", 5));
    }
    Ok(thumbprints.into_iter().map(str::to_owned).collect())
}
