//! `CreateAppInstance`: makes a container for users and channels. It is empty: no administrator, no user.

use carillon_model::identity::AppInstance;

use crate::once::{Once, once};
use crate::prelude::*;

/// The request.
#[operation(POST "/app-instances" => 201, Created)]
#[errors(BadRequest, Conflict, ResourceLimitExceeded)]
pub struct CreateAppInstance {
    /// Its name; several may share one.
    pub name: NonEmptyResourceName,
    /// What the application writes on it.
    pub metadata: Option<Metadata>,
    /// Makes a repeated request have one effect.
    pub client_request_token: ClientRequestToken,
    /// Its tags.
    #[length(1, 50)]
    pub tags: Option<Vec<Tag>>,
}

/// The answer.
#[shape]
pub struct Created {
    /// Its ARN.
    pub app_instance_arn: AppInstanceArn,
}

/// App instances are the account's own: there is nothing above them that could own the token.
const ACCOUNT: Key = Key([0; 16]);

impl Write for CreateAppInstance {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Created> {
        crate::tags::check(self.tags.as_deref())?;
        let token = (ACCOUNT, &self.client_request_token);
        let created = once(
            tx,
            call,
            self,
            token,
            |key: &Key| key.to_string(),
            |tx| {
                let most = call.surroundings.quotas.app_instances_max;
                if most <= store::app_instance::count(tx, most)? {
                    return Err(Error::limit_exceeded("app instances of an account", most));
                }
                let key = call.new_key();
                let instance = AppInstance {
                    key,
                    arn: call.surroundings.home.app_instance(key),
                    name: self.name.clone(),
                    metadata: shown(self.metadata.clone()),
                    created_at: call.now,
                    updated_at: call.now,
                };
                store::app_instance::insert(tx, &instance)?;
                crate::tags::set(tx, instance.arn.as_str(), self.tags.as_deref())?;
                Ok(key)
            },
        )?;
        let key = match created {
            Once::First(key) => Some(key),
            Once::Earlier(kept) => Key::from_hex(&kept),
        };
        let key = key.ok_or_else(|| crate::once::unreadable(Self::NAME))?;
        Ok(Created { app_instance_arn: call.surroundings.home.app_instance(key) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::describe_app_instance::DescribeAppInstance;
    use super::*;
    use crate::testing::*;

    fn named(name: &str, token: &str) -> CreateAppInstance {
        CreateAppInstance {
            name: text(name),
            metadata: Some(text("{\"a\":1}")),
            client_request_token: text(token),
            tags: Some(vec![Tag { key: text("team"), value: text("chat") }]),
        }
    }

    #[engine_test]
    fn a_token_makes_one_instance_and_a_new_token_another(world: &mut World) {
        let first = world.call(&named("Bells", "first")).unwrap().app_instance_arn;
        assert_eq!(world.call(&named("Bells", "first")).unwrap().app_instance_arn, first);
        let second = world.call(&named("Bells", "second")).unwrap().app_instance_arn;
        assert_ne!(second, first);
        let refused = world.call(&named("Horns", "first")).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Conflict);
        world.advance_ms(crate::once::TOKEN_WINDOW_MS + 1);
        assert_ne!(world.call(&named("Horns", "first")).unwrap().app_instance_arn, first);
        let described = world.call(&DescribeAppInstance { app_instance_arn: first }).unwrap().app_instance;
        assert_eq!(described.name.as_str(), "Bells");
        assert_eq!(described.metadata.unwrap().as_str(), "{\"a\":1}");
        assert_eq!(described.created_timestamp, START);
    }

    #[engine_test]
    fn the_quota_of_instances_holds(world: &mut World) {
        // The world has one already.
        for number in 1..world.quotas().app_instances_max {
            world.call(&named("Bells", &format!("token-{number}"))).unwrap();
        }
        let refused = world.call(&named("Bells", "one-more")).unwrap_err();
        assert_eq!(refused.code, ErrorCode::ResourceLimitExceeded);
    }

    #[engine_test]
    fn tags_have_different_keys_and_not_ours(world: &mut World) {
        let mut request = named("Bells", "token");
        request.tags =
            Some(vec![Tag { key: text("a"), value: text("1") }, Tag { key: text("a"), value: text("2") }]);
        assert_eq!(world.call(&request).unwrap_err().code, ErrorCode::BadRequest);
        request.tags = Some(vec![Tag { key: text("aws:a"), value: text("1") }]);
        assert_eq!(world.call(&request).unwrap_err().code, ErrorCode::BadRequest);
    }

    #[engine_test]
    fn of_two_nodes_each_counts_the_app_instances_of_the_other(world: &mut World) {
        for most in 2..12 {
            world.set_quotas(|quotas| quotas.app_instances_max = most);
            let race = |number| named("Bells", &format!("race-{most}-{number}"));
            let answers = world.call_at_once(&(0..4).map(race).collect::<Vec<_>>());
            assert_eq!(
                answers.iter().filter(|answer| answer.is_ok()).count(),
                1,
                "the world has one already"
            );
        }
    }
}
