use carillon_model::bot::{Reply, Saying};
use carillon_model::text::*;
use carillon_model::{ChannelArn, IdentityArn};
use serde_json::json;

use crate::front::bots::{Outcome, Said};
use crate::front::invocation::Invocation;
use crate::operations::messaging::channel_flow_callback::ChannelFlowCallback;
use crate::operations::messaging::create_channel::CreateChannel;
use crate::operations::messaging::send_channel_message::SendChannelMessage;
use crate::operations::messaging::update_channel_message::UpdateChannelMessage;
use crate::shapes::{InvokedBy, LexConfiguration, MessageAttributeValue, Target};
use crate::testing::*;

use super::Asked;

fn invoked_by(standard: StandardMessages, targeted: TargetedMessages) -> impl Fn(&mut LexConfiguration) {
    move |lex| {
        lex.invoked_by = Some(InvokedBy { standard_messages: standard, targeted_messages: targeted });
    }
}

/// Ana, in a channel with a bot that is configured so.
fn room(world: &mut World, change: impl Fn(&mut LexConfiguration)) -> (IdentityArn, IdentityArn, ChannelArn) {
    let (ana, bot) = (world.user("ana"), world.bot_with(change));
    let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    world.join(&channel, &ana, &bot);
    world.take_events();
    (ana, bot, channel)
}

fn mentioning(send: SendChannelMessage, bot: &IdentityArn) -> SendChannelMessage {
    let value = MessageAttributeValue { string_values: Some(vec![text("x"), text(bot.as_str())]) };
    SendChannelMessage { message_attributes: Some([(text("CHIME.mentions"), value)].into()), ..send }
}

/// Whether a message leads to a question; it is gone then.
fn asks(world: &mut World, send: &SendChannelMessage) -> bool {
    let send = SendChannelMessage { client_request_token: world.token(), ..send.clone() };
    world.call(&send).unwrap();
    let waiting = world.questions();
    for one in &waiting {
        world.answer(one, "Well.");
    }
    assert!(waiting.len() <= 1);
    !waiting.is_empty()
}

/// Plays the processor of a flow.
fn call_back(world: &mut World, invocation: &Invocation, change: impl Fn(&mut ChannelFlowCallback)) {
    world.hand_over(invocation);
    let payload: serde_json::Value = serde_json::from_str(&invocation.payload).unwrap();
    let mut callback = ChannelFlowCallback {
        callback_id: text(payload["CallbackId"].as_str().unwrap()),
        channel_arn: invocation.channel_arn.clone(),
        delete_resource: None,
        channel_message: unchanged(&text(&invocation.message_id)),
    };
    change(&mut callback);
    world.call(&callback).unwrap();
}

fn targeted(send: &SendChannelMessage, target: &IdentityArn) -> SendChannelMessage {
    SendChannelMessage { target: Some(vec![Target { member_arn: Some(target.clone()) }]), ..send.clone() }
}

