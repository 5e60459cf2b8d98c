//! Tags of users, roles, policies and identity providers. Those of users and roles are what `aws:PrincipalTag` reads.

use carillon_store::Tx;
use carillon_store::iam::{self, Kind, Tag};

use super::tag::{TAGS_MAX, given, member};
use super::{Action, find_principal, oidc_provider, policy, policy_arn, read, role_arn, user_arn, write};
use crate::query::call::QueryCall;
use crate::query::fault::{Fault, Result};
use crate::query::form::Form;
use crate::query::page::Page;
use crate::query::xml::Element;

pub(super) const ACTIONS: &[Action] = &[
    write("TagUser", user_arn, |tx, call, form| tag(tx, Place::User, call, form)),
    write("UntagUser", user_arn, |tx, call, form| untag(tx, Place::User, call, form)),
    read("ListUserTags", user_arn, |tx, call, form| list(tx, Place::User, call, form)),
    write("TagRole", role_arn, |tx, call, form| tag(tx, Place::Role, call, form)),
    write("UntagRole", role_arn, |tx, call, form| untag(tx, Place::Role, call, form)),
    read("ListRoleTags", role_arn, |tx, call, form| list(tx, Place::Role, call, form)),
    write("TagPolicy", policy_arn, |tx, call, form| tag(tx, Place::Policy, call, form)),
    write("UntagPolicy", policy_arn, |tx, call, form| untag(tx, Place::Policy, call, form)),
    read("ListPolicyTags", policy_arn, |tx, call, form| list(tx, Place::Policy, call, form)),
    write("TagOpenIDConnectProvider", oidc_provider::arn, |tx, call, form| {
        tag(tx, Place::OidcProvider, call, form)
    }),
    write("UntagOpenIDConnectProvider", oidc_provider::arn, |tx, call, form| {
        untag(tx, Place::OidcProvider, call, form)
    }),
    read("ListOpenIDConnectProviderTags", oidc_provider::arn, |tx, call, form| {
        list(tx, Place::OidcProvider, call, form)
    }),
];

/// Whose tags.
#[derive(Clone, Copy)]
enum Place {
    User,
    Role,
    Policy,
    OidcProvider,
}

fn tag(tx: &mut Tx, place: Place, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let new = given(form)?;
    change(tx, place, call, form, |tags| {
        for (key, value) in new {
            tags.retain(|(other, _)| !other.eq_ignore_ascii_case(&key));
            tags.push((key, value));
        }
        tags.sort();
    })
}

fn untag(tx: &mut Tx, place: Place, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let keys = form.list("TagKeys");
    change(tx, place, call, form, |tags| {
        tags.retain(|(key, _)| !keys.iter().any(|gone| gone.eq_ignore_ascii_case(key)));
    })
}

fn change(
    tx: &mut Tx,
    place: Place,
    call: &QueryCall,
    form: &Form,
    change: impl FnOnce(&mut Vec<Tag>),
) -> Result<Vec<Element>> {
    let checked = |tags: &mut Vec<Tag>| {
        change(tags);
        if TAGS_MAX < tags.len() { Err(Fault::limit("tags", 50)) } else { Ok(()) }
    };
    match place {
        Place::User | Place::Role => {
            let kind = if matches!(place, Place::User) { Kind::User } else { Kind::Role };
            let mut principal = find_principal(tx, kind, call, form)?;
            checked(&mut principal.tags)?;
            iam::principal::update(tx, &principal)?;
        }
        Place::Policy => {
            let mut policy = policy::find(tx, call, form)?;
            checked(&mut policy.tags)?;
            iam::policy::update(tx, &policy)?;
        }
        Place::OidcProvider => {
            let mut provider = oidc_provider::find(tx, call, form)?;
            checked(&mut provider.tags)?;
            iam::oidc_provider::update(tx, &provider)?;
        }
    }
    Ok(Vec::new())
}

fn list(tx: &mut Tx, place: Place, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let tags = match place {
        Place::User => find_principal(tx, Kind::User, call, form)?.tags,
        Place::Role => find_principal(tx, Kind::Role, call, form)?.tags,
        Place::Policy => policy::find(tx, call, form)?.tags,
        Place::OidcProvider => oidc_provider::find(tx, call, form)?.tags,
    };
    let page = Page::of(form)?;
    let after = page.rows().after.to_owned();
    let tags = tags.into_iter().filter(|(key, _)| after.is_empty() || after < *key).collect();
    Ok(page.cut("Tags", tags, |(key, _)| key.clone(), member))
}

/// The tags of what an ARN of IAM names: none, where it names nothing.
pub(super) fn tags_of(tx: &mut Tx, call: &QueryCall, arn: &str) -> Result<Vec<Tag>> {
    let prefix = call.arn("");
    let Some((kind, rest)) = arn.strip_prefix(&prefix).and_then(|resource| resource.split_once('/')) else {
        return Ok(Vec::new());
    };
    let name = rest.rsplit('/').next().unwrap_or_default();
    let tags = match kind {
        "user" => iam::principal::find(tx, Kind::User, name)?.map(|user| user.tags),
        "role" => iam::principal::find(tx, Kind::Role, name)?.map(|role| role.tags),
        "policy" => iam::policy::find(tx, name)?.map(|policy| policy.tags),
        "oidc-provider" => iam::oidc_provider::find(tx, rest)?.map(|provider| provider.tags),
        _ => None,
    };
    Ok(tags.unwrap_or_default())
}
