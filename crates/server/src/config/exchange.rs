//! `[exchange]`: who may turn an application's own token into credentials, and for which app instance.
//!
//! The keys have no flags. Each has a variable, its name in capitals after `CARILLON_EXCHANGE_`; where a key takes
//! several values, the variable has commas between them. A variable wins over the file.

use std::fmt;

use carillon_access::web_identity::KeySource;
use carillon_auth::jwt::KeySet;
use carillon_model::AppInstanceArn;
use carillon_model::arn::Home;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::error::{Error, Result};
use crate::exchange::{Settings, Trust};
use crate::key_sets::{Reach, check_url};

/// The fewest bytes of a secret that nobody can guess.
const SECRET_BYTES_MIN: usize = 32;

/// The exchange, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Exchange {
    /// Whose tokens are taken: off (nobody's), anonymous (everybody gets a new user), jwt (an identity provider's),
    /// secret (whoever has the secret) [default: off; in dev, anonymous].
    pub(crate) mode: Option<String>,
    /// The app instance, by ARN or by id [default: the only one; in dev, the demo].
    pub(crate) app_instance: Option<String>,
    /// Where the provider publishes its keys [default: where its issuer's configuration says].
    pub(crate) jwks_url: Option<String>,
    /// For whom tokens must be made, any of these; mode jwt needs it [default: anybody].
    pub(crate) audience: Option<OneOrMore>,
    /// Who must have made them [default: whoever has the key].
    pub(crate) issuer: Option<String>,
    /// What tokens are signed with, by HS256.
    pub(crate) secret: Option<SharedSecret>,
    /// The web origins whose pages may ask, as `https://chat.example.com` [default: all].
    pub(crate) origins: Option<OneOrMore>,
    /// The claim that is the user's id [default: sub].
    pub(crate) user_id_claim: Option<String>,
    /// The claim that is the user's display name [default: name].
    pub(crate) name_claim: Option<String>,
    /// Whether they may list and describe the users of the app instance [default: true].
    pub(crate) list_users: Option<bool>,
}

/// One text, or a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub(crate) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// A secret that is never shown.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct SharedSecret(String);

impl SharedSecret {
    /// The secret, for whoever compares it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for SharedSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        // What is wrong with a value is usually said by showing it.
        match toml::Value::deserialize(deserializer) {
            Ok(toml::Value::String(secret)) => Ok(Self(secret)),
            _ => Err(de::Error::custom("the secret must be a text")),
        }
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(…)")
    }
}

impl OneOrMore {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::More(texts) => texts,
        }
    }

    /// What a variable says: texts with commas between them.
    fn of_variable(text: &str) -> Self {
        Self::More(text.split(',').map(|text| text.trim().to_owned()).collect())
    }
}

impl Exchange {
    /// What the environment says.
    pub(crate) fn from_environment() -> Self {
        Self::of_variables(|key| {
            let name = format!("CARILLON_EXCHANGE_{key}");
            std::env::var(name).ok().filter(|value| !value.is_empty())
        })
    }

