//! IAM: users, access keys, roles, policies and identity providers, as far as a chat's account needs them.
//!
//! What is not here (groups, boundaries, instance profiles, …) is either refused, so that nobody relies on it, or,
//! where tools list it in passing, answered with an empty list.

mod access_key;
mod attachment;
mod inline_policy;
mod oidc_provider;
mod policy;
mod role;
mod tag;
mod tags;
mod user;

use carillon_auth::policy::Malformed;
use carillon_store::iam::{self as stored, Kind, Principal};
use carillon_store::{Lane, Tx};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::call::{Counted, QueryCall};
use super::fault::{Fault, Result};
use super::form::{Form, TextRule};
use super::xml::Element;
use crate::gate::{Ask, Asked, Check, Gate};
use crate::keys::is_known;
use crate::snapshot::arn;

/// Names of users and roles.
const NAME: TextRule = TextRule::name(64);
/// Names of policies.
const POLICY_NAME: TextRule = TextRule::name(128);
/// What things are for.
const DESCRIPTION: TextRule = TextRule::free(1_000);

pub(super) use oidc_provider::{arn_of as provider_arn, issuer};
pub(super) use policy::documents;
pub(super) use tag::{TAGS_MAX, given};
use tags::tags_of;

/// An action: a line of a table.
struct Action {
    name: &'static str,
    /// The ARN that policies are asked about.
    arn: Arn,
    run: Run,
}

type Arn = fn(&mut Tx, &QueryCall, &Form) -> Result<String>;

type Function = fn(&mut Tx, &QueryCall, &Form) -> Result<Vec<Element>>;

