//! The published example policies, each with what it allows and what it refuses, as an operation asks: every
//! ARN that it is checked on must be allowed.

use super::*;

const END_USER: &str = r#"{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":"chime:GetMessagingSessionEndpoint","Resource":"*"},
 {"Effect":"Allow",
  "Action":["chime:Connect","chime:ListChannels","chime:DescribeChannel","chime:SendChannelMessage",
            "chime:GetChannelMessage","chime:GetChannelMessageStatus","chime:ListChannelMessages",
            "chime:ListChannelMembershipsForAppInstanceUser","chime:UpdateChannelReadMarker"],
  "Resource":["APP/user/${aws:PrincipalTag/UserUUID}","APP/channel/*"]}]}"#;

const PROCESSOR: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"chime:ChannelFlowCallback",
 "Resource":"arn:aws:chime:us-east-1:111122223333:app-instance/*"}]}"#;

const READ_ONLY_WHEN_ARCHIVED: &str = r#"{"Version":"2012-10-17","Statement":[
 {"Sid":"Archived","Effect":"Deny","Action":["chime:SendChannelMessage","chime:UpdateChannelMessage"],"Resource":"*",
  "Condition":{"StringEquals":{"aws:ResourceTag/state":"archived"}}}]}"#;

fn back_end(user: &str) -> String {
    document(&format!(
        r#"{{"Effect":"Allow","Action":"chime:*","Resource":["APP/user/{user}","APP/channel/*"]}}"#
    ))
}

/// A principal with its policies and its tags, asking as dispatch does.
struct Principal {
    policies: Vec<Policy>,
    given: Given,
}

impl Principal {
    fn new(documents: &[&str], given: &str) -> Self {
        let policies = documents.iter().map(|text| Policy::parse(&document(text)).unwrap()).collect();
        Self { policies, given: Given::read(given) }
    }

    /// Whether the action is allowed on every one of the resources, named without their app instance.
    fn may(&self, operation: &str, resources: &[&str]) -> bool {
        let action = format!("chime:{operation}");
        let arns: Vec<String> = resources.iter().map(|name| arn(name)).collect();
        self.given.look(|context| {
            let mut requests = arns.iter().map(|resource| Request { action: &action, resource, context });
            requests.all(|request| decide(&self.policies, &request).is_allowed())
        })
    }
}

fn arn(name: &str) -> String {
    if name == "*" { "*".to_owned() } else { format!("{APP}/{name}") }
}

#[test]
fn an_end_user_acts_as_the_one_of_the_session() {
    let ana = Principal::new(&[END_USER], "aws:PrincipalTag/UserUUID=ana");
    assert!(ana.may("GetMessagingSessionEndpoint", &["*"]));
    assert!(ana.may("Connect", &["user/ana"]));
    assert!(ana.may("ListChannels", &["user/ana"]));
    for operation in ["DescribeChannel", "SendChannelMessage", "GetChannelMessage", "UpdateChannelReadMarker"]
    {
        assert!(ana.may(operation, &["user/ana", "channel/c"]), "{operation}");
        assert!(!ana.may(operation, &["user/bob", "channel/c"]), "{operation}");
    }
    assert!(!ana.may("Connect", &["user/bob"]));
    assert!(!ana.may("Connect", &["bot/ana"]));
    assert!(!ana.may("DeleteChannel", &["user/ana", "channel/c"]));
    assert!(!ana.may("CreateAppInstanceUser", &["user/ana"]));
    assert!(!ana.may("DescribeAppInstanceUser", &["user/ana"]));
}

#[test]
fn a_session_without_the_tag_is_nobody() {
    for given in ["", "aws:PrincipalTag/user_id=ana", "aws:PrincipalTag/UserUUID="] {
        let nobody = Principal::new(&[END_USER], given);
        assert!(nobody.may("GetMessagingSessionEndpoint", &["*"]));
        assert!(!nobody.may("Connect", &["user/ana"]), "{given}");
        assert!(!nobody.may("Connect", &["user/"]), "{given}");
        assert!(!nobody.may("SendChannelMessage", &["user/", "channel/c"]), "{given}");
    }
}

#[test]
fn a_federated_user_acts_as_its_identity() {
    let policy = END_USER.replace("aws:PrincipalTag/UserUUID", "cognito-identity.amazonaws.com:sub");
    let sub = "us-east-1:6f1c1ab1-aaaa-4bbb-8ccc-000000000001";
    let user = Principal::new(&[&policy], &format!("cognito-identity.amazonaws.com:sub={sub}"));
    assert!(user.may("Connect", &[&format!("user/{sub}")]));
    assert!(user.may("SendChannelMessage", &[&format!("user/{sub}"), "channel/c"]));
    assert!(!user.may("Connect", &["user/us-east-1:6f1c1ab1-aaaa-4bbb-8ccc-000000000002"]));
    assert!(!user.may("Connect", &["user/us-east-1"]));
}

