//! The exchange of credentials: somebody for whom an application vouches becomes a user of an app instance, and gets
//! credentials with which only that user can be.
//!
//! Who vouches, and how that is known, is not known here. A user is made at the first sight of them; from then on what
//! is stored is theirs and the application's, and a later name changes nothing.

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use carillon_access::{Giving, SessionCredentials};
use carillon_model::text::{ClientRequestToken, UserId, UserName};
use carillon_model::{AppInstanceArn, IdentityArn, Key};
use carillon_store as store;
use data_encoding::HEXLOWER;

use crate::error::{Error, ErrorCode, Result};
use crate::front::audit::{self, Line, Record, Resources};
use crate::front::roles::{APP_INSTANCE_TAG, Role, USER_TAG};
use crate::front::service::Service;
use crate::operation::{Effect, Operation as _};
use crate::operations::identity::create_app_instance_user::CreateAppInstanceUser;

/// What the id of a user begins with whose name elsewhere is not the id of a user here.
const MAPPED: &str = "sha256:";
/// How many bytes of the digest such an id has: as many as fit, and enough that no two names share one.
const MAPPED_BYTES: usize = 24;
/// How long the session of a user is, in seconds.
const USER_SECONDS: i64 = 3_600;
/// The most characters of a session's name, as AWS has it.
const SESSION_NAME_CHARACTERS_MAX: usize = 64;
/// The most characters of a display name.
const NAME_CHARACTERS_MAX: usize = 100;

/// What somebody gets.
pub struct Exchanged {
    /// The user that they are.
    pub user: IdentityArn,
    /// The user's display name.
    pub name: UserName,
    /// With which they can be that user, and nobody else.
    pub credentials: SessionCredentials,
}

/// Whose request it is that exchanges.
#[derive(Debug, Clone)]
pub struct Requester {
    /// The request's id.
    pub request_id: String,
    /// Where it came from.
    pub address: Option<IpAddr>,
}

/// Somebody for whom an application vouches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The id of the user that they are.
    pub id: UserId,
    /// How the user is called, if there is none yet.
    pub name: UserName,
}

impl Person {
    /// Somebody by the id and the name that they have elsewhere. An id that users cannot have becomes one that they
    /// can, always the same; one that looks as if it had been made so is no exception, so that nobody can choose to
    /// be somebody else.
    pub fn new(id: &str, name: Option<&str>) -> Self {
        let fitting = id.parse().ok().filter(|_| !id.starts_with(MAPPED));
        let id: UserId = fitting.unwrap_or_else(|| {
            let digest = digest(&SHA256, id.as_bytes());
            UserId::stored(MAPPED.to_owned() + &HEXLOWER.encode(&digest.as_ref()[..MAPPED_BYTES]))
        });
        let cut = name.map(|name| name.chars().take(NAME_CHARACTERS_MAX).collect::<String>());
        let name = cut.and_then(|name| UserName::try_from(name).ok());
        let name = name.unwrap_or_else(|| UserName::stored(id.as_str().to_owned()));
        Self { id, name }
    }

    /// Somebody whom nobody knows, and who is another one each time.
    pub fn anonymous(uuid: &str) -> Self {
        Self::new(&format!("anon_{uuid}"), Some("anonymous"))
    }
}

impl Service {
    /// The app instance, if there is exactly one.
    pub async fn only_app_instance(&self) -> Result<Option<AppInstanceArn>> {
        let home = self.home().clone();
        let listed =
            self.store().read(move |tx| Ok::<_, Error>(store::app_instance::list(tx, &home, None, 2)?));
        let found = listed.await?;
        Ok(match found.as_slice() {
            [only] => Some(self.home().app_instance(only.key)),
            _ => None,
        })
    }

