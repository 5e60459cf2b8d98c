//! The whole way: IAM and STS through dispatch, and what their credentials may do.

use carillon_model::IdentityArn;
use carillon_model::text::{ChannelMode, ChannelPrivacy};

use crate::operations::identity::create_app_instance_admin::CreateAppInstanceAdmin;
use crate::operations::identity::create_app_instance_user::CreateAppInstanceUser;
use crate::operations::identity::delete_app_instance_admin::DeleteAppInstanceAdmin;
use crate::operations::identity::list_app_instance_users::ListAppInstanceUsers;
use crate::operations::identity::list_app_instances::ListAppInstances;
use crate::testing::*;

pub(crate) const TRUST: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow",
    "Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":["sts:AssumeRole","sts:TagSession"]}}"#;

fn act(world: &mut World, action: &str, rest: &[(&str, &str)]) -> (u16, String) {
    let form: Vec<_> = [("Action", action)].iter().chain(rest).copied().collect();
    let sts = ["AssumeRole", "GetCallerIdentity", "GetSessionToken", "AssumeRoleWithWebIdentity"];
    world.query(if sts.contains(&action) { "sts" } else { "iam" }, &form)
}

pub(crate) fn done(world: &mut World, action: &str, rest: &[(&str, &str)]) -> String {
    let (status, body) = act(world, action, rest);
    assert_eq!(status, 200, "{action}: {body}");
    body
}

fn refused(world: &mut World, action: &str, rest: &[(&str, &str)]) -> (u16, String) {
    let (status, body) = act(world, action, rest);
    (status, find(&body, "Code"))
}

/// The text of the first element of a name.
fn find(body: &str, name: &str) -> String {
    let after = body.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {body}")).1;
    after.split_once('<').unwrap().0.to_owned()
}

fn credentials(body: &str) -> Credentials {
    let session_token = body.contains("<SessionToken>").then(|| find(body, "SessionToken"));
    Credentials {
        access_key_id: find(body, "AccessKeyId"),
        secret: find(body, "SecretAccessKey"),
        session_token,
    }
}

/// A user with one inline policy, and its key.
pub(crate) fn new_user(world: &mut World, name: &str, policy: &str) -> Credentials {
    done(world, "CreateUser", &[("UserName", name)]);
    let policy = [("UserName", name), ("PolicyName", "p"), ("PolicyDocument", policy)];
    done(world, "PutUserPolicy", &policy);
    credentials(&done(world, "CreateAccessKey", &[("UserName", name)]))
}

/// The role of the published example: each session is one user of the chat.
fn chat_role(world: &mut World) {
    done(world, "CreateRole", &[("RoleName", "ChatUser"), ("AssumeRolePolicyDocument", TRUST)]);
    let instance = world.instance().as_str().to_owned();
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow",
           "Action":["chime:Connect","chime:SendChannelMessage","chime:ListChannelMessages"],
           "Resource":["{instance}/user/${{aws:PrincipalTag/user_id}}","{instance}/channel/*"]}}}}"#
    );
    done(
        world,
        "PutRolePolicy",
        &[("RoleName", "ChatUser"), ("PolicyName", "chat"), ("PolicyDocument", &policy)],
    );
}

fn assume(world: &mut World, user: &str) -> Credentials {
    let form = [
        ("RoleArn", "arn:aws:iam::111122223333:role/ChatUser"),
        ("RoleSessionName", "chime_ana"),
        ("Tags.member.1.Key", "user_id"),
        ("Tags.member.1.Value", user),
        ("DurationSeconds", "900"),
    ];
    credentials(&done(world, "AssumeRole", &form))
}

/// A session of a role, narrowed by a policy.
pub(crate) fn assume_narrowed(world: &mut World, role: &str, policy: &str) -> Credentials {
    let arn = format!("arn:aws:iam::111122223333:role/{role}");
    let form = [("RoleArn", &*arn), ("RoleSessionName", "narrowed"), ("Policy", policy)];
    credentials(&done(world, "AssumeRole", &form))
}

