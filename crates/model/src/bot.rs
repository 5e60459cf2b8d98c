//! Bots: users whom a program speaks for.

use serde::{Deserialize, Serialize};

use crate::arn::IdentityArn;
use crate::key::Key;
use crate::text::{
    LexBotAliasArn, LexIntentName, LocaleId, Metadata, ResourceName, RespondsTo, StandardMessages,
    TargetedMessages,
};
use crate::timestamp::Timestamp;

/// A bot, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct AppInstanceBot {
    /// Its key, which the id in its ARN spells.
    pub key: Key,
    /// Its ARN.
    pub arn: IdentityArn,
    /// Its display name; it may be empty.
    pub name: ResourceName,
    /// What the application wrote on it.
    pub metadata: Option<Metadata>,
    /// What speaks for it, and when.
    pub configuration: Lex,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// The program that speaks for a bot, as it was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lex {
    /// The program.
    pub alias: LexBotAliasArn,
    /// The language that it speaks.
    pub locale: LocaleId,
    /// What it says when the bot joins a channel.
    pub welcome_intent: Option<LexIntentName>,
    /// Which messages it answers.
    pub invoked_by: Option<InvokedBy>,
    /// The older way to say that.
    pub responds_to: Option<RespondsTo>,
}

/// Which messages a bot answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvokedBy {
    /// Of those to everyone.
    pub standard: StandardMessages,
    /// Of those to the bot alone.
    pub targeted: TargetedMessages,
}
