use serde_json::json;

use super::*;
use crate::front::query::tests::{TRUST, assume_narrowed, done, new_user};
use crate::operations::identity::delete_app_instance::DeleteAppInstance;
use crate::operations::messaging::channel_flow_callback::ChannelFlowCallback;
use crate::operations::messaging::delete_channel_message::DeleteChannelMessage;
use crate::operations::messaging::redact_channel_message::RedactChannelMessage;
use crate::operations::messaging::send_channel_message::SendChannelMessage;
use crate::operations::messaging::update_channel_message::UpdateChannelMessage;
use crate::testing::*;

pub(super) fn search(who: &IdentityArn, query: &str) -> SearchChannelMessages {
    SearchChannelMessages {
        app_instance_arn: who.app_instance(),
        query: text(query),
        channel_arns: None,
        not_before: None,
        not_after: None,
        sort_order: None,
        max_results: None,
        next_token: None,
        chime_bearer: who.clone(),
    }
}

/// The contents that are found, page by page.
pub(super) fn found(world: &mut World, mut search: SearchChannelMessages) -> Vec<String> {
    let mut contents = Vec::new();
    world.turn_pages(&mut search, |page| {
        contents.extend(page.messages.into_iter().map(|message| message.content.unwrap().into_string()));
        page.next_token
    });
    contents
}

/// Texts in twelve scripts, by the number of their line.
const TEXTS: &[&str] = &[
    "The quick brown fox jumps over the lazy dog.",      // 0 Latin
    "Can't find the e-mail from user_name@example.com?", // 1
    "Un café à Zürich, une Straße, naïve façade; ŁÓDŹ",  // 2
    "ISTANBUL'DA İstanbul ve ısınan hava",               // 3
    "Съешь ещё этих мягких французских булок, да выпей же чаю", // 4 Cyrillic
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Ο ΟΔΥΣΣΕΥΣ",     // 5 Greek
    "مَرْحَبًا بِالعالَم، كيف حالك اليوم؟",                    // 6 Arabic
    "سلام، می\u{200c}خواهم کتاب بخوانم",                  // 7 Persian
    "שָׁלוֹם עוֹלָם, מה שלומך?",                              // 8 Hebrew
    "नमस्ते दुनिया, आज मौसम अच्छा है",                        // 9 Devanagari
    "ผมจะไปกินข้าวที่ร้านอาหารใกล้สถานีรถไฟ",                   // 10 Thai
    "ສະບາຍດີ ຂ້ອຍຢາກກິນເຂົ້າ",                                // 11 Lao
    "ខ្ញុំចង់ទៅផ្សារនៅថ្ងៃស្អែក",                                  // 12 Khmer
    "今天天气很好，我们去北京大学图书馆吧。",            // 13 Han
    "東京都の天気は晴れです。カタカナとｶﾞｷﾞｸﾞ",             // 14 Japanese
    "학교에서 친구를 만났다",                            // 15 Hangul
    "iPhone手机15 Pro很贵 👍🏽🎉",                         // 16 mixed
    "ＦＵＬＬ ＷＩＤＴＨ １２３ and ﬁne ligature",       // 17
    "მე მიყვარს საქართველო",                             // 18 Georgian
    "Ես սիրում եմ Հայաստանը",                            // 19 Armenian
    "நான் தமிழ் பேசுகிறேன்",                                 // 20 Tamil
    "the dog, the fox: not quick and not lazy",          // 21
];