fn send(world: &mut World, channel: &carillon_model::ChannelArn, who: &IdentityArn) -> Result<(), Refused> {
    world.call(&message_request(channel, who, "hello")).map(|_| ())
}

fn lobby(world: &mut World) -> (carillon_model::ChannelArn, IdentityArn, IdentityArn) {
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
    world.join(&channel, &ana, &bob);
    (channel, ana, bob)
}

#[engine_test]
fn a_session_is_the_user_of_its_tag_and_nobody_else(world: &mut World) {
    let (channel, ana, bob) = lobby(world);
    chat_role(world);
    let session = assume(world, "ana");
    world.sign_with(session);
    send(world, &channel, &ana).unwrap();
    let refused = send(world, &channel, &bob).unwrap_err();
    assert_eq!(refused.code, ErrorCode::AccessDenied);
    let sentence = format!(
        "User: arn:aws:sts::111122223333:assumed-role/ChatUser/chime_ana is not authorized to perform: \
         chime:SendChannelMessage on resource: {bob} because no identity-based policy allows the \
         chime:SendChannelMessage action"
    );
    assert_eq!(refused.message, sentence);
    assert_eq!(world.connect(&ana).unwrap().expires_at, Some(START.plus_ms(900_000)));
    assert_eq!(world.connect(&bob).unwrap_err().code, 4003);
}

#[engine_test]
fn a_session_ends_by_the_services_clock(world: &mut World) {
    let (channel, ana, _) = lobby(world);
    chat_role(world);
    let session = assume(world, "ana");
    let root = world.sign_with(session);
    world.advance_ms(900_000 - 1);
    send(world, &channel, &ana).unwrap();
    world.advance_ms(1);
    let (status, body) = world.raw("GET", "/app-instances", b"");
    assert_eq!((status, &body["Code"]), (403, &"ExpiredTokenException".into()));
    assert_eq!(world.connect(&ana).unwrap_err().code, 4401);
    assert_eq!(refused(world, "GetCallerIdentity", &[]), (403, "ExpiredToken".to_owned()));
    world.sign_with(root);
    let fresh = assume(world, "ana");
    world.sign_with(fresh);
    assert!(world.connect(&ana).is_ok());
}

#[engine_test]
fn a_role_without_its_tag_allows_nothing(world: &mut World) {
    let (channel, ana, _) = lobby(world);
    chat_role(world);
    let form = [("RoleArn", "arn:aws:iam::111122223333:role/ChatUser"), ("RoleSessionName", "nobody")];
    let session = credentials(&done(world, "AssumeRole", &form));
    world.sign_with(session);
    assert_eq!(send(world, &channel, &ana).unwrap_err().code, ErrorCode::AccessDenied);
}

#[engine_test]
fn a_change_of_policy_is_in_force_at_once(world: &mut World) {
    let everything = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let user = new_user(world, "ops", everything);
    let root = world.sign_with(user.clone());
    let list = ListAppInstances { max_results: None, next_token: None };
    assert!(world.call(&list).is_ok());
    let nothing = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
    world.sign_with(root.clone());
    let form = [("PolicyName", "none"), ("PolicyDocument", nothing)];
    let arn = find(&done(world, "CreatePolicy", &form), "Arn");
    done(world, "AttachUserPolicy", &[("UserName", "ops"), ("PolicyArn", &arn)]);
    world.sign_with(user.clone());
    let refused = world.call(&list).unwrap_err();
    let sentence = "User: arn:aws:iam::111122223333:user/ops is not authorized to perform: chime:ListAppInstances on \
                    resource: arn:aws:chime:us-east-1:111122223333:app-instance/* with an explicit deny in an \
                    identity-based policy";
    assert_eq!((refused.code, refused.message.as_str()), (ErrorCode::AccessDenied, sentence));
    world.sign_with(root.clone());
    done(world, "DetachUserPolicy", &[("UserName", "ops"), ("PolicyArn", &arn)]);
    world.sign_with(user.clone());
    assert!(world.call(&list).is_ok());
    world.sign_with(root);
    let key = [("UserName", "ops"), ("AccessKeyId", user.access_key_id.as_str()), ("Status", "Inactive")];
    done(world, "UpdateAccessKey", &key);
    world.sign_with(user);
    let (status, body) = world.raw("GET", "/app-instances", b"");
    assert_eq!((status, &body["Code"]), (403, &"UnrecognizedClientException".into()));
}

