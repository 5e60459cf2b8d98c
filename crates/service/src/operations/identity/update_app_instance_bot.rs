//! `UpdateAppInstanceBot`: replaces the name and the metadata of a bot, and where it is given, its whole
//! configuration, which counts for later messages.

use super::bots::{lex, no_bot, only_bot};
use crate::prelude::*;

/// The request.
#[operation(PUT "/app-instance-bots/{appInstanceBotArn}" => 200, Updated)]
#[errors(BadRequest, Conflict, ResourceLimitExceeded)]
pub struct UpdateAppInstanceBot {
    /// Which.
    #[label]
    pub app_instance_bot_arn: IdentityArn,
    /// Its name from now on.
    pub name: ResourceName,
    /// What is written on it from now on.
    pub metadata: Metadata,
    /// What speaks for it from now on; absent, what did.
    pub configuration: Option<Configuration>,
}

/// The answer.
#[shape]
pub struct Updated {
    /// Which.
    pub app_instance_bot_arn: IdentityArn,
}

impl Write for UpdateAppInstanceBot {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Updated> {
        only_bot(&self.app_instance_bot_arn)?;
        let configuration =
            self.configuration.as_ref().map(|configuration| lex(call, configuration)).transpose()?;
        let bot = store::bot::find(tx, &self.app_instance_bot_arn)?.ok_or_else(no_bot)?;
        let metadata = shown(Some(self.metadata.clone()));
        let (name, metadata, configuration) = (&self.name, metadata.as_ref(), configuration.as_ref());
        store::bot::update(tx, bot.key, name, metadata, configuration, call.now)?;
        Ok(Updated { app_instance_bot_arn: bot.arn })
    }
}

#[cfg(test)]
mod tests {
    use super::super::describe_app_instance_bot::DescribeAppInstanceBot;
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn the_configuration_stays_unless_another_is_given(world: &mut World) {
        let bot = world.bot("Belle");
        let describe = DescribeAppInstanceBot { app_instance_bot_arn: bot.clone() };
        let first = world.call(&describe).unwrap().app_instance_bot.configuration;
        world.advance_ms(7);
        let mut update = UpdateAppInstanceBot {
            app_instance_bot_arn: bot,
            name: text(""),
            metadata: text("m"),
            configuration: None,
        };
        world.call(&update).unwrap();
        let after = world.call(&describe).unwrap().app_instance_bot;
        assert_eq!((after.name.as_str(), after.metadata), ("", Some(text("m"))));
        assert_eq!((&after.configuration, after.last_updated_timestamp), (&first, START.plus_ms(7)));
        let mut second = first;
        second.lex.locale_id = text("de_DE");
        update.configuration = Some(second.clone());
        world.call(&update).unwrap();
        assert_eq!(world.call(&describe).unwrap().app_instance_bot.configuration, second);
        update.app_instance_bot_arn =
            world.instance().identity(carillon_model::arn::IdentityKind::Bot, "nobody");
        assert_eq!(world.call(&update).unwrap_err().code, ErrorCode::Forbidden);
    }
}
