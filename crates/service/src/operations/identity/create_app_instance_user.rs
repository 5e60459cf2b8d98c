//! `CreateAppInstanceUser`: makes a user, without a role.
//!
//! Sample applications repeat this call at every sign-in, each time with a new token, and count on it being
//! harmless: a user that exists with the same name, and no other metadata, is answered as if it were new.

use carillon_model::identity::AppInstanceUser;
use carillon_store::app_instance::Counts;

use crate::once::{Once, once};
use crate::prelude::*;

/// The request.
#[operation(POST "/app-instance-users" => 201, Created)]
#[errors(BadRequest, Conflict, ResourceLimitExceeded)]
pub struct CreateAppInstanceUser {
    /// Where.
    pub app_instance_arn: AppInstanceArn,
    /// The last part of the ARN to be.
    pub app_instance_user_id: UserId,
    /// The display name.
    pub name: UserName,
    /// What the application writes on it.
    pub metadata: Option<Metadata>,
    /// Makes a repeated request have one effect.
    pub client_request_token: ClientRequestToken,
    /// Its tags.
    #[length(1, 50)]
    pub tags: Option<Vec<Tag>>,
    /// When it goes away by itself.
    pub expiration_settings: Option<UserExpirationSettings>,
}

/// The answer.
#[shape]
pub struct Created {
    /// Its ARN.
    pub app_instance_user_arn: IdentityArn,
}

impl Write for CreateAppInstanceUser {
    fn lane(&self) -> Lane {
        Lane::instance(&self.app_instance_arn)
    }

    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Created> {
        crate::tags::check(self.tags.as_deref())?;
        let instance = call.app_instance(tx, &self.app_instance_arn)?;
        let arn = self.app_instance_arn.user(self.app_instance_user_id.as_str());
        let token = (instance, &self.client_request_token);
        let created = once(
            tx,
            call,
            self,
            token,
            |()| arn.as_str().to_owned(),
            |tx| self.create(tx, call, instance, &arn),
        )?;
        if let Once::Earlier(kept) = created {
            let app_instance_user_arn = kept.parse().map_err(|_| crate::once::unreadable(Self::NAME))?;
            return Ok(Created { app_instance_user_arn });
        }
        Ok(Created { app_instance_user_arn: arn })
    }
}

impl CreateAppInstanceUser {
    fn create(&self, tx: &mut Tx, call: &Call, instance: Key, arn: &IdentityArn) -> Result<()> {
        if let Some(existing) = store::identity::find_user(tx, arn)? {
            return if self.repeats(&existing) { Ok(()) } else { Err(taken()) };
        }
        let counts = store::app_instance::find_counts(tx, instance)?;
        let counts = counts.ok_or_else(|| Error::forbidden("The app instance does not exist"))?;
        let most = call.surroundings.quotas.users_max;
        if most <= counts.users {
            return Err(Error::limit_exceeded("users of an app instance", most));
        }
        let expiration = self.expiration_settings.as_ref();
        let user = AppInstanceUser {
            key: call.new_key(),
            arn: arn.clone(),
            name: self.name.clone(),
            metadata: shown(self.metadata.clone()),
            created_at: call.now,
            updated_at: call.now,
            expiration: expiration.map(|settings| (settings.expiration_days, settings.expiration_criterion)),
        };
        if !store::identity::insert_user(tx, instance, &user)? {
            return Err(taken());
        }
        let (one, most) = (Counts { users: 1, ..Counts::default() }, Counts { users: most, ..Counts::MAX });
        store::app_instance::grow(tx, instance, one, most)?;
        crate::tags::set(tx, arn.as_str(), self.tags.as_deref())
    }

    fn repeats(&self, existing: &AppInstanceUser) -> bool {
        existing.name == self.name
            && (self.metadata.is_none() || shown(self.metadata.clone()) == existing.metadata)
    }
}

fn taken() -> Error {
    Error::conflict("AppInstanceUserId: a user with this id exists, with another name or other metadata")
}

#[cfg(test)]
mod tests {
    use super::super::describe_app_instance_user::DescribeAppInstanceUser;
    use super::*;
    use crate::testing::*;

    fn ana(world: &World, name: &str, token: &str) -> CreateAppInstanceUser {
        CreateAppInstanceUser {
            app_instance_arn: world.instance().clone(),
            app_instance_user_id: text("us-east-1:7b0c"),
            name: text(name),
            metadata: None,
            client_request_token: text(token),
            tags: None,
            expiration_settings: Some(UserExpirationSettings {
                expiration_days: "7".parse().unwrap(),
                expiration_criterion: UserExpirationCriterion::CreatedTimestamp,
            }),
        }
    }

    #[engine_test]
    fn signing_in_again_is_harmless_and_another_name_is_not(world: &mut World) {
        let first = world.call(&ana(world, "Ana", "first")).unwrap();
        assert_eq!(world.call(&ana(world, "Ana", "second")).unwrap(), first);
        let refused = world.call(&ana(world, "Anna", "third")).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Conflict);
        let described = DescribeAppInstanceUser { app_instance_user_arn: first.app_instance_user_arn };
        let user = world.call(&described).unwrap().app_instance_user;
        assert_eq!((user.name.as_str(), user.metadata), ("Ana", None));
        assert_eq!(user.expiration_settings.unwrap().expiration_days.get(), 7);
    }

    #[engine_test]
    fn a_user_of_a_missing_instance_is_forbidden(world: &mut World) {
        let mut request = ana(world, "Ana", "token");
        let foreign = request.app_instance_arn.as_str().replace("us-east-1", "eu-west-1");
        request.app_instance_arn = foreign.parse().unwrap();
        assert_eq!(world.call(&request).unwrap_err().code, ErrorCode::Forbidden);
    }

    #[engine_test]
    fn of_two_nodes_one_makes_a_user_and_the_other_finds_it(world: &mut World) {
        for round in 0..20 {
            let id = format!("user-{round}");
            let create = |number: usize| CreateAppInstanceUser {
                app_instance_user_id: text(&id),
                ..ana(world, ["Ana", "Anna"][number / 2], &format!("token-{round}-{number}"))
            };
            let all: Vec<_> = (0..4).map(create).collect();
            let answers = world.call_at_once(&all);
            let app_instance_user_arn = world.instance().user(&id);
            let made =
                world.call(&DescribeAppInstanceUser { app_instance_user_arn }).unwrap().app_instance_user;
            for (request, answer) in all.iter().zip(answers) {
                let is_same = request.name.as_str() == made.name.as_str();
                let expected = if is_same { None } else { Some(ErrorCode::Conflict) };
                assert_eq!(answer.err().map(|refused| refused.code), expected);
            }
        }
    }
}
