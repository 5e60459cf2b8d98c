//! The keys of identity providers: fetched over HTTP, kept for a while, and fetched again when a token names one
//! that is not known.
//!
//! A provider that cannot be reached does not keep its users out as long as the last keys are not too old, and is
//! not asked again at once. What a token is worth is not known here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use carillon_access::web_identity::{Finding, KeySets, KeySource, Unreachable};
use carillon_auth::jwt::KeySet;
use carillon_model::Timestamp;
use carillon_service::Clock;
use carillon_targets::public::{PublicOnly, address_of, is_public};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::Deserialize;

use crate::error::{Error, Result};

/// For how long keys are used without asking whether there are others.
const FRESH_MS: i64 = 10 * 60 * 1000;
/// How often a provider is asked in the long run at most, whatever tokens name: unknown key ids cost a sender nothing.
const ASK_INTERVAL_MS: i64 = 30 * 1000;
/// How often it may be asked at once, after a time of silence: keys that were replaced just now are found at once.
const ASKS_AT_ONCE_MAX: i64 = 4;
/// For how long the last keys are used when a provider cannot be reached.
const KEPT_MS_MAX: i64 = 24 * 60 * 60 * 1000;
/// How long a provider may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of an answer; sets of keys have a few thousand.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// The most providers whose keys are kept.
const SOURCES_MAX: usize = 128;

/// Whom it may ask for keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Who has a public address, over HTTPS: whoever may name a provider must not make this server ask its neighbours.
    Public,
    /// Also those in the same network, and over plain HTTP on this machine.
    Private,
}

impl Reach {
    /// What `allow_private_providers` says.
    pub(crate) fn of(allow_private: bool) -> Self {
        if allow_private { Self::Private } else { Self::Public }
    }
}

/// The keys of all providers.
pub struct FetchedKeySets {
    clock: Arc<dyn Clock>,
    reach: Reach,
    /// For the outside: HTTPS only.
    outside: Client,
    /// For this machine, past any proxy.
    loopback: Client,
    providers: Mutex<HashMap<KeySource, Arc<Provider>>>,
}

/// What is known of one provider.
#[derive(Default)]
struct Provider {
    known: Mutex<Known>,
    /// Held while it is asked, so that it is asked once at a time.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default, Clone)]
struct Known {
    keys: Option<(Arc<KeySet>, Timestamp)>,
    asked_at: Option<Timestamp>,
    /// When all that was asked so far would have been asked, had the interval been kept.
    paid_until_ms: i64,
}

/// The part of a provider's configuration that matters.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl FetchedKeySets {
    /// Knows none yet.
    pub fn new(clock: Arc<dyn Clock>, reach: Reach) -> Result<Self> {
        let client = || Client::builder().redirect(Policy::none()).timeout(ANSWER_TIMEOUT);
        let fault = |error| Error::failure(format!("there can be no HTTP client: {error}"));
        let outside = client().https_only(true);
        let outside = match reach {
            // Past any proxy: the address that is dialled is looked at, and a proxy would dial another.
            Reach::Public => {
                outside.no_proxy().dns_resolver(Arc::new(PublicOnly { unless: "allow_private_providers" }))
            }
            Reach::Private => outside,
        };
        Ok(Self {
            clock,
            reach,
            outside: outside.build().map_err(fault)?,
            loopback: client().no_proxy().build().map_err(fault)?,
            providers: Mutex::default(),
        })
    }

    /// What is known of a provider. Where there are too many, the one asked longest ago is forgotten.
    fn provider(&self, source: &KeySource) -> Arc<Provider> {
        let mut providers = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        if !providers.contains_key(source) && SOURCES_MAX <= providers.len() {
            let oldest = providers.iter().min_by_key(|(_, provider)| provider.known().asked_at);
            let oldest = oldest.map(|(source, _)| source.clone());
            oldest.and_then(|oldest| providers.remove(&oldest));
        }
        providers.entry(source.clone()).or_default().clone()
    }

    async fn find(
        &self,
        source: &KeySource,
        key_id: Option<&str>,
    ) -> std::result::Result<Arc<KeySet>, Unreachable> {
        let provider = self.provider(source);
        let usable = |known: &Known, now| known.usable(now).filter(|keys| keys.has(key_id));
        let known = provider.known();
        if let Some(keys) = usable(&known, self.clock.real())
            && known.is_fresh(self.clock.real())
        {
            return Ok(keys);
        }
        let asking = match usable(&known, self.clock.real()) {
            // They are only a little old: one caller looks for newer ones, and nobody waits for it.
            Some(keys) => match provider.asking.try_lock() {
                Ok(asking) => asking,
                Err(_) => return Ok(keys),
            },
            None => provider.asking.lock().await,
        };
        let known = provider.known();
        let now = self.clock.real();
        let is_found = known.is_fresh(now) && usable(&known, now).is_some();
        if !is_found && known.may_ask(now) {
            self.ask(source, &provider, now).await;
        }
        drop(asking);
        provider.known().usable(self.clock.real()).ok_or(Unreachable)
    }

