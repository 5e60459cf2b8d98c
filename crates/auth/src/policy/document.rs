//! From JSON to statements: every element known, every value of the right form.
//!
//! A document that is refused here can be repaired by its author; one that was misread could not. So the names
//! of elements are taken exactly, and what is not understood is an error.

use super::condition::Condition;
use super::json::Node;
use super::limits::DOCUMENT_BYTES_MAX;
use super::operator::Operator;
use super::pattern::{Pattern, Syntax, Version};
use super::statement::{Scope, Statement};
use super::verdict::{Effect, Sense};
use super::{Context, Malformed, Mismatch, Request};

/// An identity's policy or a session's: what its holder may do.
#[derive(Clone, Debug)]
pub struct Policy {
    statements: Vec<Statement>,
}

impl Policy {
    /// Compiles a document.
    pub fn parse(document: &str) -> Result<Self, Malformed> {
        let statements = read(document, |elements| {
            if elements.principal.is_some() {
                return Err(Malformed::new("may not stand in a policy of an identity").within("Principal"));
            }
            if elements.statement.resources.is_none() {
                return Err(Malformed::new("has neither Resource nor NotResource"));
            }
            Ok(elements.statement)
        })?;
        Ok(Self { statements })
    }

    /// The condition keys that it reads, in its conditions and by variables.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().flat_map(Statement::keys)
    }

    /// Whether it may decide differently about two resources that begin with `prefix`, by what they are called. Where
    /// it does not say so, it decides alike about all of them, in a context that is the same for each.
    pub fn tells_apart(&self, action: &str, prefix: &str, context: &Context<'_>) -> bool {
        self.statements.iter().any(|statement| statement.tells_apart(action, prefix, context))
    }

    /// How each of its statements stands to a request, in their order: the test is the one by which policies decide.
    pub fn readings<'p>(&'p self, request: &'p Request<'_>) -> impl Iterator<Item = Reading<'p>> {
        self.statements.iter().map(|statement| Reading {
            sid: statement.sid.as_deref(),
            allows: statement.effect == Effect::Allow,
            mismatch: statement.mismatch(request),
        })
    }

    pub(super) fn statements(&self) -> &[Statement] {
        &self.statements
    }
}

/// How a statement stands to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading<'p> {
    /// Its `Sid`, unless it has none.
    pub sid: Option<&'p str>,
    /// Whether it allows what it speaks of; otherwise it denies it.
    pub allows: bool,
    /// Why it does not speak of the request, unless it does.
    pub mismatch: Option<Mismatch<'p>>,
}

/// What was found in one statement; which of it must be there depends on the kind of document.
pub(super) struct Elements {
    pub(super) statement: Statement,
    pub(super) principal: Option<Node>,
}

/// Reads a document, and makes of each statement's elements what its kind of document wants.
pub(super) fn read<T>(
    document: &str,
    finish: impl Fn(Elements) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    if DOCUMENT_BYTES_MAX < document.len() {
        return Err(Malformed::new(format!("is longer than {DOCUMENT_BYTES_MAX} bytes")));
    }
    let mut version = Version::Old;
    let mut statements = None;
    for (name, node) in Node::parse(document)?.into_object()? {
        match name.as_str() {
            "Version" => version = read_version(node).map_err(|fault| fault.within(name))?,
            "Id" => drop(node.into_text().map_err(|fault| fault.within(name))?),
            "Statement" => statements = Some(node),
            _ => return Err(Malformed::new("is not an element of a policy").within(name)),
        }
    }
    let statements = match statements {
        Some(Node::List(nodes)) if !nodes.is_empty() => nodes,
        Some(node @ Node::Object(_)) => vec![node],
        _ => {
            return Err(Malformed::new("must be one statement or a list of at least one").within("Statement"));
        }
    };
    let mut sids = Vec::new();
    let mut finished = Vec::new();
    for (at, node) in statements.into_iter().enumerate() {
        let here = |fault: Malformed| fault.within(format!("Statement[{at}]"));
        let elements = read_elements(node, version).map_err(here)?;
        if let Some(sid) = &elements.statement.sid {
            if sids.contains(sid) {
                return Err(here(Malformed::new("stands in another statement too").within("Sid")));
            }
            sids.push(sid.clone());
        }
        finished.push(finish(elements).map_err(here)?);
    }
    Ok(finished)
}

