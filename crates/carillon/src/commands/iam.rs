//! `carillon iam`: users, access keys, roles and policies, on the store itself, as root.
//!
//! Each command is a line in [`COMMANDS`]: an action of IAM and what its parameters are called on the command
//! line. It works beside a running server, which notices the change; to add one, add its line.

mod apply;
mod why;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use carillon_service::{Declined, Service};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Subcommand, value_parser};
use serde_json::{Map, Value};

use carillon_server::config::{Settings, Written};
use carillon_server::error::{Error, ExitStatus, Result};
use carillon_server::{log, wire};

/// The options of `carillon iam`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    asked: Asked,
    /// Where the store is: the options of `serve`.
    #[command(flatten)]
    written: Written,
}

/// What is asked for.
#[derive(Debug)]
enum Asked {
    /// An action, with its parameters.
    Action(&'static Line, Vec<(&'static str, String)>),
    /// Brings the store to what a file says.
    Apply { file: PathBuf, dry_run: bool },
    /// Whether somebody may do something.
    Why(why::Typed),
}

/// A command: its name, what it is for, the action, and its arguments in order.
#[derive(Debug)]
struct Line {
    name: &'static str,
    about: &'static str,
    action: &'static str,
    arguments: &'static [Argument],
}

/// What an argument is called here and there.
#[derive(Debug)]
enum Argument {
    /// A text.
    Text(&'static str, &'static str),
    /// A policy: its ARN, or the name of one of this account.
    Policy,
    /// A file with a document, or the document itself.
    Document(&'static str),
    /// An option.
    Option(&'static str, &'static str),
}

use Argument::{Document, Option as Opt, Policy, Text};

const USER: Argument = Text("user", "UserName");
const ROLE: Argument = Text("role", "RoleName");
const POLICY_NAME: Argument = Text("name", "PolicyName");
const KEY: Argument = Text("access-key-id", "AccessKeyId");

const fn line(
    name: &'static str,
    about: &'static str,
    action: &'static str,
    arguments: &'static [Argument],
) -> Line {
    Line { name, about, action, arguments }
}

const COMMANDS: &[Line] = &[
    line("create-user", "Make a user", "CreateUser", &[USER, Opt("path", "Path")]),
    line("list-users", "List the users", "ListUsers", &[]),
    line("get-user", "Show a user", "GetUser", &[USER]),
    line("delete-user", "Delete a user that has no keys and no policies", "DeleteUser", &[USER]),
    line("create-access-key", "Make an access key; its secret is shown once", "CreateAccessKey", &[USER]),
    line("list-access-keys", "List the access keys of a user", "ListAccessKeys", &[USER]),
    line(
        "update-access-key",
        "Make an access key Active or Inactive",
        "UpdateAccessKey",
        &[USER, KEY, Text("status", "Status")],
    ),
    line("delete-access-key", "Delete an access key", "DeleteAccessKey", &[USER, KEY]),
    line(
        "create-role",
        "Make a role that a trust policy opens",
        "CreateRole",
        &[ROLE, Document("AssumeRolePolicyDocument"), Opt("max-session-duration", "MaxSessionDuration")],
    ),
    line("list-roles", "List the roles", "ListRoles", &[]),
    line("get-role", "Show a role", "GetRole", &[ROLE]),
    line("delete-role", "Delete a role that has no policies", "DeleteRole", &[ROLE]),
    line(
        "update-assume-role-policy",
        "Give a role another trust policy",
        "UpdateAssumeRolePolicy",
        &[ROLE, Document("PolicyDocument")],
    ),
    line(
        "create-policy",
        "Make a managed policy",
        "CreatePolicy",
        &[POLICY_NAME, Document("PolicyDocument")],
    ),
    line("list-policies", "List the managed policies", "ListPolicies", &[]),
    line("get-policy", "Show a managed policy", "GetPolicy", &[Policy]),
    line("delete-policy", "Delete a managed policy that is not attached", "DeletePolicy", &[Policy]),
    line(
        "put-user-policy",
        "Give a user an inline policy",
        "PutUserPolicy",
        &[USER, POLICY_NAME, Document("PolicyDocument")],
    ),
    line("list-user-policies", "List the inline policies of a user", "ListUserPolicies", &[USER]),
    line("get-user-policy", "Show an inline policy of a user", "GetUserPolicy", &[USER, POLICY_NAME]),
    line("delete-user-policy", "Delete an inline policy of a user", "DeleteUserPolicy", &[USER, POLICY_NAME]),
    line(
        "put-role-policy",
        "Give a role an inline policy",
        "PutRolePolicy",
        &[ROLE, POLICY_NAME, Document("PolicyDocument")],
    ),
    line("list-role-policies", "List the inline policies of a role", "ListRolePolicies", &[ROLE]),
    line("get-role-policy", "Show an inline policy of a role", "GetRolePolicy", &[ROLE, POLICY_NAME]),
    line("delete-role-policy", "Delete an inline policy of a role", "DeleteRolePolicy", &[ROLE, POLICY_NAME]),
    line("attach-user-policy", "Attach a managed policy to a user", "AttachUserPolicy", &[USER, Policy]),
    line("detach-user-policy", "Detach a managed policy from a user", "DetachUserPolicy", &[USER, Policy]),
    line(
        "list-attached-user-policies",
        "List the managed policies of a user",
        "ListAttachedUserPolicies",
        &[USER],
    ),
    line("attach-role-policy", "Attach a managed policy to a role", "AttachRolePolicy", &[ROLE, Policy]),
    line("detach-role-policy", "Detach a managed policy from a role", "DetachRolePolicy", &[ROLE, Policy]),
    line(
        "list-attached-role-policies",
        "List the managed policies of a role",
        "ListAttachedRolePolicies",
        &[ROLE],
    ),
];

impl Argument {
    fn names(&self) -> (&'static str, &'static str) {
        match *self {
            Text(name, wire) | Opt(name, wire) => (name, wire),
            Policy => ("policy", "PolicyArn"),
            Document(wire) => ("document", wire),
        }
    }

