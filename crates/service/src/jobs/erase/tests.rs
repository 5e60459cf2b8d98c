use carillon_model::channel_flow::{Failure, Reason};
use carillon_model::text::{
    ChannelMessagePersistenceType, ChannelMode, ChannelPrivacy, MessageId, MessagingDataType,
};
use carillon_model::{ChannelArn, IdentityArn};
use carillon_store::erasure::HOLD;

use crate::operations::identity::create_app_instance_user::CreateAppInstanceUser;
use crate::operations::identity::delete_app_instance_user::DeleteAppInstanceUser;
use crate::operations::identity::register_app_instance_user_endpoint::RegisterAppInstanceUserEndpoint;
use crate::operations::messaging::put_messaging_streaming_configurations::PutMessagingStreamingConfigurations;
use crate::operations::messaging::send_channel_message::SendChannelMessage;
use crate::operations::messaging::update_channel_message::UpdateChannelMessage;
use crate::operations::tags::tag_resource::TagResource;
use crate::shapes::*;
use crate::testing::*;

/// What every mark begins with that is planted in what is hers.
const MARK: &str = "plantedmark";
/// What stands in what is not hers, and must be left.
const OTHERS: [&str; 4] = ["bobs-words", "bobs-whisper", "bobs-phone", "bobs-tag"];

fn tag(world: &mut World, resource: &str, key: &str, value: &str) {
    let tags = vec![Tag { key: text(key), value: text(value) }];
    world.call(&TagResource { resource_arn: text(resource), tags }).unwrap();
}

/// A user with marks in all that is theirs but the id.
fn marked(world: &mut World, id: &str) -> IdentityArn {
    let create = CreateAppInstanceUser {
        app_instance_arn: world.instance().clone(),
        app_instance_user_id: text(id),
        name: text(&format!("{MARK}-name")),
        metadata: Some(text(&format!("{MARK}-metadata"))),
        client_request_token: text(&format!("{MARK}-user-token")),
        tags: Some(vec![Tag { key: text("k"), value: text(&format!("{MARK}-tag")) }]),
        expiration_settings: None,
    };
    let arn = world.call(&create).unwrap().app_instance_user_arn;
    let phone = endpoint_request(&arn, &format!("{MARK}-device-token"));
    let attributes = EndpointAttributes {
        voip_device_token: Some(text(&format!("{MARK}-voip-token"))),
        ..phone.endpoint_attributes
    };
    let phone = RegisterAppInstanceUserEndpoint {
        name: Some(text(&format!("{MARK}-phone"))),
        endpoint_attributes: attributes,
        client_request_token: text(&format!("{MARK}-phone-token")),
        ..phone
    };
    world.call(&phone).unwrap();
    arn
}

/// A message with marks in all that it says.
fn said(world: &mut World, channel: &ChannelArn, who: &IdentityArn, about: &str) -> SendChannelMessage {
    let mark = |what: &str| format!("{MARK}-{about}-{what}");
    let values = MessageAttributeValue { string_values: Some(vec![text(&mark("value"))]) };
    SendChannelMessage {
        metadata: Some(text(&mark("metadata"))),
        message_attributes: Some(MessageAttributeMap::from([(text(&mark("attribute")), values)])),
        push_notification: Some(PushNotificationConfiguration {
            title: Some(text(&mark("title"))),
            body: Some(text(&mark("body"))),
            kind: None,
        }),
        content_type: Some(text(&format!("application/{}", mark("type")))),
        client_request_token: text(&format!("{MARK}-{}", world.token())),
        ..message_request(channel, who, &mark("content"))
    }
}

fn stream(world: &mut World) {
    let resource: carillon_model::text::AnyArn =
        text("arn:aws:kinesis:us-east-1:111122223333:stream/chime-messaging-all");
    let streaming_configurations = [MessagingDataType::Channel, MessagingDataType::ChannelMessage]
        .map(|data_type| StreamingConfiguration { data_type, resource_arn: text(resource.as_str()) })
        .to_vec();
    let app_instance_arn = world.instance().clone();
    world.call(&PutMessagingStreamingConfigurations { app_instance_arn, streaming_configurations }).unwrap();
}

