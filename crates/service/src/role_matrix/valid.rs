//! For each operation a request that is answered well, and what has to be there for it.

use super::*;
use crate::constraints::Built;
use crate::operation::Operation as _;
use crate::testing::{bot_request, elastic_request, endpoint_request};

/// Who makes a call that only they may make; an administrator makes all others.
const CALLERS: &[(&str, usize)] = &[
    ("ChannelFlowCallback", 5),
    ("CreateChannelMembership", 1),
    ("DeleteChannelMembership", 2),
    ("DeleteChannelMessage", 0),
    ("DescribeChannelMembership", 2),
    ("DescribeChannelMembershipForAppInstanceUser", 2),
    ("DescribeChannelModeratedByAppInstanceUser", 1),
    ("GetChannelMessageStatus", 2),
    ("GetChannelMembershipPreferences", 2),
    ("ListChannelMembershipsForAppInstanceUser", 2),
    ("ListUnreadCounts", 2),
    ("PutChannelMembershipPreferences", 2),
    ("SearchChannels", 2),
    ("SendChannelMessage", 2),
    ("UpdateChannelMessage", 2),
    ("UpdateChannelReadMarker", 2),
];

/// A request of an operation that will be answered well. What it changes is its own.
pub(super) fn valid(world: &mut World, cast: &Cast, route: &Route) -> Built {
    let scene = cast.plain_scene(world, ChannelPrivacy::Public, ChannelMode::Unrestricted);
    scene.prepare(world, route);
    let role = CALLERS.iter().find(|(name, _)| *name == route.name).map_or(0, |(_, role)| *role);
    let caller = &cast.callers[role].1;
    let says = VARIANTS.iter().find(|(name, ..)| *name == route.name).map_or(&[][..], |found| found.2);
    let (flow, bot) = (world.flow(), world.bot(route.name));
    let user = world.user(&format!("trip-{}", route.name));
    let fitting = fitting(world, cast, route.name, (&scene, &user));
    Built::of(route, |member| match member.name {
        said if fitting.get(said).is_some() => Some(fitting[said].clone()),
        said if says.iter().any(|(name, _)| *name == said) => cast.value(&scene, caller, says, member),
        "AppInstanceBotArn" if member.required => Some(json!(bot)),
        "ChannelFlowArn" if route.name == "DeleteChannelFlow" => Some(json!(flow)),
        "AppInstanceUserArn" | "AppInstanceAdminArn" if member.required => Some(json!(user)),
        _ => cast.value(&scene, caller, says, member),
    })
}

/// What a request says of what has to be there, which is made here.
fn fitting(world: &mut World, cast: &Cast, operation: &str, (scene, user): (&Scene, &IdentityArn)) -> Value {
    let (channel, [(_, admin), (_, moderator), (_, member), ..]) = (&scene.channel, &cast.callers);
    match operation {
        "CreateAppInstanceBot" => {
            serde_json::from_slice(&bot_request(world, "Trips").encode().body()).unwrap()
        }
        "RegisterAppInstanceUserEndpoint" => {
            serde_json::from_slice(&endpoint_request(user, "trips").encode().body()).unwrap()
        }
        "UpdateAppInstanceUserEndpoint"
        | "DeregisterAppInstanceUserEndpoint"
        | "DescribeAppInstanceUserEndpoint" => {
            let made = world.call(&endpoint_request(user, operation)).unwrap();
            json!({ "EndpointId": made.endpoint_id })
        }
        "DeleteAppInstance" => json!({ "AppInstanceArn": world.new_instance() }),
        "DeleteAppInstanceAdmin" | "DescribeAppInstanceAdmin" => {
            world.promote(user);
            json!({})
        }
        "TagResource" | "UntagResource" | "ListTagsForResource" => {
            json!({ "ResourceARN": user, "Tags": [{ "Key": "k", "Value": "v" }], "TagKeys": ["k"] })
        }
        "DescribeChannelBan" => {
            world.ban(channel, moderator, &cast.other);
            json!({})
        }
        "DisassociateChannelFlow" => {
            world.call(&association(channel, &cast.flow, admin)).unwrap();
            json!({})
        }
        "ListSubChannels" => {
            let elastic = elastic_request(world, admin);
            json!({ "ChannelArn": world.call(&elastic).unwrap().channel_arn })
        }
        "PutMessagingStreamingConfigurations" => {
            let stream = "arn:aws:kinesis:us-east-1:111122223333:stream/chime-messaging-all";
            json!({ "StreamingConfigurations": [{ "DataType": "Channel", "ResourceArn": stream }] })
        }
        "ChannelFlowCallback" => {
            world.call(&association(channel, &cast.flow, admin)).unwrap();
            world.send(channel, member, "in flight");
            let invocation = world.invocations().pop().unwrap();
            world.hand_over(&invocation);
            let told: Value = serde_json::from_str(&invocation.payload).unwrap();
            let message = json!({ "MessageId": invocation.message_id, "Content": "let through" });
            json!({ "CallbackId": told["CallbackId"], "ChannelMessage": message })
        }
        _ => json!({}),
    }
}