/// What a query finds of them, newest first.
const QUERIES: &[(&str, &[usize])] = &[
    ("fox", &[21, 0]),
    ("FOX", &[21, 0]),
    ("fo", &[]),
    ("foxes", &[]),
    ("quick fox", &[21, 0]),
    ("\"quick brown fox\"", &[0]),
    ("\"brown quick\"", &[]),
    ("\"the fox\"", &[21]),
    ("\"lazy dog\"", &[0]),
    ("fox -brown", &[21]),
    ("dog -\"lazy dog\"", &[21]),
    ("-brown fox -quick", &[]),
    ("the", &[21, 1, 0]),
    ("can't", &[1]),
    ("cant", &[]),
    ("mail", &[1]),
    ("e-mail", &[1]),
    ("example.com", &[1]),
    ("user_name", &[1]),
    ("\"from user\"", &[1]),
    ("cafe", &[2]),
    ("CAFÉ", &[2]),
    ("cafe\u{301}", &[2]),
    ("zurich", &[2]),
    ("strasse", &[2]),
    ("STRASSE straße", &[2]),
    ("naive facade", &[2]),
    ("łódź", &[2]),
    ("łodz", &[2]),
    ("istanbul", &[3]),
    ("İSTANBUL", &[3]),
    ("isinan", &[3]),
    ("еще", &[4]),
    ("ещё ЧАЮ", &[4]),
    ("чай", &[]),
    ("\"мягких французских\"", &[4]),
    ("οδυσσευς", &[5]),
    ("ξεσκεπαζω", &[5]),
    ("مرحبا", &[6]),
    ("مَرْحَبًا", &[6]),
    ("العالم", &[]),
    ("بالعالم", &[6]),
    ("\"كيف حالك\"", &[6]),
    ("حـــالك", &[6]),
    ("میخواهم", &[7]),
    ("می\u{200c}خواهم کتاب", &[7]),
    ("سلام", &[7]),
    ("שלום", &[8]),
    ("שָׁלוֹם", &[8]),
    ("עולם -שלום", &[]),
    ("नमस्ते", &[9]),
    ("नमसत", &[]),
    ("मौसम अच्छा", &[9]),
    ("ข้าว", &[10]),
    ("ร้านอาหาร", &[10]),
    ("อาหาร สถานี", &[10]),
    ("รถไฟฟ้า", &[]),
    ("ก", &[10]),
    ("ກິນ", &[11]),
    ("ສະບາຍດີ", &[11]),
    ("ផ្សារ", &[12]),
    ("ថ្ងៃស្អែក", &[12]),
    ("北京", &[13]),
    ("京", &[14, 13]),
    ("北京大学", &[13]),
    ("大学北京", &[]),
    ("北京 天气", &[13]),
    ("天气", &[13]),
    ("天氣", &[]),
    ("東京", &[14]),
    ("京都", &[14]),
    ("晴れ", &[14]),
    ("カタ", &[14]),
    ("かた", &[]),
    ("ガギグ", &[14]),
    ("ｶﾞ", &[14]),
    ("\"東京都の天気\"", &[14]),
    ("학교", &[15]),
    ("친구를 만났다", &[15]),
    ("교학", &[]),
    ("iphone", &[16]),
    ("手机", &[16]),
    ("iphone手机", &[16]),
    ("手机15", &[16]),
    ("👍", &[16]),
    ("🎉👍", &[]),
    ("pro -👍", &[]),
    ("full width 123", &[17]),
    ("fine", &[17]),
    ("საქართველო", &[18]),
    ("ՀԱՅԱՍՏԱՆԸ", &[19]),
    ("தமிழ்", &[20]),
    ("from:ana fox", &[21, 0]),
    ("from:bob fox", &[]),
    ("from:bob -from:ana", &[]),
    ("-from:bob fox", &[21, 0]),
    ("From:ana from:bob lazy -quick", &[]),
    ("? fox !", &[21, 0]),
    ("fox dog the quick lazy brown over jumps", &[0]),
];

#[engine_test]
fn a_table_of_queries_in_many_scripts(world: &mut World) {
    let [ana, bob] = ["ana", "bob"].map(|name| world.user(name));
    let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    world.join(&channel, &ana, &bob);
    for content in TEXTS {
        world.send(&channel, &ana, content);
    }
    assert!(60 <= QUERIES.len());
    let check = |world: &mut World, what: &str| {
        for (query, numbers) in QUERIES {
            let expected: Vec<&str> = numbers.iter().map(|number| TEXTS[*number]).collect();
            assert_eq!(found(world, search(&bob, query)), expected, "{query}, {what}");
            let ascending = SearchChannelMessages {
                sort_order: Some(SortOrder::Ascending),
                max_results: Some(1.try_into().unwrap()),
                ..search(&bob, query)
            };
            let expected: Vec<&str> = expected.into_iter().rev().collect();
            assert_eq!(found(world, ascending), expected, "{query}, {what}, the oldest first");
        }
    };
    check(world, "none taken in");
    world.index(3);
    assert!(world.row_counts().iter().any(|(table, count)| table == "search_run" && 0 < *count));
    check(world, "all taken in");
}