#[engine_test]
fn secrets_are_sealed_and_survive_a_restart(world: &mut World) {
    let policy = r#"{"Version":"2012-10-17","Statement":
        {"Effect":"Allow","Action":"chime:ListAppInstances","Resource":"*"}}"#;
    let user = new_user(world, "ops", policy);
    let secret = user.secret.clone();
    let sealed = world.step(|tx, _| Ok(carillon_store::iam::access_key::all(tx)?));
    assert!(!sealed[0].sealed_secret.windows(secret.len()).any(|window| window == secret.as_bytes()));
    world.restart();
    world.sign_with(user);
    assert!(world.call(&ListAppInstances { max_results: None, next_token: None }).is_ok());
}

#[engine_test]
fn unknown_keys_and_wrong_secrets_are_refused(world: &mut World) {
    let policy = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let user = new_user(world, "ops", policy);
    chat_role(world);
    let session = assume(world, "ana");
    let mixed = Credentials { session_token: session.session_token.clone(), ..user.clone() };
    let bare = Credentials { session_token: None, ..session.clone() };
    let wrong = Credentials { secret: "x".repeat(40), ..user.clone() };
    let forged = Credentials { session_token: session.session_token.map(|token| token + "A"), ..session };
    for (credentials, code) in [
        (Credentials { access_key_id: "AKIANOBODY".to_owned(), ..user }, "UnrecognizedClientException"),
        (wrong, "InvalidSignatureException"),
        (mixed, "UnrecognizedClientException"),
        (bare, "UnrecognizedClientException"),
        (forged, "UnrecognizedClientException"),
    ] {
        world.sign_with(credentials);
        let (status, body) = world.raw("GET", "/app-instances", b"");
        assert_eq!((status, &body["Code"]), (403, &code.into()));
    }
}

#[engine_test]
fn resource_tags_decide_where_a_policy_reads_them(world: &mut World) {
    let (channel, ana, _) = lobby(world);
    let read_only = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"chime:*","Resource":"*"},
        {"Effect":"Deny","Action":["chime:SendChannelMessage"],"Resource":"*",
         "Condition":{"StringEquals":{"aws:ResourceTag/state":"archived"}}}]}"#;
    let user = new_user(world, "app", read_only);
    world.sign_with(user);
    send(world, &channel, &ana).unwrap();
    let tag = serde_json::json!({ "ResourceARN": channel.as_str(),
                                  "Tags": [{ "Key": "state", "Value": "archived" }] });
    assert_eq!(world.raw("POST", "/tags?operation=tag-resource", tag.to_string().as_bytes()).0, 204);
    assert_eq!(send(world, &channel, &ana).unwrap_err().code, ErrorCode::AccessDenied);
}

#[engine_test]
fn sessions_are_narrowed_by_their_policies(world: &mut World) {
    let (channel, ana, _) = lobby(world);
    chat_role(world);
    let narrow =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"chime:Connect","Resource":"*"}}"#;
    let form = [
        ("RoleArn", "arn:aws:iam::111122223333:role/ChatUser"),
        ("RoleSessionName", "ana"),
        ("Tags.member.1.Key", "user_id"),
        ("Tags.member.1.Value", "ana"),
        ("Policy", narrow),
    ];
    let session = credentials(&done(world, "AssumeRole", &form));
    world.sign_with(session);
    assert!(world.connect(&ana).is_ok());
    assert_eq!(send(world, &channel, &ana).unwrap_err().code, ErrorCode::AccessDenied);
}

