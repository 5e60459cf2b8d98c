//! How often each operation waits for PostgreSQL until it is answered, as one table: `round_trips.txt`.
//!
//! Statements that are sent together are one wait. A new one is read here before it is felt: run the test with
//! `CARILLON_WRITE_ROUND_TRIPS=1`, and say in the commit why it is worth it.

use super::*;
use crate::operation::Operation as _;
use crate::testing::{bot_request, elastic_request, endpoint_request};

const TRIPS: &str = include_str!("round_trips.txt");
const TRIPS_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/role_matrix/round_trips.txt");

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
    ("PutChannelMembershipPreferences", 2),
    ("SearchChannels", 2),
    ("SendChannelMessage", 2),
    ("UpdateChannelMessage", 2),
    ("UpdateChannelReadMarker", 2),
];

#[test]
fn no_operation_waits_more_often_than_the_table_says() {
    World::across_a_network(|world| {
        let (cast, instance) = (Cast::new(world), world.new_instance());
        let mut table = String::new();
        for route in crate::front::route::all() {
            let scene = cast.plain_scene(world, ChannelPrivacy::Public, ChannelMode::Unrestricted);
            let role = CALLERS.iter().find(|(name, _)| *name == route.name).map_or(0, |(_, role)| *role);
            let caller = &cast.callers[role].1;
            let says =
                VARIANTS.iter().find(|(name, ..)| *name == route.name).map_or(&[][..], |found| found.2);
            let (flow, bot) = (world.flow(), world.bot(route.name));
            let user = world.user(&format!("trip-{}", route.name));
            let fitting = fitting(world, &cast, route.name, (&scene, &user));
            let value_of = |member: &Member| match member.name {
                said if fitting.get(said).is_some() => Some(fitting[said].clone()),
                said if says.iter().any(|(name, _)| *name == said) => {
                    cast.value(&scene, caller, says, member)
                }
                "AppInstanceArn" if route.name == "DeleteAppInstance" => Some(json!(instance)),
                "AppInstanceBotArn" if member.required => Some(json!(bot)),
                "ChannelFlowArn" if route.name == "DeleteChannelFlow" => Some(json!(flow)),
                "AppInstanceUserArn" | "AppInstanceAdminArn" if member.required => Some(json!(user)),
                _ => cast.value(&scene, caller, says, member),
            };
            let before = world.round_trips();
            let (status, answer) = request(world, &route, value_of);
            let waits = world.round_trips() - before;
            assert!(status < 300, "{} was refused, and has no figure: {answer}", route.name);
            writeln!(table, "{:48} {waits}", route.name).unwrap();
        }
        if std::env::var_os("CARILLON_WRITE_ROUND_TRIPS").is_some() {
            std::fs::write(TRIPS_PATH, &table).unwrap();
        } else {
            assert!(table == TRIPS, "round_trips.txt is not what happens now, which is:\n{table}");
        }
    });
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

#[test]
fn an_engine_in_this_process_is_not_waited_for() {
    World::once(|world| {
        world.user("ana");
        assert_eq!(world.round_trips(), 0);
    });
}
