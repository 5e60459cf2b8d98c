//! `carillon iam why`: whether somebody may do something, and what decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use carillon_service::Service;
use carillon_service::front::why::{Answer, Question};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value};

use carillon_server::error::{Error, Result};

use super::pretty;

/// The name of the command.
pub(super) const NAME: &str = "why";

/// The command, as it is declared.
pub(super) fn declare() -> Command {
    let option = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    Command::new(NAME)
        .about("Say whether somebody may do something, and which policy, role, quota or flow decides")
        .arg(Arg::new("action").required(true).help("As policies name it: chime:SendChannelMessage"))
        .arg(Arg::new("resource").help("The ARN that it would be done to"))
        .arg(option("principal", "Who would sign: an access key id, or the ARN or name of a user or role"))
        .arg(option("bearer", "Who would act: the ARN of a user or a bot"))
        .arg(option("request", "Other members of the request, as JSON"))
        .arg(
            option("session-tag", "A tag of the role's session, KEY=VALUE; may be repeated")
                .action(ArgAction::Append),
        )
}

/// What was typed.
#[derive(Debug)]
pub(super) struct Typed {
    question: Question,
    tags: Vec<String>,
    request: Option<String>,
}

impl Typed {
    pub(super) fn of(given: &ArgMatches) -> Self {
        let text = |name: &str| given.get_one::<String>(name).cloned();
        let question = Question {
            principal: text("principal"),
            bearer: text("bearer"),
            action: text("action").unwrap_or_default(),
            resource: text("resource"),
            ..Question::default()
        };
        let tags = given.get_many::<String>("session-tag").into_iter().flatten().cloned().collect();
        Self { question, tags, request: text("request") }
    }

    /// What it means.
    fn question(self) -> Result<Question> {
        let tag = |text: &String| {
            let (key, value) = text.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        };
        let session_tags: Option<BTreeMap<String, String>> = self.tags.iter().map(tag).collect();
        let session_tags = session_tags.ok_or_else(|| Error::usage("--session-tag must be KEY=VALUE"))?;
        let request: Map<String, Value> = match &self.request {
            None => Map::new(),
            Some(text) => serde_json::from_str(text)
                .map_err(|error| Error::usage(format!("--request must be a JSON object: {error}")))?,
        };
        Ok(Question { session_tags, request, ..self.question })
    }
}

/// Asks, and writes the answer down.
pub(super) async fn run(service: &Arc<Service>, typed: Typed, json: bool) -> Result<String> {
    let question = typed.question()?;
    let answer = service.explain(&question).await.map_err(|error| Error::failure(error.to_string()))?;
    Ok(if json {
        pretty(&serde_json::to_value(&answer).expect("texts always serialize"))
    } else {
        readable(&answer)
    })
}

/// For people: the verdict, and a line for each statement.
fn readable(answer: &Answer) -> String {
    let verdict = if answer.allowed { "allowed" } else { "refused" };
    let decider = serde_json::to_value(answer.decided_by).unwrap_or_default();
    let by = decider.as_str().unwrap_or_default();
    let mut text = format!("{verdict} by {by}: {}\n", answer.reason);
    for one in &answer.statements {
        let mark = if one.decides { "*" } else { " " };
        let sid = one.sid.as_ref().map(|sid| format!("/{sid}")).unwrap_or_default();
        let (effect, policy, action, resource) = (one.effect, &one.policy, &one.action, &one.resource);
        let line = format!("{mark} {effect:5} {policy}{sid}  {action} on {resource}: {}\n", one.why);
        text.push_str(&line);
    }
    for (name, value) in &answer.assumed {
        text.extend(["  assumed: ", name, " = ", &value.to_string(), "\n"]);
    }
    text
}
