use std::collections::BTreeMap;

use carillon_model::text::{ChannelMode, ChannelPrivacy};
use carillon_model::{ChannelArn, IdentityArn};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::front::query::tests::{done, new_user};
use crate::testing::*;

impl World {
    /// Asks why, as whoever signs.
    pub(crate) fn why(&mut self, question: &Value) -> Value {
        let (status, answer) = self.raw("POST", "/_carillon/v1/why", question.to_string().as_bytes());
        assert_eq!(status, 200, "{question}: {answer}");
        answer
    }

    fn not_told(&mut self, question: &Value) -> (u16, String) {
        let (status, answer) = self.raw("POST", "/_carillon/v1/why", question.to_string().as_bytes());
        (status, answer["Message"].as_str().unwrap_or_default().to_owned())
    }
}

fn private_channel(world: &mut World, who: &IdentityArn) -> ChannelArn {
    world.channel_of(who, ChannelMode::Restricted, ChannelPrivacy::Private)
}

/// Whether an answer is one that a caller gets who may not do it.
pub(crate) fn is_refusal(status: u16, answer: &Value) -> bool {
    matches!(status, 401 | 403) || answer["Code"] == "ResourceLimitExceeded"
}

pub(crate) const NOTHING: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:GetUser","Resource":"*"}}"#;

/// Statements of every form, which are thrown together at random.
struct Pool {
    channel: ChannelArn,
    users: [IdentityArn; 2],
}

impl Pool {
    fn statement(&self, random: &mut StdRng, sid: usize) -> Value {
        let instance = self.channel.app_instance();
        let actions = ["chime:*", "chime:SendChannelMessage", "chime:List*", "chime:DescribeChannel", "*"];
        let resources = [
            json!("*"),
            json!(self.channel),
            json!(self.users[0]),
            json!([self.channel, self.users[0]]),
            json!([self.channel, self.users[1]]),
            json!(format!("{instance}/user/*")),
            json!(format!("{instance}/user/${{aws:username}}")),
            json!(format!("{instance}/channel/*")),
        ];
        let conditions = [
            json!({"StringEquals": {"aws:ResourceTag/state": "archived"}}),
            json!({"StringNotEquals": {"aws:ResourceTag/state": "archived"}}),
            json!({"StringEquals": {"aws:username": "ana"}}),
            json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
        ];
        let effect = if random.random_bool(0.75) { "Allow" } else { "Deny" };
        let other = |random: &mut StdRng| random.random_bool(0.1);
        let mut statement = json!({"Sid": format!("S{sid}"), "Effect": effect});
        let name = if other(random) { "NotAction" } else { "Action" };
        statement[name] = json!(actions.choose(random).unwrap());
        let name = if other(random) { "NotResource" } else { "Resource" };
        statement[name] = resources.choose(random).unwrap().clone();
        if random.random_bool(0.25) {
            statement["Condition"] = conditions.choose(random).unwrap().clone();
        }
        statement
    }
}

fn set(world: &mut World, user: &str, policy: &str, statements: &[Value]) {
    let own = world.sign_with(Credentials::root());
    let document = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    let text = if statements.is_empty() { NOTHING } else { &document };
    done(world, "PutUserPolicy", &[("UserName", user), ("PolicyName", policy), ("PolicyDocument", text)]);
    world.sign_with(own);
}

/// The same question, which another statement may answer once the one that did is taken away.
fn ask(world: &mut World, question: &Value) -> (bool, Vec<(String, String)>) {
    let answer = world.why(question);
    let decides = |statement: &&Value| statement["Decides"] == true;
    let deciding = answer["Statements"].as_array().unwrap().iter().filter(decides);
    let named = |statement: &Value| {
        assert_eq!(statement["Matched"], true, "{answer}");
        let text = |name: &str| statement[name].as_str().unwrap().to_owned();
        (text("Policy"), text("Sid"))
    };
    (answer["Allowed"] == true, deciding.map(named).collect())
}