#[test]
fn a_back_end_acts_as_any_user() {
    let back_end = Principal::new(&[&back_end("*")], "");
    assert!(back_end.may("SendChannelMessage", &["user/ana", "channel/c"]));
    assert!(back_end.may("DeleteChannel", &["user/bob", "channel/c"]));
    assert!(!back_end.may("SendChannelMessage", &["bot/b", "channel/c"]));
    assert!(!back_end.may("AssociateChannelFlow", &["user/ana", "channel/c", "channel-flow/f"]));
    assert!(!back_end.may("GetMessagingSessionEndpoint", &["*"]));
}

#[test]
fn a_back_end_acts_as_one_service_user() {
    let back_end = Principal::new(&[&back_end("backend-worker")], "");
    assert!(back_end.may("SendChannelMessage", &["user/backend-worker", "channel/c"]));
    assert!(!back_end.may("SendChannelMessage", &["user/ana", "channel/c"]));
    assert!(!back_end.may("SendChannelMessage", &["user/backend-worker2", "channel/c"]));
}

#[test]
fn a_processor_answers_for_channels_and_does_nothing_else() {
    let processor = Principal::new(&[PROCESSOR], "");
    assert!(processor.may("ChannelFlowCallback", &["channel/c"]));
    assert!(!processor.may("DescribeChannel", &["user/ana", "channel/c"]));
    assert!(!processor.may("ChannelFlowCallback", &["*"]));
}

#[test]
fn an_archived_channel_is_read_only_for_everyone() {
    let all = r#"{"Effect":"Allow","Action":"chime:*","Resource":"*"}"#;
    let of = |state| Principal::new(&[all, READ_ONLY_WHEN_ARCHIVED], state);
    for operation in ["SendChannelMessage", "UpdateChannelMessage"] {
        assert!(!of("aws:ResourceTag/state=archived").may(operation, &["channel/c"]));
        assert!(of("aws:ResourceTag/state=Archived").may(operation, &["channel/c"]));
        assert!(of("aws:ResourceTag/State=open").may(operation, &["channel/c"]));
        assert!(of("").may(operation, &["channel/c"]));
    }
    assert!(of("aws:ResourceTag/state=archived").may("ListChannelMessages", &["channel/c"]));
    let alone = Principal::new(&[READ_ONLY_WHEN_ARCHIVED], "");
    assert!(!alone.may("SendChannelMessage", &["channel/c"]));
}

/// The tags of a resource count when that resource is under test, not when the bearer is.
#[test]
fn each_resource_brings_its_own_tags() {
    let all = Policy::parse(&document(r#"{"Effect":"Allow","Action":"chime:*","Resource":"*"}"#)).unwrap();
    let archived = Policy::parse(READ_ONLY_WHEN_ARCHIVED).unwrap();
    let session = [Entry::new("aws:username", Value::Text("ana"))];
    let session = Context::new(&session);
    let tags = [Entry::tag("aws:ResourceTag/", "state", "archived")];
    let tagged = Context::new(&tags).over(&session);
    let (user, channel) = (arn("user/ana"), arn("channel/c"));
    let action = "chime:SendChannelMessage";
    let bearer = Request { action, resource: &user, context: &session };
    assert!(decide([&all, &archived], &bearer).is_allowed());
    let request = Request { action, resource: &channel, context: &tagged };
    let by = DecidedBy { policy: 1, statement: 0, sid: Some("Archived") };
    assert_eq!(decide([&all, &archived], &request), Decision::ExplicitDeny(by));
}

#[test]
fn a_policy_of_one_arn_only_falls_into_the_published_traps() {
    let channel_only = Principal::new(
        &[r#"{"Effect":"Allow","Action":"chime:SendChannelMessage","Resource":"APP/channel/*"}"#],
        "",
    );
    assert!(!channel_only.may("SendChannelMessage", &["user/ana", "channel/c"]));
    let user_only =
        Principal::new(&[r#"{"Effect":"Allow","Action":"chime:*","Resource":"APP/user/ana"}"#], "");
    assert!(!user_only.may("SendChannelMessage", &["user/ana", "channel/c"]));
    assert!(user_only.may("ListChannels", &["user/ana"]));
}

#[test]
fn a_decision_names_the_statement() {
    let policy = Policy::parse(&document(END_USER)).unwrap();
    let decision = Given::default().decide(&[&policy], "chime:GetMessagingSessionEndpoint", "*");
    assert_eq!(decision, Decision::Allow(DecidedBy { policy: 0, statement: 0, sid: None }));
}