#[engine_test]
fn a_role_is_assumed_only_by_whom_it_trusts(world: &mut World) {
    let external = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow",
        "Principal":{"AWS":"arn:aws:iam::111122223333:user/partner"},"Action":"sts:AssumeRole",
        "Condition":{"StringEquals":{"sts:ExternalId":"42"}}}}"#;
    done(world, "CreateRole", &[("RoleName", "Guest"), ("AssumeRolePolicyDocument", external)]);
    let nothing =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:GetUser","Resource":"*"}}"#;
    let (partner, other) = (new_user(world, "partner", nothing), new_user(world, "other", nothing));
    let form = |id| {
        [
            ("RoleArn", "arn:aws:iam::111122223333:role/Guest"),
            ("RoleSessionName", "visit"),
            ("ExternalId", id),
        ]
    };
    let root = world.sign_with(partner);
    let body = done(world, "AssumeRole", &form("42"));
    assert_eq!(find(&body, "Arn"), "arn:aws:sts::111122223333:assumed-role/Guest/visit");
    assert_eq!(refused(world, "AssumeRole", &form("43")), (403, "AccessDenied".to_owned()));
    let mut tagged = form("42").to_vec();
    tagged.extend([("Tags.member.1.Key", "a"), ("Tags.member.1.Value", "b")]);
    assert_eq!(refused(world, "AssumeRole", &tagged), (403, "AccessDenied".to_owned()));
    let missing = [("RoleArn", "arn:aws:iam::111122223333:role/Missing"), ("RoleSessionName", "visit")];
    assert_eq!(refused(world, "AssumeRole", &missing), (403, "AccessDenied".to_owned()));
    world.sign_with(other);
    assert_eq!(refused(world, "AssumeRole", &form("42")), (403, "AccessDenied".to_owned()));
    world.sign_with(root);
    assert_eq!(refused(world, "AssumeRole", &form("42")), (403, "AccessDenied".to_owned()));
}

#[engine_test]
fn what_iam_lets_a_caller_do_is_for_policies_to_say(world: &mut World) {
    let own = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["iam:*"],
        "Resource":"arn:aws:iam::111122223333:user/dev/*"}}"#;
    let user = new_user(world, "lead", own);
    done(world, "CreateUser", &[("UserName", "admin")]);
    world.sign_with(user);
    done(world, "CreateUser", &[("UserName", "new"), ("Path", "/dev/")]);
    let denied = (403, "AccessDenied".to_owned());
    // A path that the request claims does not lead to a user with another.
    assert_eq!(refused(world, "DeleteUser", &[("UserName", "admin"), ("Path", "/dev/")]), denied);
    assert_eq!(refused(world, "CreateUser", &[("UserName", "root2")]), denied);
    let away = [("UserName", "new"), ("NewPath", "/")];
    assert_eq!(refused(world, "UpdateUser", &away), denied);
    done(world, "DeleteUser", &[("UserName", "new")]);
}

#[engine_test]
fn lists_come_in_pages(world: &mut World) {
    for name in ["zoe", "Ben", "ann"] {
        done(world, "CreateUser", &[("UserName", name)]);
    }
    let first = done(world, "ListUsers", &[("MaxItems", "2")]);
    assert_eq!(
        (find(&first, "UserName"), find(&first, "IsTruncated")),
        ("ann".to_owned(), "true".to_owned())
    );
    let rest = done(world, "ListUsers", &[("Marker", &find(&first, "Marker"))]);
    assert_eq!((find(&rest, "UserName"), find(&rest, "IsTruncated")), ("zoe".to_owned(), "false".to_owned()));
    assert_eq!(refused(world, "ListUsers", &[("Marker", "?")]), (400, "ValidationError".to_owned()));
}

