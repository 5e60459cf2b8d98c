//! The programs that speak for bots: Lex V2, whatever speaks as its runtime does, a model of language, or an echo.
//!
//! A program is asked once. When a bot is asked, and what becomes of its answer, is decided elsewhere.

pub(crate) mod chat;
pub(crate) mod lex;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use carillon_model::Timestamp;
use carillon_model::bot::{Intent, Reply, Saying};
use data_encoding::HEXLOWER;

use crate::aws::Aws;
use crate::native::Native;
use crate::wire::Refusal;
pub use chat::{Chat, Turn};

/// How long a program that speaks as Lex does may think,
const LEX_TIMEOUT: Duration = Duration::from_secs(10);
/// and how long a model of language, which writes word by word.
const CHAT_TIMEOUT: Duration = Duration::from_mins(1);

/// What speaks for a bot.
#[derive(Debug, Clone)]
pub enum Program {
    /// Whatever speaks as the runtime of Lex does, at a URL.
    Http(Native),
    /// Repeats what it is told.
    Echo,
    /// A model of language.
    Chat(Chat),
}

impl Program {
    /// Where it is, if it is elsewhere.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Http(native) => Some(native.url()),
            Self::Echo => None,
            Self::Chat(chat) => Some(chat.url()),
        }
    }
}

/// What a bot is asked.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The bot.
    pub bot: &'a str,
    /// The program, by the ARN of its alias at Lex.
    pub alias: &'a str,
    /// The language that it speaks.
    pub locale: &'a str,
    /// Where it is asked.
    pub channel: &'a str,
    /// What.
    pub asked: Asked<'a>,
}

/// What somebody wants of a bot.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// It has just come, and is to begin with this intent.
    Welcome(&'a str),
    /// An answer.
    Answer {
        /// To this text,
        text: &'a str,
        /// of a message,
        message: &'a str,
        /// by its sender.
        sender: &'a str,
        /// Nobody else sees question and answer.
        is_private: bool,
    },
}

/// All programs.
pub struct Programs {
    /// By the ARNs of aliases; any other is at Lex.
    named: HashMap<String, Program>,
    http: reqwest::Client,
    aws: Arc<Aws>,
}

impl Programs {
    /// The programs that the operator named; any other is a bot of Lex.
    pub fn new(named: HashMap<String, Program>, http: reqwest::Client, aws: Arc<Aws>) -> Self {
        Self { named, http, aws }
    }

    /// How many messages of the channel a program wants to see beside the question.
    pub fn history_len(&self, alias: &str) -> usize {
        match self.named.get(alias) {
            Some(Program::Chat(chat)) => chat.history_len(),
            _ => 0,
        }
    }

    /// Asks a program; `history` is what was said before, the oldest first. `now` is the real time.
    pub async fn ask(
        &self,
        question: &Question<'_>,
        history: Vec<Turn>,
        now: Timestamp,
    ) -> Result<Reply, Refusal> {
        match self.named.get(question.alias) {
            None => lex::ask(&lex::At::Aws(&self.aws), question, LEX_TIMEOUT, now).await,
            Some(Program::Http(native)) => {
                lex::ask(&lex::At::Http(&self.http, native), question, LEX_TIMEOUT, now).await
            }
            Some(Program::Echo) => Ok(echo(question)),
            Some(Program::Chat(chat)) => chat.ask(&self.http, question, history, CHAT_TIMEOUT).await,
        }
    }
}

fn echo(question: &Question<'_>) -> Reply {
    let (intent, words) = match question.asked {
        Asked::Welcome(intent) => (intent, "Hello! I repeat what I am told."),
        Asked::Answer { text, .. } => ("Echo", text),
    };
    Reply {
        messages: vec![Saying::plain(words.to_owned())],
        intent: Some(Intent { name: Some(intent.to_owned()), state: Some("Fulfilled".to_owned()) }),
        session: Some(session(question)),
    }
}

/// The conversation of a question: one for each bot and channel, and one with each who asks in private.
fn session(question: &Question<'_>) -> String {
    let alone = match question.asked {
        Asked::Answer { sender, is_private: true, .. } => sender,
        _ => "",
    };
    let all = format!("{}\n{}\n{alone}", question.bot, question.channel);
    HEXLOWER.encode(digest(&SHA256, all.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests;