enum Run {
    Read(Function),
    Write(Function),
    /// There are none of these.
    Empty(&'static str),
}

const fn read(name: &'static str, arn: Arn, run: Function) -> Action {
    Action { name, arn, run: Run::Read(run) }
}

const fn write(name: &'static str, arn: Arn, run: Function) -> Action {
    Action { name, arn, run: Run::Write(run) }
}

/// What tools list before they delete something, and there is none of.
const EMPTY: &[Action] = &[
    empty("ListGroupsForUser", user_arn, "Groups"),
    empty("ListInstanceProfilesForRole", role_arn, "InstanceProfiles"),
    empty("ListMFADevices", user_arn, "MFADevices"),
    empty("ListServiceSpecificCredentials", user_arn, "ServiceSpecificCredentials"),
    empty("ListSigningCertificates", user_arn, "Certificates"),
    empty("ListSSHPublicKeys", user_arn, "SSHPublicKeys"),
];

const fn empty(name: &'static str, arn: Arn, list: &'static str) -> Action {
    Action { name, arn, run: Run::Empty(list) }
}

const TABLES: &[&[Action]] = &[
    access_key::ACTIONS,
    attachment::ACTIONS,
    inline_policy::ACTIONS,
    oidc_provider::ACTIONS,
    policy::ACTIONS,
    role::ACTIONS,
    tags::ACTIONS,
    user::ACTIONS,
    EMPTY,
];

/// The names of the actions, and whether they change something: for tests of what stands around them.
#[doc(hidden)]
pub fn actions() -> impl Iterator<Item = (&'static str, bool)> {
    let actions = TABLES.iter().copied().flatten();
    actions.map(|action| (action.name, matches!(action.run, Run::Write(_))))
}

/// Does what a request asks for. After a change this node knows of it before the client does.
pub(super) async fn act(call: QueryCall, form: Form) -> Result<Vec<Element>> {
    let name = form.get("Action")?;
    let action = TABLES.iter().copied().flatten().find(|action| action.name == name);
    let action = action
        .ok_or_else(|| Fault::new(400, "InvalidAction", format!("There is no action {name} of IAM here")))?;
    let access = call.access.clone();
    match action.run {
        Run::Empty(_) | Run::Read(_) => {
            access.store.read(move |tx| permitted(tx, action, &call, &form)).await
        }
        Run::Write(_) => {
            let changed = access.store.write(Lane::Account, move |tx| {
                stored::claim(tx, &call.version)?;
                permitted(tx, action, &call, &form)
            });
            let answer = changed.await?;
            if let Err(error) = access.refresh().await {
                // The change stands, and the next look at the version will find it.
                tracing::error!(%error, "who may sign could not be read anew");
            }
            Ok(answer)
        }
    }
}

fn permitted(tx: &mut Tx, action: &Action, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let arn = (action.arn)(tx, call, form)?;
    call.overseer.asks_about(&arn);
    permit(tx, call, form, format!("iam:{}", action.name), &arn)?;
    call.count(Counted::Iam(action.name))?;
    match action.run {
        Run::Empty(list) => Ok(vec![Element::text("IsTruncated", false), Element::of(list, [])]),
        Run::Read(run) | Run::Write(run) => run(tx, call, form),
    }
}

/// Lets the caller do an action on an ARN, or says why not.
fn permit(tx: &mut Tx, call: &QueryCall, form: &Form, action: String, arn: &str) -> Result<()> {
    let ask = Ask::new(action, arn);
    let tags = form.pairs("Tags", ["Key", "Value"]);
    let tags = tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let untagged = form.list("TagKeys").into_iter().map(str::to_owned).collect();
    let said = [("iam:PolicyARN", "PolicyArn"), ("iam:PermissionsBoundary", "PermissionsBoundary")];
    let said = said.into_iter().filter_map(|(key, name)| Some((key, form.find(name)?.to_owned())));
    let said = said.collect();
    let asked = Asked { checks: vec![Check(vec![ask])], tags, untagged, said, ..Asked::default() };
    let (caller, surrounding) = (call.caller()?.clone(), call.surrounding.clone());
    let gate = Gate { caller, asked, surrounding, now: call.when.now, witness: None };
    let tags = if gate.reads_resource_tags() { tags_of(tx, call, arn)? } else { Vec::new() };
    gate.pass(&call.access.home, |_| Ok(tags.clone()))
}

/// The ARN of all of a kind: for lists, and for what has no name yet.
fn all(call: &QueryCall, kind: &str) -> String {
    call.arn(&format!("{kind}/*"))
}

/// The ARN of the user that a request names. Its path is the stored one, whatever the request says; one that does not
/// exist is taken to have none.
fn user_arn(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<String> {
    stored_arn(tx, call, Kind::User, call.user_name(form)?)
}

/// The ARN of the role that a request names, likewise.
fn role_arn(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<String> {
    stored_arn(tx, call, Kind::Role, form.get("RoleName")?)
}

fn stored_arn(tx: &mut Tx, call: &QueryCall, kind: Kind, name: &str) -> Result<String> {
    let found = stored::principal::find(tx, kind, name)?;
    let absent = || call.arn(&format!("{}/{name}", kind.as_str()));
    Ok(found.map_or_else(absent, |principal| arn(call.access.home.account(), &principal)))
}

/// The ARN of the policy that a request names.
fn policy_arn(_: &mut Tx, _: &QueryCall, form: &Form) -> Result<String> {
    Ok(form.get("PolicyArn")?.to_owned())
}

fn find_user(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Principal> {
    let name = call.user_name(form)?;
    stored::principal::find(tx, Kind::User, name)?.ok_or_else(|| Fault::missing("user", name))
}

fn find_role(tx: &mut Tx, form: &Form) -> Result<Principal> {
    let name = form.get("RoleName")?;
    stored::principal::find(tx, Kind::Role, name)?.ok_or_else(|| Fault::missing("role", name))
}

/// The user or role that a request names.
fn find_principal(tx: &mut Tx, kind: Kind, call: &QueryCall, form: &Form) -> Result<Principal> {
    match kind {
        Kind::User => find_user(tx, call, form),
        Kind::Role => find_role(tx, form),
    }
}

/// A path: `/`, or texts between `/`.
fn path(form: &Form, name: &str) -> Result<String> {
    let path = form.find_text(name, TextRule::PATH)?.unwrap_or("/");
    if path.starts_with('/') && path.ends_with('/') {
        Ok(path.to_owned())
    } else {
        Err(Fault::invalid(format!("{name}: must begin and end with /")))
    }
}

/// Refuses what would be taken for a limit and would not be one.
fn refuse_boundary(form: &Form) -> Result<()> {
    match form.find("PermissionsBoundary") {
        None => Ok(()),
        Some(_) => Err(Fault::input("PermissionsBoundary: is not supported here")),
    }
}

/// Refuses a policy that reads a condition key which no request brings: what depends on it would never be so.
pub(super) fn known_keys<'a>(mut keys: impl Iterator<Item = &'a str>) -> Result<()> {
    match keys.find(|key| !is_known(key)) {
        None => Ok(()),
        Some(key) => Err(Fault::malformed_policy(format!(
            "The policy reads the condition key {key}, which no request to this server brings"
        ))),
    }
}

fn malformed(reason: &Malformed) -> Fault {
    Fault::malformed_policy(reason.to_string())
}

/// A document as answers carry it: encoded as in a query.
fn document(name: &'static str, text: &str) -> Element {
    Element::text(name, utf8_percent_encode(text, NON_ALPHANUMERIC))
}
