//! `carillon iam apply`: from what is stored to what a file says, in steps that are printed before they are made.
//!
//! The file says all of the policies that it names, and of the users and roles that it names which policies they
//! have. What it does not name is left alone, so several files can share an account; nothing is deleted but what
//! a named user or role has too much. Access keys are no matter of a file: their secrets would have to be in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use carillon_service::{Declined, Service};
use serde::Deserialize;
use serde_json::Value;

use super::{ask, declined, document, policy_arn};
use carillon_server::error::{Error, Result};

/// Versions that a managed policy may have, as AWS has it; the oldest makes room.
const VERSIONS_MAX: usize = 5;

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    policies: BTreeMap<String, WrittenPolicy>,
    users: BTreeMap<String, WrittenPrincipal>,
    roles: BTreeMap<String, WrittenPrincipal>,
}

/// `[policies.NAME]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPolicy {
    /// A file beside this one, or the document itself.
    document: String,
}

/// `[users.NAME]` and `[roles.NAME]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenPrincipal {
    /// The managed policies, by name or ARN: exactly these.
    policies: BTreeSet<String>,
    /// The inline policies, by name: exactly these.
    inline: BTreeMap<String, String>,
    /// A role's trust policy.
    trust: Option<String>,
    /// The longest session of a role.
    max_session_duration: Option<u32>,
}

/// One change.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    /// `+`, `~` or `-`, and what.
    shown: String,
    action: &'static str,
    parameters: Vec<(&'static str, String)>,
}

/// Users or roles: how their actions are called.
#[derive(Debug, Clone, Copy)]
struct Kind {
    noun: &'static str,
    name: &'static str,
    get: &'static str,
    create: &'static str,
    list_attached: &'static str,
    attach: &'static str,
    detach: &'static str,
    list_inline: &'static str,
    get_inline: &'static str,
    put_inline: &'static str,
    delete_inline: &'static str,
}

const USER: Kind = Kind {
    noun: "user",
    name: "UserName",
    get: "GetUser",
    create: "CreateUser",
    list_attached: "ListAttachedUserPolicies",
    attach: "AttachUserPolicy",
    detach: "DetachUserPolicy",
    list_inline: "ListUserPolicies",
    get_inline: "GetUserPolicy",
    put_inline: "PutUserPolicy",
    delete_inline: "DeleteUserPolicy",
};

const ROLE: Kind = Kind {
    noun: "role",
    name: "RoleName",
    get: "GetRole",
    create: "CreateRole",
    list_attached: "ListAttachedRolePolicies",
    attach: "AttachRolePolicy",
    detach: "DetachRolePolicy",
    list_inline: "ListRolePolicies",
    get_inline: "GetRolePolicy",
    put_inline: "PutRolePolicy",
    delete_inline: "DeleteRolePolicy",
};

/// Finds the difference and, unless this is a rehearsal, makes it. Answers what to print.
pub(super) async fn run(service: &Arc<Service>, file: &Path, dry_run: bool) -> Result<String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::failure(format!("the file {} cannot be read: {error}", file.display())))?;
    let written: Written = toml::from_str(&text)
        .map_err(|error| Error::usage(format!("{}: {}", file.display(), error.message())))?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut plan = Plan { service, folder, steps: Vec::new() };
    for (name, policy) in &written.policies {
        plan.policy(name, policy).await?;
    }
    for (kind, principals) in [(USER, &written.users), (ROLE, &written.roles)] {
        for (name, principal) in principals {
            plan.principal(kind, name, principal).await?;
        }
    }
    let steps = plan.steps;
    let mut printed: String = steps.iter().flat_map(|step| [&*step.shown, "\n"]).collect();
    if steps.is_empty() {
        return Ok("Nothing to change.\n".to_owned());
    }
    if dry_run {
        printed.push_str("Nothing was changed: this was a dry run.\n");
        return Ok(printed);
    }
    for step in steps {
        let done = ask(service, step.action, step.parameters).await;
        done.map_err(|error| Error::failure(format!("{}: {}: {}", step.shown, error.code, error.message)))?;
    }
    Ok(printed)
}