#[test]
fn of_random_policies_why_says_what_the_call_does_and_which_statement_decides() {
    World::once(|world| {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = private_channel(world, &ana);
        world.join(&channel, &ana, &bob);
        let tag = json!({"ResourceARN": channel, "Tags": [{"Key": "state", "Value": "archived"}]});
        let tagged = world.raw("POST", "/tags?operation=tag-resource", tag.to_string().as_bytes());
        assert_eq!(tagged.0, 204, "{tagged:?}");
        let caller = new_user(world, "ana", NOTHING);
        let pool = Pool { channel: channel.clone(), users: [ana.clone(), bob.clone()] };
        let mut random = StdRng::seed_from_u64(16);
        let mut decided: BTreeMap<(bool, bool), usize> = BTreeMap::new();
        for _ in 0..60 {
            let mut policies: [Vec<Value>; 2] = Default::default();
            for (at, policy) in policies.iter_mut().enumerate() {
                let count = random.random_range(0..3);
                policy.extend((0..count).map(|sid| pool.statement(&mut random, 10 * at + sid)));
            }
            for (name, statements) in ["p", "q"].into_iter().zip(&policies) {
                set(world, "ana", name, statements);
            }
            for bearer in [&ana, &bob] {
                let send = message_request(&channel, bearer, "hello");
                let calls: [(&str, Value, _); 3] = [
                    ("chime:SendChannelMessage", json!(channel), {
                        let own = world.sign_with(caller.clone());
                        let refused = world.call(&send).is_err();
                        world.sign_with(own);
                        refused
                    }),
                    (
                        "chime:DescribeChannel",
                        json!(channel),
                        is_refused(world, &caller, "", &channel, bearer),
                    ),
                    ("chime:ListChannelMemberships", json!(channel), {
                        is_refused(world, &caller, "/memberships", &channel, bearer)
                    }),
                ];
                for (action, resource, is_refused) in calls {
                    let question =
                        json!({"Principal": "ana", "Bearer": bearer, "Action": action, "Resource": resource});
                    let (allowed, deciding) = ask(world, &question);
                    assert_eq!(allowed, !is_refused, "{question} {policies:?}");
                    *decided.entry((allowed, deciding.is_empty())).or_default() += 1;
                    take_away(world, &question, policies.clone(), (allowed, deciding));
                    for (name, statements) in ["p", "q"].into_iter().zip(&policies) {
                        set(world, "ana", name, statements);
                    }
                }
            }
        }
        println!("decided: {decided:?}");
        assert!(decided.keys().any(|(allowed, _)| *allowed) && decided.contains_key(&(false, false)));
    });
}

/// Takes away the statements that decide, one after the other, until the result is another.
fn take_away(
    world: &mut World,
    question: &Value,
    mut left: [Vec<Value>; 2],
    (allowed, mut deciding): (bool, Vec<(String, String)>),
) {
    let mut now = allowed;
    while now == allowed && !deciding.is_empty() {
        let all: usize = left.iter().map(Vec::len).sum();
        let (_, sid) = &deciding[0];
        for policy in &mut left {
            policy.retain(|one| one["Sid"] != **sid);
        }
        assert_eq!(left.iter().map(Vec::len).sum::<usize>() + 1, all, "{sid} {left:?}");
        for (name, statements) in ["p", "q"].into_iter().zip(&left) {
            set(world, "ana", name, statements);
        }
        (now, deciding) = ask(world, question);
    }
    // Without the statement that denied, another may deny or none allow; without those that allowed, nothing allows.
    assert!(!allowed || !now, "{question} {left:?}");
}

fn is_refused(
    world: &mut World,
    caller: &Credentials,
    rest: &str,
    channel: &ChannelArn,
    bearer: &IdentityArn,
) -> bool {
    let path = format!("/channels/{}{rest}", channel.as_str().replace(':', "%3A").replace('/', "%2F"));
    let own = world.sign_with(caller.clone());
    let headers = [(crate::operation::BEARER_HEADER, bearer.as_str().to_owned())];
    let (status, answer) = world.raw_with("GET", (&path, ""), &headers, b"");
    world.sign_with(own);
    is_refusal(status, &answer)
}

#[engine_test]
fn what_is_tried_leaves_no_trace_and_names_what_decides(world: &mut World) {
    let (ana, bob, dora) = (world.user("ana"), world.user("bob"), world.user("dora"));
    let channel = private_channel(world, &ana);
    world.join(&channel, &ana, &bob);
    world.take_events();
    let action = "chime:SendChannelMessage";
    let send = |bearer: &IdentityArn| json!({"Bearer": bearer, "Action": action, "Resource": channel});
    let told = |world: &mut World, question: &Value| {
        let answer = world.why(question);
        (
            answer["Allowed"] == true,
            answer["DecidedBy"].as_str().unwrap().to_owned(),
            answer["Reason"].to_string(),
        )
    };
    let (allowed, by, reason) = told(world, &send(&bob));
    assert!(allowed && by == "role" && reason.contains("members of the channel"), "{reason}");
    let (allowed, by, reason) = told(world, &send(&dora));
    assert!(!allowed && by == "role" && reason.contains("chime:SendChannelMessage"), "{reason}");
    assert!(world.take_events().is_empty());
    let list = json!({"Bearer": bob, "Action": "chime:ListChannelMessages", "Resource": channel});
    assert!(told(world, &list).0);
    assert_eq!(world.contents(&channel, &bob), [""; 0]);
    let flow = world.flow();
    world.call(&association(&channel, &flow, &ana)).unwrap();
    let (allowed, by, reason) = told(world, &send(&bob));
    assert!(allowed && by == "flow" && reason.contains(flow.as_str()), "{reason}");
    world.set_quotas(|quotas| quotas.channel_memberships_max = 2);
    let join = json!({"Bearer": ana, "Action": "chime:CreateChannelMembership", "Resource": channel,
        "Request": {"MemberArn": dora}});
    let (allowed, by, reason) = told(world, &join);
    assert!(!allowed && by == "quota" && reason.contains("memberships of a channel"), "{reason}");
    let (allowed, by, _) = told(world, &json!({"Action": "chime:CreateAppInstance"}));
    assert!(allowed && by == "root");
    let gone = json!({"Action": "chime:DescribeAppInstanceUser", "Resource": world.instance().user("gone")});
    assert_eq!(told(world, &gone).1, "state");
}

