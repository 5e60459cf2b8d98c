//! The evaluator against tables, the published examples, a second evaluator, and hostile documents.

mod examples;
mod hostile;
mod naive;
mod oracle;
mod table;
mod trust;

use super::*;

/// What `APP` stands for in tables and examples.
const APP: &str = "arn:aws:chime:us-east-1:111122223333:app-instance/a1";

/// Keys with their values, as a test writes them; borrowed for a decision.
#[derive(Clone, Debug, Default)]
struct Given(Vec<(String, Owned)>);

/// A [`Value`] that owns its text.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Text(String),
    Texts(Vec<String>),
    Time(i64),
    Number(i64),
    Address(std::net::IpAddr),
    Bool(bool),
}

impl Given {
    /// Reads `aws:username=ana & aws:TagKeys=[a, b] & aws:CurrentTime=time(0)`.
    fn read(text: &str) -> Self {
        let pairs = text.split(" & ").filter(|pair| !pair.trim().is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').expect("key=value");
                    (key.trim().to_owned(), Owned::read(value))
                })
                .collect(),
        )
    }

    fn look<T>(&self, look: impl FnOnce(&Context<'_>) -> T) -> T {
        let lists: Vec<Vec<&str>> = self.0.iter().map(|(_, value)| value.texts()).collect();
        let entries: Vec<Entry> = self
            .0
            .iter()
            .zip(&lists)
            .map(|((key, value), list)| {
                let value = match value {
                    Owned::Text(text) => Value::Text(text),
                    Owned::Texts(_) => Value::Texts(list),
                    Owned::Time(ms) => Value::Time(*ms),
                    Owned::Number(number) => Value::Number(*number),
                    Owned::Address(address) => Value::Address(*address),
                    Owned::Bool(bool) => Value::Bool(*bool),
                };
                Entry::new(key, value)
            })
            .collect();
        look(&Context::new(&entries))
    }

    fn decide<'p>(&self, policies: &[&'p Policy], action: &str, resource: &str) -> Decision<'p> {
        self.look(|context| decide(policies.iter().copied(), &Request { action, resource, context }))
    }
}

impl Owned {
    fn read(text: &str) -> Self {
        let within = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(list) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            let texts = list.split(", ").filter(|text| !text.is_empty());
            Self::Texts(texts.map(str::to_owned).collect())
        } else if let Some(ms) = within("time") {
            Self::Time(ms.parse().unwrap())
        } else if let Some(number) = within("number") {
            Self::Number(number.parse().unwrap())
        } else if let Some(address) = within("ip") {
            Self::Address(address.parse().unwrap())
        } else if let Some(bool) = within("bool") {
            Self::Bool(bool.parse().unwrap())
        } else {
            Self::Text(text.to_owned())
        }
    }

    fn texts(&self) -> Vec<&str> {
        match self {
            Self::Texts(texts) => texts.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

/// The document that stands in a table, written out.
fn document(text: &str) -> String {
    let text = text.replace("APP", APP);
    if text.contains("\"Statement\"") {
        return text;
    }
    format!(r#"{{"Version": "2012-10-17", "Statement": {text}}}"#)
}

/// Whether a policy tells channels of an app instance apart; `true` where that is not seen at a glance.
#[test]
fn what_tells_channels_apart() {
    let of = |resource: &str| format!(r#"{{"Effect": "Allow", "Action": "chime:*", {resource}}}"#);
    let given = Given::read("aws:PrincipalTag/app=a1");
    for (statement, expected) in [
        (of(r#""Resource": "*""#), false),
        (of(r#""Resource": "APP/channel/*""#), false),
        (
            of(r#""Resource": ["APP/user/ana", "arn:*:app-instance/${aws:PrincipalTag/app}/channel/*"]"#),
            false,
        ),
        (of(r#""Resource": ["APP/user/ana", "APP/channel-flow/*"]"#), false),
        (of(r#""Resource": "arn:aws:chime:*:*:app-instance/${aws:PrincipalTag/none}/*""#), false),
        (of(r#""NotResource": ["APP/user/*", "*"]"#), false),
        (of(r#""NotResource": "APP/user/*""#), false),
        (r#"{"Effect": "Deny", "Action": "s3:*", "Resource": "APP/channel/x"}"#.to_owned(), false),
        (r#"{"Effect": "Deny", "Action": "chime:*", "Resource": "APP/channel/x"}"#.to_owned(), true),
        (r#"{"Effect": "Deny", "NotAction": "s3:*", "Resource": "APP/channel/x*"}"#.to_owned(), true),
        (of(r#""NotResource": "APP/channel/x""#), true),
        (of(r#""Resource": "APP/channel/?*""#), true),
        (of(r#""Resource": "arn:aws:chime:*:*:app-instance/*/x""#), true),
    ] {
        let policy = Policy::parse(&document(&statement)).unwrap();
        let prefix = format!("{APP}/channel/");
        let tells = given.look(|context| policy.tells_apart("chime:Search", &prefix, context));
        assert_eq!(tells, expected, "{statement}");
    }
}

fn word(decision: &Decision<'_>) -> &'static str {
    match decision {
        Decision::ExplicitDeny(_) => "deny",
        Decision::Allow(_) => "allow",
        Decision::Implicit => "none",
    }
}
