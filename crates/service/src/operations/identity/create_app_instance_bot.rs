//! `CreateAppInstanceBot`: makes a bot. It belongs to channels and sends messages as a user does; a program speaks for
//! it.

use carillon_model::arn::IdentityKind;
use carillon_model::bot::AppInstanceBot as StoredBot;
use carillon_store::app_instance::Counts;

use super::bots::lex;
use crate::once::{Once, once};
use crate::prelude::*;

/// The request.
#[operation(POST "/app-instance-bots" => 201, Created)]
#[errors(BadRequest, Conflict, ResourceLimitExceeded)]
pub struct CreateAppInstanceBot {
    /// Where.
    pub app_instance_arn: AppInstanceArn,
    /// Its display name.
    pub name: Option<ResourceName>,
    /// What the application writes on it.
    pub metadata: Option<Metadata>,
    /// Makes a repeated request have one effect.
    pub client_request_token: ClientRequestToken,
    /// Its tags.
    #[length(1, 50)]
    pub tags: Option<Vec<Tag>>,
    /// What speaks for it, and when.
    pub configuration: Configuration,
}

/// The answer.
#[shape]
pub struct Created {
    /// Its ARN.
    pub app_instance_bot_arn: IdentityArn,
}

impl Write for CreateAppInstanceBot {
    fn lane(&self) -> Lane {
        Lane::instance(&self.app_instance_arn)
    }

    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Created> {
        crate::tags::check(self.tags.as_deref())?;
        let configuration = lex(call, &self.configuration)?;
        let instance = call.app_instance(tx, &self.app_instance_arn)?;
        let token = (instance, &self.client_request_token);
        let keep = |arn: &IdentityArn| arn.as_str().to_owned();
        let created = once(tx, call, self, token, keep, |tx| {
            let key = call.new_key();
            let bot = StoredBot {
                key,
                arn: self.app_instance_arn.identity(IdentityKind::Bot, &key.uuid()),
                name: self.name.clone().unwrap_or_else(|| ResourceName::stored(String::new())),
                metadata: shown(self.metadata.clone()),
                configuration,
                created_at: call.now,
                updated_at: call.now,
            };
            self.create(tx, call, instance, bot)
        })?;
        let app_instance_bot_arn = match created {
            Once::First(arn) => arn,
            Once::Earlier(kept) => kept.parse().map_err(|_| crate::once::unreadable(Self::NAME))?,
        };
        Ok(Created { app_instance_bot_arn })
    }
}

impl CreateAppInstanceBot {
    fn create(&self, tx: &mut Tx, call: &Call, instance: Key, bot: StoredBot) -> Result<IdentityArn> {
        let counts = store::app_instance::find_counts(tx, instance)?;
        let counts = counts.ok_or_else(|| Error::forbidden("The app instance does not exist"))?;
        let most = call.surroundings.quotas.bots_max;
        if most <= counts.bots {
            return Err(Error::limit_exceeded("bots of an app instance", most));
        }
        store::bot::insert(tx, instance, &bot)?;
        let (one, most) = (Counts { bots: 1, ..Counts::default() }, Counts { bots: most, ..Counts::MAX });
        store::app_instance::grow(tx, instance, one, most)?;
        crate::tags::set(tx, bot.arn.as_str(), self.tags.as_deref())?;
        Ok(bot.arn)
    }
}

#[cfg(test)]
mod tests {
    use super::super::delete_app_instance_bot::DeleteAppInstanceBot;
    use super::super::describe_app_instance_bot::DescribeAppInstanceBot;
    use super::*;
    use crate::testing::*;

    const FOREIGN: &str = "arn:aws:lex:us-east-1:999999999999:bot-alias/ABCDE12345/TSTALIASID";

    #[engine_test]
    fn what_a_bot_is_configured_to_do_is_returned_as_it_was_given(world: &mut World) {
        let mut create = bot_request(world, "Concierge");
        create.metadata = Some(text("m"));
        let invoked_by = InvokedBy {
            standard_messages: StandardMessages::Mentions,
            targeted_messages: TargetedMessages::None,
        };
        create.configuration.lex.invoked_by = Some(invoked_by);
        create.configuration.lex.welcome_intent = Some(text("Welcome"));
        let arn = world.call(&create).unwrap().app_instance_bot_arn;
        assert_eq!(world.call(&create).unwrap().app_instance_bot_arn, arn, "the token says it is the same");
        let other = CreateAppInstanceBot { name: None, ..create.clone() };
        assert_eq!(world.call(&other).unwrap_err().code, ErrorCode::Conflict);
        let describe = DescribeAppInstanceBot { app_instance_bot_arn: arn.clone() };
        let bot = world.call(&describe).unwrap().app_instance_bot;
        assert_eq!((bot.app_instance_bot_arn, bot.configuration), (arn, create.configuration));
        assert_eq!((bot.name.as_str(), bot.metadata.unwrap().as_str()), ("Concierge", "m"));
        assert_eq!((bot.created_timestamp, bot.last_updated_timestamp), (START, START));
    }

    #[engine_test]
    fn a_configuration_must_be_of_this_account_and_not_contradict_itself(world: &mut World) {
        let good = bot_request(world, "Concierge");
        let mut refuse = |change: fn(&mut LexConfiguration), word: &str| {
            let mut bad = good.clone();
            change(&mut bad.configuration.lex);
            let refused = world.call(&bad).unwrap_err();
            assert_eq!(refused.code, ErrorCode::BadRequest, "{}", refused.message);
            assert!(refused.message.contains(word), "{}", refused.message);
        };
        refuse(|lex| lex.lex_bot_alias_arn = text(FOREIGN), "LexBotAliasArn");
        refuse(|lex| lex.locale_id = text("English"), "LocaleId");
        refuse(
            |lex| {
                lex.responds_to = Some(RespondsTo::StandardMessages);
                lex.invoked_by = Some(InvokedBy {
                    standard_messages: StandardMessages::Mentions,
                    targeted_messages: TargetedMessages::All,
                });
            },
            "RespondsTo",
        );
        let mut both = good;
        both.configuration.lex.responds_to = Some(RespondsTo::StandardMessages);
        both.configuration.lex.invoked_by = Some(InvokedBy {
            standard_messages: StandardMessages::All,
            targeted_messages: TargetedMessages::None,
        });
        world.call(&both).unwrap();
    }

    #[engine_test]
    fn the_quota_of_bots_holds_and_a_deleted_one_makes_room(world: &mut World) {
        world.set_quotas(|quotas| quotas.bots_max = 1);
        let bot = world.bot("Belle");
        let more = bot_request(world, "Chimes");
        assert_eq!(world.call(&more).unwrap_err().code, ErrorCode::ResourceLimitExceeded);
        world.call(&DeleteAppInstanceBot { app_instance_bot_arn: bot }).unwrap();
        world.call(&more).unwrap();
    }

    #[engine_test]
    fn a_bot_acts_as_a_user_does_and_can_administer(world: &mut World) {
        let (ana, bot) = (world.user("ana"), world.bot("Belle"));
        let channel = world.channel_of(&bot, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &bot, &ana);
        world.send(&channel, &bot, "How may I help?");
        assert_eq!(world.contents(&channel, &ana), ["How may I help?"]);
        let other = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.promote(&bot);
        assert_eq!(world.members(&other, &bot), ["ana"]);
    }
}
