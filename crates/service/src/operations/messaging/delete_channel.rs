//! `DeleteChannel`: ends a channel, for ever. It is inaccessible at once; what it held is destroyed in the background.

use crate::operation::NoContent;
use crate::prelude::*;

/// The request.
#[operation(DELETE "/channels/{channelArn}" => 204, NoContent)]
#[errors(BadRequest, Conflict)]
#[bearer]
pub struct DeleteChannel {
    /// Which.
    #[label]
    pub channel_arn: ChannelArn,
}

const RULE: Rule = Rule(&[Grant::Admin, Grant::Moderator]);

impl Write for DeleteChannel {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<NoContent> {
        let channel = call.claim_channel(tx, &self.channel_arn, 1, RULE)?.channel;
        crate::chat::channel::delete(tx, &channel)?;
        Ok(NoContent {})
    }
}

#[cfg(test)]
mod tests {
    use super::super::create_channel::CreateChannel;
    use super::super::describe_channel::DescribeChannel;
    use super::*;
    use crate::jobs::{Progress, destroy};
    use crate::testing::*;

    fn named(world: &mut World, who: &IdentityArn, token: &str) -> ChannelArn {
        let create = CreateChannel {
            channel_id: Some(text("lobby")),
            client_request_token: text(token),
            privacy: Some(ChannelPrivacy::Public),
            ..channel_request(world, who)
        };
        world.call(&create).unwrap().channel_arn
    }

    #[engine_test]
    fn a_deleted_channel_is_gone_at_once_and_its_members_learn_that_alone(world: &mut World) {
        let (ana, bob, ghost) = (world.user("ana"), world.user("bob"), world.user("ghost"));
        let channel = named(world, &ana, "first");
        world.join(&channel, &ana, &bob);
        world.join_hidden(&channel, &ana, &ghost);
        let delete = DeleteChannel { channel_arn: channel.clone(), chime_bearer: bob.clone() };
        assert_eq!(world.call(&delete).unwrap_err().code, ErrorCode::Forbidden);
        let delete = DeleteChannel { chime_bearer: ana.clone(), ..delete };
        world.take_events();
        world.call(&delete).unwrap();
        assert_eq!(world.told(), [["ana", "bob", "ghost"]]);
        let describe = DescribeChannel { channel_arn: channel.clone(), chime_bearer: ana.clone() };
        assert_eq!(world.call(&describe).unwrap_err().code, ErrorCode::Forbidden);
        assert_eq!(world.call(&delete).unwrap_err().code, ErrorCode::Forbidden);
        assert!(world.take_events().is_empty());
    }

    #[engine_test]
    fn its_id_is_free_and_nothing_of_the_old_reaches_the_new(world: &mut World) {
        world.set_quotas(|quotas| (quotas.channels_max, quotas.user_memberships_max) = (1, 1));
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let channel = named(world, &ana, "first");
        world.join(&channel, &ana, &bob);
        world.ban(&channel, &ana, &cy);
        for number in 0..3 {
            world.send(&channel, &ana, &number.to_string());
        }
        world.call(&DeleteChannel { channel_arn: channel, chime_bearer: ana.clone() }).unwrap();
        world.run_jobs();
        world.take_events();
        let channel = named(world, &ana, "second");
        assert_eq!(world.members(&channel, &ana), ["ana"]);
        assert!(world.contents(&channel, &ana).is_empty());
        assert_eq!(world.told(), [["ana"]], "who was told before is not");
        world.join(&channel, &ana, &bob);
        world.leave(&channel, &bob);
        world.join(&channel, &ana, &cy);
    }

    #[engine_test]
    fn what_a_channel_held_is_destroyed_in_steps_and_others_stay(world: &mut World) {
        let ana = world.user("ana");
        let kept = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.send(&kept, &ana, "kept");
        let plain = named(world, &ana, "first");
        let elastic = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        for name in ["b", "c", "d"] {
            let member = world.user(name);
            world.join(&elastic, &ana, &member);
        }
        for number in 0..3 {
            world.send(&plain, &ana, &number.to_string());
        }
        assert!(world.find(&destroy::JOB).due.is_empty(), "nothing is deleted yet");
        world.take_events();
        for channel_arn in [plain, elastic] {
            world.call(&DeleteChannel { channel_arn, chime_bearer: ana.clone() }).unwrap();
        }
        assert_eq!(world.told(), [vec!["ana"], vec!["b", "c", "d"]], "members of all sub-channels");
        let deleted = world.find(&destroy::JOB).due;
        assert_eq!(deleted.len(), 2);
        let mut steps = 0;
        for channel in deleted {
            while world.step_on(&channel) == Progress::More {
                steps += 1;
            }
        }
        assert!(4 < steps, "{steps} steps of few rows");
        assert!(world.find(&destroy::JOB).due.is_empty());
        assert_eq!(world.contents(&kept, &ana), ["kept"]);
        assert_eq!(world.members(&kept, &ana), ["ana"]);
    }
}