#[engine_test]
fn a_bot_is_asked_by_what_it_is_told_to_answer(world: &mut World) {
    use StandardMessages::{All, Auto, Mentions};
    use TargetedMessages::{All as Targeted, None as Untargeted};
    type Row = (Option<(StandardMessages, TargetedMessages)>, [bool; 4]);
    // Alone with one; mentioned then; with two; mentioned then.
    let rows: [Row; 7] = [
        (Some((StandardMessages::None, Targeted)), [false; 4]),
        (Some((All, Untargeted)), [true; 4]),
        (Some((Mentions, Untargeted)), [false, true, false, true]),
        (Some((Auto, Targeted)), [true, true, false, true]),
        (Some((Auto, Untargeted)), [true, true, false, true]),
        (Some((Mentions, Targeted)), [false, true, false, true]),
        (None, [true, true, false, true]),
    ];
    for (invoked, asked) in rows {
        world.use_new_instance();
        let (bob, ghost) = (world.user("bob"), world.user("ghost"));
        let (ana, bot, channel) = room(world, |lex| {
            if let Some((standard, targeted)) = invoked {
                invoked_by(standard, targeted)(lex);
            }
        });
        world.join_hidden(&channel, &ana, &ghost);
        let plain = message_request(&channel, &ana, "Book a room");
        let mention = mentioning(plain.clone(), &bot);
        let mut found = vec![asks(world, &plain), asks(world, &mention)];
        world.join(&channel, &ana, &bob);
        found.extend([asks(world, &plain), asks(world, &mention)]);
        assert_eq!(found, asked, "{invoked:?}");
        let to_bot = invoked.is_none_or(|(_, targeted)| targeted == Targeted);
        assert_eq!(asks(world, &targeted(&plain, &bot)), to_bot, "{invoked:?}");
        assert_eq!(asks(world, &targeted(&mention, &bot)), to_bot, "{invoked:?}");
        assert!(!asks(world, &targeted(&mention, &bob)), "a target is somebody else: {invoked:?}");
        let control = SendChannelMessage { kind: ChannelMessageType::Control, content: text("x"), ..mention };
        assert!(!asks(world, &control), "{invoked:?}");
        assert!(!asks(world, &message_request(&channel, &bot, "It is me")), "{invoked:?}");
    }
}

#[engine_test]
fn older_words_say_to_answer_all_and_nothing_in_private(world: &mut World) {
    let (ana, bot, channel) = room(world, |lex| lex.responds_to = Some(RespondsTo::StandardMessages));
    let bob = world.user("bob");
    world.join(&channel, &ana, &bob);
    let plain = message_request(&channel, &ana, "Hello");
    assert!(asks(world, &plain) && !asks(world, &targeted(&plain, &bot)));
}

#[engine_test]
fn a_bot_that_is_shy_is_asked_where_it_is_meant(world: &mut World) {
    let (ana, bot, channel) = room(world, |lex| {
        lex.lex_bot_alias_arn = text(SHY_ALIAS);
        invoked_by(StandardMessages::All, TargetedMessages::All)(lex);
    });
    let plain = message_request(&channel, &ana, "Hello");
    assert!(asks(world, &plain), "there is nobody else");
    let bob = world.user("bob");
    world.join(&channel, &ana, &bob);
    assert!(!asks(world, &plain) && asks(world, &mentioning(plain.clone(), &bot)));
    assert!(asks(world, &targeted(&plain, &bot)));
}

#[engine_test]
fn in_an_elastic_channel_a_bot_is_asked_in_its_place_where_it_is_mentioned(world: &mut World) {
    let (ana, bot) = (world.user("ana"), world.bot_with(|_| {}));
    let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
    let bob = world.user("bob");
    let place = world.join(&channel, &ana, &bob);
    assert_eq!(world.join(&channel, &ana, &bot), place);
    let plain = SendChannelMessage { sub_channel_id: place, ..message_request(&channel, &bob, "Hello") };
    assert!(!asks(world, &plain), "it is alone with one, by chance");
    assert!(asks(world, &mentioning(plain, &bot)));
}