#[engine_test]
fn what_is_wrong_has_the_code_that_tools_act_on(world: &mut World) {
    done(world, "CreateUser", &[("UserName", "ana")]);
    for (action, form, answer) in [
        ("GetUser", vec![("UserName", "bob")], (404, "NoSuchEntity")),
        ("GetRole", vec![("RoleName", "bob")], (404, "NoSuchEntity")),
        ("CreateUser", vec![("UserName", "ANA")], (409, "EntityAlreadyExists")),
        ("CreateUser", vec![("UserName", "a/b")], (400, "ValidationError")),
        ("CreateUser", vec![("UserName", "c"), ("PermissionsBoundary", "arn")], (400, "InvalidInput")),
        (
            "CreateRole",
            vec![("RoleName", "r"), ("AssumeRolePolicyDocument", "{}")],
            (400, "MalformedPolicyDocument"),
        ),
        ("CreateGroup", vec![], (400, "InvalidAction")),
        ("GetPolicy", vec![("PolicyArn", "arn:aws:iam::aws:policy/ReadOnly")], (404, "NoSuchEntity")),
    ] {
        let (status, code) = refused(world, action, &form);
        assert_eq!((status, code.as_str()), answer, "{action}");
    }
    done(world, "CreateAccessKey", &[("UserName", "ana")]);
    assert_eq!(refused(world, "DeleteUser", &[("UserName", "ana")]), (409, "DeleteConflict".to_owned()));
}

/// One of each parameter by which actions name what they are asked of.
const NAMED: [(&str, &str); 7] = [
    ("UserName", "ana"),
    ("RoleName", "visitor"),
    ("PolicyName", "p"),
    ("PolicyArn", "arn:aws:iam::111122223333:policy/p"),
    ("OpenIDConnectProviderArn", "arn:aws:iam::111122223333:oidc-provider/id.example.com"),
    ("Url", "https://id.example.com"),
    ("AccessKeyId", "AKIAABCDEFGHIJKLMNOP"),
];

#[test]
fn every_action_that_changes_something_is_recorded_with_what_it_is_asked_of() {
    World::once(|world| {
        let writes = carillon_access::query::iam_actions().filter(|(_, writes)| *writes);
        for (action, _) in writes {
            world.take_records();
            let (status, body) = act(world, action, &NAMED);
            let records = world.take_records();
            let [record] = &records[..] else { panic!("{action}: {records:?}") };
            assert_eq!((record.action.as_deref(), record.status), (Some(&*format!("iam:{action}")), status));
            for (name, value) in NAMED {
                assert_eq!(record.resources[name], value, "{action}: {body}");
            }
            let kind = match action {
                _ if action.contains("OpenID") => "oidc-provider/id.example.com",
                _ if action.ends_with("UserPolicy") || action.contains("AccessKey") => "user/ana",
                _ if action.ends_with("User") => "user/ana",
                _ if action.ends_with("Role") || action.contains("RolePolicy") => "role/visitor",
                _ => "policy/p",
            };
            assert_eq!(
                record.resources["Arn"],
                format!("arn:aws:iam::111122223333:{kind}"),
                "{action}: {body}"
            );
        }
    });
}

#[engine_test]
fn of_a_parameter_that_is_repeated_the_one_that_was_acted_on_is_recorded(world: &mut World) {
    let repeated = [("UserName", "ana"), ("UserName", "bob"), ("PolicyArn", ""), ("PolicyArn", "arn:other")];
    let body = done(world, "CreateUser", &repeated);
    assert!(body.contains("<UserName>ana</UserName>"), "{body}");
    let records = world.take_records();
    let recorded = serde_json::json!({ "UserName": "ana", "Arn": "arn:aws:iam::111122223333:user/ana" });
    assert_eq!(serde_json::json!(records.last().unwrap().resources), recorded);
}

