//! Users.

use carillon_store::Tx;
use carillon_store::iam::{self, Kind, Principal, Rows};

use super::{Action, NAME, all, find_user, path, permit, read, refuse_boundary, user_arn, write};
use crate::query::call::{QueryCall, iso};
use crate::query::fault::{Fault, Result};
use crate::query::form::Form;
use crate::query::page::Page;
use crate::query::xml::Element;
use crate::snapshot::arn;

/// Users of the account, as AWS has it.
const USERS_MAX: i64 = 5_000;

pub(super) const ACTIONS: &[Action] = &[
    write("CreateUser", new_arn, create),
    read("GetUser", own_or_named, get),
    read("ListUsers", |_, call, _| Ok(all(call, "user")), list),
    write("UpdateUser", user_arn, update),
    write("DeleteUser", user_arn, delete),
];

fn new_arn(_: &mut Tx, call: &QueryCall, form: &Form) -> Result<String> {
    Ok(call.arn(&format!("user{}{}", path(form, "Path")?, form.get("UserName")?)))
}

/// Root may ask who it is.
fn own_or_named(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<String> {
    if is_root_itself(call, form) { Ok(call.arn("root")) } else { user_arn(tx, call, form) }
}

fn is_root_itself(call: &QueryCall, form: &Form) -> bool {
    form.find("UserName").is_none() && call.caller.as_ref().is_some_and(|caller| caller.actor.is_none())
}

fn create(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    refuse_boundary(form)?;
    let name = form.text("UserName", NAME)?;
    let user = Principal {
        id: call.random.id("AIDA"),
        kind: Kind::User,
        name: name.to_owned(),
        path: path(form, "Path")?,
        tags: super::tag::given(form)?,
        created_at: call.when.now,
        trusting: None,
    };
    if USERS_MAX <= iam::principal::count(tx, Kind::User)? {
        return Err(Fault::limit("users of the account", USERS_MAX));
    }
    if !iam::principal::insert(tx, &user)? {
        return Err(Fault::exists("user", name));
    }
    Ok(vec![Element::of("User", shape(call, &user))])
}

fn get(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    if is_root_itself(call, form) {
        let account = call.access.home.account();
        let root = [Element::text("UserId", account), Element::text("Arn", call.arn("root"))];
        return Ok(vec![Element::of("User", root)]);
    }
    let user = find_user(tx, call, form)?;
    let tags = super::tag::shape(&user.tags);
    Ok(vec![Element::of("User", shape(call, &user).into_iter().chain([tags]))])
}

fn list(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let page = Page::of(form)?;
    let users = iam::principal::list(tx, Kind::User, page.rows())?;
    let member = |user: &Principal| Element::of("member", shape(call, user));
    Ok(page.cut("Users", users, |user| iam::fold(&user.name), member))
}

fn update(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let mut user = find_user(tx, call, form)?;
    if let Some(name) = form.find_text("NewUserName", NAME)? {
        name.clone_into(&mut user.name);
    }
    if form.find("NewPath").is_some() {
        user.path = path(form, "NewPath")?;
    }
    // Whoever moves a user must be allowed to have it where it goes, too.
    permit(tx, call, form, "iam:UpdateUser".to_owned(), &arn(call.access.home.account(), &user))?;
    if !iam::principal::update(tx, &user)? {
        return Err(Fault::exists("user", &user.name));
    }
    Ok(Vec::new())
}

fn delete(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let user = find_user(tx, call, form)?;
    if !iam::access_key::list(tx, &user.id)?.is_empty() {
        return Err(Fault::in_use("The user has access keys, which must be deleted first"));
    }
    refuse_with_policies(tx, &user)?;
    iam::principal::delete(tx, &user.id)?;
    Ok(Vec::new())
}

/// Refuses to delete a principal that has policies.
pub(super) fn refuse_with_policies(tx: &mut Tx, principal: &Principal) -> Result<()> {
    let one = Rows { path: "/", after: "", limit: 1 };
    if !iam::inline_policy::list(tx, &principal.id, one)?.is_empty() {
        return Err(Fault::in_use("It has inline policies, which must be deleted first"));
    }
    if !iam::policy::list_attached(tx, &principal.id)?.is_empty() {
        return Err(Fault::in_use("It has policies attached, which must be detached first"));
    }
    Ok(())
}

fn shape(call: &QueryCall, user: &Principal) -> Vec<Element> {
    vec![
        Element::text("Path", &user.path),
        Element::text("UserName", &user.name),
        Element::text("UserId", &user.id),
        Element::text("Arn", arn(call.access.home.account(), user)),
        Element::text("CreateDate", iso(user.created_at)),
    ]
}