#[engine_test]
fn what_is_edited_empty_or_still_in_a_flow_asks_nobody_and_what_is_denied_never(world: &mut World) {
    let (ana, _, channel) = room(world, |_| {});
    let id = world.send(&channel, &ana, "Hello");
    let first = world.questions().pop().unwrap();
    world.answer(&first, "Well.");
    let update = UpdateChannelMessage {
        channel_arn: channel.clone(),
        message_id: id,
        content: text("Hello again"),
        metadata: None,
        chime_bearer: ana.clone(),
        sub_channel_id: None,
        content_type: None,
    };
    world.call(&update).unwrap();
    let flow = world.flow();
    world.call(&association(&channel, &flow, &ana)).unwrap();
    world.send(&channel, &ana, "Pass");
    let passing = world.invocations().pop().unwrap();
    assert!(world.questions().is_empty());
    world.send(&channel, &ana, "Deny");
    let denied = world.invocations().pop().unwrap();
    call_back(world, &denied, |callback| callback.delete_resource = Some(true));
    assert!(world.questions().is_empty());
    call_back(world, &passing, |callback| callback.channel_message.content = Some(text("Passed")));
    let [waiting] = &world.questions()[..] else { panic!("one") };
    let Asked::Answer { text, .. } = &waiting.question.asked else { panic!("an answer") };
    assert_eq!(text.as_str(), "Passed");
    // The reply passes the flow like any message.
    let waiting = waiting.clone();
    world.take_events();
    world.answer(&waiting, "Booked.");
    assert_eq!(world.take_events(), ["PENDING_CREATE_CHANNEL_MESSAGE"]);
    let reply = world.invocations().pop().unwrap();
    call_back(world, &reply, |_| {});
    assert!(world.contents(&channel, &ana)[0].contains("Booked."));
}