/// A channel of bob's in which both said something.
fn talk(world: &mut World, bob: &IdentityArn, ana: &IdentityArn) -> (ChannelArn, MessageId) {
    let channel = world.channel_of(bob, ChannelMode::Restricted, ChannelPrivacy::Private);
    world.join(&channel, bob, ana);
    world.send(&channel, bob, "bobs-words");
    let hers = said(world, &channel, ana, "sent");
    let hers = world.call(&hers).unwrap().message_id;
    world.send_to(&channel, bob, "bobs-whisper", ana);
    (channel, hers)
}

fn holds(world: &mut World, text: &str) -> bool {
    world.dump().iter().any(|row| row.contains(text))
}

/// All that stands of her, in how many rows.
fn marks(world: &mut World) -> Vec<String> {
    world.dump().into_iter().filter(|row| row.contains(MARK) || row.contains("user/ana\"")).collect()
}

#[engine_test]
fn nothing_that_was_hers_is_left_in_any_table_and_all_that_is_others_is(world: &mut World) {
    stream(world);
    let bob = world.user("bob");
    world.call(&endpoint_request(&bob, "bobs-phone")).unwrap();
    tag(world, bob.as_str(), "k", "bobs-tag");
    let ana = marked(world, "ana");
    let bot = world.bot("Belle");
    let (channel, hers) = talk(world, &bob, &ana);
    world.join(&channel, &bob, &bot);
    world.moderate(&channel, &bob, &ana);
    let elsewhere = world.channel_of(&bob, ChannelMode::Restricted, ChannelPrivacy::Private);
    world.ban(&elsewhere, &bob, &ana);
    let own = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    world.join(&own, &ana, &bob);
    let edit = UpdateChannelMessage {
        channel_arn: channel.clone(),
        message_id: hers.clone(),
        content: text(&format!("{MARK}-edited")),
        metadata: None,
        chime_bearer: ana.clone(),
        sub_channel_id: None,
        content_type: None,
    };
    world.call(&edit).unwrap();
    let whisper = said(world, &channel, &ana, "whispered");
    let target = Some(vec![Target { member_arn: Some(bob.clone()) }]);
    world.call(&SendChannelMessage { target, ..whisper }).unwrap();
    let passing = said(world, &channel, &ana, "passing");
    let persistence = ChannelMessagePersistenceType::NonPersistent;
    world.call(&SendChannelMessage { persistence, ..passing }).unwrap();
    // One that failed in a flow, and some that wait there.
    let flow = world.flow();
    world.call(&association(&own, &flow, &ana)).unwrap();
    let failing = said(world, &own, &ana, "failed");
    world.call(&failing).unwrap();
    let invocation = world.invocations().pop().unwrap();
    assert!(world.fail(&invocation, Failure { reason: Reason::NotReachable, permanent: true }));
    let waiting = said(world, &own, &ana, "waiting");
    world.call(&waiting).unwrap();
    let passing = said(world, &own, &ana, "waiting-passing");
    world.call(&SendChannelMessage { persistence, ..passing }).unwrap();
    for word in [
        "name",
        "user-token",
        "device-token",
        "voip-token",
        "phone",
        "tag",
        "sent-content",
        "edited",
        "whispered-title",
        "passing-content",
        "failed-content",
        "waiting-body",
        "waiting-passing-value",
    ] {
        assert!(holds(world, &format!("{MARK}-{word}")), "{word} is nowhere, so nothing shows that it goes");
    }
    for table in ["outbox", "outgoing", "in_flight", "request_token", "message"] {
        assert!(marks(world).iter().any(|row| row.starts_with(table)), "{table}");
    }
    world.told();

    let erasures = world.erase(&ana, false);

    assert_eq!(marks(world), Vec::<String>::new());
    for word in OTHERS {
        assert!(holds(world, word), "{word} was bob's");
    }
    let [erasure] = &erasures[..] else { panic!("{erasures:?}") };
    assert!(erasure.ended_at.is_some() && erasure.id.is_none() && erasure.held().is_empty());
    let erased = erasure.erased;
    assert_eq!((erased.endpoints, erased.messages, erased.unseen), (1, 2, 3), "{erased:?}");
    assert!(0 < erased.events && 0 < erased.outgoing && 0 < erased.tokens, "{erased:?}");
    // The others see the shells in their order, and who is left.
    assert_eq!(world.members(&channel, &bob).len(), 2);
    let listed = world.call(&messages_of(&channel, &bob)).unwrap().channel_messages;
    let shown: Vec<_> = listed.iter().map(|message| (message.redacted, message.content.is_some())).collect();
    let (shell, whole) = ((true, false), (false, true));
    assert_eq!(shown, [shell, whole, shell, whole]);
    let sender = &listed[0].sender;
    assert_eq!(sender.name.as_str(), "Erased user");
    assert!(sender.arn.id().starts_with("erased-"));
}

