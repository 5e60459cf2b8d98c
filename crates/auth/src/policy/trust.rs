//! Who may assume a role.
//!
//! A trust policy stands at the role, so it has no resource but a principal. Whether the account, user or role
//! that it names exists is not known here.

use super::document::{self, Elements};
use super::json::Node;
use super::statement::Statement;
use super::verdict::Effect;
use super::{Context, DecidedBy, Malformed, Request};

/// A role's trust policy.
#[derive(Clone, Debug)]
pub struct TrustPolicy {
    statements: Vec<(Vec<Principal>, Statement)>,
}

/// Whom a statement speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Principal {
    /// `*`: every caller that signs.
    Everyone,
    Account(String),
    /// A user, a role (all its sessions) or one session.
    Arn(String),
    Federated(String),
    Service(String),
}

/// Who asks for a role.
#[derive(Clone, Copy, Debug)]
pub enum Caller<'a> {
    /// Someone who signed the request.
    Aws {
        /// The account, twelve digits.
        account: &'a str,
        /// The user's ARN, the session's (`arn:aws:sts::…:assumed-role/…`) or the account's root.
        arn: &'a str,
        /// For a session, the ARN of its role.
        role_arn: Option<&'a str>,
    },
    /// Someone whom an identity provider vouches for: the provider's ARN, or its name.
    Federated(&'a str),
    /// A service, by its name.
    Service(&'a str),
}

/// What a trust policy says to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust<'p> {
    /// A statement denies.
    ExplicitDeny(DecidedBy<'p>),
    /// The caller is named, or everyone is: nothing more is needed within the account, but what the caller's
    /// own policies deny and what its session is limited to.
    Named(DecidedBy<'p>),
    /// The caller's account is trusted: the caller's own policies must allow it too.
    Account(DecidedBy<'p>),
    /// No statement speaks of the caller.
    Implicit,
}

impl TrustPolicy {
    /// Compiles a document.
    pub fn parse(document: &str) -> Result<Self, Malformed> {
        let statements = document::read(document, |Elements { statement, principal }| {
            if statement.resources.is_some() {
                return Err(Malformed::new("has a Resource, which a trust policy may not have"));
            }
            let Some(principal) = principal else { return Err(Malformed::new("has no Principal")) };
            let principals = principals(principal).map_err(|fault| fault.within("Principal"))?;
            Ok((principals, statement))
        })?;
        Ok(Self { statements })
    }

    /// The condition keys that it reads where it does not speak of services alone, which nobody here is.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let is_service = |principal: &Principal| matches!(principal, Principal::Service(_));
        let others = self.statements.iter().filter(move |(principals, _)| !principals.iter().all(is_service));
        others.flat_map(|(_, statement)| statement.keys())
    }

    /// Whether this caller may do `sts:AssumeRole`, `sts:TagSession` and their like with the role.
    pub fn decide(&self, caller: &Caller<'_>, action: &str, context: &Context<'_>) -> Trust<'_> {
        let request = Request { action, resource: "*", context };
        let mut trust = Trust::Implicit;
        for (at, (principals, statement)) in self.statements.iter().enumerate() {
            let Some(by_name) = caller.is_among(principals) else { continue };
            if !statement.matches(&request) {
                continue;
            }
            let by = DecidedBy { policy: 0, statement: at, sid: statement.sid.as_deref() };
            match (statement.effect, by_name, trust) {
                (Effect::Deny, ..) => return Trust::ExplicitDeny(by),
                (Effect::Allow, ByName::Yes, Trust::Implicit | Trust::Account(_)) => {
                    trust = Trust::Named(by);
                }
                (Effect::Allow, ByName::No, Trust::Implicit) => trust = Trust::Account(by),
                _ => {}
            }
        }
        trust
    }
}

/// Whether a caller is meant itself or as one of its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ByName {
    Yes,
    No,
}

impl Caller<'_> {
    fn is_among(&self, principals: &[Principal]) -> Option<ByName> {
        let mut found = None;
        for principal in principals {
            let by_name = match (principal, *self) {
                (Principal::Everyone, Self::Aws { .. }) => Some(ByName::Yes),
                (Principal::Arn(named), Self::Aws { arn, role_arn, .. }) => {
                    (named == arn || role_arn.is_some_and(|role| named == role)).then_some(ByName::Yes)
                }
                (Principal::Account(named), Self::Aws { account, .. }) => {
                    (named == account).then_some(ByName::No)
                }
                (Principal::Federated(named), Self::Federated(provider)) => {
                    (named == provider).then_some(ByName::Yes)
                }
                (Principal::Service(named), Self::Service(service)) => {
                    (named == service).then_some(ByName::Yes)
                }
                _ => None,
            };
            match by_name {
                Some(ByName::Yes) => return by_name,
                Some(ByName::No) => found = by_name,
                None => {}
            }
        }
        found
    }
}

fn principals(node: Node) -> Result<Vec<Principal>, Malformed> {
    let kinds = match node {
        Node::Scalar(text) if text == "*" => return Ok(vec![Principal::Everyone]),
        Node::Object(kinds) if !kinds.is_empty() => kinds,
        _ => return Err(Malformed::new("must be * or an object of AWS, Federated or Service")),
    };
    let mut principals = Vec::new();
    for (kind, node) in kinds {
        let read = match kind.as_str() {
            "AWS" => aws,
            "Federated" => |text: String| exact(text, Principal::Federated),
            "Service" => |text: String| exact(text, Principal::Service),
            _ => return Err(Malformed::new("is not a kind of principal").within(kind)),
        };
        let texts = node.into_texts().map_err(|fault| fault.within(kind.clone()))?;
        for text in texts {
            principals.push(read(text).map_err(|fault| fault.within(kind.clone()))?);
        }
    }
    Ok(principals)
}

/// `*`, an account, or one of its users, roles or sessions; part of a name cannot be left open.
fn aws(text: String) -> Result<Principal, Malformed> {
    if text == "*" {
        return Ok(Principal::Everyone);
    }
    if is_account(&text) {
        return Ok(Principal::Account(text));
    }
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", _, service, "", account, name] = parts[..] else { return Err(no_principal(&text)) };
    if !is_account(account) || name.contains(['*', '?']) {
        return Err(no_principal(&text));
    }
    match (service, name.split_once('/')) {
        ("iam", None) if name == "root" => Ok(Principal::Account(account.to_owned())),
        ("iam", Some(("user" | "role", name))) if !name.is_empty() => Ok(Principal::Arn(text)),
        ("sts", Some(("assumed-role" | "federated-user", name))) if !name.is_empty() => {
            Ok(Principal::Arn(text))
        }
        _ => Err(no_principal(&text)),
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn exact(text: String, principal: fn(String) -> Principal) -> Result<Principal, Malformed> {
    if text.is_empty() || text.contains(['*', '?']) { Err(no_principal(&text)) } else { Ok(principal(text)) }
}

fn no_principal(text: &str) -> Malformed {
    Malformed::new(format!("{text:?} is not a principal"))
}
