//! The exchange: whom an application's token names, and whether they may ask again so soon.
//!
//! HTTP stands before it, and the service, which makes users and credentials, behind it. It knows neither.

use std::sync::{Arc, OnceLock};

use carillon_access::web_identity::{Disbelief, KeySets, KeySource, verify};
use carillon_auth::jwt::{Claims, Expectation, KeySet, Refusal, Token};
use carillon_model::AppInstanceArn;
use carillon_service::front::exchange::Person;
use carillon_service::front::roles::Role;
use carillon_service::{Clock, Service};

use crate::buckets::Buckets;

/// How many an address may ask at once: an office signs in through one.
const AT_ONCE_MAX: i64 = 100;
/// How long until it may ask once more.
const INTERVAL_MS: i64 = 100;

/// How it is set up.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Whose tokens are taken.
    pub(crate) trust: Trust,
    /// The app instance, where one is named.
    pub(crate) app_instance: Option<AppInstanceArn>,
    /// Whether they may list and describe the users of the app instance.
    pub(crate) list_users: bool,
    /// For whom tokens must be made; none, where only the application has the secret, and they may be for anybody.
    pub(crate) audiences: Vec<String>,
    /// Who must have made them.
    pub(crate) issuer: Option<String>,
    /// The origins whose pages may ask; nothing where all may.
    pub(crate) origins: Option<Vec<String>>,
    /// The claim that is the user's id.
    pub(crate) user_id_claim: String,
    /// The claim that is the user's display name.
    pub(crate) name_claim: String,
}

/// Whose tokens are taken.
#[derive(Debug)]
pub(crate) enum Trust {
    /// Everybody gets a new user, with or without a token.
    Anonymous,
    /// Those of an identity provider.
    Provider(KeySource),
    /// Those that are signed with a shared secret.
    Secret(KeySet),
}

/// The exchange.
pub(crate) struct Exchange {
    settings: Arc<Settings>,
    key_sets: Arc<dyn KeySets>,
    clock: Arc<dyn Clock>,
    /// The app instance of `dev`, which others may stand beside.
    demo: OnceLock<AppInstanceArn>,
    /// How soon each address may ask again.
    pub(crate) buckets: Buckets,
}

impl Exchange {
    /// An exchange that is set up so.
    pub(crate) fn new(settings: Arc<Settings>, key_sets: Arc<dyn KeySets>, clock: Arc<dyn Clock>) -> Self {
        let buckets = Buckets::new(AT_ONCE_MAX, INTERVAL_MS);
        Self { settings, key_sets, clock, demo: OnceLock::new(), buckets }
    }

    /// Where no app instance is named, it is this one.
    pub(crate) fn prefer(&self, demo: AppInstanceArn) {
        // There is one demo; a second would be the same.
        let _ = self.demo.set(demo);
    }

    /// What those may do who exchange.
    pub(crate) fn role(&self) -> Role {
        match self.settings.trust {
            _ if !self.settings.list_users => Role::Secluded,
            Trust::Anonymous => Role::Anonymous,
            Trust::Provider(_) | Trust::Secret(_) => Role::User,
        }
    }

    /// Whether pages of this origin may ask.
    pub(crate) fn admits(&self, origin: &str) -> bool {
        self.settings.origins.as_ref().is_none_or(|origins| origins.iter().any(|known| known == origin))
    }

    /// Whether the configuration names this origin.
    pub(crate) fn names(&self, origin: &str) -> bool {
        self.settings.origins.is_some() && self.admits(origin)
    }

    /// Time, by which addresses may ask again.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.real().ms()
    }

    /// The app instance: the one that is named, else the demo, else the only one there is.
    pub(crate) async fn app_instance(
        &self,
        service: &Service,
    ) -> carillon_service::error::Result<Option<AppInstanceArn>> {
        match self.settings.app_instance.as_ref().or(self.demo.get()) {
            Some(named) => Ok(Some(named.clone())),
            None => service.only_app_instance().await,
        }
    }

    /// Whom a token names; whom nobody knows is named by the UUID. Its times are judged by real time, as those of
    /// signatures are: who made it knows no other.
    pub(crate) async fn recognize(&self, token: Option<&str>, uuid: &str) -> Result<Person, Disbelief> {
        let settings = &self.settings;
        let expectation = Expectation {
            audiences: &settings.audiences,
            issuer: settings.issuer.as_deref(),
            now_ms: self.clock.real().ms(),
        };
        let none = Disbelief::Refused(Refusal::Malformed);
        let claims = match &settings.trust {
            Trust::Anonymous => return Ok(Person::anonymous(uuid)),
            Trust::Provider(source) => {
                verify(&*self.key_sets, source, token.ok_or(none)?, &expectation).await?
            }
            Trust::Secret(keys) => {
                let verified =
                    Token::parse(token.ok_or(none)?).and_then(|token| token.verify(keys, &expectation));
                verified.map_err(Disbelief::Refused)?
            }
        };
        self.person(&claims).ok_or(none)
    }

    fn person(&self, claims: &Claims) -> Option<Person> {
        let id = claims.text(&self.settings.user_id_claim)?;
        Some(Person::new(id, claims.text(&self.settings.name_claim)))
    }
}
