//! Questions to bots: what a program sees beside the question, and what becomes of its answer.
//!
//! A bot replies as whoever speaks for it would: it sends a message, by the rules of all messages. It does so in the
//! transaction that takes the question away, so that each question has one reply, whoever asked.

use std::collections::BTreeSet;

use carillon_model::bot::{Reply, Saying};
use carillon_model::identity::Identity as Who;
use carillon_model::message::{Message, STANDARD_CONTENT_BYTES_MAX};
use carillon_model::text::*;
use carillon_model::{IdentityArn, MessageKey};
use carillon_store::{self as store, Lane, Tx};
use serde_json::json;

use crate::chat::bots::{Asked, Question, REPLY};
use crate::chat::{operator, seen};
use crate::error::{Error, ErrorCode, Result};
use crate::front::service::Service;
use crate::operations::messaging::send_channel_message::SendChannelMessage;
use crate::shapes::{MessageAttributeMap, MessageAttributeValue, Target};

/// The name of the event about a bot whose program failed.
const LEX_FAILURE: &str = "Chime Messaging AppInstanceBot Lex Failure";
/// How many times as many messages are looked at as a program wants to see: some of them are not for it.
const LOOKED_AT: usize = 4;
/// The most characters of what a program calls an intent or a session that are shown.
const ATTRIBUTE_LENGTH_MAX: usize = 200;

/// What came of a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The program answered.
    Reply(Reply),
    /// It did not, or refused.
    Failure {
        /// The status of its answer, or one that comes near.
        code: u16,
        /// Why, for the operator.
        reason: String,
    },
}

/// What somebody said before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Whether it was the bot.
    pub by_bot: bool,
    /// The words.
    pub words: String,
}

impl Service {
    /// The last messages of the conversation of a question, `limit` at most and the question behind them: the oldest
    /// first, and only what the bot may see. What was said in private is no part of a conversation with all, and of one
    /// in private only as far as the two said it.
    pub async fn conversation(&self, question: &Question, limit: usize) -> Result<Vec<Said>> {
        let Asked::Answer { sender, name, text, .. } = &question.asked else { return Ok(Vec::new()) };
        let read = {
            let question = question.clone();
            move |tx: &mut Tx| earlier(tx, &question, limit)
        };
        let mut said = self.store().read(read).await?;
        said.retain(|(_, words)| !words.is_empty());
        said.truncate(limit);
        said.reverse();
        said.push((Speaker { arn: sender.clone(), name: name.clone() }, text.as_str().to_owned()));
        let others = said.iter().map(|(who, _)| &who.arn).filter(|arn| **arn != question.bot);
        let are_many = 1 < others.collect::<BTreeSet<_>>().len();
        let turn = |(who, words): (Speaker, String)| match who.arn == question.bot {
            true => Said { by_bot: true, words },
            false if are_many && !who.name.is_empty() => {
                Said { by_bot: false, words: format!("{}: {words}", who.name) }
            }
            false => Said { by_bot: false, words },
        };
        Ok(said.into_iter().map(turn).collect())
    }

    /// What is to be written of a question with the end of its row, and in which lane. It may be written more than
    /// once, of which the last stands.
    pub fn settle_question(
        &self,
        question: Question,
        outcome: Outcome,
    ) -> (Lane, impl Fn(&mut Tx) -> Result<()> + Send + Sync + 'static) {
        let (lane, call) = (Lane::channel(&question.channel), self.call_of("BotReply", &question.bot));
        let call = std::sync::Mutex::new(call);
        let settle = move |tx: &mut Tx| {
            let call = call.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let said = match &outcome {
                Outcome::Reply(reply) => reply_to(&question, reply),
                Outcome::Failure { code, reason } => {
                    let detail = json!({ "resourceArn": question.bot.as_str(), "failureReason": reason });
                    operator::tell(tx, &call, question.sub_channel, LEX_FAILURE, &detail)?;
                    error_of(&question, *code)
                }
            };
            match said.send_anew(tx, &call) {
                Err(error) if is_over(&error) => {
                    tracing::debug!(bot = question.bot.as_str(), %error, "a bot cannot reply any more");
                    Ok(())
                }
                sent => sent.map(drop),
            }
        };
        (lane, settle)
    }
}

/// Who said something.
struct Speaker {
    arn: IdentityArn,
    name: String,
}

