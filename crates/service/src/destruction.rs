//! What is deleted is gone in the end: the rows of every table are counted, so a table that is added and forgotten
//! here fails these tests as soon as [`fill`] puts a row into it.

use carillon_model::text::{ChannelMode, ChannelPrivacy, MessagingDataType};
use carillon_model::{AppInstanceArn, ChannelArn, IdentityArn};

use crate::jobs::OUTBOX_WINDOW_MS;
use crate::once::TOKEN_WINDOW_MS;
use crate::operations::identity::delete_app_instance::DeleteAppInstance;
use crate::operations::identity::delete_app_instance_bot::DeleteAppInstanceBot;
use crate::operations::identity::delete_app_instance_user::DeleteAppInstanceUser;
use crate::operations::messaging::create_channel::CreateChannel;
use crate::operations::messaging::put_messaging_streaming_configurations::PutMessagingStreamingConfigurations;
use crate::operations::messaging::redact_channel_message::RedactChannelMessage;
use crate::shapes::StreamingConfiguration;
use crate::testing::*;

/// Tables that no deletion touches: the server's own.
const KEPT: [&str; 4] = ["beat", "lease", "migration", "setting"];
/// So begin the tables of who may sign, which are the account's.
const ACCOUNT: &str = "iam_";

fn tag(world: &mut World, resource: &str) {
    world.tag(resource, "k", "v");
}

/// A channel with a member, a hidden one, a moderator, a banned one, messages, a flow with one in flight, and a tag.
fn fill_channel(world: &mut World, who: &IdentityArn, others: &[IdentityArn; 4]) -> ChannelArn {
    let channel = world.channel_of(who, ChannelMode::Restricted, ChannelPrivacy::Public);
    let [member, hidden, moderator, banned] = others;
    world.join(&channel, who, member);
    world.join_hidden(&channel, who, hidden);
    world.moderate(&channel, who, moderator);
    world.ban(&channel, who, banned);
    for number in 0..7 {
        world.send(&channel, if number % 2 == 0 { who } else { member }, "hi");
    }
    world.send_to(&channel, who, "psst", member);
    let flow = world.flow();
    world.call(&association(&channel, &flow, who)).unwrap();
    tag(world, channel.as_str());
    tag(world, flow.as_str());
    world.send(&channel, member, "in flight");
    channel
}

/// An elastic channel of two sub-channels.
fn fill_elastic(world: &mut World, who: &IdentityArn, others: &[IdentityArn; 4]) -> ChannelArn {
    let create = CreateChannel { client_request_token: text("elastic"), ..elastic_request(world, who) };
    let channel = world.call(&create).unwrap().channel_arn;
    for other in &others[..3] {
        world.join(&channel, who, other);
    }
    channel
}

/// Something of everything in the world's app instance.
fn fill(world: &mut World) -> (IdentityArn, [IdentityArn; 4]) {
    let ana = world.admin("ana");
    let others = ["bob", "ghost", "mo", "eve"].map(|name| world.user(name));
    fill_channel(world, &ana, &others);
    fill_elastic(world, &ana, &others);
    let bot = world.bot("Belle");
    world.channel_of(&bot, ChannelMode::Restricted, ChannelPrivacy::Private);
    world.call(&endpoint_request(&ana, "token")).unwrap();
    let instance = world.instance().clone();
    for resource in [instance.as_str(), ana.as_str(), bot.as_str()] {
        tag(world, resource);
    }
    let stream = text("arn:aws:kinesis:us-east-1:111122223333:stream/chime-messaging-all");
    let data_type = MessagingDataType::Channel;
    let streaming_configurations = vec![StreamingConfiguration { data_type, resource_arn: stream }];
    let app_instance_arn = instance;
    world.call(&PutMessagingStreamingConfigurations { app_instance_arn, streaming_configurations }).unwrap();
    let gone = world.user("gone");
    world.ask_erasure(&gone);
    (ana, others)
}

