//! Managed policies and their versions.

use carillon_auth::policy::{MANAGED_CHARACTERS_MAX, Policy as Compiled, characters};
use carillon_store::Tx;
use carillon_store::iam::{self, Policy, Version};

use super::{
    Action, DESCRIPTION, POLICY_NAME, document, known_keys, malformed, path, policy_arn, read, write,
};
use crate::query::call::{QueryCall, iso};
use crate::query::fault::{Fault, Result};
use crate::query::form::Form;
use crate::query::page::Page;
use crate::query::xml::Element;

/// Managed policies of the account, as AWS has it.
const POLICIES_MAX: i64 = 1_500;
/// Versions of a managed policy, as AWS has it.
const VERSIONS_MAX: usize = 5;

pub(super) const ACTIONS: &[Action] = &[
    write("CreatePolicy", new_arn, create),
    read("GetPolicy", policy_arn, get),
    read("ListPolicies", |_, call, _| Ok(super::all(call, "policy")), list),
    write("DeletePolicy", policy_arn, delete),
    write("CreatePolicyVersion", policy_arn, create_version),
    read("GetPolicyVersion", policy_arn, get_version),
    read("ListPolicyVersions", policy_arn, list_versions),
    write("SetDefaultPolicyVersion", policy_arn, set_default),
    write("DeletePolicyVersion", policy_arn, delete_version),
];

fn new_arn(_: &mut Tx, call: &QueryCall, form: &Form) -> Result<String> {
    let path = path(form, "Path")?;
    Ok(call.arn(&format!("policy{path}{}", form.get("PolicyName")?)))
}