    async fn ask(&self, source: &KeySource, provider: &Provider, now: Timestamp) {
        let fetched = self.fetch(source).await;
        let mut known = provider.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.asked_at = Some(now);
        known.paid_until_ms = known.paid_until_ms.max(now.ms()) + ASK_INTERVAL_MS;
        match fetched {
            Ok(keys) => {
                tracing::info!(%source, keys = keys.len(), "the keys of an identity provider");
                known.keys = Some((Arc::new(keys), now));
            }
            Err(reason) => {
                let kept = known.usable(now).is_some();
                tracing::warn!(%source, reason, kept, "the keys of an identity provider cannot be fetched");
            }
        }
    }

    async fn fetch(&self, source: &KeySource) -> std::result::Result<KeySet, String> {
        let set = match source {
            KeySource::Jwks(url) => self.get(url).await?,
            KeySource::Issuer(issuer) => {
                let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                let found: Discovered = serde_json::from_slice(&self.get(&place).await?)
                    .map_err(|_| "its OpenID configuration cannot be read")?;
                if found.issuer != *issuer {
                    return Err("its OpenID configuration is of another issuer".to_owned());
                }
                self.get(&found.jwks_uri).await?
            }
        };
        Ok(KeySet::parse(&set)?)
    }

    /// What is at an address, which must be of HTTPS, or on this machine.
    async fn get(&self, url: &str) -> std::result::Result<Vec<u8>, String> {
        let url = check_url(url, self.reach)?;
        let is_near = self.reach == Reach::Private && is_loopback(&url);
        let client = if is_near { &self.loopback } else { &self.outside };
        let answer = client.get(url).header("accept", "application/json").send().await;
        let mut answer = answer.map_err(|error| chain(&error))?;
        if !answer.status().is_success() {
            return Err(format!("it answers with status {}", answer.status().as_u16()));
        }
        let mut whole = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| chain(&error))? {
            if ANSWER_BYTES_MAX < whole.len() + piece.len() {
                return Err(format!("it answers with more than {ANSWER_BYTES_MAX} bytes"));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }
}

impl KeySets for FetchedKeySets {
    fn find<'a>(&'a self, source: &'a KeySource, key_id: Option<&'a str>) -> Finding<'a> {
        Box::pin(self.find(source, key_id))
    }
}

impl Provider {
    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Known {
    /// The keys, unless they are too old.
    fn usable(&self, now: Timestamp) -> Option<Arc<KeySet>> {
        let (keys, fetched_at) = self.keys.as_ref()?;
        (now.ms() - fetched_at.ms() < KEPT_MS_MAX).then(|| keys.clone())
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        self.keys.as_ref().is_some_and(|(_, fetched_at)| now.ms() - fetched_at.ms() < FRESH_MS)
    }

    fn may_ask(&self, now: Timestamp) -> bool {
        self.paid_until_ms - now.ms() <= (ASKS_AT_ONCE_MAX - 1) * ASK_INTERVAL_MS
    }
}

/// Reads an address from which keys may be fetched. What its name leads to is seen when it is dialled.
pub(crate) fn check_url(text: &str, reach: Reach) -> std::result::Result<Url, &'static str> {
    let url: Url = text.parse().map_err(|_| "the address is not a URL")?;
    match (url.scheme(), reach) {
        ("https", Reach::Public) if address_of(&url).is_some_and(|address| !is_public(address)) => {
            Err("the address is not a public one, and allow_private_providers is not set")
        }
        ("https", _) => Ok(url),
        ("http", Reach::Private) if is_loopback(&url) => Ok(url),
        (_, Reach::Private) => Err("the address must be of https, or of http on this machine"),
        (_, Reach::Public) => Err("the address must be of https"),
    }
}

fn is_loopback(url: &Url) -> bool {
    url.host_str() == Some("localhost") || address_of(url).is_some_and(|address| address.is_loopback())
}

/// An error with its causes; the outermost says only that there was one.
fn chain(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(next) = source {
        words.extend([": ", &next.to_string()]);
        source = next.source();
    }
    words
}

#[cfg(test)]
mod tests;
