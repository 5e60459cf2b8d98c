//! What an operator says about bots: `[bots]` of `carillon.toml`, the programs that are not at Lex.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use carillon_model::arn::Home;
use carillon_model::text::LexBotAliasArn;
use carillon_targets::bots::{Chat, Program};
use serde::{Deserialize, Serialize};

use super::flows::Target;
use crate::error::{Error, Result};

/// Messages of its channel that a model of language sees beside the question, unless the operator says otherwise,
const HISTORY_MESSAGES: u32 = 20;
/// and the most that may be said.
const HISTORY_MESSAGES_MOST: u32 = 200;

/// `[bots."<ARN>"]`: a program that speaks for bots, under the ARN of an alias at Lex.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Bot {
    /// Whatever speaks as the runtime of Lex V2 does: `RecognizeText` and `PutSession` below its URL.
    Http(Target),
    /// Repeats what it is told.
    Echo(Nothing),
    /// A model of language behind `POST {url}/chat/completions`.
    Chat(LanguageModel),
}

/// A kind without settings.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A model of language.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageModel {
    /// Below which its interface is, such as `https://models.internal/v1`.
    url: String,
    /// Its name there.
    model: String,
    /// The variable of the environment that holds the key of the interface.
    api_key_env: Option<String>,
    /// How it is to speak.
    instructions: Option<String>,
    /// Messages of its channel that it sees beside the question; 20 by default, at most 200.
    history_messages: Option<u32>,
}

impl fmt::Debug for Bot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(target) => f.debug_tuple("Http").field(target).finish(),
            Self::Echo(_) => f.write_str("Echo"),
            Self::Chat(model) => f.debug_tuple("Chat").field(&model.url).field(&model.model).finish(),
        }
    }
}

impl Bot {
    /// An echo.
    pub(crate) fn echo() -> Self {
        Self::Echo(Nothing {})
    }

    /// Whether it answers what is said to everyone only where it is meant.
    pub(crate) fn is_shy(&self) -> bool {
        matches!(self, Self::Chat(_))
    }

    fn program(&self) -> std::result::Result<Program, String> {
        match self {
            Self::Http(target) => target.native().map(Program::Http),
            Self::Echo(_) => Ok(Program::Echo),
            Self::Chat(model) => model.chat().map(Program::Chat),
        }
    }
}

impl LanguageModel {
    fn chat(&self) -> std::result::Result<Chat, String> {
        let history = self.history_messages.unwrap_or(HISTORY_MESSAGES);
        if HISTORY_MESSAGES_MOST < history {
            return Err(format!("history_messages must be at most {HISTORY_MESSAGES_MOST}"));
        }
        let key = self.api_key_env.as_ref().map(|name| match std::env::var(name) {
            Ok(key) if !key.is_empty() => Ok(key),
            _ => Err(format!("api_key_env names {name}, which is not set")),
        });
        Chat::new(
            &self.url,
            self.model.clone(),
            key.transpose()?,
            self.instructions.clone(),
            history as usize,
        )
    }
}

/// The programs that are named, by the ARNs of aliases.
pub(crate) fn programs(written: &BTreeMap<String, Bot>) -> Result<HashMap<String, Program>> {
    let program = |(arn, bot): (&String, &Bot)| {
        let refuse = |error: String| Error::usage(format!("bots.\"{arn}\": {error}"));
        let alias: LexBotAliasArn = arn.parse().map_err(|error| {
            refuse(format!("{error}")).hint(
                "It is what LexBotAliasArn of CreateAppInstanceBot names: arn:aws:lex:…:bot-alias/ID/ID.",
            )
        })?;
        Ok((alias.as_str().to_owned(), bot.program().map_err(refuse)?))
    };
    written.iter().map(program).collect()
}

/// The alias of the bot that `dev` shows; nothing where no region of AWS could be called so.
pub fn demo_alias(home: &Home) -> Option<LexBotAliasArn> {
    let arn = format!("arn:aws:lex:{}:{}:bot-alias/DEMOECHO00/TSTALIASID", home.region(), home.account());
    arn.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALIAS: &str = "arn:aws:lex:us-east-1:000000000000:bot-alias/ABCDE12345/TSTALIASID";

    fn read(text: &str) -> std::result::Result<Bot, toml::de::Error> {
        toml::from_str(text)
    }

    fn refused(arn: &str, text: &str) -> String {
        programs(&BTreeMap::from([(arn.to_owned(), read(text).unwrap())])).unwrap_err().to_string()
    }

    #[test]
    fn each_kind_of_program_is_read() {
        for text in [
            "kind = 'http'\nurl = 'http://127.0.0.1:9000'",
            "kind = 'http'\nurl = 'https://bots.internal'\nsecret = 'hush'",
            "kind = 'echo'",
            "kind = 'chat'\nurl = 'http://127.0.0.1:1'\nmodel = 'm'\ninstructions = 'Be brief.'\nhistory_messages = 0",
            "kind = 'chat'\nurl = 'http://127.0.0.1:1/v1'\nmodel = 'm'\napi_key_env = 'PATH'",
        ] {
            let bot = read(text).unwrap();
            assert!(!format!("{bot:?}").contains("hush"));
            assert!(programs(&BTreeMap::from([(ALIAS.to_owned(), bot)])).is_ok(), "{text}");
        }
        for text in ["kind = 'poem'", "url = 'http://x'", "kind = 'echo'\nurl = 'http://x'", "kind = 'http'"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(refused("concierge", "kind = 'echo'").contains("bots.\"concierge\""));
        assert!(refused(ALIAS, "kind = 'http'\nurl = 'nowhere'").contains("nowhere is no URL"));
        let chat = "kind = 'chat'\nurl = 'http://127.0.0.1:1'\nmodel = ";
        assert!(refused(ALIAS, &format!("{chat}''")).contains("model is empty"));
        let unset = format!("{chat}'m'\napi_key_env = 'NO_SUCH_VARIABLE'");
        assert!(refused(ALIAS, &unset).contains("NO_SUCH_VARIABLE, which is not set"));
        assert!(refused(ALIAS, &format!("{chat}'m'\nhistory_messages = 201")).contains("at most 200"));
    }
}
