//! The tokens of identity providers, and the keys that they are signed with.

use carillon_auth::jwt::{Expectation, KeySet, Token};

use super::Target;
use super::house::NOW;
use crate::outcome::note;

/// A token, signed with the secret of the seeds, with another, or not at all.
pub(super) const JWT: Target = Target {
    name: "jwt",
    about: "JSON web tokens",
    words: "eyJhbGciOiJIUzI1NiJ9 eyJhbGciOiJub25lIn0 e30 . .. = - _",
    is_quick: true,
    run: jwt,
};

/// A set of keys in JSON.
pub(super) const JWKS: Target = Target {
    name: "jwks",
    about: "sets of keys of identity providers",
    words: "keys kty RSA EC OKP oct alg RS256 ES256 ES384 EdDSA use sig enc kid n e x y crv P-256 P-384 \
            Ed25519 AQAB key_ops",
    is_quick: true,
    run: jwks,
};

fn jwt(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let token = match Token::parse(text.trim_end()) {
        Ok(token) => token,
        Err(refusal) => return note(&refusal.to_string()),
    };
    let _ = (token.key_id(), token.claimed_issuer());
    note(&format!("{:?}", token.key_id().is_some()));
    let audiences = ["app".to_owned()];
    let expectation =
        Expectation { audiences: &audiences, issuer: Some("https://idp.example.com"), now_ms: NOW.ms() };
    match token.verify(&KeySet::of_secret(b"secret"), &expectation) {
        Ok(claims) => {
            let _ = (claims.text("sub"), claims.audiences());
            note("believed");
        }
        Err(refusal) => note(&refusal.to_string()),
    }
}

fn jwks(bytes: &[u8]) {
    match KeySet::parse(bytes) {
        Ok(keys) => {
            note(&format!("{} {}", "k".repeat(keys.len().min(3)), keys.has(None)));
        }
        Err(reason) => note(reason),
    }
}
