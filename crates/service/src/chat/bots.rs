//! When a bot is asked: of each message that a channel is shown, and when the bot joins.
//!
//! What it is asked is kept in a row, in the transaction that shows the message. The row goes with the transaction that
//! says what came of it (`front::bots`), so there is one reply to each question.

use carillon_model::arn::IdentityKind;
use carillon_model::bot::{InvokedBy, Lex};
use carillon_model::channel::{Channel, Membership};
use carillon_model::event::{Event, EventType};
use carillon_model::message::Message;
use carillon_model::text::*;
use carillon_model::{ChannelArn, IdentityArn, Key, MessageKey, Timestamp};
use carillon_store::outgoing::{self, Outgoing, Place};
use carillon_store::{self as store, Tx};
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::chat::mention;
use crate::error::Result;

/// What the queues of bots begin with; a space and the ARN of an alias follow.
pub const QUEUE: &str = "bot";
/// What the content types of replies begin with: no bot is asked for an answer to a reply of another.
pub(crate) const REPLY: &str = "application/amz-chime-lex-";

/// What a bot is to be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The bot.
    pub bot: IdentityArn,
    /// Where.
    pub channel: ChannelArn,
    /// The sub-channel; of an ordinary channel, the channel itself.
    pub sub_channel: Key,
    /// Whether the channel is elastic.
    pub is_elastic: bool,
    /// The language that it speaks.
    pub locale: LocaleId,
    /// What.
    pub asked: Asked,
}

/// What somebody wants of a bot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Asked {
    /// It has just joined, and is to begin with this intent.
    Welcome(LexIntentName),
    /// An answer to a message.
    Answer {
        /// The message.
        message: MessageKey,
        /// Who sent it,
        sender: IdentityArn,
        /// and is called so.
        name: String,
        /// What it says.
        text: Content,
        /// Whether nobody else sees question and answer.
        is_private: bool,
        /// Whether the answer is kept, as the question is.
        persistence: ChannelMessagePersistenceType,
    },
}

impl Question {
    /// The message that it is about.
    pub fn message(&self) -> Option<MessageKey> {
        match self.asked {
            Asked::Answer { message, .. } => Some(message),
            Asked::Welcome(_) => None,
        }
    }
}

/// Asks the bots whom a message concerns that its channel is shown by this event.
pub(crate) fn ask(
    tx: &mut Tx,
    call: &Call,
    channel: &Channel,
    message: &Message,
    event: &Event,
) -> Result<()> {
    if event.kind != EventType::CreateChannelMessage || !has_bots(tx, channel) || !invokes(message) {
        return Ok(());
    }
    let Some(text) = message.content.clone().filter(|text| !text.as_str().is_empty()) else { return Ok(()) };
    let bots = match &message.target {
        Some(target) if target.arn.kind() != IdentityKind::Bot => return Ok(()),
        _ => store::bot::list_in(tx, &channel.arn.app_instance(), channel.key, message.sub_channel)?,
    };
    for (part, bot) in (0..).zip(bots) {
        if bot.key == message.sender.key {
            continue;
        }
        let invoked_by = invoked_by(&bot.configuration);
        let is_asked = match &message.target {
            Some(target) => target.key == bot.key && invoked_by.targeted == TargetedMessages::All,
            None => is_asked(tx, call, channel, message, (&bot.arn, bot.key), &bot.configuration)?,
        };
        if is_asked {
            let asked = Asked::Answer {
                message: message.key,
                sender: message.sender.arn.clone(),
                name: message.sender.name.clone(),
                text: text.clone(),
                is_private: message.target.is_some(),
                persistence: message.persistence,
            };
            let place = Place { channel: channel.key, sequence: event.sequence, part };
            put(tx, channel, (place, call.now), (bot.arn, message.sub_channel), bot.configuration, asked)?;
        }
    }
    Ok(())
}

/// Lets a bot that has joined a claimed channel say its first words, if it has any.
pub(crate) fn welcome(
    tx: &mut Tx,
    call: &Call,
    channel: &Channel,
    membership: &Membership,
    part: i64,
) -> Result<()> {
    let arn = &membership.member.arn;
    if arn.kind() != IdentityKind::Bot || membership.kind == ChannelMembershipType::Hidden {
        return Ok(());
    }
    let Some(bot) = store::bot::find(tx, arn)? else { return Ok(()) };
    let Some(intent) = bot.configuration.welcome_intent.clone() else { return Ok(()) };
    let place = Place { channel: channel.key, sequence: channel.sequence, part };
    let where_to = (bot.arn, membership.sub_channel);
    put(tx, channel, (place, call.now), where_to, bot.configuration, Asked::Welcome(intent))
}

fn put(
    tx: &mut Tx,
    channel: &Channel,
    (place, at): (Place, Timestamp),
    (bot, sub_channel): (IdentityArn, Key),
    Lex { alias, locale, .. }: Lex,
    asked: Asked,
) -> Result<()> {
    let is_elastic = channel.elastic.is_some();
    let question = Question { bot, channel: channel.arn.clone(), sub_channel, is_elastic, locale, asked };
    let body = serde_json::to_string(&question).expect("texts always serialize");
    Ok(outgoing::insert(tx, &format!("{QUEUE} {}", alias.as_str()), &Outgoing { place, at, body })?)
}

fn has_bots(tx: &Tx, channel: &Channel) -> bool {
    let instance = channel.arn.app_instance_key();
    tx.outlets().zip(instance).is_some_and(|(outlets, instance)| outlets.has_bots(instance))
}

/// Whether a message may lead to a question at all.
fn invokes(message: &Message) -> bool {
    let is_reply = message.sender.arn.kind() == IdentityKind::Bot
        && message.content_type.as_ref().is_some_and(|kind| kind.as_str().starts_with(REPLY));
    message.kind == ChannelMessageType::Standard && !is_reply
}

/// What a bot answers: what it was told, or the words that were for that before, or what is usual.
fn invoked_by(lex: &Lex) -> InvokedBy {
    let of_old = lex.responds_to.map(|RespondsTo::StandardMessages| InvokedBy {
        standard: StandardMessages::All,
        targeted: TargetedMessages::None,
    });
    let usual = InvokedBy { standard: StandardMessages::Auto, targeted: TargetedMessages::All };
    lex.invoked_by.or(of_old).unwrap_or(usual)
}

/// Whether a bot is asked by a message that is for everyone.
fn is_asked(
    tx: &mut Tx,
    call: &Call,
    channel: &Channel,
    message: &Message,
    (arn, key): (&IdentityArn, Key),
    lex: &Lex,
) -> Result<bool> {
    let is_shy = call.surroundings.shy_bots.contains(lex.alias.as_str());
    match invoked_by(lex).standard {
        StandardMessages::None => Ok(false),
        StandardMessages::All if !is_shy => Ok(true),
        StandardMessages::Mentions => Ok(mention::names(message.attributes.as_ref(), arn)),
        StandardMessages::All | StandardMessages::Auto => {
            Ok(mention::names(message.attributes.as_ref(), arn) || is_alone_with_one(tx, channel, key)?)
        }
    }
}

/// Whether there is one beside the bot, who is not hidden. An elastic channel has places for many.
fn is_alone_with_one(tx: &mut Tx, channel: &Channel, bot: Key) -> Result<bool> {
    Ok(channel.elastic.is_none() && store::membership::count_members(tx, channel.key, Some(bot), 3)? == 2)
}

#[cfg(test)]
mod tests;