#[engine_test]
fn what_is_found_is_shown_with_its_places(world: &mut World) {
    let ana = world.user("ana");
    let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    let id = world.send(&channel, &ana, "Straße: un CAFÉ, ein Café in der strasse");
    for _ in 0..2 {
        let page = world.call(&search(&ana, "strasse \"ein cafe\"")).unwrap();
        let [message] = &page.messages[..] else { panic!("one is found") };
        assert_eq!((&message.message_id, &message.channel_arn), (&id, &channel));
        assert_eq!((message.sub_channel_id.is_none(), &message.sender.arn), (true, &ana));
        let content = message.content.as_ref().unwrap().as_str();
        let byte = |number: i64| usize::try_from(number).unwrap();
        let at = |one: &Highlight| &content[byte(one.offset)..byte(one.offset + one.length)];
        assert_eq!(message.highlights.iter().map(at).collect::<Vec<_>>(), ["Straße", "ein Café", "strasse"]);
        world.index(100);
    }
}

#[engine_test]
fn what_is_changed_is_found_as_it_is(world: &mut World) {
    let (ana, root) = (world.user("ana"), world.admin("root"));
    let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    for is_taken_in in [false, true] {
        let [edited, redacted, deleted] =
            ["alpha one", "alpha two", "alpha three"].map(|content| world.send(&channel, &ana, content));
        if is_taken_in {
            world.index(100);
        }
        assert_eq!(found(world, search(&ana, "alpha")), ["alpha three", "alpha two", "alpha one"]);
        let (channel_arn, sub_channel_id) = (channel.clone(), None);
        world
            .call(&UpdateChannelMessage {
                channel_arn: channel_arn.clone(),
                message_id: edited.clone(),
                content: text("beta one"),
                metadata: None,
                chime_bearer: ana.clone(),
                sub_channel_id: sub_channel_id.clone(),
                content_type: None,
            })
            .unwrap();
        world
            .call(&RedactChannelMessage {
                channel_arn: channel_arn.clone(),
                message_id: redacted,
                chime_bearer: ana.clone(),
                sub_channel_id: sub_channel_id.clone(),
            })
            .unwrap();
        let delete = |message_id| DeleteChannelMessage {
            channel_arn: channel_arn.clone(),
            message_id,
            chime_bearer: root.clone(),
            sub_channel_id: sub_channel_id.clone(),
        };
        world.call(&delete(deleted)).unwrap();
        for _ in 0..2 {
            assert_eq!(found(world, search(&ana, "alpha")), Vec::<String>::new());
            assert_eq!(found(world, search(&ana, "beta")), ["beta one"]);
            assert_eq!(found(world, search(&ana, "from:ana")), ["beta one"]);
            world.index(100);
        }
        assert!(world.row_counts().contains(&("search_late".to_owned(), 0)));
        world.call(&delete(edited)).unwrap();
        assert_eq!(found(world, search(&ana, "beta")), Vec::<String>::new());
    }
}

/// Lets the message that is in the channel's flow pass as it is.
fn let_pass(world: &mut World, channel: &ChannelArn) {
    let invocation = world.invocations().remove(0);
    world.hand_over(&invocation);
    let payload: serde_json::Value = serde_json::from_str(&invocation.payload).unwrap();
    world
        .call(&ChannelFlowCallback {
            callback_id: text(payload["CallbackId"].as_str().unwrap()),
            channel_arn: channel.clone(),
            delete_resource: None,
            channel_message: unchanged(&text(&invocation.message_id)),
        })
        .unwrap();
}

#[engine_test]
fn what_is_not_through_its_flow_is_nobodys(world: &mut World) {
    let [ana, bob] = ["ana", "bob"].map(|name| world.user(name));
    let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    world.join(&channel, &ana, &bob);
    let flow = world.flow();
    world.call(&association(&channel, &flow, &ana)).unwrap();
    let id = world.send(&channel, &ana, "alpha");
    world.index(100);
    assert_eq!(found(world, search(&ana, "alpha")), Vec::<String>::new());
    assert_eq!(found(world, search(&bob, "alpha")), Vec::<String>::new());
    let_pass(world, &channel);
    for _ in 0..2 {
        assert_eq!(found(world, search(&bob, "alpha")), ["alpha"]);
        world.index(100);
    }
    let update = UpdateChannelMessage {
        channel_arn: channel.clone(),
        message_id: id,
        content: text("beta"),
        metadata: None,
        chime_bearer: ana.clone(),
        sub_channel_id: None,
        content_type: None,
    };
    world.call(&update).unwrap();
    // The edit is pending: all find what it said before, its sender too.
    for who in [&ana, &bob] {
        assert_eq!(found(world, search(who, "alpha")), ["alpha"]);
        assert_eq!(found(world, search(who, "beta")), Vec::<String>::new());
    }
    let_pass(world, &channel);
    for _ in 0..2 {
        assert_eq!(found(world, search(&bob, "alpha")), Vec::<String>::new());
        assert_eq!(found(world, search(&bob, "beta")), ["beta"]);
        world.index(100);
    }
}

