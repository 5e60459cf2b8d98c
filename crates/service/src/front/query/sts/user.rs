//! Sessions of users who have exchanged a token of their application, and so do not come by STS.

use carillon_model::{IdentityArn, Key, Timestamp};
use zeroize::Zeroizing;

use super::new_claims;
use crate::access::{APP_INSTANCE_TAG, Claims, Surrounding, USER_TAG};
use crate::front::exchange::{Role, SessionCredentials};
use crate::front::query::call::QueryCall;
use crate::front::service::Service;

/// How long such a session is, in seconds.
const USER_SECONDS: i64 = 3_600;
/// The most characters of a session's name, as AWS has it.
const NAME_CHARACTERS_MAX: usize = 64;

/// Credentials of a built-in role, for a user who has not come by STS.
pub(crate) fn give_to_user(
    service: &Service,
    (user, key): (&IdentityArn, Key),
    role: Role,
) -> SessionCredentials {
    let call = QueryCall::new(service, None, Surrounding::default(), "");
    let app_instance = user.app_instance();
    let app_instance = app_instance.as_str().rsplit('/').next().unwrap_or_default();
    let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let claims = Claims {
        principal: Some(role.id().to_owned()),
        name: session_name(user.id()),
        tags: vec![tag(USER_TAG, user.id()), tag(APP_INSTANCE_TAG, app_instance)],
        user: Some(key.to_string()),
        ..new_claims(&call, USER_SECONDS)
    };
    let session_token = call.access.sessions.seal(&claims, call.random());
    SessionCredentials {
        access_key_id: claims.access_key_id,
        secret_access_key: Zeroizing::new(claims.secret),
        session_token,
        expires_at: Timestamp::from_ms(claims.expires_ms),
    }
}

/// The name of a user's session, in the characters that such names may have.
fn session_name(user_id: &str) -> String {
    let name = format!("chime_{user_id}");
    let legal = |character: char| character.is_ascii_alphanumeric() || "_+=,.@-".contains(character);
    name.chars()
        .map(|character| if legal(character) { character } else { '-' })
        .take(NAME_CHARACTERS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_after_its_user() {
        assert_eq!(session_name("ana"), "chime_ana");
        assert_eq!(session_name("us-east-1:7b0c@x.y"), "chime_us-east-1-7b0c@x.y");
        assert_eq!(session_name(&"x".repeat(64)).len(), 64);
    }
}