    fn declare(&self) -> Arg {
        let (name, _) = self.names();
        let arg = Arg::new(name);
        match self {
            Opt(..) => arg.long(name),
            Document(_) => arg.required(true).help("A file with the policy, or the policy itself"),
            Policy => arg.required(true).help("Its ARN, or its name"),
            Text(..) => arg.required(true),
        }
    }
}

impl Line {
    fn declare(&self) -> Command {
        Command::new(self.name).about(self.about).args(self.arguments.iter().map(Argument::declare))
    }
}

impl Subcommand for Asked {
    fn augment_subcommands(command: Command) -> Command {
        let apply = Command::new("apply")
            .about("Bring policies, users and roles to what a file says")
            .arg(Arg::new("file").required(true).value_parser(value_parser!(PathBuf)))
            .arg(
                Arg::new("dry-run")
                    .long("dry-run")
                    .action(ArgAction::SetTrue)
                    .help("Print what would change"),
            );
        let command = command.subcommand(apply).subcommand(why::declare()).subcommand_required(true);
        COMMANDS.iter().fold(command, |command, line| command.subcommand(line.declare()))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        name == "apply" || name == why::NAME || COMMANDS.iter().any(|line| line.name == name)
    }
}

impl FromArgMatches for Asked {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let missing = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (name, given) = matches.subcommand().ok_or_else(missing)?;
        if name == "apply" {
            let file = given.get_one::<PathBuf>("file").cloned().unwrap_or_default();
            return Ok(Self::Apply { file, dry_run: given.get_flag("dry-run") });
        }
        if name == why::NAME {
            return Ok(Self::Why(why::Typed::of(given)));
        }
        let line = COMMANDS.iter().find(|line| line.name == name).ok_or_else(missing)?;
        let values = line.arguments.iter().filter_map(|argument| {
            let (name, wire) = argument.names();
            Some((wire, given.get_one::<String>(name)?.clone()))
        });
        Ok(Self::Action(line, values.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> std::result::Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Does what is asked, and prints the answer.
pub(crate) fn run(options: Options) -> Result<ExitStatus> {
    let Options { json, asked, written } = options;
    let settings = Settings::read_beside(written)?;
    log::start(&settings)?;
    let printed = wire::with_service(&settings, async |service: &Arc<Service>| match asked {
        Asked::Apply { file, dry_run } => apply::run(service, &file, dry_run).await,
        Asked::Why(typed) => why::run(service, typed, json).await,
        Asked::Action(line, values) => {
            let account = service.home().account();
            let parameters = parameters(line, values, account)?;
            let answer = ask(service, line.action, parameters).await.map_err(|error| declined(&error))?;
            Ok(if json { pretty(&answer) } else { readable(&answer) })
        }
    })?;
    // Where stdout is closed, the exit code still says it.
    let _ = write!(std::io::stdout().lock(), "{printed}");
    Ok(ExitStatus::Success)
}

fn declined(declined: &Declined) -> Error {
    Error::failure(format!("{}: {}", declined.code, declined.message))
}

fn parameters(
    line: &Line,
    values: Vec<(&'static str, String)>,
    account: &str,
) -> Result<Vec<(&'static str, String)>> {
    let mut parameters = Vec::new();
    for (wire, value) in values {
        let argument = line.arguments.iter().find(|argument| argument.names().1 == wire);
        let value = match argument {
            Some(Policy) => policy_arn(&value, account),
            Some(Document(_)) => document(&value, Path::new(""))?,
            _ => value,
        };
        parameters.push((wire, value));
    }
    Ok(parameters)
}

/// A policy by its ARN, or by the name of one without a path.
fn policy_arn(text: &str, account: &str) -> String {
    if text.starts_with("arn:") { text.to_owned() } else { format!("arn:aws:iam::{account}:policy/{text}") }
}

/// A document that is written out, or what stands in a file; a relative path begins in `folder`.
fn document(text: &str, folder: &Path) -> Result<String> {
    if text.trim_start().starts_with('{') {
        return Ok(text.to_owned());
    }
    let path = folder.join(text);
    std::fs::read_to_string(&path)
        .map_err(|error| Error::failure(format!("the document {} cannot be read: {error}", path.display())))
}

/// Does an action. Of a list all pages are asked for, and answered as one.
async fn ask(
    service: &Arc<Service>,
    action: &str,
    parameters: Vec<(&'static str, String)>,
) -> std::result::Result<Value, Declined> {
    let mut form = vec![("Action".to_owned(), action.to_owned())];
    form.extend(parameters.into_iter().map(|(name, value)| (name.to_owned(), value)));
    let mut whole = Map::new();
    let mut marker: Option<String> = None;
    loop {
        let mut page = form.clone();
        page.extend(marker.take().map(|marker| ("Marker".to_owned(), marker)));
        let Value::Object(mut answer) = service.manage(page).await? else { return Ok(Value::Object(whole)) };
        answer.remove("IsTruncated");
        marker = answer.remove("Marker").and_then(|marker| Some(marker.as_str()?.to_owned()));
        for (name, value) in answer {
            match (whole.get_mut(&name), value) {
                (Some(Value::Array(before)), Value::Array(more)) => before.extend(more),
                (_, value) => drop(whole.insert(name, value)),
            }
        }
        if marker.is_none() {
            return Ok(Value::Object(whole));
        }
    }
}

fn pretty(answer: &Value) -> String {
    serde_json::to_string_pretty(answer).expect("texts always serialize") + "\n"
}

/// For people: of a list one line each, of a thing one line for each of its members.
fn readable(answer: &Value) -> String {
    let mut text = String::new();
    for value in answer.as_object().into_iter().flat_map(Map::values) {
        match value {
            Value::Array(items) => {
                for item in items {
                    text.extend([row(item), "\n".to_owned()]);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    text.extend([name, ": ", &row(member), "\n"]);
                }
            }
            single => text.extend([row(single), "\n".to_owned()]),
        }
    }
    text
}

fn row(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(members) => members.values().map(row).collect::<Vec<_>>().join("  "),
        Value::Array(items) => items.iter().map(row).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_may_be_named() {
        assert_eq!(policy_arn("chat", "000000000000"), "arn:aws:iam::000000000000:policy/chat");
        assert_eq!(policy_arn("arn:aws:iam::1:policy/x", "000000000000"), "arn:aws:iam::1:policy/x");
    }

    #[test]
    fn answers_are_lines() {
        let list =
            json!({ "Users": [{ "Path": "/", "UserName": "ana" }, { "Path": "/", "UserName": "bob" }] });
        assert_eq!(readable(&list), "/  ana\n/  bob\n");
        let one = json!({ "User": { "UserName": "ana", "Tags": [] } });
        assert_eq!(readable(&one), "Tags: \nUserName: ana\n");
        assert_eq!(readable(&json!({})), "");
    }
}