#[engine_test]
fn one_finds_what_one_may_read(world: &mut World) {
    let [ana, bob, cy] = ["ana", "bob", "cy"].map(|name| world.user(name));
    let root = world.admin("root");
    let private = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    let public = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
    world.join(&private, &ana, &bob);
    world.join(&private, &ana, &cy);
    world.send(&private, &ana, "alpha to all");
    world.send_to(&private, &ana, "alpha to bob", &bob);
    world.advance_ms(1);
    world.send(&public, &ana, "alpha in public");
    for _ in 0..2 {
        assert_eq!(found(world, search(&ana, "alpha")), ["alpha in public", "alpha to bob", "alpha to all"]);
        assert_eq!(found(world, search(&bob, "alpha")), ["alpha to bob", "alpha to all"]);
        assert_eq!(found(world, search(&cy, "alpha")), ["alpha to all"]);
        assert_eq!(found(world, search(&root, "alpha")), Vec::<String>::new());
        let named = |who: &IdentityArn, channels: &[&ChannelArn]| SearchChannelMessages {
            channel_arns: Some(channels.iter().map(|arn| (*arn).clone()).collect()),
            ..search(who, "alpha")
        };
        assert_eq!(found(world, named(&root, &[&private, &public])), ["alpha in public", "alpha to all"]);
        assert_eq!(found(world, named(&cy, &[&public, &public])), ["alpha in public"]);
        let stranger = world.user("stranger");
        assert_eq!(found(world, named(&stranger, &[&public])), ["alpha in public"]);
        assert_eq!(world.refusal(&named(&stranger, &[&public, &private])), ErrorCode::Forbidden);
        let gone = private.app_instance().channel("gone");
        assert_eq!(world.refusal(&named(&root, &[&gone])), ErrorCode::Forbidden);
        world
            .call(&crate::operations::identity::delete_app_instance_user::DeleteAppInstanceUser {
                app_instance_user_arn: stranger,
            })
            .unwrap();
        world.index(100);
    }
    world.leave(&private, &cy);
    assert_eq!(found(world, search(&cy, "alpha")), Vec::<String>::new());
    world.end(&private, &ana);
    assert_eq!(found(world, search(&bob, "alpha")), Vec::<String>::new());
}

/// A statement of a policy about searches.
pub(super) fn statement(effect: &str, rest: serde_json::Value) -> serde_json::Value {
    let mut statement = serde_json::json!({"Effect": effect, "Action": "chime:SearchChannelMessages"});
    let (all, serde_json::Value::Object(rest)) = (statement.as_object_mut().unwrap(), rest) else { panic!() };
    all.extend(rest);
    statement
}

