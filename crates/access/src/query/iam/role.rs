//! Roles.

use carillon_auth::policy::{TRUST_CHARACTERS_MAX, TrustPolicy, characters};
use carillon_store::Tx;
use carillon_store::iam::{self, Kind, Principal, Trusting};

use super::user::refuse_with_policies;
use super::{
    Action, DESCRIPTION, NAME, all, document, find_role, known_keys, malformed, path, read, refuse_boundary,
    role_arn, write,
};
use crate::query::call::{QueryCall, iso};
use crate::query::fault::{Fault, Result};
use crate::query::form::Form;
use crate::query::page::Page;
use crate::query::xml::Element;
use crate::snapshot::arn;

/// Roles of the account, as AWS has it.
const ROLES_MAX: i64 = 1_000;
/// How long a session of a role may be allowed to be: an hour to half a day, as AWS has it.
const SESSION_SECONDS: (i64, i64) = (3_600, 43_200);

pub(super) const ACTIONS: &[Action] = &[
    write("CreateRole", new_arn, create),
    read("GetRole", role_arn, get),
    read("ListRoles", |_, call, _| Ok(all(call, "role")), list),
    write("UpdateRole", role_arn, update),
    write("UpdateAssumeRolePolicy", role_arn, update_trust),
    write("DeleteRole", role_arn, delete),
];

fn new_arn(_: &mut Tx, call: &QueryCall, form: &Form) -> Result<String> {
    Ok(call.arn(&format!("role{}{}", path(form, "Path")?, form.get("RoleName")?)))
}

fn create(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    refuse_boundary(form)?;
    let name = form.text("RoleName", NAME)?;
    let role = Principal {
        id: call.random.id("AROA"),
        kind: Kind::Role,
        name: name.to_owned(),
        path: path(form, "Path")?,
        tags: super::tag::given(form)?,
        created_at: call.when.now,
        trusting: Some(Trusting {
            description: form.find_text("Description", DESCRIPTION)?.map(str::to_owned),
            policy: trust(form, "AssumeRolePolicyDocument")?,
            session_seconds_max: seconds(form)?.unwrap_or(SESSION_SECONDS.0),
            revoked_before: None,
        }),
    };
    if ROLES_MAX <= iam::principal::count(tx, Kind::Role)? {
        return Err(Fault::limit("roles of the account", ROLES_MAX));
    }
    if !iam::principal::insert(tx, &role)? {
        return Err(Fault::exists("role", name));
    }
    Ok(vec![Element::of("Role", shape(call, &role))])
}

fn get(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let role = find_role(tx, form)?;
    Ok(vec![Element::of("Role", shape(call, &role))])
}

fn list(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let page = Page::of(form)?;
    let roles = iam::principal::list(tx, Kind::Role, page.rows())?;
    let member = |role: &Principal| Element::of("member", shape(call, role));
    Ok(page.cut("Roles", roles, |role| iam::fold(&role.name), member))
}

fn update(tx: &mut Tx, _: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let description = form.find_text("Description", DESCRIPTION)?.map(str::to_owned);
    let seconds = seconds(form)?;
    change(tx, form, |trusting| {
        trusting.description = description.or(trusting.description.take());
        trusting.session_seconds_max = seconds.unwrap_or(trusting.session_seconds_max);
    })?;
    Ok(vec![Element::text("Updated", true)])
}

fn update_trust(tx: &mut Tx, _: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let policy = trust(form, "PolicyDocument")?;
    change(tx, form, |trusting| trusting.policy = policy)?;
    Ok(Vec::new())
}

fn change(tx: &mut Tx, form: &Form, change: impl FnOnce(&mut Trusting)) -> Result<()> {
    let mut role = find_role(tx, form)?;
    role.trusting.as_mut().map(change).ok_or_else(|| Fault::missing("role", &role.name))?;
    iam::principal::update(tx, &role)?;
    Ok(())
}

fn delete(tx: &mut Tx, _: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let role = find_role(tx, form)?;
    refuse_with_policies(tx, &role)?;
    iam::principal::delete(tx, &role.id)?;
    Ok(Vec::new())
}

fn seconds(form: &Form) -> Result<Option<i64>> {
    form.find_number("MaxSessionDuration", SESSION_SECONDS.0, SESSION_SECONDS.1)
}

fn trust(form: &Form, name: &str) -> Result<String> {
    let text = form.get(name)?;
    let policy = TrustPolicy::parse(text).map_err(|reason| malformed(&reason))?;
    known_keys(policy.keys())?;
    if TRUST_CHARACTERS_MAX < characters(text) {
        let most = i64::try_from(TRUST_CHARACTERS_MAX).unwrap_or_default();
        return Err(Fault::limit("characters of a trust policy", most));
    }
    Ok(text.to_owned())
}

fn shape(call: &QueryCall, role: &Principal) -> Vec<Element> {
    let mut elements = vec![
        Element::text("Path", &role.path),
        Element::text("RoleName", &role.name),
        Element::text("RoleId", &role.id),
        Element::text("Arn", arn(call.access.home.account(), role)),
        Element::text("CreateDate", iso(role.created_at)),
    ];
    if let Some(trusting) = &role.trusting {
        elements.push(document("AssumeRolePolicyDocument", &trusting.policy));
        elements.push(Element::text("MaxSessionDuration", trusting.session_seconds_max));
        elements.extend(trusting.description.iter().map(|text| Element::text("Description", text)));
    }
    elements.push(super::tag::shape(&role.tags));
    elements
}
