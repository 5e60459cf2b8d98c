//! Who may do what: policies that allow nothing, and users that none was given.

use std::collections::{BTreeMap, BTreeSet};

use carillon_model::arn::Home;
use carillon_service::operation::{Read, Visitor, Write};
use carillon_store::iam::{AccessKey, Principal, access_key, inline_policy, policy, principal};
use carillon_store::{self as store, Tx};
use serde_json::Value;

use super::scene::Scene;
use super::{Check, Found, ok, warning};

pub(super) const CHECKS: &[Check] =
    &[Check { name: "policies", look: policies }, Check { name: "users", look: users }];

/// Services whose actions are all known.
const CHIME: &str = "chime";
/// Those with actions beside the operations: sockets, and what Carillon adds.
const OTHER_SERVICES: [&str; 3] = ["iam", "sts", "carillon"];

/// Everything about access that the store holds.
struct Held {
    principals: Vec<Principal>,
    keys: Vec<AccessKey>,
    /// Ids of principals, what the policy is called, and its document.
    documents: Vec<(String, String, String)>,
}

fn held(tx: &mut Tx) -> store::Result<Held> {
    let inline =
        inline_policy::all(tx)?.into_iter().map(|inline| (inline.principal, inline.name, inline.document));
    let documents = policy::all_attached(tx)?.into_iter().chain(inline).collect();
    Ok(Held { principals: principal::all(tx)?, keys: access_key::all(tx)?, documents })
}

fn policies(scene: &Scene<'_>) -> Vec<Found> {
    let home = scene.settings.home.clone();
    scene.look(held, |held| {
        let names: BTreeMap<&str, &str> =
            held.principals.iter().map(|one| (one.id.as_str(), one.name.as_str())).collect();
        let actions = actions();
        let mut found = Vec::new();
        for (of, name, document) in &held.documents {
            let whose = names.get(of.as_str()).copied().unwrap_or("nobody");
            for why in idle(document, &actions, &home) {
                found.push(warning(
                    format!("{name} of {whose} has a statement that allows nothing: {why}"),
                    "Actions are chime:<operation>, chime:Connect, iam:… and sts:…; ARNs have this region and account.",
                ));
            }
        }
        if found.is_empty() { vec![ok(format!("{} of them can allow something", held.documents.len()))] } else { found }
    })
}

fn users(scene: &Scene<'_>) -> Vec<Found> {
    scene.look(held, |held| {
        let allowed: BTreeSet<&str> = held.documents.iter().map(|(of, ..)| of.as_str()).collect();
        let of_key =
            |principal: &Principal| held.keys.iter().any(|key| key.active && key.principal == principal.id);
        let idle: Vec<&str> = held
            .principals
            .iter()
            .filter(|principal| of_key(principal) && !allowed.contains(principal.id.as_str()))
            .map(|principal| principal.name.as_str())
            .collect();
        if idle.is_empty() {
            return vec![ok("whoever has an access key has a policy")];
        }
        let finding = format!(
            "these have access keys and no policy, so all that they ask is refused: {}",
            idle.join(", ")
        );
        vec![warning(finding, "Attach a policy (carillon iam attach-user-policy), or delete the keys.")]
    })
}

/// All actions of operations.
fn actions() -> Vec<String> {
    struct Names(Vec<String>);
    impl Visitor for Names {
        fn read<O: Read>(&mut self) {
            self.0.push(format!("{CHIME}:{}", O::NAME));
        }
        fn write<O: Write>(&mut self) {
            self.0.push(format!("{CHIME}:{}", O::NAME));
        }
    }
    let mut names = Names(vec![format!("{CHIME}:Connect")]);
    carillon_service::operations::visit(&mut names);
    names.0
}