pub(super) fn policy(statements: &[serde_json::Value]) -> String {
    serde_json::json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

#[engine_test]
fn what_policies_deny_is_not_searched_where_no_channel_is_named(world: &mut World) {
    let (ana, root) = (world.user("ana"), world.admin("root"));
    let channels: [ChannelArn; 4] =
        [(); 4].map(|()| world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private));
    let elastic = world.call(&elastic_request(world, &root)).unwrap().channel_arn;
    let place = world.join(&elastic, &root, &ana);
    for number in 0..3 {
        for (at, channel) in channels.iter().enumerate() {
            world.send(channel, &ana, &format!("alpha {at} {number}"));
        }
        let client_request_token = world.token();
        let sub_channel_id = place.clone();
        let request = message_request(&elastic, &ana, &format!("alpha 4 {number}"));
        world.call(&SendChannelMessage { client_request_token, sub_channel_id, ..request }).unwrap();
        world.advance_ms(1);
    }
    world.tag(channels[1].as_str(), "secret", "yes");
    let (one, two) = (channels[0].as_str(), channels[2].as_str());
    let all = || json!({"Resource": "*"});
    let every: Vec<&str> = channels.iter().chain([&elastic]).map(ChannelArn::as_str).collect();
    // Each policy, and in which channels it lets one search: 4 is the elastic one.
    let policies: Vec<(Vec<serde_json::Value>, &[usize])> = vec![
        (vec![statement("Allow", all())], &[0, 1, 2, 3, 4]),
        (vec![statement("Allow", all()), statement("Deny", json!({"Resource": one}))], &[1, 2, 3, 4]),
        (vec![statement("Allow", all()), statement("Deny", json!({"Resource": [one, two]}))], &[1, 3, 4]),
        (
            vec![statement("Allow", all()), statement("Deny", json!({"Resource": elastic.as_str()}))],
            &[0, 1, 2, 3],
        ),
        (vec![statement("Allow", json!({"NotResource": [one, two]}))], &[1, 3, 4]),
        (
            vec![
                statement("Allow", all()),
                statement(
                    "Deny",
                    json!({
                        "Resource": "*", "Condition": {"StringEquals": {"aws:ResourceTag/secret": "yes"}}
                    }),
                ),
            ],
            &[0, 2, 3, 4],
        ),
        (vec![statement("Allow", all()), statement("Deny", json!({"Resource": every}))], &[]),
    ];
    let user = new_user(world, "app", &policy(&policies[0].0));
    done(world, "CreateRole", &[("RoleName", "Searcher"), ("AssumeRolePolicyDocument", TRUST)]);
    let everything = policy(&[statement("Allow", all())]);
    let may = [("RoleName", "Searcher"), ("PolicyName", "p"), ("PolicyDocument", &*everything)];
    done(world, "PutRolePolicy", &may);
    for is_taken_in in [false, true] {
        if is_taken_in {
            world.index(100);
        }
        for (statements, searched) in &policies {
            let document = policy(statements);
            let put = [("UserName", "app"), ("PolicyName", "p"), ("PolicyDocument", &*document)];
            done(world, "PutUserPolicy", &put);
            let session = assume_narrowed(world, "Searcher", &document);
            // What the policies say holds of users, and of sessions that they narrow.
            for credentials in [user.clone(), session] {
                let own = world.sign_with(credentials);
                let mut expected: Vec<String> = Vec::new();
                for number in 0..3 {
                    expected.extend(searched.iter().map(|at| format!("alpha {at} {number}")));
                }
                let sorted = |mut contents: Vec<String>| {
                    contents.sort();
                    contents
                };
                let expected = sorted(expected);
                assert_eq!(sorted(found(world, search(&ana, "alpha"))), expected, "{document}");
                let two = SearchChannelMessages {
                    max_results: Some(2.try_into().unwrap()),
                    ..search(&ana, "alpha")
                };
                let page = world.call(&two).unwrap();
                assert_eq!(page.messages.len(), expected.len().min(2), "a page has no holes: {document}");
                assert_eq!(page.next_token.is_some(), 2 < expected.len());
                assert_eq!(sorted(found(world, two)), expected, "{document}");
                for (at, channel) in channels.iter().chain([&elastic]).enumerate() {
                    let named = SearchChannelMessages {
                        channel_arns: Some(vec![channel.clone()]),
                        ..search(&ana, "alpha")
                    };
                    let refused = world.call(&named).err().map(|refused| refused.code);
                    let expected = (!searched.contains(&at)).then_some(ErrorCode::AccessDenied);
                    assert_eq!(refused, expected, "channel {at}, {document}");
                }
                world.sign_with(own);
            }
        }
    }
}

