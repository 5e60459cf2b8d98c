//! What one decision costs: `cargo bench -p carillon-auth --bench policy`.
//!
//! A harness of its own, because the median of a few thousand rounds is all that is asked here.

use std::hint::black_box;
use std::time::Instant;

use carillon_auth::policy::{Context, Entry, Policy, Request, Value, decide, require_all};

const APP: &str = "arn:aws:chime:us-east-1:111122223333:app-instance/8d1e2f30-aaaa-4bbb-8ccc-000000000001";
const END_USER: &str = r#"{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":"chime:GetMessagingSessionEndpoint","Resource":"*"},
 {"Effect":"Allow",
  "Action":["chime:Connect","chime:ListChannels","chime:DescribeChannel","chime:SendChannelMessage",
            "chime:GetChannelMessage","chime:GetChannelMessageStatus","chime:ListChannelMessages",
            "chime:ListChannelMembershipsForAppInstanceUser","chime:UpdateChannelReadMarker"],
  "Resource":["APP/user/${aws:PrincipalTag/UserUUID}","APP/channel/*"]}]}"#;
const ARCHIVED: &str = r#"{"Version":"2012-10-17","Statement":[
 {"Effect":"Deny","Action":["chime:SendChannelMessage","chime:UpdateChannelMessage"],"Resource":"*",
  "Condition":{"StringEquals":{"aws:ResourceTag/state":"archived"}}}]}"#;

/// A round is long enough for the clock, and there are enough for a median.
const CALLS_IN_ROUND: u32 = 1_000;
const ROUNDS: usize = 501;

fn main() {
    let end_user = END_USER.replace("APP", APP);
    let policies = [parse(&end_user), parse(ARCHIVED)];
    let (user, channel) = (format!("{APP}/user/ana"), format!("{APP}/channel/c1"));
    let action = "chime:SendChannelMessage";

    report("parse of the end user's policy", || drop(black_box(parse(&end_user))));
    let ask = |resource, policies| {
        let session = [Entry::tag("aws:PrincipalTag/", "UserUUID", "ana")];
        let request = [Entry::new("aws:SecureTransport", Value::Bool(true))];
        let session = Context::new(&session);
        let context = Context::new(&request).over(&session);
        black_box(decide(policies, &Request { action, resource, context: &context }));
    };
    report("one decision, on the bearer's ARN", || ask(&user, &policies[..1]));
    report("one decision, on the channel's ARN", || ask(&channel, &policies[..1]));
    report("one decision, two policies, a condition", || ask(&channel, &policies));
    report("SendChannelMessage: both ARNs, two policies", || {
        let session = [Entry::tag("aws:PrincipalTag/", "UserUUID", "ana")];
        let context = Context::new(&session);
        let requests = [&user, &channel].map(|resource| Request { action, resource, context: &context });
        assert!(require_all(requests, |request| decide(&policies, request)).is_ok());
    });
}

fn parse(document: &str) -> Policy {
    Policy::parse(document).expect("a good policy")
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn report(what: &str, work: impl Fn()) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..CALLS_IN_ROUND).for_each(|_| work());
            start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS_IN_ROUND)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{:8.3} µs  {what}", rounds[ROUNDS / 2]);
}