#[engine_test]
fn with_her_messages_kept_only_she_is_gone(world: &mut World) {
    stream(world);
    let bob = world.user("bob");
    let ana = marked(world, "ana");
    let (channel, _) = talk(world, &bob, &ana);
    world.erase(&ana, true);
    let left = marks(world);
    let is_said =
        |row: &String| row.contains("-sent-") && !row.contains("-name") && !row.contains("user/ana\"");
    assert!(!left.is_empty() && left.iter().all(is_said), "{left:?}");
    let contents = world.contents(&channel, &bob);
    assert_eq!(contents, ["bobs-whisper", &format!("{MARK}-sent-content"), "bobs-words"]);
}

#[engine_test]
fn a_channel_that_is_held_keeps_what_she_said_and_who_she_was(world: &mut World) {
    let bob = world.user("bob");
    let ana = marked(world, "ana");
    let (held, _) = talk(world, &bob, &ana);
    let (open, _) = talk(world, &bob, &ana);
    tag(world, held.as_str(), HOLD, "on");
    tag(world, open.as_str(), HOLD, "off");
    let erasures = world.erase(&ana, false);
    let kept: Vec<_> = erasures[0].held().into_iter().map(|held| (held.channel_arn, held.messages)).collect();
    assert_eq!(kept, [(held.as_str().to_owned(), 1)]);
    assert!(erasures[0].ended_at.is_some());
    assert_eq!(world.contents(&held, &bob), ["bobs-whisper", &format!("{MARK}-sent-content"), "bobs-words"]);
    let listed = world.call(&messages_of(&open, &bob)).unwrap().channel_messages;
    assert!(listed[1].redacted);
    assert_eq!(listed[1].sender.arn, ana, "whose words they are is held, too");
    assert!(!holds(world, &format!("{MARK}-device-token")));
    // When it is held no more, the same command does the rest.
    tag(world, held.as_str(), HOLD, "off");
    let erasures = world.erase(&ana, false);
    assert!(erasures[0].held().is_empty() && erasures[0].ended_at.is_some());
    assert_eq!(marks(world), Vec::<String>::new());
}

#[engine_test]
fn who_was_deleted_before_is_erased_too_and_whoever_has_their_id_since_with_them(world: &mut World) {
    let bob = world.user("bob");
    let ana = marked(world, "ana");
    talk(world, &bob, &ana);
    world.call(&DeleteAppInstanceUser { app_instance_user_arn: ana.clone() }).unwrap();
    world.run_jobs();
    let again = world.user("ana");
    assert_eq!(world.erase(&ana, false).len(), 2);
    assert_eq!(marks(world), Vec::<String>::new());
    let stranger = world.user("ana");
    assert_eq!((again, world.erase(&bob, false).len()), (stranger, 1));
    assert!(world.erase(&ana.app_instance().user("nobody"), false).is_empty());
}

#[engine_test]
fn it_goes_on_where_it_was_cut_off(world: &mut World) {
    let bob = world.user("bob");
    let ana = marked(world, "ana");
    let (channel, _) = talk(world, &bob, &ana);
    for _ in 0..7 {
        let more = said(world, &channel, &ana, "more");
        world.call(&more).unwrap();
    }
    let people = world.ask_erasure(&ana);
    // Each comes a little further than the one before.
    let mut most = 1;
    while world.erase_for(most, &people) {
        most += 1;
        // Whoever asks again means them still, although they have another id at some point.
        assert_eq!(world.ask_erasure(&ana), people);
    }
    assert_eq!(world.ask_erasure(&ana), []);
    assert!(5 < most, "{most}");
    assert_eq!(marks(world), Vec::<String>::new());
}
