//! Policies that belong to one user or role.

use carillon_auth::policy::{Policy, ROLE_INLINE_CHARACTERS_MAX, USER_INLINE_CHARACTERS_MAX, characters};
use carillon_store::Tx;
use carillon_store::iam::{self, InlinePolicy, Kind, Rows};

use super::{
    Action, POLICY_NAME, document, find_principal, known_keys, malformed, read, role_arn, user_arn, write,
};
use crate::query::call::QueryCall;
use crate::query::fault::{Fault, Result};
use crate::query::form::Form;
use crate::query::page::Page;
use crate::query::xml::Element;

/// More than there can be: the size of all of them together has a quota.
const POLICIES_MAX: i64 = 1_000;

pub(super) const ACTIONS: &[Action] = &[
    write("PutUserPolicy", user_arn, |tx, call, form| put(tx, Kind::User, call, form)),
    read("GetUserPolicy", user_arn, |tx, call, form| get(tx, Kind::User, call, form)),
    read("ListUserPolicies", user_arn, |tx, call, form| list(tx, Kind::User, call, form)),
    write("DeleteUserPolicy", user_arn, |tx, call, form| delete(tx, Kind::User, call, form)),
    write("PutRolePolicy", role_arn, |tx, call, form| put(tx, Kind::Role, call, form)),
    read("GetRolePolicy", role_arn, |tx, call, form| get(tx, Kind::Role, call, form)),
    read("ListRolePolicies", role_arn, |tx, call, form| list(tx, Kind::Role, call, form)),
    write("DeleteRolePolicy", role_arn, |tx, call, form| delete(tx, Kind::Role, call, form)),
];

fn put(tx: &mut Tx, kind: Kind, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let name = form.text("PolicyName", POLICY_NAME)?;
    let text = form.get("PolicyDocument")?;
    let policy = Policy::parse(text).map_err(|reason| malformed(&reason))?;
    known_keys(policy.keys())?;
    let principal = find_principal(tx, kind, call, form)?;
    let every = Rows { path: "/", after: "", limit: POLICIES_MAX };
    let others = iam::inline_policy::list(tx, &principal.id, every)?;
    let others = others.iter().filter(|other| other.name != name).map(|other| characters(&other.document));
    let most = match kind {
        Kind::User => USER_INLINE_CHARACTERS_MAX,
        Kind::Role => ROLE_INLINE_CHARACTERS_MAX,
    };
    if most < others.sum::<usize>() + characters(text) {
        let most = i64::try_from(most).unwrap_or_default();
        return Err(Fault::limit("characters of all inline policies together", most));
    }
    let (name, document) = (name.to_owned(), text.to_owned());
    iam::inline_policy::set(tx, &InlinePolicy { principal: principal.id, name, document })?;
    Ok(Vec::new())
}

fn get(tx: &mut Tx, kind: Kind, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let principal = find_principal(tx, kind, call, form)?;
    let name = form.get("PolicyName")?;
    let text = iam::inline_policy::find(tx, &principal.id, name)?;
    let text = text.ok_or_else(|| Fault::missing("policy", name))?;
    let whose = if kind == Kind::User { "UserName" } else { "RoleName" };
    Ok(vec![
        Element::text(whose, &principal.name),
        Element::text("PolicyName", name),
        document("PolicyDocument", &text),
    ])
}

fn list(tx: &mut Tx, kind: Kind, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let principal = find_principal(tx, kind, call, form)?;
    let page = Page::of(form)?;
    let policies = iam::inline_policy::list(tx, &principal.id, page.rows())?;
    let member = |policy: &InlinePolicy| Element::text("member", &policy.name);
    Ok(page.cut("PolicyNames", policies, |policy| policy.name.clone(), member))
}

fn delete(tx: &mut Tx, kind: Kind, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let principal = find_principal(tx, kind, call, form)?;
    let name = form.get("PolicyName")?;
    if !iam::inline_policy::delete(tx, &principal.id, name)? {
        return Err(Fault::missing("policy", name));
    }
    Ok(Vec::new())
}