    fn of_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let several = |key| variable(key).map(|text| OneOrMore::of_variable(&text));
        Self {
            mode: variable("MODE"),
            app_instance: variable("APP_INSTANCE"),
            jwks_url: variable("JWKS_URL"),
            audience: several("AUDIENCE"),
            issuer: variable("ISSUER"),
            secret: variable("SECRET").map(SharedSecret),
            origins: several("ORIGINS"),
            user_id_claim: variable("USER_ID_CLAIM"),
            name_claim: variable("NAME_CLAIM"),
            // Anything but a plain yes forbids it.
            list_users: variable("LIST_USERS").map(|text| matches!(text.as_str(), "true" | "1")),
        }
    }

    /// What is written here, and for the rest what is written there.
    pub(crate) fn or(self, there: Self) -> Self {
        Self {
            mode: self.mode.or(there.mode),
            app_instance: self.app_instance.or(there.app_instance),
            jwks_url: self.jwks_url.or(there.jwks_url),
            audience: self.audience.or(there.audience),
            issuer: self.issuer.or(there.issuer),
            secret: self.secret.or(there.secret),
            origins: self.origins.or(there.origins),
            user_id_claim: self.user_id_claim.or(there.user_id_claim),
            name_claim: self.name_claim.or(there.name_claim),
            list_users: self.list_users.or(there.list_users),
        }
    }

    /// What it means; nothing where it is off.
    pub(crate) fn read(self, home: &Home, default_mode: &str, reach: Reach) -> Result<Option<Settings>> {
        let mode = self.mode.as_deref().unwrap_or(default_mode);
        let trust = match mode {
            "off" => return Ok(None),
            "anonymous" => Trust::Anonymous,
            "jwt" => Trust::Provider(self.source(reach)?),
            "secret" => self.shared_secret()?,
            _ => {
                return Err(Error::usage(format!("exchange.mode is {mode}"))
                    .hint("It can be off, anonymous, jwt or secret."));
            }
        };
        let audiences = self.audience.map(OneOrMore::into_vec).unwrap_or_default();
        if matches!(trust, Trust::Provider(_)) && audiences.iter().all(String::is_empty) {
            return Err(Error::usage("exchange.mode is jwt, and no exchange.audience is set").hint(
                "Without it, tokens that the provider made for other applications would be taken too.",
            ));
        }
        let claim = |named: Option<String>, default: &str| named.unwrap_or_else(|| default.to_owned());
        Ok(Some(Settings {
            trust,
            list_users: self.list_users.unwrap_or(true),
            app_instance: self.app_instance.map(|text| read_app_instance(home, &text)).transpose()?,
            audiences,
            issuer: self.issuer,
            origins: read_origins(self.origins)?,
            user_id_claim: claim(self.user_id_claim, "sub"),
            name_claim: claim(self.name_claim, "name"),
        }))
    }

    fn source(&self, reach: Reach) -> Result<KeySource> {
        let (key, source) = match (&self.jwks_url, &self.issuer) {
            (Some(url), _) => ("jwks_url", KeySource::Jwks(url.clone())),
            (None, Some(issuer)) => ("issuer", KeySource::Issuer(issuer.clone())),
            (None, None) => {
                return Err(Error::usage("exchange.mode is jwt, and no exchange.jwks_url is set")
                    .hint("Name the address of the provider's keys, or its issuer, where they are found."));
            }
        };
        let (KeySource::Jwks(url) | KeySource::Issuer(url)) = &source;
        check_url(url, reach).map_err(|reason| Error::usage(format!("exchange.{key} is {url}: {reason}")))?;
        Ok(source)
    }

    fn shared_secret(&self) -> Result<Trust> {
        let Some(SharedSecret(secret)) = &self.secret else {
            return Err(Error::usage("exchange.mode is secret, and no exchange.secret is set")
                .hint("Set CARILLON_EXCHANGE_SECRET; `openssl rand -base64 32` makes one."));
        };
        if secret.len() < SECRET_BYTES_MIN {
            return Err(Error::usage(format!("exchange.secret has fewer than {SECRET_BYTES_MIN} bytes"))
                .hint("It could be guessed; `openssl rand -base64 32` makes one that cannot."));
        }
        Ok(Trust::Secret(KeySet::of_secret(secret.as_bytes())))
    }
}

fn read_app_instance(home: &Home, text: &str) -> Result<AppInstanceArn> {
    let (region, account) = (home.region(), home.account());
    let arn = if text.starts_with("arn:") {
        text.to_owned()
    } else {
        format!("arn:aws:chime:{region}:{account}:app-instance/{text}")
    };
    let is_ours = |arn: &AppInstanceArn| home.owns(arn.as_str()) && arn.key().is_some();
    let owned = arn.parse().ok().filter(is_ours);
    owned.ok_or_else(|| {
        Error::usage(format!("exchange.app_instance is {text}"))
            .hint("It is the ARN of an app instance of this region and account, or its id.")
    })
}

