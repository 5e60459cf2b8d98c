//! Sessions that the server gives out of itself, to whoever it believes: they do not come by STS.

use carillon_model::{Key, Timestamp};
use carillon_store::iam::Tag;
use zeroize::Zeroizing;

use crate::Access;
use crate::random::Random;
use crate::session::Claims;

/// What is given.
pub struct Giving {
    /// The id of the role that is built in.
    pub role: &'static str,
    /// The name of the session.
    pub name: String,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The key of the only user that it may be.
    pub user: Key,
    /// How many seconds it is good for.
    pub seconds: i64,
}

/// Credentials for a while.
pub struct SessionCredentials {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Zeroizing<String>,
    /// The token that stands for the session.
    pub session_token: String,
    /// When they are over.
    pub expires_at: Timestamp,
}

impl Access {
    /// Gives out a session of a role that is built in.
    pub fn give(&self, giving: Giving, now: Timestamp, seed: [u8; 32]) -> SessionCredentials {
        let random = Random::new(seed);
        let claims = Claims {
            principal: Some(giving.role.to_owned()),
            name: giving.name,
            tags: giving.tags,
            user: Some(giving.user.to_string()),
            ..Claims::new(&random, now, giving.seconds)
        };
        let session_token = self.sessions.seal(&claims, random.bytes());
        SessionCredentials {
            access_key_id: claims.access_key_id,
            secret_access_key: Zeroizing::new(claims.secret),
            session_token,
            expires_at: Timestamp::from_ms(claims.expires_ms),
        }
    }
}
