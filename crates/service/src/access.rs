//! Who signs, and the first gate: what the account's policies let them do.
//!
//! Every node holds all users, roles, keys and policies in memory, compiled; a version in the store, looked at on a
//! short interval and after each change made here, says when to read them again. So a request needs no look-up: its
//! key is found or not in the same time, its session token opens by itself, and the root key costs a comparison.
//!
//! The gate knows actions and the ARNs that they are checked on (`rules`). It does not know whether what an ARN
//! names exists, nor the roles of the chat: those are the second gate.

mod built_in;
mod caller;
mod document;
mod gate;
mod keys;
mod reseal;
pub(crate) mod rules;
mod session;
mod snapshot;

use std::sync::Arc;

use arc_swap::ArcSwap;
use carillon_auth::{KeyRing, NoSecret, Sealer, Secret};
use carillon_model::Timestamp;
use carillon_store::Store;
use futures_util::lock::Mutex;

pub use built_in::Role;
pub(crate) use built_in::{APP_INSTANCE_TAG, USER_TAG};
pub(crate) use caller::{Caller, Portrait};
pub(crate) use gate::{Denied, Gate, Surrounding, Verdict, verdict, verdict_of_trusted};
pub(crate) use keys::is_known as is_known_key;
pub use reseal::Resealed;
pub(crate) use session::{Claims, Sessions, TOKEN_BYTES_MAX};
pub(crate) use snapshot::{Actor, Snapshot, arn};

use crate::error::{Error, Result};

/// What the secrets of access keys are sealed for; each is bound to the id of its key.
const ACCESS_KEYS: &str = "access keys";
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

/// All that the gate knows.
pub(crate) struct Access {
    current: ArcSwap<Snapshot>,
    pub(crate) sessions: Sessions,
    pub(crate) secrets: Sealer,
    /// Held while what is stored is read, so that an older reading never replaces a newer one.
    reading: Mutex<()>,
}

impl Access {
    /// Knows nobody but root yet.
    pub(crate) fn new(keys: &KeyRing) -> Self {
        Self {
            current: ArcSwap::default(),
            sessions: Sessions::new(keys.sealer(SESSION_TOKENS)),
            secrets: keys.sealer(ACCESS_KEYS),
            reading: Mutex::new(()),
        }
    }

    /// What is known now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Reads what is stored, if it has changed.
    pub(crate) async fn refresh(&self, store: &Store, account: &str) -> Result<()> {
        let _reading = self.reading.lock().await;
        let known = self.current.load().version.clone();
        let stored =
            store.read(move |tx| Ok::<_, Error>(snapshot::Stored::read(tx, known.as_deref())?)).await?;
        if let Some(stored) = stored {
            let next = Snapshot::compile(stored, &self.current.load(), &self.secrets, account);
            self.current.store(Arc::new(next));
        }
        Ok(())
    }

    /// Whose an access key is, and its secret.
    pub(crate) fn find(
        &self,
        root: &RootCredentials,
        access_key_id: &str,
        session_token: Option<&str>,
        now: Timestamp,
    ) -> std::result::Result<(Caller, Secret), NoSecret> {
        let Some(token) = session_token else {
            if access_key_id == root.access_key_id {
                return Ok((Caller::root(), root.secret.clone()));
            }
            let (actor, secret) = self.current.load().find_key(access_key_id).ok_or(NoSecret::Unknown)?;
            return Ok((Caller { actor: Some(actor), session: None }, secret));
        };
        let session =
            self.sessions.open(token).filter(|session| session.claims.access_key_id == access_key_id);
        let session = session.ok_or(NoSecret::Unknown)?;
        let actor = match &session.claims.principal {
            None => None,
            Some(id) => {
                let found = built_in::find(id).or_else(|| self.current.load().find(id));
                Some(found.ok_or(NoSecret::Unknown)?)
            }
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