#[engine_test]
fn who_names_no_user_is_recorded_as_the_user_whose_key_it_became(world: &mut World) {
    let allow = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:*","Resource":"*"}}"#;
    let ana = new_user(world, "ana", allow);
    let root = world.sign_with(ana.clone());
    let body = done(world, "CreateAccessKey", &[]);
    let session = done(world, "GetSessionToken", &[]);
    world.sign_with(root);
    let records = world.take_records();
    let [.., key, token] = &records[..] else { panic!("{records:?}") };
    let made = find(&body, "AccessKeyId");
    let ana = "arn:aws:iam::111122223333:user/ana";
    let recorded = serde_json::json!({ "Arn": ana, "UserName": "ana", "AccessKeyId": made });
    assert_eq!(serde_json::json!(key.resources), recorded);
    let recorded = serde_json::json!({ "AccessKeyId": find(&session, "AccessKeyId") });
    assert_eq!(serde_json::json!(token.resources), recorded);
    let told = serde_json::to_string(&records).unwrap();
    assert!(
        !told.contains(&find(&body, "SecretAccessKey")) && !told.contains(&find(&session, "SessionToken"))
    );
}

#[engine_test]
fn what_is_done_at_the_console_is_recorded_as_roots(world: &mut World) {
    let form = [("Action", "CreateUser"), ("UserName", "ana")];
    world.take_records();
    world.manage(&form).unwrap();
    world.manage(&form).unwrap_err();
    world.manage(&[("Action", "ListUsers")]).unwrap();
    let records = world.take_records();
    let told: Vec<_> = records
        .iter()
        .map(|record| (record.principal.as_deref(), record.action.as_deref(), &*record.result, record.status))
        .collect();
    let root = Some("arn:aws:iam::111122223333:root");
    let expected = [("OK", 200), ("EntityAlreadyExists", 409)];
    assert_eq!(told, expected.map(|(result, status)| (root, Some("iam:CreateUser"), result, status)));
    assert!(records.iter().all(|record| record.resources["UserName"] == "ana"));
}

#[engine_test]
fn nobody_makes_itself_administrator_with_rights_over_oneself(world: &mut World) {
    let (ana, instance) = (world.user("ana"), world.instance().clone());
    let statement = |effect: &str, resources: &[String]| {
        let actions = "chime:*";
        serde_json::json!({ "Effect": effect, "Action": actions, "Resource": resources })
    };
    let allow = |resources: &[String]| statement("Allow", resources);
    let deny = |resource: &IdentityArn| statement("Deny", &[resource.to_string()]);
    let all = format!("{instance}/user/*");
    let [own, channels] = [ana.as_str().to_owned(), format!("{instance}/channel/*")];
    let variable = format!("{instance}/user/${{aws:username}}");
    for (number, (statements, may)) in [
        (vec![allow(&[own, channels.clone()])], false),
        (vec![allow(&[variable, channels.clone()])], false),
        (vec![allow(&[format!("{instance}/user/a*"), channels.clone()])], false),
        (vec![allow(&[format!("{instance}/bot/*"), channels])], false),
        (vec![allow(std::slice::from_ref(&all)), deny(&ana)], false),
        (vec![allow(&[all])], true),
        (vec![allow(&[instance.as_str().to_owned()])], true),
        (vec![allow(&["*".to_owned()])], true),
    ]
    .into_iter()
    .enumerate()
    {
        let policy = serde_json::json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        let user = new_user(world, &format!("u{number}"), &policy);
        let root = world.sign_with(user);
        let (app_instance_admin_arn, app_instance_arn) = (ana.clone(), instance.clone());
        let create = CreateAppInstanceAdmin {
            app_instance_admin_arn: app_instance_admin_arn.clone(),
            app_instance_arn: app_instance_arn.clone(),
        };
        let delete = DeleteAppInstanceAdmin { app_instance_admin_arn, app_instance_arn };
        if may {
            world.call(&create).unwrap();
            world.call(&delete).unwrap();
        } else {
            assert_eq!(world.refusal(&create), ErrorCode::AccessDenied, "{policy}");
            assert_eq!(world.refusal(&delete), ErrorCode::AccessDenied, "{policy}");
        }
        world.sign_with(root);
    }
}

