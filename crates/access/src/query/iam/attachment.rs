//! Which managed policies are attached to whom.

use carillon_store::Tx;
use carillon_store::iam::policy::Entity;
use carillon_store::iam::{self, Kind, Policy};

use super::policy::{arn_of, find};
use super::{Action, find_principal, policy_arn, read, role_arn, user_arn, write};
use crate::query::call::QueryCall;
use crate::query::fault::{Fault, Result};
use crate::query::form::Form;
use crate::query::page::Page;
use crate::query::xml::Element;

/// Managed policies attached to one user or role, as AWS has it.
const ATTACHED_MAX: usize = 10;

pub(super) const ACTIONS: &[Action] = &[
    write("AttachUserPolicy", user_arn, |tx, call, form| attach(tx, Kind::User, call, form)),
    write("DetachUserPolicy", user_arn, |tx, call, form| detach(tx, Kind::User, call, form)),
    read("ListAttachedUserPolicies", user_arn, |tx, call, form| list(tx, Kind::User, call, form)),
    write("AttachRolePolicy", role_arn, |tx, call, form| attach(tx, Kind::Role, call, form)),
    write("DetachRolePolicy", role_arn, |tx, call, form| detach(tx, Kind::Role, call, form)),
    read("ListAttachedRolePolicies", role_arn, |tx, call, form| list(tx, Kind::Role, call, form)),
    read("ListEntitiesForPolicy", policy_arn, list_entities),
];

fn attach(tx: &mut Tx, kind: Kind, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let principal = find_principal(tx, kind, call, form)?;
    let policy = find(tx, call, form)?;
    let attached = iam::policy::list_attached(tx, &principal.id)?;
    if attached.iter().any(|other| other.id == policy.id) {
        return Ok(Vec::new());
    }
    if ATTACHED_MAX <= attached.len() {
        return Err(Fault::limit("policies attached to one user or role", 10));
    }
    iam::policy::attach(tx, &principal.id, &policy.id)?;
    Ok(Vec::new())
}

fn detach(tx: &mut Tx, kind: Kind, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let principal = find_principal(tx, kind, call, form)?;
    let policy = find(tx, call, form)?;
    if !iam::policy::detach(tx, &principal.id, &policy.id)? {
        return Err(Fault::missing("attached policy", &policy.name));
    }
    Ok(Vec::new())
}

fn list(tx: &mut Tx, kind: Kind, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let principal = find_principal(tx, kind, call, form)?;
    let mut attached = iam::policy::list_attached(tx, &principal.id)?;
    let page = Page::of(form)?;
    attached.retain(|policy| policy.path.starts_with(page.rows().path));
    let member = |policy: &Policy| {
        Element::of(
            "member",
            [Element::text("PolicyName", &policy.name), Element::text("PolicyArn", arn_of(call, policy))],
        )
    };
    Ok(page.cut("AttachedPolicies", attached, |policy| iam::fold(&policy.name), member))
}

fn list_entities(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let policy = find(tx, call, form)?;
    let page = Page::of(form)?;
    let entities = iam::policy::list_entities(tx, &policy.id, page.rows())?;
    let wanted = |kind: Kind| match form.find("EntityFilter") {
        None => true,
        Some("User") => kind == Kind::User,
        Some("Role") => kind == Kind::Role,
        Some(_) => false,
    };
    let of = |kind: Kind, name: [&'static str; 2]| {
        let entities = entities.iter().filter(move |entity| entity.kind == kind && wanted(kind));
        entities.map(move |Entity { id, name: named, .. }| {
            Element::of("member", [Element::text(name[0], named), Element::text(name[1], id)])
        })
    };
    Ok(vec![
        Element::of("PolicyGroups", []),
        Element::of("PolicyUsers", of(Kind::User, ["UserName", "UserId"])),
        Element::of("PolicyRoles", of(Kind::Role, ["RoleName", "RoleId"])),
        Element::text("IsTruncated", false),
    ])
}
