//! `carillon erase`: the erasure of one person, beside the server that serves the store or without one.
//!
//! A server does it itself, as a job, so that sockets and streams are told of what becomes of messages; where none
//! serves the store, this process does the same job, and keeps servers from starting until it is done. Then come the
//! files: the free room of the store, and the audit log of this machine.

use std::sync::Arc;
use std::time::Duration;

use carillon_model::{IdentityArn, Key};
use carillon_service::Service;
use carillon_store::Location;
use carillon_store::erasure::{Erased, Erasure, Stage};
use carillon_store::personal;
use serde_json::{Value, json};

use crate::audit::persons::{self, Sought};
use crate::audit::recall;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::moving::person::{nobody, read_arn};
use crate::progress::{Progress, Unit, tell};
use crate::wire;

/// How often is looked how far it has come.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Looks after which a server that has not begun is not waited for any longer.
const LOOKS_MAX: u32 = 120;
/// Rounds in a row in which something failed, after which it is given up.
const FAILED_ROUNDS_MAX: u32 = 5;

/// What is to be erased.
#[derive(Debug)]
pub struct Erase {
    /// The ARN of the user; unset, only what was erased before is taken out of free room.
    pub user: Option<String>,
    /// Whether what they said stays.
    pub keep_messages: bool,
}

/// What became of it.
#[derive(Debug)]
pub struct Report {
    arn: Option<IdentityArn>,
    erasures: Vec<Erasure>,
    policies: Vec<String>,
    audit_lines: u64,
    files: usize,
    is_sqlite: bool,
}

/// Erases.
pub fn run(settings: &Settings, asked: &Erase) -> Result<Report> {
    let arn = asked.user.as_deref().map(|arn| read_arn(settings, arn)).transpose()?;
    let mut report = Report {
        arn: arn.clone(),
        erasures: Vec::new(),
        policies: Vec::new(),
        audit_lines: 0,
        files: 0,
        is_sqlite: matches!(settings.store.location, Location::Sqlite(_)),
    };
    // Asked for free room alone, it is gone through whatever was noted.
    let mut is_in_free_room = true;
    if let Some(arn) = &arn {
        let found = wire::with_service_alone_or_beside(settings, async |service, node| {
            erase(service, node, (arn, asked.keep_messages)).await
        })?;
        (report.erasures, report.policies, is_in_free_room) = found;
        let audit = recall(&settings.audit, &settings.data_dir)?;
        report.files = persons::files(&audit).len();
        if report.erasures.iter().all(|erasure| !erasure.keeps_name()) {
            report.audit_lines = persons::erase(&audit, &Sought::new(arn))?;
        }
        if report.erasures.is_empty() && report.audit_lines == 0 && !is_in_free_room {
            return Err(nobody(settings, arn));
        }
    }
    // A command that was cut off may have left that to this one.
    if report.erasures.is_empty() && !is_in_free_room {
        return Ok(report);
    }
    tell("taking what was erased out of free room");
    personal::wipe(&settings.store.location).map_err(|error| {
        Error::failure(format!("it is erased, and still in free room of {}: {error}", settings.store))
            .hint("Do that again by itself: carillon erase --free-room")
    })?;
    Ok(report)
}

/// Erases whoever has, or had, this ARN in the store; answers what became of them, which policies name them, and
/// whether what was erased, whoever's it was, may be left in free room.
async fn erase(
    service: &Arc<Service>,
    node: Option<Key>,
    (arn, keeps_messages): (&IdentityArn, bool),
) -> Result<(Vec<Erasure>, Vec<String>, bool)> {
    let failed = |error: carillon_service::error::Error| {
        Error::failure(format!("it cannot be erased: {error}")).hint("Done again, it goes on where it was.")
    };
    let policies = service.policies_naming(arn).await.map_err(failed)?;
    let people = service.ask_erasure(arn, keeps_messages).await.map_err(failed)?;
    let (mut progress, mut looks, mut failures) = (Progress::begin("erased", Unit::Each), 0, 0);
    loop {
        if let Some(node) = node {
            let is_whole = service.erase_round(node).await.map_err(failed)? == 0;
            failures = if is_whole { 0 } else { failures + 1 };
        }
        let erasures = service.erasures(&people).await.map_err(failed)?;
        if erasures.iter().all(|erasure| erasure.ended_at.is_some()) {
            let is_in_free_room = service.has_erased_in_free_room().await.map_err(failed)?;
            return Ok((erasures, policies, is_in_free_room));
        }
        progress.set(erasures.iter().map(|erasure| total(erasure.erased)).sum(), None);
        looks = if erasures.iter().all(|erasure| erasure.stage == Stage::Asked) { looks + 1 } else { 0 };
        if looks == LOOKS_MAX {
            return Err(Error::failure("the server that serves the store does not begin to erase").hint(
                "Is it of an earlier version, or stuck? What was asked for stays: a server of this version does it, \
                 and so does this command where none runs.",
            ));
        }
        if failures == FAILED_ROUNDS_MAX {
            return Err(Error::failure("some of it cannot be erased")
                .hint("The log of this command says why. Done again, it goes on where it was."));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn total(erased: Erased) -> u64 {
    let Erased { endpoints, messages, unseen, events, outgoing, tokens } = erased;
    (endpoints + messages + unseen + events + outgoing + tokens).unsigned_abs()
}

impl Report {
    /// For programs.
    pub fn to_json(&self) -> Value {
        let people = self.erasures.iter().map(|erasure| {
            let Erased { endpoints, messages, unseen, events, outgoing, tokens } = erasure.erased;
            json!({
                "key": erasure.person,
                "keeps_messages": erasure.keeps_messages,
                "asked_at": erasure.asked_at.to_string(),
                "ended_at": erasure.ended_at.map(|at| at.to_string()),
                "erased": { "messages": messages, "unseen_messages": unseen, "endpoints": endpoints, "events": events,
                            "outgoing": outgoing, "tokens": tokens },
                "held": erasure.held(),
                "name_is_held": erasure.keeps_name(),
            })
        });
        json!({
            "people": people.collect::<Vec<_>>(),
            "audit_lines": self.audit_lines,
            "policies_that_name_them": self.policies,
            "free_room": if self.is_sqlite { "overwritten" } else { "free to be overwritten" },
        })
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for erasure in &self.erasures {
            let Erased { endpoints, messages, unseen, events, outgoing, tokens } = erasure.erased;
            let kept = if erasure.keeps_messages { ", and what they said was kept" } else { "" };
            lines.push(format!("erased: the user, as {} from now on{kept}", erasure.new_id()));
            lines.push(format!(
                "erased: {messages} messages, {unseen} that nobody else saw, {endpoints} endpoints, {events} events, \
                 {outgoing} of what was to leave the server, {tokens} request tokens"
            ));
            for held in erasure.held() {
                lines.push(format!("held: {} messages in {}", held.messages, held.channel_arn));
            }
            if erasure.keeps_name() {
                let words = "held: name and id, in the audit log too. Take the tag off, and erase again";
                lines.push(words.to_owned());
            }
        }
        if self.arn.is_some() {
            lines.push(format!(
                "erased: the id in {} lines of {} files of the audit log",
                self.audit_lines, self.files
            ));
        }
        lines.extend(self.policies.iter().map(|policy| format!("left: the policy {policy} names them")));
        lines.push(if self.is_sqlite {
            "free room of the store, and its log, were overwritten".to_owned()
        } else {
            "free room of the database is left to be overwritten, and so are its write-ahead log and copies of it"
                .to_owned()
        });
        lines.push("left to you: backups, exports, logs, and what others were given before".to_owned());
        lines
    }
}