/// Why each statement that is to allow something allows nothing, of those that do.
fn idle(document: &str, actions: &[String], home: &Home) -> Vec<String> {
    let Ok(document) = serde_json::from_str::<Value>(document) else { return Vec::new() };
    let statements = match &document["Statement"] {
        Value::Array(statements) => statements.iter().collect(),
        one => vec![one],
    };
    let allowing = statements.into_iter().filter(|statement| statement["Effect"] == "Allow");
    allowing.filter_map(|statement| why_idle(statement, actions, home)).collect()
}

fn why_idle(statement: &Value, actions: &[String], home: &Home) -> Option<String> {
    let texts = |name: &str| match &statement[name] {
        Value::String(text) => vec![text.clone()],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let asked = texts("Action");
    if !asked.is_empty() && !asked.iter().any(|action| is_known(action, actions)) {
        return Some(format!("there is no action {}", asked.join(", ")));
    }
    let on = texts("Resource");
    if !on.is_empty() && !on.iter().any(|resource| is_here(resource, home)) {
        return Some(format!("there is no resource {} here", on.join(", ")));
    }
    None
}

fn is_known(pattern: &str, actions: &[String]) -> bool {
    let service = pattern.split(':').next().unwrap_or_default().to_ascii_lowercase();
    OTHER_SERVICES.contains(&service.as_str())
        || actions.iter().any(|action| matches(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase()))
}

/// Whether an ARN of this region and account can have this form.
fn is_here(pattern: &str, home: &Home) -> bool {
    let parts: Vec<&str> = pattern.splitn(6, ':').collect();
    let [_, _, service, region, account, _] = parts[..] else {
        return pattern.starts_with('*') || parts.len() < 6;
    };
    let fits = |part: &str, value: &str| part.contains("${") || matches(part, value);
    ["chime", "iam", "sts"].iter().any(|known| fits(service, known))
        && (region.is_empty() || fits(region, home.region()))
        && (account.is_empty() || fits(account, home.account()))
}

/// Whether a text has the form of a pattern, in which `*` stands for any letters and `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // Behind the last star, and what it stands for so far. Only that one can stand for more.
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                star = Some((at, seen));
            }
            Some(letter) if *letter == b'?' || *letter == text[seen] => (at, seen) = (at + 1, seen + 1),
            _ => match &mut star {
                None => return false,
                Some((behind, until)) => {
                    *until += 1;
                    (at, seen) = (*behind, *until);
                }
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle_for(action: &str, resource: &str) -> Vec<String> {
        let statement = format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}"#);
        idle(&format!(r#"{{"Statement":{statement}}}"#), &actions(), &Home::new("eu-west-1", "111122223333"))
    }

    #[test]
    fn a_statement_that_can_allow_something_is_left_alone() {
        for (action, resource) in [
            ("*", "*"),
            ("chime:*", "arn:aws:chime:*:111122223333:app-instance/*"),
            (
                "Chime:sendchannelmessage",
                "arn:aws:chime:eu-west-1:111122223333:app-instance/1/user/${aws:username}",
            ),
            ("chime:Connect", "arn:aws:chime:eu-*:*:*"),
            ("iam:CreateUser", "arn:aws:iam::111122223333:user/*"),
            ("sts:AssumeRole", "arn:aws:iam::111122223333:role/x"),
        ] {
            assert_eq!(idle_for(action, resource), Vec::<String>::new(), "{action} {resource}");
        }
        let denying = r#"{"Statement":[{"Effect":"Deny","Action":"s3:*","Resource":"*"}]}"#;
        assert!(idle(denying, &actions(), &Home::new("eu-west-1", "1")).is_empty());
    }

    #[test]
    fn one_that_names_what_is_not_there_is_said() {
        assert!(idle_for("chime:SendMessage", "*")[0].contains("there is no action chime:SendMessage"));
        assert!(idle_for("s3:GetObject", "*")[0].contains("s3:GetObject"));
        let elsewhere = "arn:aws:chime:us-east-1:000000000000:app-instance/*";
        assert!(idle_for("chime:*", elsewhere)[0].contains("there is no resource"));
    }
}
