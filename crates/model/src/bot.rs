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

/// What the program of a bot answers. It is read as Lex spells it, and shown as messaging does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// What the bot says, piece by piece.
    pub messages: Vec<Saying>,
    /// What it takes the question for.
    pub intent: Option<Intent>,
    /// The conversation.
    pub session: Option<String>,
}

/// What somebody wants of a bot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Intent {
    /// Its name.
    pub name: Option<String>,
    /// How far it has come.
    pub state: Option<String>,
}

/// A piece of what a bot says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all(serialize = "PascalCase", deserialize = "camelCase"))]
pub struct Saying {
    /// The words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// What they are, or that there is a card in their place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// A card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_response_card: Option<Card>,
}

/// Something to look at and to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all(serialize = "PascalCase", deserialize = "camelCase"))]
pub struct Card {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subtitle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    buttons: Option<Vec<Button>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all(serialize = "PascalCase", deserialize = "camelCase"))]
struct Button {
    text: String,
    value: String,
}

impl Saying {
    /// Plain words.
    pub fn plain(words: String) -> Self {
        Self { content: Some(words), content_type: Some("PlainText".to_owned()), image_response_card: None }
    }
}