#[engine_test]
fn a_reply_is_one_message_that_says_what_it_replies_to(world: &mut World) {
    let (ana, bot, channel) = room(world, |_| {});
    let bob = world.user("bob");
    world.join(&channel, &ana, &bob);
    let id = world.send_to(&channel, &ana, "Book a room", &bot);
    let waiting = world.questions().pop().unwrap();
    let asked = &waiting.question;
    assert_eq!(
        (asked.locale.as_str(), asked.message().unwrap().to_string().as_str()),
        ("en_US", id.as_str())
    );
    world.take_events();
    world.answer(&waiting, "For which day?");
    let event = world.take_full_events().pop().unwrap();
    let told: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
    assert_eq!(told["Content"], r#"{"Messages":[{"Content":"For which day?","ContentType":"PlainText"}]}"#);
    assert_eq!(told["ContentType"], "application/amz-chime-lex-msgs");
    assert_eq!((&told["Type"], &told["Persistence"]), (&json!("STANDARD"), &json!("PERSISTENT")));
    assert_eq!(told["Sender"], json!({ "Arn": bot.as_str(), "Name": "Belle" }));
    assert_eq!(told["Target"][0]["MemberArn"], ana.as_str());
    let value = |text: &str| json!({ "StringValues": [text] });
    assert_eq!(
        told["MessageAttributes"],
        json!({
            "CHIME.LEX.sessionState.intent.name": value("BookRoom"),
            "CHIME.LEX.sessionState.intent.state": value("InProgress"),
            "CHIME.LEX.sessionState.originatingRequestId": value(id.as_str()),
            "CHIME.LEX.sessionState.sessionId": value("c1b5"),
        })
    );
    assert_eq!((world.contents(&channel, &ana).len(), world.contents(&channel, &bob).len()), (2, 0));
    let again =
        Outcome::Reply(Reply { messages: vec![Saying::plain("Twice".to_owned())], ..Reply::default() });
    assert!(world.try_answer(&waiting, again).is_err(), "each question has one reply");
    assert_eq!(world.contents(&channel, &ana).len(), 2);
    assert!(world.operator_events().is_empty());
}

#[engine_test]
fn what_is_not_kept_is_answered_by_what_is_not_kept_and_what_is_too_long_ends_sooner(world: &mut World) {
    let (ana, _, channel) = room(world, |_| {});
    let persistence = ChannelMessagePersistenceType::NonPersistent;
    let send = SendChannelMessage { persistence, ..message_request(&channel, &ana, "Hello") };
    world.call(&send).unwrap();
    let waiting = world.questions().pop().unwrap();
    world.take_events();
    let pieces = (0..10).map(|_| Saying::plain("x".repeat(1_000))).collect();
    world.try_answer(&waiting, Outcome::Reply(Reply { messages: pieces, ..Reply::default() })).unwrap();
    let told: serde_json::Value =
        serde_json::from_str(&world.take_full_events().pop().unwrap().payload).unwrap();
    assert_eq!(told["Persistence"], "NON_PERSISTENT");
    let content: serde_json::Value = serde_json::from_str(told["Content"].as_str().unwrap()).unwrap();
    assert_eq!(content["Messages"].as_array().unwrap().len(), 3);
    assert!(world.contents(&channel, &ana).is_empty());
    world.send(&channel, &ana, "Hello");
    let waiting = world.questions().pop().unwrap();
    world.try_answer(&waiting, Outcome::Reply(Reply::default())).unwrap();
    assert_eq!(world.contents(&channel, &ana)[0], r#"{"Messages":[]}"#, "as the original does");
}

#[engine_test]
fn a_failure_is_told_the_asker_in_a_word_and_the_operator_in_more(world: &mut World) {
    let (ana, bot, channel) = room(world, |_| {});
    world.send(&channel, &ana, "Hello");
    let waiting = world.questions().pop().unwrap();
    world.take_events();
    let failure = Outcome::Failure { code: 429, reason: "Lex throttled the request".to_owned() };
    world.try_answer(&waiting, failure).unwrap();
    let told: serde_json::Value =
        serde_json::from_str(&world.take_full_events().pop().unwrap().payload).unwrap();
    assert_eq!((&told["Content"], &told["Type"]), (&json!(r#"{"Code":429}"#), &json!("CONTROL")));
    assert_eq!(told["ContentType"], "application/amz-chime-lex-error");
    assert_eq!(told["Persistence"], "NON_PERSISTENT");
    let events = world.operator_events();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(
        event["detail"],
        json!({ "resourceArn": bot.as_str(), "failureReason": "Lex throttled the request" })
    );
    assert_eq!(event["detail-type"], "Chime Messaging AppInstanceBot Lex Failure");
    assert_eq!((&event["source"], &event["version"]), (&json!("aws.chime"), &json!("0")));
    assert_eq!((&event["account"], &event["region"]), (&json!("111122223333"), &json!("us-east-1")));
    assert_eq!(event["time"].as_str().unwrap().len(), "2026-01-15T12:00:05Z".len());
}

#[engine_test]
fn two_bots_that_answer_all_do_not_answer_each_other(world: &mut World) {
    let all = invoked_by(StandardMessages::All, TargetedMessages::All);
    let (ana, one, channel) = room(world, &all);
    let other = world.bot_with(&all);
    world.join(&channel, &ana, &other);
    world.send(&channel, &ana, "Hello");
    let waiting = world.questions();
    assert_eq!(waiting.len(), 2);
    for one in &waiting {
        world.answer(one, "Well.");
    }
    assert!(world.questions().is_empty());
    // What a bot says of its own is a message like any other.
    world.send(&channel, &one, "Is anybody there?");
    let [waiting] = &world.questions()[..] else { panic!("one") };
    assert_eq!(*waiting.bot(), other);
}

#[engine_test]
fn a_bot_that_joins_says_its_first_words_once(world: &mut World) {
    let welcoming = |lex: &mut LexConfiguration| lex.welcome_intent = Some(text("Welcome"));
    let (ana, bot, channel) = room(world, welcoming);
    let waiting = world.questions().pop().unwrap();
    assert_eq!(waiting.question.asked, Asked::Welcome(text("Welcome")));
    world.answer(&waiting, "Good day.");
    assert!(world.contents(&channel, &ana)[0].contains("Good day."));
    assert!(world.try_join(&channel, &ana, &bot, ChannelMembershipType::Default).is_err());
    assert!(world.questions().is_empty(), "it is there already");
    let create = CreateChannel { member_arns: Some(vec![ana.clone()]), ..channel_request(world, &bot) };
    world.call(&create).unwrap();
    let waiting = world.questions();
    let [own] = &waiting[..] else { panic!("its own channel: {waiting:?}") };
    world.answer(own, "Good day.");
    let other = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    world.join_hidden(&other, &ana, &bot);
    let silent = world.bot_with(|_| {});
    world.join(&other, &ana, &silent);
    assert!(world.questions().is_empty());
}

#[engine_test]
fn an_answer_that_comes_too_late_is_nothing(world: &mut World) {
    let (ana, bot, channel) = room(world, |_| {});
    world.send(&channel, &ana, "Hello");
    let waiting = world.questions().pop().unwrap();
    world.leave(&channel, &bot);
    world.answer(&waiting, "Well.");
    world.join(&channel, &ana, &bot);
    let bob = world.user("bob");
    world.join(&channel, &ana, &bob);
    world.send_to(&channel, &bob, "Hello", &bot);
    let waiting = world.questions().pop().unwrap();
    world.leave(&channel, &bob);
    world.answer(&waiting, "Well.");
    assert_eq!(world.contents(&channel, &ana), ["Hello"]);
    world.send(&channel, &ana, "Hello?");
    let waiting = world.questions().pop().unwrap();
    world.end(&channel, &ana);
    world.answer(&waiting, "Well.");
    assert!(world.questions().is_empty());
}

#[engine_test]
fn a_bot_sees_what_belongs_to_the_conversation(world: &mut World) {
    let (ana, bot, channel) =
        room(world, |lex| invoked_by(StandardMessages::All, TargetedMessages::All)(lex));
    let conversation = |world: &World, waiting: &Waiting, limit: usize| {
        let said = world.conversation(waiting, limit);
        said.into_iter()
            .map(|Said { by_bot, words }| (if by_bot { "bot" } else { "" }, words))
            .collect::<Vec<_>>()
    };
    let said = |words: &str| ("", words.to_owned());
    world.send(&channel, &ana, "One");
    world.advance_ms(1);
    let first = world.questions().pop().unwrap();
    world.send(&channel, &ana, "Two");
    world.advance_ms(1);
    world.answer(&first, "Reply to one");
    let second = world.questions().pop().unwrap();
    assert_eq!(conversation(world, &first, 9), [("bot", "Reply to one".to_owned()), said("One")]);
    let both = [said("One"), ("bot", "Reply to one".to_owned()), said("Two")];
    assert_eq!(conversation(world, &second, 9), both);
    assert_eq!(conversation(world, &second, 1), both[1..]);
    world.answer(&second, "Reply to two");
    let bob = world.user("bob");
    world.join(&channel, &ana, &bob);
    world.send_to(&channel, &ana, "Secret of both", &bob);
    world.send_to(&channel, &ana, "Secret of the bot", &bot);
    world.advance_ms(1);
    let private = world.questions().pop().unwrap();
    world.answer(&private, "It is safe with me");
    world.send(&channel, &bob, "Three");
    let open = world.questions().pop().unwrap();
    let last = |turns: Vec<(&'static str, String)>| turns.into_iter().rev().take(2).collect::<Vec<_>>();
    assert_eq!(
        last(conversation(world, &open, 9)),
        [said("Bob: Three"), ("bot", "Reply to two".to_owned())],
        "what was said in private is for nobody else"
    );
    world.answer(&open, "Reply to three");
    world.send_to(&channel, &bob, "And what does ana say?", &bot);
    let of_bob = world.questions().pop().unwrap();
    let all = conversation(world, &of_bob, 99);
    assert!(!all.iter().any(|(_, words)| words.contains("Secret") || words.contains("safe")), "{all:?}");
    world.answer(&of_bob, "That is hers.");
    world.send_to(&channel, &ana, "Do you still know it?", &bot);
    let of_ana = world.questions().pop().unwrap();
    let all = conversation(world, &of_ana, 99);
    assert!(all.contains(&("", "Ana: Secret of the bot".to_owned())), "{all:?}");
    assert!(!all.iter().any(|(_, words)| words.contains("both") || words.contains("hers")), "{all:?}");
}