struct Plan<'a> {
    service: &'a Arc<Service>,
    folder: &'a Path,
    steps: Vec<Step>,
}

impl Plan<'_> {
    fn step(&mut self, shown: String, action: &'static str, parameters: &[(&'static str, &str)]) {
        let parameters = parameters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.steps.push(Step { shown, action, parameters });
    }

    /// What is stored, or nothing.
    async fn find(&self, action: &str, parameters: &[(&'static str, &str)]) -> Result<Option<Value>> {
        let parameters = parameters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        match ask(self.service, action, parameters).await {
            Ok(answer) => Ok(Some(answer)),
            Err(Declined { code: "NoSuchEntity", .. }) => Ok(None),
            Err(error) => Err(declined(&error)),
        }
    }

    async fn policy(&mut self, name: &str, written: &WrittenPolicy) -> Result<()> {
        let wanted = document(&written.document, self.folder)?;
        let arn = policy_arn(name, self.service.home().account());
        let Some(found) = self.find("GetPolicy", &[("PolicyArn", &arn)]).await? else {
            let parameters = [("PolicyName", name), ("PolicyDocument", &*wanted)];
            self.step(format!("+ policy {name}"), "CreatePolicy", &parameters);
            return Ok(());
        };
        let version = text(&found["Policy"]["DefaultVersionId"]);
        let parameters = [("PolicyArn", &*arn), ("VersionId", &*version)];
        let stored = self.find("GetPolicyVersion", &parameters).await?.unwrap_or_default();
        if same(&text(&stored["PolicyVersion"]["Document"]), &wanted) {
            return Ok(());
        }
        let versions = self.find("ListPolicyVersions", &[("PolicyArn", &arn)]).await?.unwrap_or_default();
        let mut others = ids(&versions["Versions"], "VersionId");
        if VERSIONS_MAX <= others.len() {
            others.retain(|id| *id != version);
            let number = |id: &String| id.trim_start_matches('v').parse::<u64>().unwrap_or_default();
            if let Some(oldest) = others.iter().min_by_key(|id| number(id)) {
                let parameters = [("PolicyArn", &*arn), ("VersionId", oldest)];
                self.step(format!("- policy {name}, version {oldest}"), "DeletePolicyVersion", &parameters);
            }
        }
        let parameters = [("PolicyArn", &*arn), ("PolicyDocument", &*wanted), ("SetAsDefault", "true")];
        self.step(format!("~ policy {name}"), "CreatePolicyVersion", &parameters);
        Ok(())
    }

    async fn principal(&mut self, kind: Kind, name: &str, written: &WrittenPrincipal) -> Result<()> {
        let found = self.find(kind.get, &[(kind.name, name)]).await?;
        let trust = written.trust.as_deref().map(|trust| document(trust, self.folder)).transpose()?;
        if kind.noun == "user" && (trust.is_some() || written.max_session_duration.is_some()) {
            return Err(Error::usage(format!("users.{name}: trust and max_session_duration are of roles")));
        }
        match &found {
            None => self.create(kind, name, written, trust.as_deref())?,
            Some(found) => self.change_role(name, written, trust.as_deref(), &found["Role"]),
        }
        self.attached(kind, name, written, found.is_some()).await?;
        self.inline(kind, name, written, found.is_some()).await
    }

    fn create(
        &mut self,
        kind: Kind,
        name: &str,
        written: &WrittenPrincipal,
        trust: Option<&str>,
    ) -> Result<()> {
        let mut parameters = vec![(kind.name, name)];
        if kind.noun == "role" {
            let missing =
                || Error::usage(format!("roles.{name}: trust is missing, and there is no such role"));
            parameters.push(("AssumeRolePolicyDocument", trust.ok_or_else(missing)?));
        }
        let seconds = written.max_session_duration.map(|seconds| seconds.to_string());
        parameters.extend(seconds.iter().map(|seconds| ("MaxSessionDuration", &**seconds)));
        self.step(format!("+ {} {name}", kind.noun), kind.create, &parameters);
        Ok(())
    }

    fn change_role(&mut self, name: &str, written: &WrittenPrincipal, trust: Option<&str>, stored: &Value) {
        if let Some(trust) = trust.filter(|trust| !same(&text(&stored["AssumeRolePolicyDocument"]), trust)) {
            let parameters = [("RoleName", name), ("PolicyDocument", trust)];
            self.step(format!("~ role {name}, trust"), "UpdateAssumeRolePolicy", &parameters);
        }
        let seconds = written.max_session_duration.map(|seconds| seconds.to_string());
        let changed = |seconds: &&String| text(&stored["MaxSessionDuration"]) != **seconds;
        if let Some(seconds) = seconds.as_ref().filter(changed) {
            let parameters = [("RoleName", name), ("MaxSessionDuration", seconds)];
            self.step(format!("~ role {name}, max_session_duration"), "UpdateRole", &parameters);
        }
    }

    async fn attached(
        &mut self,
        kind: Kind,
        name: &str,
        written: &WrittenPrincipal,
        exists: bool,
    ) -> Result<()> {
        let account = self.service.home().account();
        let wanted: BTreeSet<String> =
            written.policies.iter().map(|text| policy_arn(text, account)).collect();
        let mut stored = BTreeSet::new();
        if exists {
            let answer = self.find(kind.list_attached, &[(kind.name, name)]).await?.unwrap_or_default();
            stored.extend(ids(&answer["AttachedPolicies"], "PolicyArn"));
        }
        for (sign, action, arns) in
            [("-", kind.detach, &stored - &wanted), ("+", kind.attach, &wanted - &stored)]
        {
            for arn in arns {
                let shown = format!("{sign} {} {name}, policy {arn}", kind.noun);
                self.step(shown, action, &[(kind.name, name), ("PolicyArn", &arn)]);
            }
        }
        Ok(())
    }

    async fn inline(
        &mut self,
        kind: Kind,
        name: &str,
        written: &WrittenPrincipal,
        exists: bool,
    ) -> Result<()> {
        let mut stored = BTreeSet::new();
        if exists {
            let answer = self.find(kind.list_inline, &[(kind.name, name)]).await?.unwrap_or_default();
            stored.extend(answer["PolicyNames"].as_array().into_iter().flatten().map(text));
        }
        for surplus in stored.iter().filter(|policy| !written.inline.contains_key(*policy)) {
            let shown = format!("- {} {name}, inline policy {surplus}", kind.noun);
            self.step(shown, kind.delete_inline, &[(kind.name, name), ("PolicyName", surplus)]);
        }
        for (policy, wanted) in &written.inline {
            let wanted = document(wanted, self.folder)?;
            let mut sign = "+";
            if stored.contains(policy) {
                let parameters = [(kind.name, name), ("PolicyName", policy)];
                let found = self.find(kind.get_inline, &parameters).await?.unwrap_or_default();
                if same(&text(&found["PolicyDocument"]), &wanted) {
                    continue;
                }
                sign = "~";
            }
            let shown = format!("{sign} {} {name}, inline policy {policy}", kind.noun);
            let parameters = [(kind.name, name), ("PolicyName", policy), ("PolicyDocument", &*wanted)];
            self.step(shown, kind.put_inline, &parameters);
        }
        Ok(())
    }
}

/// The text of a member, empty where there is none.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn ids(list: &Value, name: &str) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|item| text(&item[name])).collect()
}

/// Whether two documents say the same, however they are laid out.
fn same(one: &str, other: &str) -> bool {
    let parse = |text| serde_json::from_str::<Value>(text).ok();
    one == other || (parse(one).is_some() && parse(one) == parse(other))
}
