//! `ListAppInstanceAdmins`: the administrators of an app instance, users and bots.

use crate::prelude::*;

/// The request.
#[operation(GET "/app-instances/{appInstanceArn}/admins" => 200, Listed)]
#[errors(BadRequest, ResourceLimitExceeded)]
#[paged]
pub struct ListAppInstanceAdmins {
    /// Where.
    #[label]
    pub app_instance_arn: AppInstanceArn,
}

/// The answer.
#[shape]
pub struct Listed {
    /// Where.
    pub app_instance_arn: AppInstanceArn,
    /// The administrators.
    pub app_instance_admins: Vec<AppInstanceAdminSummary>,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
}

/// An administrator, in a list.
#[shape]
pub struct AppInstanceAdminSummary {
    /// Who.
    pub admin: Identity,
}

impl Read for ListAppInstanceAdmins {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        call.app_instance(tx, &self.app_instance_arn)?;
        let (page, after) = Page::of::<Key>(self, call)?;
        let rows = store::identity::list_admins(tx, &self.app_instance_arn, after, page.reach())?;
        let (rows, next_token) = page.cut(rows, |who| who.key);
        let admins = rows.iter().map(|who| AppInstanceAdminSummary { admin: Identity::from(who) });
        Ok(Listed {
            app_instance_arn: self.app_instance_arn.clone(),
            app_instance_admins: admins.collect(),
            next_token,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn pages_show_every_administrator_once_and_nobody_else(world: &mut World) {
        world.user("ana");
        for name in ["root", "toor", "wheel"] {
            world.admin(name);
        }
        let mut list = ListAppInstanceAdmins {
            app_instance_arn: world.instance().clone(),
            max_results: Some(text("1")),
            next_token: None,
        };
        let mut seen = Vec::new();
        world.turn_pages(&mut list, |page| {
            seen.extend(page.app_instance_admins.into_iter().map(|entry| entry.admin.arn.id().to_owned()));
            page.next_token
        });
        seen.sort();
        assert_eq!(seen, ["root", "toor", "wheel"]);
    }
}