/// The origins, as browsers send them; none where all may ask.
fn read_origins(origins: Option<OneOrMore>) -> Result<Option<Vec<String>>> {
    let Some(origins) = origins.map(OneOrMore::into_vec) else { return Ok(None) };
    if origins.iter().any(|origin| origin == "*") {
        return Ok(None);
    }
    for origin in &origins {
        let url = origin.parse::<reqwest::Url>().ok();
        if url.is_none_or(|url| url.origin().ascii_serialization() != *origin) {
            return Err(Error::usage(format!("exchange.origins has {origin}, which is no origin"))
                .hint("An origin is scheme, host and port, with nothing after: https://chat.example.com"));
        }
    }
    Ok(Some(origins))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A secret of 32 bytes.
    const LONG: &str = "a-secret-of-thirty-two-bytes-yes";

    fn home() -> Home {
        Home::new("us-east-1", "000000000000")
    }

    fn read(text: &str) -> Result<Option<Settings>> {
        toml::from_str::<Exchange>(text).unwrap().read(&home(), "off", Reach::Public)
    }

    fn refused(text: &str) -> String {
        read(text).err().unwrap().to_string()
    }

    #[test]
    fn it_is_off_unless_it_is_asked_for() {
        assert!(read("").unwrap().is_none());
        assert!(read("secret = 's'").unwrap().is_none());
        assert!(Exchange::default().read(&home(), "anonymous", Reach::Public).unwrap().is_some());
        let off = Exchange { mode: Some("off".to_owned()), ..Exchange::default() };
        assert!(off.read(&home(), "anonymous", Reach::Public).unwrap().is_none());
    }

    #[test]
    fn the_claims_and_lists_have_defaults_and_can_be_set() {
        let settings = read(&format!("mode = 'secret'\nsecret = '{LONG}'")).unwrap().unwrap();
        assert!(settings.list_users);
        assert_eq!((&*settings.user_id_claim, &*settings.name_claim), ("sub", "name"));
        assert_eq!((settings.origins, settings.app_instance, settings.audiences.len()), (None, None, 0));
        let id = "8d1e2f30-aaaa-4bbb-8ccc-000000000001";
        let set = format!(
            "mode = 'jwt'\njwks_url = 'https://id.example/keys'\naudience = ['web', 'phone']\n\
             origins = 'https://chat.example'\nuser_id_claim = 'uid'\nname_claim = 'nick'\napp_instance = '{id}'"
        );
        let settings = read(&set).unwrap().unwrap();
        assert_eq!((&*settings.user_id_claim, &*settings.name_claim), ("uid", "nick"));
        assert_eq!(settings.audiences, ["web", "phone"]);
        assert_eq!(settings.origins.as_deref(), Some(["https://chat.example".to_owned()].as_slice()));
        assert!(settings.app_instance.unwrap().as_str().ends_with(&format!(":app-instance/{id}")));
    }

    #[test]
    fn a_variable_wins_over_the_file() {
        let variables = |key: &str| match key {
            "MODE" => Some("secret".to_owned()),
            "LIST_USERS" => Some("no".to_owned()),
            "ORIGINS" => Some("https://a.example, http://localhost:9000".to_owned()),
            _ => None,
        };
        let file = format!("mode = 'off'\nsecret = '{LONG}'\norigins = ['https://b.example']");
        let settings = Exchange::of_variables(variables).or(toml::from_str(&file).unwrap());
        let settings = settings.read(&home(), "off", Reach::Public).unwrap().unwrap();
        assert!(matches!(settings.trust, Trust::Secret(_)) && !settings.list_users);
        let origins = ["https://a.example".to_owned(), "http://localhost:9000".to_owned()];
        assert_eq!(settings.origins.as_deref(), Some(origins.as_slice()));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_key() {
        for (text, word) in [
            ("mode = 'open'", "exchange.mode"),
            ("mode = 'jwt'", "exchange.jwks_url"),
            ("mode = 'jwt'\njwks_url = 'http://id.example/'", "exchange.jwks_url"),
            ("mode = 'jwt'\nissuer = 'id.example'", "exchange.issuer"),
            ("mode = 'jwt'\nissuer = 'http://127.0.0.1:8080'\naudience = 'chat'", "exchange.issuer"),
            ("mode = 'jwt'\nissuer = 'https://10.0.0.1'\naudience = 'chat'", "exchange.issuer"),
            ("mode = 'jwt'\nissuer = 'https://id.example'", "exchange.audience"),
            ("mode = 'jwt'\nissuer = 'https://id.example'\naudience = ''", "exchange.audience"),
            ("mode = 'secret'", "exchange.secret"),
            ("mode = 'secret'\nsecret = 'only-thirty-one-bytes-in-here-x'", "exchange.secret"),
            ("mode = 'anonymous'\napp_instance = 'x y'", "exchange.app_instance"),
            ("mode = 'anonymous'\norigins = 'https://chat.example/'", "exchange.origins"),
            ("mode = 'anonymous'\norigins = 'chat.example'", "exchange.origins"),
        ] {
            assert!(refused(text).contains(word), "{text}");
        }
        let other =
            "mode = 'anonymous'\napp_instance = 'arn:aws:chime:eu-west-1:000000000000:app-instance/x'";
        assert!(refused(other).contains("exchange.app_instance"));
    }

    #[test]
    fn the_secret_is_never_shown() {
        let exchange: Exchange = toml::from_str("mode = 'secret'\nsecret = 'hunter2'").unwrap();
        assert!(!format!("{exchange:?}").contains("hunter2"));
        let error = toml::from_str::<Exchange>("secret = 271828").unwrap_err();
        assert_eq!(error.message(), "the secret must be a text");
    }
}
