//! `ListAppInstanceBots`: all bots of an app instance.

use crate::prelude::*;

/// The request.
#[operation(GET "/app-instance-bots" => 200, Listed)]
#[errors(BadRequest, ResourceLimitExceeded)]
#[paged]
pub struct ListAppInstanceBots {
    /// Where.
    #[query("app-instance-arn")]
    pub app_instance_arn: AppInstanceArn,
}

/// The answer.
#[shape]
pub struct Listed {
    /// Where.
    pub app_instance_arn: AppInstanceArn,
    /// The bots.
    pub app_instance_bots: Vec<AppInstanceBotSummary>,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
}

/// A bot, in a list.
#[shape]
pub struct AppInstanceBotSummary {
    /// Its ARN.
    pub app_instance_bot_arn: IdentityArn,
    /// Its display name.
    pub name: ResourceName,
    /// What the application wrote on it.
    pub metadata: Option<Metadata>,
}

impl Read for ListAppInstanceBots {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        call.app_instance(tx, &self.app_instance_arn)?;
        let (page, after) = Page::of::<String>(self, call)?;
        let after = after.unwrap_or_default();
        let rows = store::bot::list(tx, &self.app_instance_arn, &after, page.reach())?;
        let (rows, next_token) = page.cut(rows, |bot| bot.arn.id().to_owned());
        let app_instance_bots = rows
            .into_iter()
            .map(|bot| AppInstanceBotSummary {
                app_instance_bot_arn: bot.arn,
                name: bot.name,
                metadata: shown(bot.metadata),
            })
            .collect();
        Ok(Listed { app_instance_arn: self.app_instance_arn.clone(), app_instance_bots, next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::super::list_app_instance_users::ListAppInstanceUsers;
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn bots_and_users_are_listed_apart(world: &mut World) {
        world.user("ana");
        let mut bots: Vec<_> = ["Belle", "Chimes", "Ding"].iter().map(|name| world.bot(name)).collect();
        bots.sort();
        let mut list = ListAppInstanceBots {
            app_instance_arn: world.instance().clone(),
            max_results: Some(text("2")),
            next_token: None,
        };
        let mut seen = Vec::new();
        world.turn_pages(&mut list, |page| {
            seen.extend(page.app_instance_bots.into_iter().map(|bot| bot.app_instance_bot_arn));
            page.next_token
        });
        assert_eq!(seen, bots);
        let users = ListAppInstanceUsers {
            app_instance_arn: world.instance().clone(),
            max_results: None,
            next_token: None,
        };
        assert_eq!(world.call(&users).unwrap().app_instance_users.len(), 1);
    }
}