#[engine_test]
fn everyone_may_ask_about_themselves_and_about_others_whom_a_policy_names(world: &mut World) {
    let ana = world.user("ana");
    let channel = private_channel(world, &ana);
    let caller = new_user(world, "app", NOTHING);
    new_user(world, "other", NOTHING);
    let about = |who: Option<&str>| {
        let mut question = json!({"Bearer": ana, "Action": "chime:DescribeChannel", "Resource": channel});
        if let Some(who) = who {
            question["Principal"] = json!(who);
        }
        question
    };
    world.sign_with(caller.clone());
    let own = "arn:aws:iam::111122223333:user/app";
    for who in [None, Some("app"), Some(own), Some(&*caller.access_key_id)] {
        let answer = world.why(&about(who));
        assert_eq!((&answer["Allowed"], &answer["DecidedBy"]), (&json!(false), &json!("policy")));
        assert_eq!(answer["Principal"], own);
        assert_eq!(answer["Statements"][0]["Why"], "the action does not match");
    }
    // Whom a name stands for, and whether it stands for anybody, nobody learns who may not ask.
    for who in ["other", "nobody", "arn:aws:iam::111122223333:root", "ROOT"] {
        let (status, message) = world.not_told(&about(Some(who)));
        assert_eq!(status, 403);
        assert_eq!(
            message,
            format!("User: {own} is not authorized to perform: carillon:ExplainAccess on resource: {who}")
        );
    }
    set(
        world,
        "app",
        "p",
        &[json!({"Effect": "Allow", "Action": "carillon:ExplainAccess",
        "Resource": "arn:aws:iam::111122223333:user/other"})],
    );
    assert_eq!(world.why(&about(Some("other")))["DecidedBy"], "policy");
    assert_eq!(world.not_told(&about(Some("nobody"))).0, 403);
    world.sign_with(Credentials::root());
    assert_eq!(world.not_told(&about(Some("nobody"))).0, 404);
    // A role is asked about with the tags that its session would have.
    let mut question = about(Some("CarillonExchangeUser"));
    assert_eq!(world.why(&question)["Allowed"], false);
    let (_, instance) = world.instance().as_str().rsplit_once('/').unwrap();
    question["SessionTags"] = json!({"UserUUID": "ana", "AppInstanceId": instance});
    let answer = world.why(&question);
    assert_eq!((&answer["Allowed"], &answer["DecidedBy"]), (&json!(true), &json!("role")), "{answer}");
    question["Action"] = json!("chime:Connect");
    question["Resource"] = json!(ana);
    assert_eq!(world.why(&question)["Allowed"], true);
    let iam = json!({"Principal": "app", "Action": "iam:GetUser", "Resource": own});
    assert_eq!(world.why(&iam)["Allowed"], false);
}

#[test]
fn every_operation_can_be_asked_about_by_its_resource_alone() {
    World::once(|world| {
        let ana = world.admin("ana");
        let (channel, flow, bot) = (private_channel(world, &ana), world.flow(), world.bot("belle"));
        let instance = world.instance().clone();
        let resources = [json!(channel), json!(flow), json!(bot), json!(ana), json!(instance)];
        for route in crate::front::route::all() {
            let answered = resources.iter().any(|resource| {
                let action = format!("chime:{}", route.name);
                let question = json!({"Bearer": ana, "Action": action, "Resource": resource}).to_string();
                let (status, answer) = world.raw("POST", "/_carillon/v1/why", question.as_bytes());
                let failed = status == 200 && answer["Reason"].as_str().unwrap().is_empty();
                assert!(matches!(status, 200 | 400) && !failed, "{}: {answer}", route.name);
                status == 200 && answer["Allowed"] == true
            });
            assert!(answered, "{} cannot be asked about", route.name);
        }
        for wrong in [
            json!({"Action": "chime:NoSuchOperation"}),
            json!({"Action": "chime:SendChannelMessage", "Resource": channel}),
            json!({"Action": "chime:SendChannelMessage", "Bearer": ana}),
            json!({"Action": "chime:DescribeChannel", "Bearer": ana, "Resource": channel, "Request": {"Colour": 1}}),
            json!({"Action": "chime:DescribeAppInstance", "Resource": instance, "SessionTags": {"a": "b"}}),
            json!({}),
        ] {
            assert_eq!(world.not_told(&wrong).0, 400, "{wrong}");
        }
    });
}
