//! `UpdateAppInstanceUser`: replaces the name and the metadata. The new name shows wherever the user does.

use crate::prelude::*;

/// The request.
#[operation(PUT "/app-instance-users/{appInstanceUserArn}" => 200, Updated)]
#[errors(BadRequest, Conflict, ResourceLimitExceeded)]
pub struct UpdateAppInstanceUser {
    /// Who.
    #[label]
    pub app_instance_user_arn: IdentityArn,
    /// The new display name.
    pub name: UserName,
    /// The new metadata; empty, there is none.
    pub metadata: Metadata,
}

/// The answer.
#[shape]
pub struct Updated {
    /// Who.
    pub app_instance_user_arn: IdentityArn,
}

impl Write for UpdateAppInstanceUser {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Updated> {
        let user = call.user(tx, "AppInstanceUserArn", &self.app_instance_user_arn)?;
        let metadata = shown(Some(self.metadata.clone()));
        store::identity::update_user(tx, user.key, &self.name, metadata.as_ref(), call.now)?;
        Ok(Updated { app_instance_user_arn: user.arn })
    }
}

#[cfg(test)]
mod tests {
    use super::super::describe_app_instance_user::DescribeAppInstanceUser;
    use super::*;
    use crate::operations::messaging::get_channel_message::GetChannelMessage;
    use crate::testing::*;

    #[engine_test]
    fn the_new_name_shows_on_what_was_sent_before(world: &mut World) {
        let ana = world.user("ana");
        let channel_arn = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let message_id = world.send(&channel_arn, &ana, "hi");
        world.take_events();
        world.advance_ms(7);
        let update = UpdateAppInstanceUser {
            app_instance_user_arn: ana.clone(),
            name: text("Anna"),
            metadata: text("m"),
        };
        world.call(&update).unwrap();
        assert!(world.take_events().is_empty());
        let get =
            GetChannelMessage { channel_arn, message_id, chime_bearer: ana.clone(), sub_channel_id: None };
        assert_eq!(world.call(&get).unwrap().channel_message.sender.name.as_str(), "Anna");
        let user = world.call(&DescribeAppInstanceUser { app_instance_user_arn: ana }).unwrap();
        assert_eq!(user.app_instance_user.metadata.unwrap().as_str(), "m");
        assert_eq!(user.app_instance_user.last_updated_timestamp, START.plus_ms(7));
    }

    #[engine_test]
    fn a_missing_user_is_forbidden(world: &mut World) {
        let update = UpdateAppInstanceUser {
            app_instance_user_arn: world.instance().user("nobody"),
            name: text("Nobody"),
            metadata: text(""),
        };
        assert_eq!(world.call(&update).unwrap_err().code, ErrorCode::Forbidden);
    }
}