/// The policy that a request names by its ARN.
pub(super) fn find(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Policy> {
    by_arn(tx, call.access.home.account(), form.get("PolicyArn")?)
}

fn by_arn(tx: &mut Tx, account: &str, arn: &str) -> Result<Policy> {
    let missing = || Fault::missing("policy", arn);
    let name = arn.rsplit('/').next().unwrap_or_default();
    let policy = iam::policy::find(tx, name)?.ok_or_else(missing)?;
    if arn_in(account, &policy) == arn { Ok(policy) } else { Err(missing()) }
}

/// The documents in force of policies named by ARN.
pub(in crate::query) fn documents(tx: &mut Tx, account: &str, arns: &[String]) -> Result<Vec<String>> {
    let mut documents = Vec::new();
    for arn in arns {
        let policy = by_arn(tx, account, arn)?;
        documents.push(version(tx, &policy, policy.default_version)?.document);
    }
    Ok(documents)
}

pub(super) fn arn_of(call: &QueryCall, policy: &Policy) -> String {
    arn_in(call.access.home.account(), policy)
}

fn arn_in(account: &str, policy: &Policy) -> String {
    format!("arn:aws:iam::{account}:policy{}{}", policy.path, policy.name)
}

fn create(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let name = form.text("PolicyName", POLICY_NAME)?;
    let policy = Policy {
        id: call.random.id("ANPA"),
        name: name.to_owned(),
        path: path(form, "Path")?,
        description: form.find_text("Description", DESCRIPTION)?.map(str::to_owned),
        tags: super::tag::given(form)?,
        default_version: 1,
        last_version: 1,
        created_at: call.when.now,
        updated_at: call.when.now,
        attachment_count: 0,
    };
    let document = checked(form)?;
    if POLICIES_MAX <= iam::policy::count(tx)? {
        return Err(Fault::limit("policies of the account", POLICIES_MAX));
    }
    if !iam::policy::insert(tx, &policy)? {
        return Err(Fault::exists("policy", name));
    }
    iam::policy::insert_version(tx, &policy.id, &Version { number: 1, document, created_at: call.when.now })?;
    Ok(vec![Element::of("Policy", shape(call, &policy))])
}

fn checked(form: &Form) -> Result<String> {
    let text = form.get("PolicyDocument")?;
    let policy = Compiled::parse(text).map_err(|reason| malformed(&reason))?;
    known_keys(policy.keys())?;
    if MANAGED_CHARACTERS_MAX < characters(text) {
        let most = i64::try_from(MANAGED_CHARACTERS_MAX).unwrap_or_default();
        return Err(Fault::limit("characters of a policy", most));
    }
    Ok(text.to_owned())
}

fn get(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let policy = find(tx, call, form)?;
    Ok(vec![Element::of("Policy", shape(call, &policy))])
}

fn list(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let page = Page::of(form)?;
    let mut policies = match form.find("Scope") {
        Some("AWS") => Vec::new(),
        None | Some("All" | "Local") => iam::policy::list(tx, page.rows())?,
        Some(_) => return Err(Fault::invalid("Scope: must be All, AWS or Local")),
    };
    if form.find("OnlyAttached") == Some("true") {
        policies.retain(|policy| 0 < policy.attachment_count);
    }
    let member = |policy: &Policy| Element::of("member", shape(call, policy));
    Ok(page.cut("Policies", policies, |policy| iam::fold(&policy.name), member))
}

fn delete(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let policy = find(tx, call, form)?;
    if 0 < policy.attachment_count {
        return Err(Fault::in_use("The policy is attached, and must be detached first"));
    }
    if 1 < iam::policy::list_versions(tx, &policy.id)?.len() {
        return Err(Fault::in_use(
            "The policy has other versions than its default, which must be deleted first",
        ));
    }
    iam::policy::delete(tx, &policy.id)?;
    Ok(Vec::new())
}

fn create_version(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let mut policy = find(tx, call, form)?;
    let document = checked(form)?;
    if VERSIONS_MAX <= iam::policy::list_versions(tx, &policy.id)?.len() {
        return Err(Fault::limit("versions of a policy", 5));
    }
    policy.last_version += 1;
    let version = Version { number: policy.last_version, document, created_at: call.when.now };
    if form.find("SetAsDefault") == Some("true") {
        policy.default_version = version.number;
        policy.updated_at = call.when.now;
    }
    iam::policy::update(tx, &policy)?;
    iam::policy::insert_version(tx, &policy.id, &version)?;
    Ok(vec![Element::of("PolicyVersion", version_shape(&policy, &version))])
}

fn get_version(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let policy = find(tx, call, form)?;
    let version = version(tx, &policy, number(form)?)?;
    let elements =
        version_shape(&policy, &version).into_iter().chain([document("Document", &version.document)]);
    Ok(vec![Element::of("PolicyVersion", elements)])
}

fn list_versions(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let policy = find(tx, call, form)?;
    let versions = iam::policy::list_versions(tx, &policy.id)?;
    let member = |version: &Version| Element::of("member", version_shape(&policy, version));
    Ok(Page::of(form)?.cut("Versions", versions, |version| version.number.to_string(), member))
}

fn set_default(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let mut policy = find(tx, call, form)?;
    policy.default_version = version(tx, &policy, number(form)?)?.number;
    policy.updated_at = call.when.now;
    iam::policy::update(tx, &policy)?;
    Ok(Vec::new())
}

fn delete_version(tx: &mut Tx, call: &QueryCall, form: &Form) -> Result<Vec<Element>> {
    let policy = find(tx, call, form)?;
    let version = version(tx, &policy, number(form)?)?;
    if version.number == policy.default_version {
        return Err(Fault::in_use("The default version of a policy cannot be deleted"));
    }
    iam::policy::delete_version(tx, &policy.id, version.number)?;
    Ok(Vec::new())
}

fn number(form: &Form) -> Result<i64> {
    let text = form.get("VersionId")?;
    let number = text.strip_prefix('v').and_then(|number| number.parse().ok());
    number.ok_or_else(|| Fault::invalid("VersionId: must be v and a number"))
}

fn version(tx: &mut Tx, policy: &Policy, number: i64) -> Result<Version> {
    let versions = iam::policy::list_versions(tx, &policy.id)?;
    let version = versions.into_iter().find(|version| version.number == number);
    version.ok_or_else(|| Fault::missing("policy version", &format!("v{number}")))
}

fn shape(call: &QueryCall, policy: &Policy) -> Vec<Element> {
    let mut elements = vec![
        Element::text("PolicyName", &policy.name),
        Element::text("PolicyId", &policy.id),
        Element::text("Arn", arn_of(call, policy)),
        Element::text("Path", &policy.path),
        Element::text("DefaultVersionId", format!("v{}", policy.default_version)),
        Element::text("AttachmentCount", policy.attachment_count),
        Element::text("PermissionsBoundaryUsageCount", 0),
        Element::text("IsAttachable", true),
        Element::text("CreateDate", iso(policy.created_at)),
        Element::text("UpdateDate", iso(policy.updated_at)),
    ];
    elements.extend(policy.description.iter().map(|text| Element::text("Description", text)));
    elements.push(super::tag::shape(&policy.tags));
    elements
}

fn version_shape(policy: &Policy, version: &Version) -> Vec<Element> {
    vec![
        Element::text("VersionId", format!("v{}", version.number)),
        Element::text("IsDefaultVersion", version.number == policy.default_version),
        Element::text("CreateDate", iso(version.created_at)),
    ]
}
