//! Bots: each row is a question to a program, and ends with its reply.

use std::sync::Arc;
use std::time::Duration;

use carillon_model::bot::Reply;
use carillon_model::channel_flow::Reason;
use carillon_service::chat::bots::{Asked, QUEUE, Question};
use carillon_service::front::bots::{Outcome, Said};
use carillon_service::{Clock, Service};
use carillon_store::Lane;
use carillon_store::outgoing::Outgoing as Row;
use carillon_targets::bots::{self as targets, Programs, Turn};
use carillon_targets::wire::Refusal;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::{Change, Consumer, Manner, Verdict};

/// How long a question waits for its turn: who asked has gone on by then.
const PATIENCE: Duration = Duration::from_mins(1);
/// Channels that ask one program at once.
const CALLS_MAX: usize = 32;
/// What is shown of a question that waited for too long.
const UNASKED: u16 = 500;
/// How long after a failure that may pass a program is asked again, once.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The consumer of questions.
pub(crate) struct Bots {
    service: Arc<Service>,
    clock: Arc<dyn Clock>,
    programs: Programs,
}

impl Bots {
    /// Asks these programs.
    pub(crate) fn new((service, clock): (Arc<Service>, Arc<dyn Clock>), programs: Programs) -> Self {
        Self { service, clock, programs }
    }

    async fn ask(&self, alias: &str, row: &Row) -> Verdict {
        let question: Question = match serde_json::from_str(&row.body) {
            Ok(question) => question,
            Err(error) => return Verdict::GiveUp(format!("the question cannot be read: {error}")),
        };
        let history = match self.programs.history_len(alias) {
            0 => Vec::new(),
            most => match self.service.conversation(&question, most).await {
                Ok(said) => said.into_iter().map(turn).collect(),
                Err(error) => {
                    tracing::debug!(%error, "the conversation of a bot cannot be read");
                    return Verdict::NotMade;
                }
            },
        };
        match self.ask_twice(alias, &question, history).await {
            Ok(reply) => {
                let (lane, change) = self.end(question, Outcome::Reply(reply));
                Verdict::DoneWith(lane, change)
            }
            Err(refusal) => {
                let failure = Outcome::Failure { code: status(&refusal), reason: reason(&refusal) };
                let (lane, change) = self.end(question, failure);
                Verdict::GiveUpWith(lane, change)
            }
        }
    }

    /// Asks, and once again where that may help.
    async fn ask_twice(
        &self,
        alias: &str,
        question: &Question,
        history: Vec<Turn>,
    ) -> Result<Reply, Refusal> {
        let message = question.message().map(|message| message.to_string()).unwrap_or_default();
        let asked = match &question.asked {
            Asked::Welcome(intent) => targets::Asked::Welcome(intent.as_str()),
            Asked::Answer { sender, text, is_private, .. } => targets::Asked::Answer {
                text: text.as_str(),
                message: &message,
                sender: sender.as_str(),
                is_private: *is_private,
            },
        };
        let asked = targets::Question {
            bot: question.bot.as_str(),
            alias,
            locale: question.locale.as_str(),
            channel: question.channel.as_str(),
            asked,
        };
        match self.programs.ask(&asked, history.clone(), self.clock.real()).await {
            Err(Refusal { failure, status, .. })
                if !failure.permanent && status.is_none_or(|status| 500 <= status) =>
            {
                sleep(RETRY_AFTER).await;
                self.programs.ask(&asked, history, self.clock.real()).await
            }
            result => result,
        }
    }

    fn end(&self, question: Question, outcome: Outcome) -> (Lane, Change) {
        let (lane, change) = self.service.settle_question(question, outcome);
        (lane, Arc::new(change))
    }
}

/// Why a program has no answer, for the operator.
fn reason(refusal: &Refusal) -> String {
    let reason = refusal.failure.reason.to_string();
    let words = [&reason, &refusal.code, &refusal.message].into_iter().filter(|words| !words.is_empty());
    words.map(String::as_str).collect::<Vec<_>>().join(": ")
}

/// The status that is shown: that of the answer, or the one that says the most of why there is none.
fn status(refusal: &Refusal) -> u16 {
    refusal.status.unwrap_or(match refusal.failure.reason {
        Reason::NotPermitted => 403,
        Reason::NotFound => 404,
        Reason::Throttled => 429,
        Reason::NotReachable | Reason::TimedOut | Reason::Refused => 500,
    })
}

fn turn(said: Said) -> Turn {
    if said.by_bot { Turn::of_bot(said.words) } else { Turn::of_other(said.words) }
}

impl Consumer for Bots {
    fn kind(&self) -> &'static str {
        QUEUE
    }

    fn manner(&self) -> Manner {
        Manner { rows_max: 1, bytes_max: usize::MAX, calls_max: CALLS_MAX }
    }

    fn report(&self) -> Option<&'static str> {
        None
    }

    fn regret(&self, row: &Row, reason: &str) -> Option<(Lane, Change)> {
        let question: Question = serde_json::from_str(&row.body).ok()?;
        let refusal = Outcome::Failure { code: UNASKED, reason: reason.to_owned() };
        Some(self.end(question, refusal))
    }

    fn patience(&self, _: &Row) -> Duration {
        PATIENCE
    }

    fn hand_over<'a>(&'a self, alias: &'a str, rows: &'a [Row]) -> BoxFuture<'a, Vec<Verdict>> {
        async move {
            let mut verdicts = Vec::with_capacity(rows.len());
            for row in rows {
                verdicts.push(self.ask(alias, row).await);
            }
            verdicts
        }
        .boxed()
    }
}