    /// Credentials for somebody as a user of an app instance.
    pub async fn exchange(
        &self,
        instance: &AppInstanceArn,
        person: &Person,
        role: Role,
        from: &Requester,
    ) -> Result<Exchanged> {
        if let Some(limiter) = &self.limiter {
            limiter.exchange(&instance.user(person.id.as_str()))?;
        }
        // Both lines have their places before anything is done.
        let (making, giving) = (self.line_for(Effect::Write).await?, self.line_for(Effect::Write).await?);
        let (user, name) = self.settle(instance, person, (making, from)).await?;
        // Of the one that is there now: one who is made anew under the same id is somebody else.
        let gone = || Error::conflict("The user was deleted meanwhile");
        let key = self.find_key(&user).await?.ok_or_else(gone)?;
        let credentials = self.give(&user, key, role);
        giving.say(|| {
            let access_key = ("AccessKeyId", credentials.access_key_id.as_str());
            let given = Resources::of([("AppInstanceUserArn", user.as_str()), access_key]);
            self.record_of(from, audit::EXCHANGE, given, ("OK", 200))
        });
        Ok(Exchanged { user, name, credentials })
    }

    /// Credentials of a role that is built in, for this user.
    fn give(&self, user: &IdentityArn, key: Key, role: Role) -> SessionCredentials {
        let app_instance = user.app_instance();
        let app_instance = app_instance.as_str().rsplit('/').next().unwrap_or_default();
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let giving = Giving {
            role: role.id(),
            name: session_name(user.id()),
            tags: vec![tag(USER_TAG, user.id()), tag(APP_INSTANCE_TAG, app_instance)],
            user: key,
            seconds: USER_SECONDS,
        };
        self.access.give(giving, self.when().now, self.random())
    }

    /// What the audit log says of an exchange: nobody has signed it, and somebody has vouched for the user.
    fn record_of(
        &self,
        from: &Requester,
        action: &str,
        resources: Resources,
        outcome: (&str, u16),
    ) -> Record {
        let now = self.surroundings().clock.real();
        Record::of_exchange((&from.request_id, from.address), action, resources, (now, outcome))
    }

    /// The user that somebody is, made if there is none, and the name that is stored.
    async fn settle(
        &self,
        instance: &AppInstanceArn,
        person: &Person,
        (line, from): (Line, &Requester),
    ) -> Result<(IdentityArn, UserName)> {
        let arn = instance.user(person.id.as_str());
        if let Some(name) = self.find_name(&arn).await? {
            return Ok((arn, name));
        }
        if let Some(limiter) = &self.limiter {
            limiter.exchange_new_user(instance)?;
        }
        let create = CreateAppInstanceUser {
            app_instance_arn: instance.clone(),
            app_instance_user_id: person.id.clone(),
            name: person.name.clone(),
            metadata: None,
            client_request_token: ClientRequestToken::stored(self.new_id()),
            tags: None,
            expiration_settings: None,
        };
        let created = self.execute(create).await;
        line.say(|| {
            let outcome = created.as_ref().map_or_else(
                |error| (error.code.as_str(), error.code.status()),
                |_| ("OK", CreateAppInstanceUser::STATUS),
            );
            let user =
                Resources::of([("AppInstanceUserArn", arn.as_str()), ("AppInstanceArn", instance.as_str())]);
            self.record_of(from, "chime:CreateAppInstanceUser", user, outcome)
        });
        match created {
            Ok(_) => Ok((arn, person.name.clone())),
            // Somebody signed in twice at once, under two names.
            Err(error) if error.code == ErrorCode::Conflict => {
                let name = self.find_name(&arn).await?.ok_or(error)?;
                Ok((arn, name))
            }
            Err(error) => Err(error),
        }
    }

    async fn find_key(&self, arn: &IdentityArn) -> Result<Option<Key>> {
        let arn = arn.clone();
        let found = self.store().read(move |tx| Ok::<_, Error>(store::identity::find(tx, &arn)?)).await?;
        Ok(found.map(|found| found.identity.key))
    }

    async fn find_name(&self, arn: &IdentityArn) -> Result<Option<UserName>> {
        let arn = arn.clone();
        let found =
            self.store().read(move |tx| Ok::<_, Error>(store::identity::find_user(tx, &arn)?)).await?;
        Ok(found.map(|user| user.name))
    }
}

