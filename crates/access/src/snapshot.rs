//! All users, roles, keys and policies at one version, compiled.
//!
//! There are few of them (their quotas say how few), so a change costs one reading of everything; a document that was
//! compiled before is taken over.

use std::collections::HashMap;
use std::sync::Arc;

use carillon_auth::policy::TrustPolicy;
use carillon_auth::{Sealer, Secret};
use carillon_model::Timestamp;
use carillon_store::iam::{self, AccessKey, InlinePolicy, Kind, Principal};
use carillon_store::{self as store, Tx};

use crate::document::{Document, Held, warn_of_key};
use crate::keys::is_known;

/// What is stored, at one version.
pub(super) struct Stored {
    version: Option<String>,
    principals: Vec<Principal>,
    keys: Vec<AccessKey>,
    inline: Vec<InlinePolicy>,
    attached: Vec<(String, String, String)>,
}

impl Stored {
    /// Reads all, unless it is of the version that is known.
    pub(super) fn read(tx: &mut Tx, known: Option<&str>) -> store::Result<Option<Self>> {
        let version = iam::find_version(tx)?;
        if version.as_deref() == known {
            return Ok(None);
        }
        Ok(Some(Self {
            version,
            principals: iam::principal::all(tx)?,
            keys: iam::access_key::all(tx)?,
            inline: iam::inline_policy::all(tx)?,
            attached: iam::policy::all_attached(tx)?,
        }))
    }
}

/// A user or a role, as the gate needs it.
pub(crate) struct Actor {
    /// What is stored of it.
    pub(crate) principal: Principal,
    /// Its ARN.
    pub(crate) arn: String,
    pub(super) documents: Vec<Held>,
    /// Who may assume it, if it is a role whose trust policy can be read.
    pub(crate) trust: Option<TrustPolicy>,
}

impl Actor {
    /// Sessions that were issued before are over.
    pub(super) fn revoked_before(&self) -> Option<Timestamp> {
        self.principal.trusting.as_ref()?.revoked_before
    }
}

/// Everything, at one version.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub(super) version: Option<String>,
    actors: HashMap<String, Arc<Actor>>,
    names: HashMap<(Kind, String), String>,
    keys: HashMap<String, (String, Secret)>,
    documents: HashMap<String, Arc<Document>>,
}

impl Snapshot {
    /// Compiles what is stored. A key whose secret cannot be opened is as unknown as one that is not there.
    pub(super) fn compile(stored: Stored, before: &Self, secrets: &Sealer, account: &str) -> Self {
        let mut next = Self { version: stored.version, ..Self::default() };
        let mut held: HashMap<String, Vec<Held>> = HashMap::new();
        let inline = stored.inline.into_iter();
        let inline = inline.map(|policy| (policy.principal, policy.name, policy.document));
        for (principal, name, text) in inline.chain(stored.attached) {
            let document = next.documents.get(&text).or_else(|| before.documents.get(&text)).cloned();
            let document = document.unwrap_or_else(|| {
                let document = Document::compile(&text);
                document.name_unknown_keys(&principal);
                Arc::new(document)
            });
            next.documents.insert(text, document.clone());
            held.entry(principal).or_default().push(Held { name, document });
        }
        for key in stored.keys.into_iter().filter(|key| key.active) {
            match open(secrets, &key) {
                Some(secret) => drop(next.keys.insert(key.id, (key.principal, secret))),
                None => {
                    tracing::error!(access_key_id = key.id, "the secret of an access key cannot be opened");
                }
            }
        }
        for principal in stored.principals {
            let documents = held.remove(&principal.id).unwrap_or_default();
            let trust = principal.trusting.as_ref().and_then(|role| TrustPolicy::parse(&role.policy).ok());
            let (id, arn) = (principal.id.clone(), arn(account, &principal));
            if !before.actors.contains_key(&id) {
                let keys = trust.iter().flat_map(TrustPolicy::keys);
                keys.filter(|key| !is_known(key)).for_each(|key| warn_of_key(&arn, key));
            }
            next.names.insert((principal.kind, iam::fold(&principal.name)), id.clone());
            next.actors.insert(id, Arc::new(Actor { principal, arn, documents, trust }));
        }
        next
    }

    /// The user or role with this id.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<Actor>> {
        self.actors.get(id).cloned()
    }

    /// Whom a text names: a key, an ARN, the name of a user, or that of a role.
    pub(super) fn find_named(&self, named: &str, role: &str) -> Option<Arc<Actor>> {
        if let Some((id, _)) = self.keys.get(named) {
            return self.find(id);
        }
        if let Some(actor) = self.actors.values().find(|actor| actor.arn == named) {
            return Some(actor.clone());
        }
        let user = self.names.get(&(Kind::User, iam::fold(named)));
        user.map_or_else(|| self.find_role(role), |id| self.find(id))
    }

    /// The role with this name.
    pub(crate) fn find_role(&self, name: &str) -> Option<Arc<Actor>> {
        self.find(self.names.get(&(Kind::Role, iam::fold(name)))?)
    }

    /// Whose an active key is, and its secret.
    pub(super) fn find_key(&self, access_key_id: &str) -> Option<(Arc<Actor>, Secret)> {
        let (id, secret) = self.keys.get(access_key_id)?;
        Some((self.find(id)?, secret.clone()))
    }
}

fn open(secrets: &Sealer, key: &AccessKey) -> Option<Secret> {
    let text = secrets.open(key.id.as_bytes(), &key.sealed_secret)?;
    Some(Secret::new(str::from_utf8(&text).ok()?.to_owned()))
}

/// The ARN of a user or a role.
pub(crate) fn arn(account: &str, principal: &Principal) -> String {
    format!("arn:aws:iam::{account}:{}{}{}", principal.kind.as_str(), principal.path, principal.name)
}
