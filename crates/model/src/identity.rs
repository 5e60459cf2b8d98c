//! App instances, and the users and bots that live in them.

use crate::arn::{AppInstanceArn, IdentityArn};
use crate::key::Key;
use crate::text::{ExpirationDays, Metadata, NonEmptyResourceName, UserExpirationCriterion, UserName};
use crate::timestamp::Timestamp;

/// An app instance: the container, and the boundary that nothing crosses.
#[derive(Debug, Clone, PartialEq)]
pub struct AppInstance {
    /// Its key, which is its UUID.
    pub key: Key,
    /// Its ARN.
    pub arn: AppInstanceArn,
    /// Its name; several may share one.
    pub name: NonEmptyResourceName,
    /// What the application wrote on it.
    pub metadata: Option<Metadata>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A user or a bot, as much of it as every event and answer shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Its key.
    pub key: Key,
    /// Its ARN.
    pub arn: IdentityArn,
    /// Its display name; of a deleted one, the last.
    pub name: String,
}

/// A user, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct AppInstanceUser {
    /// Its key.
    pub key: Key,
    /// Its ARN.
    pub arn: IdentityArn,
    /// Its display name.
    pub name: UserName,
    /// What the application wrote on it.
    pub metadata: Option<Metadata>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it goes away by itself.
    pub expiration: Option<(ExpirationDays, UserExpirationCriterion)>,
}
