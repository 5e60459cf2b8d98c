//! `DeleteAppInstance`: ends an app instance with everything inside it.
//!
//! At once nothing of it can be reached; sockets are closed and rows destroyed in steps, by
//! `jobs::destroy`. Nobody is told of each channel.

use carillon_store::Work;

use crate::operation::NoContent;
use crate::prelude::*;

/// The request.
#[operation(DELETE "/app-instances/{appInstanceArn}" => 204, NoContent)]
#[errors(BadRequest, ResourceLimitExceeded)]
pub struct DeleteAppInstance {
    /// Which.
    #[label]
    pub app_instance_arn: AppInstanceArn,
}

impl Write for DeleteAppInstance {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<NoContent> {
        let key = call.app_instance(tx, &self.app_instance_arn)?;
        store::app_instance::set_deleted(tx, key, call.now)?;
        // From here on nothing more is streamed.
        store::streaming::replace(tx, key, &[])?;
        tx.wake(Work::Destroy);
        Ok(NoContent {})
    }
}

#[cfg(test)]
mod tests {
    use super::super::create_app_instance_user::CreateAppInstanceUser;
    use super::super::describe_app_instance::DescribeAppInstance;
    use super::super::describe_app_instance_user::DescribeAppInstanceUser;
    use super::super::list_app_instances::ListAppInstances;
    use super::*;
    use crate::operations::messaging::describe_channel_flow::DescribeChannelFlow;
    use crate::operations::messaging::update_channel_flow::UpdateChannelFlow;
    use crate::operations::tags::list_tags_for_resource::ListTagsForResource;
    use crate::testing::*;

    #[engine_test]
    fn nothing_of_it_can_be_reached_before_anything_is_destroyed(world: &mut World) {
        let (ana, flow) = (world.user("ana"), world.flow());
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        let instance = world.instance().clone();
        let send = message_request(&channel, &ana, "hi");
        world.take_events();
        let delete = DeleteAppInstance { app_instance_arn: instance.clone() };
        world.call(&delete).unwrap();
        assert!(world.take_events().is_empty());
        assert_eq!(world.refusal(&delete), ErrorCode::Forbidden);
        assert_eq!(world.refusal(&send), ErrorCode::Unauthorized);
        let describe = DescribeAppInstance { app_instance_arn: instance.clone() };
        assert_eq!(world.refusal(&describe), ErrorCode::Forbidden);
        let describe = DescribeAppInstanceUser { app_instance_user_arn: ana.clone() };
        assert_eq!(world.refusal(&describe), ErrorCode::Forbidden);
        let describe = DescribeChannelFlow { channel_flow_arn: flow.clone() };
        assert_eq!(world.refusal(&describe), ErrorCode::Forbidden);
        let (name, processors) = (text("other"), flow_request(world).processors);
        let update = UpdateChannelFlow { channel_flow_arn: flow.clone(), name, processors };
        assert_eq!(world.refusal(&update), ErrorCode::Forbidden);
        for resource in [instance.as_str(), ana.as_str(), channel.as_str(), flow.as_str()] {
            let list = ListTagsForResource { resource_arn: text(resource) };
            assert_eq!(world.refusal(&list), ErrorCode::Forbidden, "{resource}");
        }
        let create = CreateAppInstanceUser {
            app_instance_arn: instance,
            app_instance_user_id: text("bob"),
            name: text("Bob"),
            metadata: None,
            client_request_token: text("late"),
            tags: None,
            expiration_settings: None,
        };
        assert_eq!(world.refusal(&create), ErrorCode::Forbidden);
        let listed = world.call(&ListAppInstances { max_results: None, next_token: None }).unwrap();
        assert!(listed.app_instances.is_empty());
    }

    #[engine_test]
    fn its_sockets_are_closed_and_nobody_is_told_of_channels(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        world.take_events();
        world.call(&DeleteAppInstance { app_instance_arn: world.instance().clone() }).unwrap();
        world.run_jobs();
        assert_eq!(world.take_events(), ["DELETE_APP_INSTANCE_USER"; 2]);
    }

    #[engine_test]
    fn a_deleted_one_makes_room_for_another(world: &mut World) {
        world.set_quotas(|quotas| quotas.app_instances_max = 1);
        world.call(&DeleteAppInstance { app_instance_arn: world.instance().clone() }).unwrap();
        world.new_instance();
    }
}
