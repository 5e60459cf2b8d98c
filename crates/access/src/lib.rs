//! Who signs, and the first gate: what the account's policies let them do. Also the two interfaces that change it,
//! IAM and STS (`query`), and the sessions that both give out.
//!
//! Every node holds all users, roles, keys and policies in memory, compiled; a version in the store, looked at on a
//! short interval and after each change made here, says when to read them again. So a request needs no look-up: its
//! key is found or not in the same time, its session token opens by itself, and the root key costs a comparison.
//!
//! The gate knows actions and ARNs, as texts. It knows no operation, no channel, and not whether what an ARN names
//! exists: what asks for which action, and the roles of the chat, are the affair of whoever asks it.

mod built_in;
mod caller;
mod document;
mod gate;
mod given;
mod keys;
pub mod query;
mod random;
mod reseal;
mod session;
mod sieve;
mod signed;
mod snapshot;
mod verdict;
pub mod web_identity;
mod witness;

use std::sync::Arc;

use arc_swap::ArcSwap;
use carillon_auth::{KeyRing, NoSecret, Sealer, Secret, Verifier};
use carillon_model::Timestamp;
use carillon_model::arn::Home;
use carillon_store::{self as store, Store};
use futures_util::lock::Mutex;

pub use built_in::BuiltIn;
pub use caller::Caller;
pub use gate::{Among, Ask, Asked, Check, Denied, Gate, Surrounding};
pub use given::{Giving, SessionCredentials};
pub use reseal::{Resealed, count_unreadable};
pub use sieve::Sieve;
pub use signed::Claimed;
pub use witness::{Seen, Witness};

use session::Sessions;
use snapshot::{Actor, Snapshot};
use web_identity::KeySets;

/// What the secrets of access keys are sealed for; each is bound to the id of its key.
pub const ACCESS_KEYS: &str = "access keys";
/// What session tokens are sealed for.
const SESSION_TOKENS: &str = "session tokens";

/// The credentials that may do everything.
#[derive(Debug, Clone)]
pub struct RootCredentials {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret: Secret,
}

/// When a request came.
#[derive(Debug, Clone, Copy)]
pub struct When {
    /// By the service's clock, which tests may move.
    pub now: Timestamp,
    /// In real time, which judges what others have signed, and nothing else.
    pub real: Timestamp,
}

/// What access is made of.
pub struct Settings {
    /// Where users, roles, keys and policies are kept.
    pub store: Arc<Store>,
    /// Region and account.
    pub home: Home,
    /// The credentials that may do everything.
    pub root: RootCredentials,
    /// Knows the keys of identity providers.
    pub key_sets: Arc<dyn KeySets>,
    /// Roles that nobody has made.
    pub built_in: Vec<BuiltIn>,
}

/// All that the gate knows.
pub struct Access {
    store: Arc<Store>,
    home: Home,
    root: RootCredentials,
    key_sets: Arc<dyn KeySets>,
    built_in: Vec<Arc<Actor>>,
    verifier: Verifier,
    current: ArcSwap<Snapshot>,
    sessions: Sessions,
    secrets: Sealer,
    /// Held while what is stored is read, so that an older reading never replaces a newer one.
    reading: Mutex<()>,
}

impl Access {
    /// Knows nobody yet but root and the roles that are built in.
    pub fn new(settings: Settings, keys: &KeyRing) -> Self {
        let Settings { store, home, root, key_sets, built_in } = settings;
        Self {
            store,
            home,
            root,
            key_sets,
            built_in: built_in.iter().map(|role| Arc::new(role.compile())).collect(),
            verifier: Verifier::new(),
            current: ArcSwap::default(),
            sessions: Sessions::new(keys.sealer(SESSION_TOKENS)),
            secrets: keys.sealer(ACCESS_KEYS),
            reading: Mutex::new(()),
        }
    }

    /// The access key id of root.
    pub fn root_key_id(&self) -> &str {
        &self.root.access_key_id
    }

    /// What is known now.
    fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Reads what is stored, if it has changed.
    pub async fn refresh(&self) -> store::Result<()> {
        let _reading = self.reading.lock().await;
        let known = self.current.load().version.clone();
        let stored = self.store.read(move |tx| snapshot::Stored::read(tx, known.as_deref())).await?;
        if let Some(stored) = stored {
            let next = Snapshot::compile(stored, &self.current.load(), &self.secrets, self.home.account());
            self.current.store(Arc::new(next));
        }
        Ok(())
    }

    /// The user or role with this id, be it built in or stored.
    fn find_actor(&self, id: &str) -> Option<Arc<Actor>> {
        let built_in = self.built_in.iter().find(|actor| actor.principal.id == id).cloned();
        built_in.or_else(|| self.current.load().find(id))
    }

    /// Whom a text names: by an access key id; by the ARN of root, of a user, a role or a role's session; or by the
    /// name of a user, or else of a role. A session that an ARN names is a supposed one, without tags.
    pub fn find_named(&self, named: &str) -> Option<Caller> {
        let account = self.home.account();
        if named == self.root.access_key_id || named == Caller::root().arn(account) {
            return Some(Caller::root());
        }
        let assumed = named.strip_prefix("arn:aws:sts::").and_then(|rest| rest.strip_prefix(account));
        let assumed = assumed.and_then(|rest| rest.strip_prefix(":assumed-role/"));
        let role = assumed.map_or(named, |rest| rest.split('/').next().unwrap_or_default());
        let is_built_in = |actor: &&Arc<Actor>| actor.arn == named || actor.principal.name == role;
        let built_in = self.built_in.iter().find(is_built_in).cloned();
        let actor = built_in.or_else(|| self.current.load().find_named(named, role))?;
        Some(Caller { actor: Some(actor), session: None })
    }

    /// Whose an access key is, and its secret.
    fn find(
        &self,
        access_key_id: &str,
        session_token: Option<&str>,
        now: Timestamp,
    ) -> Result<(Caller, Secret), NoSecret> {
        let Some(token) = session_token else {
            if access_key_id == self.root.access_key_id {
                return Ok((Caller::root(), self.root.secret.clone()));
            }
            let (actor, secret) = self.current.load().find_key(access_key_id).ok_or(NoSecret::Unknown)?;
            return Ok((Caller { actor: Some(actor), session: None }, secret));
        };
        let session =
            self.sessions.open(token).filter(|session| session.claims.access_key_id == access_key_id);
        let session = session.ok_or(NoSecret::Unknown)?;
        let actor = match &session.claims.principal {
            None => None,
            Some(id) => Some(self.find_actor(id).ok_or(NoSecret::Unknown)?),
        };
        let revoked_before = actor.as_ref().and_then(|actor| actor.revoked_before());
        let revoked = revoked_before.is_some_and(|before| session.issued_at() < before);
        if session.expires_at() <= now || revoked {
            return Err(NoSecret::Expired);
        }
        let secret = session.secret.clone();
        Ok((Caller { actor, session: Some(session) }, secret))
    }
}