#[engine_test]
fn conditions_read_what_a_request_brings_and_policies_nothing_else(world: &mut World) {
    let list = ListAppInstances { max_results: None, next_token: None };
    let statement = |operator: &str, key: &str, value: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"*","Resource":"*"}},
               {{"Effect":"Deny","Action":"*","Resource":"*","Condition":{{"{operator}":{{"{key}":"{value}"}}}}}}]}}"#
        )
    };
    for (number, (operator, key, value, denied)) in [
        ("Bool", "aws:ViaAWSService", "false", true),
        ("Bool", "aws:ViaAWSService", "true", false),
        ("Bool", "aws:PrincipalIsAWSService", "false", true),
        ("StringEquals", "aws:ResourceAccount", "111122223333", true),
        ("StringNotEquals", "aws:ResourceAccount", "111122223333", false),
        ("StringEquals", "aws:SourceIdentity", "somebody", false),
    ]
    .into_iter()
    .enumerate()
    {
        let user = new_user(world, &format!("u{number}"), &statement(operator, key, value));
        let root = world.sign_with(user);
        assert_eq!(world.call(&list).is_err(), denied, "{operator} {key} {value}");
        world.sign_with(root);
    }
    let malformed = (400, "MalformedPolicyDocument".to_owned());
    done(world, "CreateUser", &[("UserName", "u")]);
    for key in ["aws:SecureTransprot", "aws:PrincipalOrgID", "chime:Bearer", "iam:AWSServiceName", "sts:x"] {
        let text = statement("StringEquals", key, "x");
        let inline = [("UserName", "u"), ("PolicyName", "p"), ("PolicyDocument", text.as_str())];
        assert_eq!(refused(world, "PutUserPolicy", &inline), malformed, "{key}");
        let managed = [("PolicyName", "p"), ("PolicyDocument", text.as_str())];
        assert_eq!(refused(world, "CreatePolicy", &managed), malformed, "{key}");
        let trust =
            TRUST.replace(r#""Action""#, &format!(r#""Condition":{{"Bool":{{"{key}":"true"}}}},"Action""#));
        let role = [("RoleName", "R"), ("AssumeRolePolicyDocument", trust.as_str())];
        assert_eq!(refused(world, "CreateRole", &role), malformed, "{key}");
    }
    let variable = statement("StringEquals", "aws:username", "${aws:Nobody}");
    let inline = [("UserName", "u"), ("PolicyName", "p"), ("PolicyDocument", variable.as_str())];
    assert_eq!(refused(world, "PutUserPolicy", &inline), malformed, "a variable");
}

#[engine_test]
fn iam_conditions_read_the_policy_that_is_attached(world: &mut World) {
    let everything = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let arn = |world: &mut World, name| {
        find(&done(world, "CreatePolicy", &[("PolicyName", name), ("PolicyDocument", everything)]), "Arn")
    };
    let (power, other) = (arn(world, "Power"), arn(world, "Other"));
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"iam:*","Resource":"*"}},
           {{"Effect":"Deny","Action":"iam:Attach*","Resource":"*",
             "Condition":{{"ArnEquals":{{"iam:PolicyARN":"{power}"}}}}}},
           {{"Effect":"Deny","Action":"iam:CreateUser","Resource":"*",
             "Condition":{{"StringEquals":{{"iam:PermissionsBoundary":"{power}"}}}}}}]}}"#
    );
    let user = new_user(world, "lead", &policy);
    world.sign_with(user);
    let attach = |arn| [("UserName", "lead"), ("PolicyArn", arn)];
    assert_eq!(refused(world, "AttachUserPolicy", &attach(&power)), (403, "AccessDenied".to_owned()));
    done(world, "AttachUserPolicy", &attach(&other));
    let bounded = [("UserName", "new"), ("PermissionsBoundary", power.as_str())];
    assert_eq!(refused(world, "CreateUser", &bounded), (403, "AccessDenied".to_owned()));
}