#[engine_test]
fn a_page_begins_where_the_one_before_ended(world: &mut World) {
    let ana = world.user("ana");
    let channels = [(); 3].map(|()| world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private));
    let mut sent: Vec<String> = Vec::new();
    for number in 0..60_usize {
        let content = format!("{} {number}", if number % 3 == 0 { "alpha" } else { "beta" });
        world.send(&channels[number % 7 % 3], &ana, &content);
        if number == 40 {
            world.index(7);
        }
        // Some share a millisecond: what is told apart by nothing else comes in the order of places.
        world.advance_ms(1);
        sent.extend(Some(content).filter(|content| content.starts_with("alpha")));
    }
    let newest_first: Vec<String> = sent.iter().rev().cloned().collect();
    for length in [1_i64, 4, 50] {
        let page =
            SearchChannelMessages { max_results: Some(length.try_into().unwrap()), ..search(&ana, "alpha") };
        let ascending = SearchChannelMessages { sort_order: Some(SortOrder::Ascending), ..page.clone() };
        assert_eq!(found(world, page.clone()), newest_first);
        assert_eq!(found(world, ascending), sent);
        if length < 20 {
            let first = world.call(&page).unwrap();
            assert_eq!(
                (count(first.messages.len()), first.next_token.is_some()),
                (length, true),
                "a page is full"
            );
            let other = SearchChannelMessages { next_token: first.next_token, ..search(&ana, "beta") };
            assert_eq!(world.refusal(&other), ErrorCode::BadRequest);
        }
    }
    let mut between = search(&ana, "alpha");
    let first = world.call(&search(&ana, "\"alpha 9\"")).unwrap().messages.remove(0).created_timestamp;
    let last = world.call(&search(&ana, "\"alpha 15\"")).unwrap().messages.remove(0).created_timestamp;
    (between.not_before, between.not_after) = (Some(first), Some(last));
    assert_eq!(found(world, between.clone()), ["alpha 15", "alpha 12", "alpha 9"]);
    (between.not_before, between.not_after) = (Some(last), Some(first));
    assert_eq!(world.refusal(&between), ErrorCode::BadRequest);
}

#[engine_test]
fn what_asks_for_nothing_is_refused_and_says_why(world: &mut World) {
    let ana = world.user("ana");
    for query in ["-alpha", "...", "-from:ana", &"a ".repeat(40)] {
        let refused = world.call(&search(&ana, query)).unwrap_err();
        assert_eq!((refused.code, refused.message.starts_with("Query: ")), (ErrorCode::BadRequest, true));
    }
    let mut foreign = search(&ana, "alpha");
    foreign.channel_arns = Some(vec![world.new_instance().channel("x")]);
    assert_eq!(world.refusal(&foreign), ErrorCode::BadRequest);
    foreign.app_instance_arn = world.new_instance();
    foreign.channel_arns = None;
    assert_eq!(world.refusal(&foreign), ErrorCode::Forbidden);
}

#[engine_test]
fn an_index_is_made_and_taken_away_as_the_configuration_says(world: &mut World) {
    let ana = world.user("ana");
    let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    for number in 0..70 {
        world.send(&channel, &ana, &format!("alpha {number}"));
    }
    let rows = |world: &mut World| {
        let counts = world.row_counts().into_iter().filter(|(table, _)| table.starts_with("search_"));
        counts.map(|(_, count)| count).sum::<i64>()
    };
    world.index(1);
    let made = rows(world);
    assert!(3 < made && made < 100, "{made} rows: runs of one message each are merged");
    world.set_searched(crate::search::Searched::None);
    let refused = world.call(&search(&ana, "alpha")).unwrap_err();
    assert_eq!((refused.code, refused.message.contains("search is off")), (ErrorCode::BadRequest, true));
    world.index(3);
    assert_eq!(rows(world), 0);
    world.set_searched(crate::search::Searched::All);
    assert_eq!(found(world, search(&ana, "alpha")).len(), 70);
    world.index(100);
    assert_eq!(found(world, search(&ana, "alpha")).len(), 70);
    world.call(&DeleteAppInstance { app_instance_arn: ana.app_instance() }).unwrap();
    world.run_jobs();
    assert_eq!(rows(world), 0);
}

/// What is found is cut as a list is, where messages are long; the next page goes on with the first that did not fit.
#[engine_test]
fn a_page_of_long_messages_is_shorter(world: &mut World) {
    const LONG: usize = 64 * 1024;
    world.set_quotas(|quotas| quotas.content_bytes_max = LONG);
    let ana = world.user("ana");
    let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    let sent: Vec<String> = (0..20)
        .map(|number| {
            let words = format!("needle {number} ");
            words.clone() + &"a".repeat(LONG - words.len())
        })
        .collect();
    for content in &sent {
        world.send(&channel, &ana, content);
        world.advance_ms(1);
    }
    let first = world.call(&search(&ana, "needle")).unwrap();
    assert_eq!(first.messages.len(), crate::page::PAGE_BYTES_MAX / LONG);
    assert!(first.next_token.is_some());
    let newest_first: Vec<String> = sent.into_iter().rev().collect();
    assert_eq!(found(world, search(&ana, "needle")), newest_first);
}
