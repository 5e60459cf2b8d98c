//! Who signed a request.

use std::sync::Arc;

use carillon_auth::Secret;
use carillon_auth::policy::{Entry, Value};
use carillon_model::{Key, Timestamp};
use carillon_store::iam::{Kind, Tag};

use crate::document::Held;
use crate::session::{Claims, Session};
use crate::snapshot::Actor;

/// What the key of a tag of the caller begins with, in conditions.
const PRINCIPAL_TAG: &str = "aws:PrincipalTag/";

/// Root, a user, or a session of one of them or of a role.
#[derive(Clone)]
pub struct Caller {
    /// The user or role that acts; nothing for root.
    pub(crate) actor: Option<Arc<Actor>>,
    /// The session that it acts in.
    pub(crate) session: Option<Arc<Session>>,
}

impl Caller {
    /// Root.
    pub const fn root() -> Self {
        Self { actor: None, session: None }
    }

    /// Whether it may do everything.
    pub fn is_root(&self) -> bool {
        self.actor.is_none()
    }

    /// Whether this is the same principal, both by its own keys and not in a session.
    pub fn is_same(&self, other: &Self) -> bool {
        let id = |caller: &Self| caller.actor.as_ref().map(|actor| actor.principal.id.clone());
        self.session.is_none() && other.session.is_none() && id(self) == id(other)
    }

    /// The kind of principal that acts, unless it is root.
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.actor.as_ref().map(|actor| actor.principal.kind)
    }

    /// What its calls are counted by: a session by itself, a user over all its access keys.
    pub fn counted_as(&self) -> &str {
        match (&self.session, &self.actor) {
            (Some(session), _) => &session.claims.access_key_id,
            (None, Some(actor)) => &actor.principal.id,
            (None, None) => "root",
        }
    }

    /// The key of the only user that it may be, where its credentials were exchanged.
    pub fn bound_to(&self) -> Option<Key> {
        Key::from_hex(self.session.as_ref()?.claims.user.as_deref()?)
    }

    /// Whether it is a session that a user, or root, has of itself: by `GetSessionToken`.
    pub(crate) fn is_own_session(&self) -> bool {
        self.session.is_some() && self.kind() != Some(Kind::Role)
    }

    /// When its credentials are over.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.session.as_ref().map(|session| session.expires_at())
    }

    /// The name of a role's session.
    fn session_name(&self) -> &str {
        self.session.as_ref().map_or("", |session| &session.claims.name)
    }

    /// Its ARN.
    pub fn arn(&self, account: &str) -> String {
        match &self.actor {
            None => format!("arn:aws:iam::{account}:root"),
            Some(actor) if actor.principal.kind == Kind::User => actor.arn.clone(),
            Some(actor) => {
                let (role, session) = (&actor.principal.name, self.session_name());
                format!("arn:aws:sts::{account}:assumed-role/{role}/{session}")
            }
        }
    }

    /// The ARN of root, of the user, or of the role whose session it is.
    pub fn principal_arn(&self, account: &str) -> String {
        self.actor.as_ref().map_or_else(|| self.arn(account), |actor| actor.arn.clone())
    }

    /// The same principal, in a session of this name with these tags that nobody has given out: to ask what it could
    /// do. Root's and a user's own sessions can do what they can.
    #[must_use]
    pub fn supposed(self, name: &str, tags: Vec<Tag>, now: Timestamp) -> Self {
        if self.kind() != Some(Kind::Role) {
            return self;
        }
        let claims = Claims { name: name.to_owned(), tags, ..Claims::supposed(now) };
        let session = Session::new(claims, Secret::new(String::new()));
        Self { session: Some(Arc::new(session)), ..self }
    }

    /// Its unique id.
    pub(crate) fn user_id(&self, account: &str) -> String {
        match &self.actor {
            None => account.to_owned(),
            Some(actor) if actor.principal.kind == Kind::User => actor.principal.id.clone(),
            Some(actor) => format!("{}:{}", actor.principal.id, self.session_name()),
        }
    }

    /// The policies of the user or role.
    pub(super) fn documents(&self) -> &[Held] {
        self.actor.as_ref().map_or(&[], |actor| &actor.documents)
    }

    /// The policies that narrow the session.
    pub(super) fn session_documents(&self) -> &[Held] {
        self.session.as_ref().map_or(&[], |session| &session.policies)
    }

    /// Both.
    pub(super) fn all_documents(&self) -> impl Iterator<Item = &Held> {
        self.documents().iter().chain(self.session_documents())
    }
}

/// What conditions read of a caller: texts that live as long as the entries made of them.
pub(crate) struct Portrait<'a> {
    caller: &'a Caller,
    account: &'a str,
    user_id: String,
    provided: Vec<(&'a str, Vec<&'a str>)>,
}

impl<'a> Portrait<'a> {
    pub(crate) fn new(caller: &'a Caller, account: &'a str) -> Self {
        let session = caller.session.as_ref();
        let provided = session.map_or(&[][..], |session| &session.claims.provided);
        let provided = provided.iter().map(|(key, values)| (key.as_str(), values.iter().map(String::as_str)));
        let provided = provided.map(|(key, values)| (key, values.collect())).collect();
        Self { caller, account, user_id: caller.user_id(account), provided }
    }

    /// The entries. A session's tag stands before the role's of the same key.
    pub(crate) fn entries(&'a self) -> Vec<Entry<'a>> {
        let text = |key, value| Entry::new(key, Value::Text(value));
        let kind = match self.caller.kind() {
            None => "Account",
            Some(Kind::User) => "User",
            Some(Kind::Role) => "AssumedRole",
        };
        let mut entries = vec![
            text("aws:PrincipalAccount", self.account),
            text("aws:PrincipalType", kind),
            text("aws:userid", &self.user_id),
        ];
        if let Some(session) = &self.caller.session {
            let tags = session.claims.tags.iter();
            entries.extend(tags.map(|(key, value)| Entry::tag(PRINCIPAL_TAG, key, value)));
            entries.push(Entry::new("aws:TokenIssueTime", Value::Time(session.claims.issued_ms)));
            // As AWS has it: a session says whether there was a second factor, which there is none of here.
            entries.push(Entry::new("aws:MultiFactorAuthPresent", Value::Bool(false)));
            let source = session.claims.source_identity.as_deref();
            entries.extend(source.map(|source| text("aws:SourceIdentity", source)));
        }
        if let Some(actor) = &self.caller.actor {
            let tags = actor.principal.tags.iter();
            entries.extend(tags.map(|(key, value)| Entry::tag(PRINCIPAL_TAG, key, value)));
            entries.push(text("aws:PrincipalArn", &actor.arn));
            if actor.principal.kind == Kind::User {
                entries.push(text("aws:username", &actor.principal.name));
            }
        }
        entries.extend(self.provided.iter().map(|(key, values)| Entry::new(key, Value::Texts(values))));
        entries
    }
}