/// The name of a user's session, in the characters that such names may have.
pub fn session_name(user_id: &str) -> String {
    let name = format!("chime_{user_id}");
    let legal = |character: char| character.is_ascii_alphanumeric() || "_+=,.@-".contains(character);
    name.chars()
        .map(|character| if legal(character) { character } else { '-' })
        .take(SESSION_NAME_CHARACTERS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::identity::delete_app_instance_user::DeleteAppInstanceUser;
    use crate::operations::identity::describe_app_instance_user::DescribeAppInstanceUser;
    use crate::operations::identity::list_app_instance_users::ListAppInstanceUsers;
    use crate::operations::messaging::create_channel::CreateChannel;
    use crate::testing::*;

    fn credentials(exchanged: &Exchanged) -> Credentials {
        Credentials {
            access_key_id: exchanged.credentials.access_key_id.clone(),
            secret: exchanged.credentials.secret_access_key.to_string(),
            session_token: Some(exchanged.credentials.session_token.clone()),
        }
    }

    #[engine_test]
    fn a_user_is_made_at_the_first_sight_and_keeps_the_name(world: &mut World) {
        let first = world.exchange(&Person::new("us-east-1:7b0c", Some("Ana")), Role::User);
        assert_eq!(first.user, world.instance().user("us-east-1:7b0c"));
        let again = world.exchange(&Person::new("us-east-1:7b0c", Some("Anastasia")), Role::User);
        assert_eq!((again.user, again.name.as_str()), (first.user, "Ana"));
        assert_ne!(again.credentials.access_key_id, first.credentials.access_key_id);
    }

    #[engine_test]
    fn who_is_made_and_who_gets_credentials_is_recorded(world: &mut World) {
        let instance = world.instance().clone();
        world.take_records();
        let ana = world.exchange(&Person::new("ana", Some("Ana's name")), Role::User);
        world.exchange(&Person::new("ana", None), Role::User);
        let records = world.take_records();
        let told: Vec<_> = records
            .iter()
            .map(|record| (record.action.as_deref().unwrap(), record.bearer.as_deref(), &*record.result))
            .collect();
        let bearer = Some(ana.user.as_str());
        let exchanged = ("carillon:ExchangeCredentials", bearer, "OK");
        assert_eq!(told, [("chime:CreateAppInstanceUser", bearer, "OK"), exchanged, exchanged]);
        assert_eq!(records[0].resources["AppInstanceArn"], instance.as_str());
        assert_eq!(records[1].resources["AccessKeyId"], ana.credentials.access_key_id);
        let told = serde_json::to_string(&records).unwrap();
        assert!(!told.contains("name") && !told.contains(ana.credentials.secret_access_key.as_str()));
    }

    #[engine_test]
    fn the_credentials_are_of_one_user_only_and_end(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let mine = world.exchange(&Person::new("ana", None), Role::User);
        assert_eq!((&mine.user, mine.name.as_str()), (&ana, "Ana"));
        world.sign_with(credentials(&mine));
        let lobby = world.call(&channel_request(world, &ana)).unwrap().channel_arn;
        world.send(&lobby, &ana, "hello");
        assert!(world.connect(&ana).is_ok());
        assert_eq!(world.refusal(&message_request(&lobby, &bob, "hello")), ErrorCode::AccessDenied);
        assert_eq!(world.connect(&bob).unwrap_err().code, 4003);
        world.advance_ms(3_600_000);
        let (status, body) = world.raw("GET", "/endpoints/messaging-session", b"");
        assert_eq!((status, body["Code"].as_str()), (403, Some("ExpiredTokenException")));
    }

    #[engine_test]
    fn credentials_end_with_their_user_also_where_another_gets_its_id(world: &mut World) {
        let mine = world.exchange(&Person::new("ana", None), Role::User);
        let ana = mine.user.clone();
        let users = ListAppInstanceUsers {
            app_instance_arn: world.instance().clone(),
            max_results: None,
            next_token: None,
        };
        let lobby = channel_request(world, &ana);
        let root = world.sign_with(credentials(&mine));
        world.call(&users).unwrap();
        let create = CreateChannel { client_request_token: world.token(), ..lobby.clone() };
        world.call(&create).unwrap();
        world.sign_with(root);
        world.call(&DeleteAppInstanceUser { app_instance_user_arn: ana.clone() }).unwrap();
        for is_anew in [false, true] {
            if is_anew {
                assert_eq!(world.user("ana"), ana);
            }
            let root = world.sign_with(credentials(&mine));
            let create = CreateChannel { client_request_token: world.token(), ..lobby.clone() };
            assert_eq!(world.refusal(&create), ErrorCode::Unauthorized);
            assert_eq!(world.refusal(&users), ErrorCode::Unauthorized);
            assert_eq!(world.raw("GET", "/endpoints/messaging-session", b"").0, 401);
            assert_eq!(world.connect(&ana).unwrap_err().code, 4003);
            world.sign_with(root);
        }
        let fresh = world.exchange(&Person::new("ana", None), Role::User);
        world.sign_with(credentials(&fresh));
        let create = CreateChannel { client_request_token: world.token(), ..lobby };
        world.call(&create).unwrap();
        assert!(world.connect(&ana).is_ok());
    }

    #[engine_test]
    fn whoever_exchanges_may_see_who_else_there_is_unless_a_setting_forbids_it(world: &mut World) {
        let ana = world.user("ana");
        for (role, may) in [(Role::User, true), (Role::Anonymous, true), (Role::Secluded, false)] {
            let mine = world.exchange(&Person::new("bob", None), role);
            let root = world.sign_with(credentials(&mine));
            let users = ListAppInstanceUsers {
                app_instance_arn: world.instance().clone(),
                max_results: None,
                next_token: None,
            };
            let describe = DescribeAppInstanceUser { app_instance_user_arn: ana.clone() };
            if may {
                world.call(&users).unwrap();
                world.call(&describe).unwrap();
            } else {
                assert_eq!(world.refusal(&users), ErrorCode::AccessDenied);
                assert_eq!(world.refusal(&describe), ErrorCode::AccessDenied);
            }
            world.sign_with(root);
        }
    }

    #[engine_test]
    fn whom_nobody_knows_may_see_who_else_there_is(world: &mut World) {
        let ana = world.user("ana");
        let anonymous = world.exchange(&Person::anonymous("7b0c5a52"), Role::Anonymous);
        world.sign_with(credentials(&anonymous));
        let users = ListAppInstanceUsers {
            app_instance_arn: world.instance().clone(),
            max_results: None,
            next_token: None,
        };
        let listed = world.call(&users).unwrap().app_instance_users;
        let arns: Vec<_> = listed.iter().map(|user| user.app_instance_user_arn.clone()).collect();
        assert!(arns.contains(&ana) && arns.contains(&anonymous.user));
        let mine = world.sign_with(Credentials::root());
        world.use_new_instance();
        world.sign_with(mine);
        let users = ListAppInstanceUsers {
            app_instance_arn: world.instance().clone(),
            max_results: None,
            next_token: None,
        };
        assert_eq!(world.refusal(&users), ErrorCode::AccessDenied);
    }

    #[test]
    fn an_id_that_users_can_have_is_kept() {
        for id in ["ana", "us-east-1:7b0c5a52-1234-4abc-9def-0123456789ab", "ana@example.com", "anon_1"] {
            assert_eq!(Person::new(id, None).id.as_str(), id);
        }
    }

    #[test]
    fn any_other_becomes_one_of_its_own() {
        let id = |id: &str| Person::new(id, None).id.as_str().to_owned();
        let mapped = id("auth0|5f7c");
        assert_eq!(mapped, "sha256:662dd0a5965afa2fc4523919f762c1fc39f69a8efcacee54");
        assert!(mapped.parse::<UserId>().is_ok());
        let others = ["", "-ana", "auth0|5f7d", "é", &"x".repeat(65), &mapped];
        let all: std::collections::BTreeSet<_> = others.iter().map(|other| id(other)).collect();
        assert_eq!(all.len(), others.len());
        assert!(!all.contains(&mapped));
    }

    #[test]
    fn a_name_is_cut_and_one_that_cannot_be_is_the_id() {
        let name = |name: Option<&str>| Person::new("ana", name).name.as_str().to_owned();
        assert_eq!(name(Some("Ana")), "Ana");
        assert_eq!(name(Some(&"é".repeat(101))), "é".repeat(100));
        for none in [None, Some(""), Some(" ")] {
            assert_eq!(name(none), "ana");
        }
    }

    #[test]
    fn a_session_is_named_after_its_user() {
        assert_eq!(session_name("ana"), "chime_ana");
        assert_eq!(session_name("us-east-1:7b0c@x.y"), "chime_us-east-1-7b0c@x.y");
        assert_eq!(session_name(&"x".repeat(64)).len(), 64);
    }
}
