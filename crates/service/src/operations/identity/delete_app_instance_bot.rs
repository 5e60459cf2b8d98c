//! `DeleteAppInstanceBot`: ends a bot, as `DeleteAppInstanceUser` ends a user.

use super::bots::{no_bot, only_bot};
use crate::operation::NoContent;
use crate::prelude::*;

/// The request.
#[operation(DELETE "/app-instance-bots/{appInstanceBotArn}" => 204, NoContent)]
#[errors(BadRequest, Conflict, ResourceLimitExceeded)]
pub struct DeleteAppInstanceBot {
    /// Which.
    #[label]
    pub app_instance_bot_arn: IdentityArn,
}

impl Write for DeleteAppInstanceBot {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<NoContent> {
        only_bot(&self.app_instance_bot_arn)?;
        let bot = store::identity::find(tx, &self.app_instance_bot_arn)?.ok_or_else(no_bot)?;
        crate::chat::person::delete(tx, &bot, call.now)?;
        Ok(NoContent {})
    }
}

#[cfg(test)]
mod tests {
    use super::super::describe_app_instance_bot::DescribeAppInstanceBot;
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn a_deleted_bot_leaves_its_channels_and_its_words_stay(world: &mut World) {
        let (ana, bot) = (world.user("ana"), world.bot("Belle"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bot);
        world.send(&channel, &bot, "Ding");
        let delete = DeleteAppInstanceBot { app_instance_bot_arn: bot.clone() };
        world.call(&delete).unwrap();
        assert_eq!(world.call(&delete).unwrap_err().code, ErrorCode::Forbidden);
        let describe = DescribeAppInstanceBot { app_instance_bot_arn: bot };
        assert_eq!(world.call(&describe).unwrap_err().code, ErrorCode::NotFound);
        world.take_events();
        world.run_jobs();
        assert_eq!(world.take_events(), ["DELETE_CHANNEL_MEMBERSHIP"]);
        assert_eq!(world.members(&channel, &ana), ["ana"]);
        assert_eq!(world.contents(&channel, &ana), ["Ding"]);
    }
}