fn read_version(node: Node) -> Result<Version, Malformed> {
    match node.into_text()?.as_str() {
        "2012-10-17" => Ok(Version::WithVariables),
        "2008-10-17" => Ok(Version::Old),
        _ => Err(Malformed::new("is neither 2012-10-17 nor 2008-10-17")),
    }
}

fn read_elements(node: Node, version: Version) -> Result<Elements, Malformed> {
    let (mut sid, mut effect, mut principal, mut conditions) = (None, None, None, Vec::new());
    let (mut actions, mut resources) = (None, None);
    for (name, node) in node.into_object()? {
        let read = match name.as_str() {
            "Sid" => read_sid(node).map(|read| sid = read),
            "Effect" => read_effect(node).map(|read| effect = Some(read)),
            "Action" => once(&mut actions, node, Sense::Listed, action),
            "NotAction" => once(&mut actions, node, Sense::Others, action),
            "Resource" => once(&mut resources, node, Sense::Listed, |text| resource(text, version)),
            "NotResource" => once(&mut resources, node, Sense::Others, |text| resource(text, version)),
            "Condition" => read_conditions(node, version).map(|read| conditions = read),
            "Principal" => {
                principal = Some(node);
                Ok(())
            }
            _ => Err(Malformed::new("is not an element of a statement that can stand here")),
        };
        read.map_err(|fault| fault.within(name))?;
    }
    let Some(effect) = effect else { return Err(Malformed::new("has no Effect")) };
    let Some(actions) = actions else { return Err(Malformed::new("has neither Action nor NotAction")) };
    Ok(Elements { statement: Statement { sid, effect, actions, resources, conditions }, principal })
}

/// An empty `Sid`, which generators write, is none.
fn read_sid(node: Node) -> Result<Option<String>, Malformed> {
    let sid = node.into_text()?;
    if !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Malformed::new("may hold letters and digits only"));
    }
    Ok(Some(sid).filter(|sid| !sid.is_empty()))
}

fn read_effect(node: Node) -> Result<Effect, Malformed> {
    match node.into_text()?.as_str() {
        "Allow" => Ok(Effect::Allow),
        "Deny" => Ok(Effect::Deny),
        _ => Err(Malformed::new("is neither Allow nor Deny")),
    }
}

/// Reads one of two elements that exclude each other.
fn once(
    scope: &mut Option<Scope>,
    node: Node,
    sense: Sense,
    pattern: impl Fn(&str) -> Result<Pattern, Malformed>,
) -> Result<(), Malformed> {
    if scope.is_some() {
        return Err(Malformed::new("stands beside its opposite"));
    }
    let patterns = node.into_texts()?.iter().map(|text| pattern(text)).collect::<Result<_, _>>()?;
    *scope = Some(Scope { patterns, sense });
    Ok(())
}

/// `*`, or a service without wildcards, a colon and a name.
fn action(text: &str) -> Result<Pattern, Malformed> {
    let is_service = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"*?-_".contains(&byte);
    let has_form = text.split_once(':').is_some_and(|(service, name)| {
        !service.is_empty()
            && service.bytes().all(is_service)
            && !name.is_empty()
            && name.bytes().all(is_name)
    });
    if !has_form && text != "*" {
        return Err(Malformed::new(format!("{text:?} is not an action, as chime:Connect is, and not *")));
    }
    Pattern::parse(text, Syntax::ACTIONS)
}

/// `*`, or an ARN of six parts, any of which may hold wildcards.
fn resource(text: &str, version: Version) -> Result<Pattern, Malformed> {
    let pattern = Pattern::parse(text, Syntax::globs(version))?;
    if !pattern.is_everything() && !text.starts_with("arn:") {
        return Err(Malformed::new(format!("{text:?} is neither an ARN nor *")));
    }
    Ok(pattern)
}

fn read_conditions(node: Node, version: Version) -> Result<Vec<Condition>, Malformed> {
    let mut conditions = Vec::new();
    for (name, keys) in node.into_object()? {
        let here = |fault: Malformed| fault.within(name.clone());
        let operator = Operator::parse(&name).map_err(here)?;
        for (key, values) in keys.into_object().map_err(here)? {
            let values = values.into_texts().map_err(|fault| here(fault.within(key.clone())))?;
            let condition = Condition::parse(operator, &key, &values, version);
            conditions.push(condition.map_err(|fault| here(fault.within(key)))?);
        }
    }
    Ok(conditions)
}
