//! Secret access keys, and the question that the verifier asks about an access key id.
//!
//! Whether the answer comes from configuration, a table or a sealed session token is the caller's affair.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret access key: wiped when the last copy is dropped, never printed; a clone shares the text.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes a secret over.
    pub fn new(secret: String) -> Self {
        Self(Arc::new(Zeroizing::new(secret)))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// In constant time for secrets of one length, and at once for clones of one secret.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why there is no secret to verify with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSecret {
    /// The access key is unknown or inactive, or the session token is not one of ours or not this key's.
    Unknown,
    /// The session token is ours, but its time is over.
    Expired,
}

/// Knows the secrets of access keys.
pub trait Credentials {
    /// The secret of an access key. The session token is given if the request carried one; a key that belongs
    /// to a session must be refused without it.
    fn secret(&self, access_key_id: &str, session_token: Option<&str>) -> Result<Secret, NoSecret>;
}

impl<F: Fn(&str, Option<&str>) -> Result<Secret, NoSecret>> Credentials for F {
    fn secret(&self, access_key_id: &str, session_token: Option<&str>) -> Result<Secret, NoSecret> {
        self(access_key_id, session_token)
    }
}