#[engine_test]
fn a_session_says_who_stands_behind_it(world: &mut World) {
    let trust = TRUST.replace(r#""sts:TagSession""#, r#""sts:TagSession","sts:SetSourceIdentity""#);
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
        {"Effect":"Deny","Action":"chime:*","Resource":"*",
         "Condition":{"StringEquals":{"aws:SourceIdentity":"eve"}}}]}"#;
    for (name, trust) in [("Worker", trust.as_str()), ("Silent", TRUST)] {
        done(world, "CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", trust)]);
        done(world, "PutRolePolicy", &[("RoleName", name), ("PolicyName", "p"), ("PolicyDocument", policy)]);
    }
    let form = |role: &'static str, who: &'static str| {
        [("RoleArn", role), ("RoleSessionName", "work"), ("SourceIdentity", who)]
    };
    let (worker, silent) = ("arn:aws:iam::111122223333:role/Worker", "arn:aws:iam::111122223333:role/Silent");
    assert_eq!(refused(world, "AssumeRole", &form(silent, "ana")).0, 403, "it may not be said there");
    let list = ListAppInstances { max_results: None, next_token: None };
    for (who, denied) in [("ana", false), ("eve", true)] {
        let answer = done(world, "AssumeRole", &form(worker, who));
        assert_eq!(find(&answer, "SourceIdentity"), who);
        let root = world.sign_with(credentials(&answer));
        assert_eq!(world.call(&list).is_err(), denied, "{who}");
        assert_eq!(refused(world, "AssumeRole", &form(worker, "another")).0, 403, "it cannot be changed");
        let chained = [("RoleArn", worker), ("RoleSessionName", "work")];
        assert_eq!(find(&done(world, "AssumeRole", &chained), "SourceIdentity"), who, "it is handed on");
        world.sign_with(root);
    }
}

#[engine_test]
fn a_session_of_ones_own_is_not_for_iam(world: &mut World) {
    let everything = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let user = new_user(world, "ops", everything);
    for signer in [Credentials::root(), user] {
        let own = world.sign_with(signer);
        done(world, "ListUsers", &[]);
        let session = credentials(&done(world, "GetSessionToken", &[]));
        world.sign_with(session);
        assert_eq!(refused(world, "ListUsers", &[]), (403, "InvalidClientTokenId".to_owned()));
        done(world, "GetCallerIdentity", &[]);
        world.sign_with(own);
    }
}

#[engine_test]
fn what_is_made_has_the_tags_of_its_app_instance_and_of_who_makes_it(world: &mut World) {
    let ana = world.user("ana");
    let policy = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"chime:*","Resource":"*",
        "Condition":{"StringEquals":{"aws:ResourceTag/team":"chat"}}}}"#;
    let user = new_user(world, "app", policy);
    let make = |world: &mut World, id: &str| CreateAppInstanceUser {
        app_instance_arn: world.instance().clone(),
        app_instance_user_id: text(id),
        name: text("New"),
        metadata: None,
        client_request_token: world.token(),
        tags: None,
        expiration_settings: None,
    };
    let list = |world: &World| ListAppInstanceUsers {
        app_instance_arn: world.instance().clone(),
        max_results: None,
        next_token: None,
    };
    let root = world.sign_with(user.clone());
    let (create, channel) = (make(world, "new"), channel_request(world, &ana));
    assert_eq!(world.refusal(&create), ErrorCode::AccessDenied);
    assert_eq!(world.refusal(&channel), ErrorCode::AccessDenied);
    world.sign_with(root);
    let tag = |arn: &str| {
        serde_json::json!({ "ResourceARN": arn, "Tags": [{ "Key": "team", "Value": "chat" }] }).to_string()
    };
    let instance = tag(world.instance().as_str());
    assert_eq!(world.raw("POST", "/tags?operation=tag-resource", instance.as_bytes()).0, 204);
    world.sign_with(user);
    world.call(&create).unwrap();
    world.call(&list(world)).unwrap();
    let channel = world.call(&channel).unwrap().channel_arn;
    // What is there is asked for its own tags.
    assert_eq!(send(world, &channel, &ana).unwrap_err().code, ErrorCode::AccessDenied);
}
