//! What the operations on bots have in common.

use carillon_model::arn::IdentityKind;
use carillon_model::bot::{InvokedBy as StoredInvokedBy, Lex};

use crate::prelude::*;

/// The configuration of a request as the store keeps it. Neither of the two ways to say which messages a bot answers
/// is turned into the other: what was given is returned.
pub(super) fn lex(call: &Call, configuration: &Configuration) -> Result<Lex> {
    let lex = &configuration.lex;
    let home = &call.surroundings.home;
    let start = format!("arn:aws:lex:{}:{}:", home.region(), home.account());
    if !lex.lex_bot_alias_arn.as_str().starts_with(&start) {
        return Err(Error::bad_request("LexBotAliasArn: must be of the app instance's account and region"));
    }
    if !is_locale(lex.locale_id.as_str()) {
        return Err(Error::bad_request("LocaleId: must be a language and a country, such as en_US"));
    }
    if let (Some(_), Some(invoked_by)) = (lex.responds_to, &lex.invoked_by)
        && invoked_by.standard_messages != StandardMessages::All
    {
        return Err(Error::bad_request("RespondsTo: says ALL, and InvokedBy says otherwise"));
    }
    Ok(Lex {
        alias: lex.lex_bot_alias_arn.clone(),
        locale: lex.locale_id.clone(),
        welcome_intent: lex.welcome_intent.clone(),
        invoked_by: lex.invoked_by.as_ref().map(|invoked_by| StoredInvokedBy {
            standard: invoked_by.standard_messages,
            targeted: invoked_by.targeted_messages,
        }),
        responds_to: lex.responds_to,
    })
}

/// Two or three small letters, then a country by letters or a region by number.
fn is_locale(text: &str) -> bool {
    let Some((language, country)) = text.split_once('_') else { return false };
    let letters = |text: &str, test: fn(&u8) -> bool| text.bytes().all(|byte| test(&byte));
    let numbered = country.len() == 3 && letters(country, u8::is_ascii_digit);
    let named = country.len() == 2 && letters(country, u8::is_ascii_uppercase);
    (2..=3).contains(&language.len()) && letters(language, u8::is_ascii_lowercase) && (numbered || named)
}

/// Refuses the ARN of a user where a bot's is meant.
pub(super) fn only_bot(arn: &IdentityArn) -> Result<()> {
    match arn.kind() {
        IdentityKind::Bot => Ok(()),
        IdentityKind::User => {
            Err(Error::bad_request("AppInstanceBotArn: must be the ARN of an app instance bot"))
        }
    }
}

/// A bot that is not there.
pub(super) fn no_bot() -> Error {
    Error::forbidden("The bot does not exist")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_is_a_language_and_a_country() {
        for good in ["en_US", "es_419", "zh_CN", "fil_PH"] {
            assert!(is_locale(good), "{good}");
        }
        for bad in ["", "en", "EN_us", "en-US", "en_", "_US", "en_USA", "english_US", "en_41", "é_US"] {
            assert!(!is_locale(bad), "{bad}");
        }
    }
}
