//! `DescribeAppInstanceBot`: a bot, whole.

use super::bots::only_bot;
use crate::prelude::*;

/// The request.
#[operation(GET "/app-instance-bots/{appInstanceBotArn}" => 200, Described)]
#[errors(BadRequest, NotFound)]
pub struct DescribeAppInstanceBot {
    /// Which.
    #[label]
    pub app_instance_bot_arn: IdentityArn,
}

/// The answer.
#[shape]
pub struct Described {
    /// The bot.
    pub app_instance_bot: AppInstanceBot,
}

/// A bot, whole.
#[shape]
pub struct AppInstanceBot {
    /// Its ARN.
    pub app_instance_bot_arn: IdentityArn,
    /// Its display name.
    pub name: ResourceName,
    /// What speaks for it, and when.
    pub configuration: Configuration,
    /// When it was made.
    pub created_timestamp: Timestamp,
    /// When it last changed.
    pub last_updated_timestamp: Timestamp,
    /// What the application wrote on it.
    pub metadata: Option<Metadata>,
}

impl Read for DescribeAppInstanceBot {
    fn run(&self, tx: &mut Tx, _: &Call) -> Result<Described> {
        only_bot(&self.app_instance_bot_arn)?;
        let found = store::bot::find(tx, &self.app_instance_bot_arn)?;
        let bot = found.ok_or_else(|| Error::not_found("AppInstanceBotArn: the bot does not exist"))?;
        Ok(Described {
            app_instance_bot: AppInstanceBot {
                app_instance_bot_arn: bot.arn,
                name: bot.name,
                configuration: Configuration::from(bot.configuration),
                created_timestamp: bot.created_at,
                last_updated_timestamp: bot.updated_at,
                metadata: shown(bot.metadata),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn a_missing_bot_is_not_found_and_a_user_is_no_bot(world: &mut World) {
        let nobody = world.instance().identity(carillon_model::arn::IdentityKind::Bot, "nobody");
        let refused = world.call(&DescribeAppInstanceBot { app_instance_bot_arn: nobody }).unwrap_err();
        assert_eq!(refused.code, ErrorCode::NotFound);
        let ana = world.user("ana");
        let refused = world.call(&DescribeAppInstanceBot { app_instance_bot_arn: ana }).unwrap_err();
        assert_eq!(refused.code, ErrorCode::BadRequest);
    }
}