/// The rows that are left when all jobs have run and all windows are over.
fn settled(world: &mut World) -> Vec<(String, i64)> {
    world.index(100);
    world.run_jobs();
    world.advance_ms(OUTBOX_WINDOW_MS.max(TOKEN_WINDOW_MS) + 1);
    world.run_jobs();
    let mut counts = world.row_counts();
    // What is to leave the server goes when its turn comes, which is no job.
    counts.retain(|(name, _)| name != "outgoing");
    counts
}

fn without<'a>(counts: &'a [(String, i64)], names: &[&str]) -> Vec<&'a (String, i64)> {
    counts.iter().filter(|(name, _)| !names.contains(&name.as_str())).collect()
}

#[engine_test]
fn nothing_is_left_of_a_deleted_app_instance(world: &mut World) {
    let survivor: AppInstanceArn = world.instance().clone();
    world.user("survivor");
    let before = settled(world);
    world.use_new_instance();
    let (ana, others) = fill(world);
    world.call(&DeleteAppInstanceUser { app_instance_user_arn: others[0].clone() }).unwrap();
    let lobby = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    world.end(&lobby, &ana);
    // What is changed after it was taken in leaves a row in the index.
    let channel_arn = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    let message_id = world.send(&channel_arn, &ana, "taken in");
    world.index(100);
    let chime_bearer = ana.clone();
    let redaction = RedactChannelMessage { channel_arn, message_id, chime_bearer, sub_channel_id: None };
    world.call(&redaction).unwrap();
    for (name, count) in world.row_counts() {
        // Where there is one writer no lane is locked.
        let kept = KEPT.contains(&name.as_str()) || name.starts_with(ACCOUNT) || name == "lane";
        assert!(0 < count || kept, "the world has no row in {name}");
    }
    world.call(&DeleteAppInstance { app_instance_arn: world.instance().clone() }).unwrap();
    assert_eq!(settled(world), before);
    assert_ne!(*world.instance(), survivor);
}

#[engine_test]
fn nothing_is_left_of_a_deleted_channel(world: &mut World) {
    let ana = world.user("ana");
    let others = ["bob", "ghost", "mo", "eve"].map(|name| world.user(name));
    let before = settled(world);
    let channels = [fill_channel(world, &ana, &others), fill_elastic(world, &ana, &others)];
    world.index(100);
    for channel in &channels {
        world.end(channel, &ana);
    }
    let after = settled(world);
    // The flow stays, with its tag; it is not the channel's.
    let flow = ["channel_flow", "tag"];
    assert_eq!(without(&after, &flow), without(&before, &flow));
    assert!(after.contains(&("tag".to_owned(), 1)) && after.contains(&("channel_flow".to_owned(), 1)));
}

#[engine_test]
fn of_deleted_users_and_bots_the_last_names_are_left(world: &mut World) {
    let (ana, others) = fill(world);
    let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    let before = settled(world);
    let (late, bot) = (world.admin("late"), world.bot("Late"));
    for who in [&late, &bot] {
        world.join(&channel, &ana, who);
        world.moderate(&channel, &ana, who);
        tag(world, who.as_str());
    }
    let elsewhere = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    let barred = world.channel_of(&others[0], ChannelMode::Restricted, ChannelPrivacy::Private);
    world.ban(&barred, &others[0], &bot);
    world.join_hidden(&elsewhere, &ana, &late);
    world.call(&endpoint_request(&late, "phone")).unwrap();
    world.call(&DeleteAppInstanceUser { app_instance_user_arn: late }).unwrap();
    world.call(&DeleteAppInstanceBot { app_instance_bot_arn: bot }).unwrap();
    world.run_jobs();
    for (channel, who) in [(&elsewhere, &ana), (&barred, &others[0])] {
        world.end(channel, who);
    }
    let after = settled(world);
    assert_eq!(without(&after, &["identity"]), without(&before, &["identity"]));
    let identities = |counts: &[(String, i64)]| counts.iter().find(|(name, _)| name == "identity").unwrap().1;
    assert_eq!(identities(&after), identities(&before) + 2);
}
