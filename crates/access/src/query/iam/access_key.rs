//! Access keys of users. A secret is shown once, when it is made.

use carillon_auth::seal::NONCE_BYTES;
use carillon_store::Tx;
use carillon_store::iam::{self, AccessKey, Principal};

use super::{Action, find_user, read, user_arn, write};
use crate::query::call::{QueryCall, iso};
use crate::query::fault::{Fault, Result};
use crate::query::form::Form;
use crate::query::page::Page;
use crate::query::xml::Element;

/// Access keys of a user: two, so that one can be rotated, as AWS has it.
const ACCESS_KEYS_MAX: usize = 2;

pub(super) const ACTIONS: &[Action] = &[
    write("CreateAccessKey", user_arn, create),
    read("ListAccessKeys", user_arn, list),
    write("UpdateAccessKey", user_arn, update),
    write("DeleteAccessKey", user_arn, delete),
    read("GetAccessKeyLastUsed", |_, call, _| Ok(super::all(call, "user")), last_used),
];

fn create(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let user = find_user(tx, call, form)?;
    if ACCESS_KEYS_MAX <= iam::access_key::list(tx, &user.id)?.len() {
        return Err(Fault::limit("access keys of a user", 2));
    }
    let (id, secret) = (call.random.id("AKIA"), call.random.secret());
    let nonce: [u8; NONCE_BYTES] = call.random.bytes();
    let sealed_secret = call.access.secrets.seal(nonce, id.as_bytes(), secret.as_bytes());
    let key =
        AccessKey { id, principal: user.id.clone(), sealed_secret, active: true, created_at: call.when.now };
    iam::access_key::insert(tx, &key)?;
    let elements = shape(&user, &key).into_iter().chain([Element::text("SecretAccessKey", secret)]);
    Ok(vec![Element::of("AccessKey", elements)])
}

fn list(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let user = find_user(tx, call, form)?;
    let keys = iam::access_key::list(tx, &user.id)?;
    let member = |key: &AccessKey| Element::of("member", shape(&user, key));
    Ok(Page::of(form)?.cut("AccessKeyMetadata", keys, |key| key.id.clone(), member))
}

fn update(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let user = find_user(tx, call, form)?;
    let active = match form.get("Status")? {
        "Active" => true,
        "Inactive" => false,
        _ => return Err(Fault::invalid("Status: must be Active or Inactive")),
    };
    let id = form.get("AccessKeyId")?;
    if !iam::access_key::set_active(tx, &user.id, id, active)? {
        return Err(Fault::missing("access key", id));
    }
    Ok(Vec::new())
}

fn delete(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let user = find_user(tx, call, form)?;
    let id = form.get("AccessKeyId")?;
    if !iam::access_key::delete(tx, &user.id, id)? {
        return Err(Fault::missing("access key", id));
    }
    Ok(Vec::new())
}

/// Nobody keeps when a key was used, so it was never used, in the words of the interface.
fn last_used(tx: &mut Tx, _: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let id = form.get("AccessKeyId")?;
    let name = iam::access_key::find_user_name(tx, id)?;
    let name = name.ok_or_else(|| Fault::missing("access key", id))?;
    let never = [Element::text("ServiceName", "N/A"), Element::text("Region", "N/A")];
    Ok(vec![Element::text("UserName", name), Element::of("AccessKeyLastUsed", never)])
}

fn shape(user: &Principal, key: &AccessKey) -> Vec<Element> {
    vec![
        Element::text("UserName", &user.name),
        Element::text("AccessKeyId", &key.id),
        Element::text("Status", if key.active { "Active" } else { "Inactive" }),
        Element::text("CreateDate", iso(key.created_at)),
    ]
}
