//! `ListAppInstanceUsers`: all users of an app instance, administrators among them, bots not.

use crate::prelude::*;

/// The request.
#[operation(GET "/app-instance-users" => 200, Listed)]
#[errors(BadRequest)]
#[paged]
pub struct ListAppInstanceUsers {
    /// Where.
    #[query("app-instance-arn")]
    pub app_instance_arn: AppInstanceArn,
}

/// The answer.
#[shape]
pub struct Listed {
    /// Where.
    pub app_instance_arn: AppInstanceArn,
    /// The users.
    pub app_instance_users: Vec<AppInstanceUserSummary>,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
}

/// A user, in a list.
#[shape]
pub struct AppInstanceUserSummary {
    /// Its ARN.
    pub app_instance_user_arn: IdentityArn,
    /// Its display name.
    pub name: UserName,
    /// What the application wrote on it.
    pub metadata: Option<Metadata>,
}

impl Read for ListAppInstanceUsers {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        call.app_instance(tx, &self.app_instance_arn)?;
        let (page, after) = Page::of::<String>(self, call)?;
        let after = after.unwrap_or_default();
        let rows = store::identity::list_users(tx, &self.app_instance_arn, &after, page.reach())?;
        let (rows, next_token) = page.cut(rows, |user| user.arn.id().to_owned());
        let app_instance_users = rows
            .into_iter()
            .map(|user| AppInstanceUserSummary {
                app_instance_user_arn: user.arn,
                name: user.name,
                metadata: shown(user.metadata),
            })
            .collect();
        Ok(Listed { app_instance_arn: self.app_instance_arn.clone(), app_instance_users, next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn pages_go_on_while_users_are_added_and_belong_to_one_list(world: &mut World) {
        for name in ["ana", "bob", "cy"] {
            world.user(name);
        }
        let mut list = ListAppInstanceUsers {
            app_instance_arn: world.instance().clone(),
            max_results: Some("1".parse().unwrap()),
            next_token: None,
        };
        let mut seen = Vec::new();
        loop {
            let page = world.call(&list).unwrap();
            seen.extend(
                page.app_instance_users.iter().map(|user| user.app_instance_user_arn.id().to_owned()),
            );
            if seen.len() == 2 {
                world.user("aaron"); // Before the cursor: not seen in this walk.
                world.user("dora"); // After it: seen.
            }
            list.next_token = page.next_token;
            if list.next_token.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["ana", "bob", "cy", "dora"]);

        list.next_token = None;
        let token = world.call(&list).unwrap().next_token;
        let other =
            ListAppInstanceUsers { app_instance_arn: world.new_instance(), next_token: token, ..list };
        assert_eq!(world.call(&other).unwrap_err().code, ErrorCode::BadRequest);
    }
}