/// What was said before a question, the latest first, as far as its bot may see it and it belongs there.
fn earlier(tx: &mut Tx, question: &Question, limit: usize) -> Result<Vec<(Speaker, String)>> {
    let Asked::Answer { message, sender, is_private, .. } = &question.asked else { return Ok(Vec::new()) };
    let Some(bot) = store::identity::find(tx, &question.bot)? else { return Ok(Vec::new()) };
    let (bot, instance) = (bot.identity.key, question.channel.app_instance());
    let (all, order) = ((MessageKey([0; 32]), MessageKey([0xff; 32])), SortOrder::Descending);
    let looked_at = i64::try_from(limit * LOOKED_AT).unwrap_or(i64::MAX);
    let latest = store::message::list(tx, &instance, question.sub_channel, all, order, looked_at)?;
    let is_of_both = |who: &Who| who.key == bot || who.arn == *sender;
    let belongs = |one: &Message| match &one.target {
        None => true,
        Some(target) => *is_private && is_of_both(&one.sender) && is_of_both(target),
    };
    // What others said since is no part of it; what the bot replied to an earlier question may be younger than this.
    let is_earlier = |one: &Message| one.key < *message || (one.sender.key == bot && one.key != *message);
    let seen = seen::messages(tx, &instance, latest, bot)?;
    let seen = seen.into_iter().filter(|one| is_earlier(one) && belongs(one));
    let said = |one: Message| {
        let words = words(&one);
        (Speaker { arn: one.sender.arn, name: one.sender.name }, words)
    };
    Ok(seen.map(said).collect())
}

/// Whether there is nobody left who could say something, or nobody to whom: the bot, the channel, or who asked is gone.
fn is_over(error: &Error) -> bool {
    matches!(
        error.code,
        ErrorCode::BadRequest | ErrorCode::Forbidden | ErrorCode::NotFound | ErrorCode::Unauthorized
    )
}

/// The words of a message; of a bot's reply, those of its pieces.
fn words(message: &Message) -> String {
    let text = message.content.as_ref().map_or("", |content| content.as_str());
    let is_reply = message.content_type.as_ref().is_some_and(|kind| kind.as_str().starts_with(REPLY));
    if message.kind != ChannelMessageType::Standard {
        return String::new();
    }
    if !is_reply {
        return text.to_owned();
    }
    let pieces: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let pieces = pieces["Messages"].as_array().into_iter().flatten();
    pieces.filter_map(|piece| piece["Content"].as_str()).collect::<Vec<_>>().join("\n")
}

fn reply_to(question: &Question, reply: &Reply) -> SendChannelMessage {
    let content = fitting(&reply.messages);
    let intent = reply.intent.as_ref();
    let attributes = [
        ("intent.name", intent.and_then(|intent| intent.name.clone())),
        ("intent.state", intent.and_then(|intent| intent.state.clone())),
        ("originatingRequestId", question.message().map(|message| message.to_string())),
        ("sessionId", reply.session.clone()),
    ];
    let attributes = attributes.into_iter().filter_map(|(name, value)| {
        let value: String = value?.chars().take(ATTRIBUTE_LENGTH_MAX).collect();
        let value = (!value.is_empty()).then(|| MessageAttributeStringValue::stored(value))?;
        let name = MessageAttributeName::stored(format!("CHIME.LEX.sessionState.{name}"));
        Some((name, MessageAttributeValue { string_values: Some(vec![value]) }))
    });
    let persistence = match question.asked {
        Asked::Answer { persistence, .. } => persistence,
        Asked::Welcome(_) => ChannelMessagePersistenceType::Persistent,
    };
    let send = message_of(question, content, (ChannelMessageType::Standard, persistence), "msgs");
    SendChannelMessage { message_attributes: Some(attributes.collect::<MessageAttributeMap>()), ..send }
}

fn error_of(question: &Question, code: u16) -> SendChannelMessage {
    let how = (ChannelMessageType::Control, ChannelMessagePersistenceType::NonPersistent);
    message_of(question, json!({ "Code": code }).to_string(), how, "error")
}

fn message_of(
    question: &Question,
    content: String,
    (kind, persistence): (ChannelMessageType, ChannelMessagePersistenceType),
    what: &str,
) -> SendChannelMessage {
    let asker = match &question.asked {
        Asked::Answer { sender, is_private: true, .. } => Some(sender.clone()),
        Asked::Answer { .. } | Asked::Welcome(_) => None,
    };
    let is_elastic = question.is_elastic;
    SendChannelMessage {
        channel_arn: question.channel.clone(),
        content: NonEmptyContent::stored(content),
        kind,
        persistence,
        metadata: None,
        client_request_token: ClientRequestToken::stored(String::new()),
        chime_bearer: question.bot.clone(),
        push_notification: None,
        message_attributes: None,
        sub_channel_id: is_elastic.then(|| SubChannelId::stored(question.sub_channel.to_string())),
        content_type: Some(ContentType::stored(format!("{REPLY}{what}"))),
        target: asker.map(|asker| vec![Target { member_arn: Some(asker) }]),
    }
}

/// As many of the pieces, from the first, as fit into one message.
fn fitting(pieces: &[Saying]) -> String {
    let content = |count: usize| json!({ "Messages": pieces[..count] }).to_string();
    let all = (0..=pieces.len()).rev().map(content);
    all.into_iter().find(|content| content.len() <= STANDARD_CONTENT_BYTES_MAX).unwrap_or_else(|| content(0))
}
