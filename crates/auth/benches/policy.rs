//! What the front door costs a request, signature and policy: `cargo bench -p carillon-auth --bench policy`.
//!
//! A harness of its own, because the median of a few thousand rounds is all that is asked here.

use std::hint::black_box;
use std::time::Instant;

use carillon_auth::policy::{Context, Entry, Policy, Request, Value, decide};
use carillon_auth::{Expectation, NoSecret, Secret, SignedRequest, Signer, Verifier, sign};

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

    signature(&channel);

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
        let mut requests =
            [&user, &channel].into_iter().map(|resource| Request { action, resource, context: &context });
        assert!(requests.all(|request| decide(&policies, &request).is_allowed()));
    });
}

/// Verifies a signed send of 1 KiB, its key known, as all but the first of a day are.
fn signature(channel: &str) {
    const NOW_MS: i64 = 1_768_478_400_000;
    let body = format!(r#"{{"Content":"{}","Type":"STANDARD"}}"#, "x".repeat(980));
    let path = format!("/channels/{}/messages", channel.replace(':', "%3A").replace('/', "%2F"));
    let mut headers = vec![
        ("host", "chat.example.com"),
        ("content-type", "application/json"),
        ("x-amz-date", "20260115T120000Z"),
        ("x-amz-chime-bearer", "arn:aws:chime:us-east-1:111122223333:app-instance/x/user/ana"),
    ];
    let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned());
    let (access_key_id, region) = ("AKIDEXAMPLE", "us-east-1");
    let signer = Signer { access_key_id, secret: &secret, session_token: None, region, service: "chime" };
    let request =
        SignedRequest { method: "POST", path: &path, query: "", headers: &headers, body: body.as_bytes() };
    let authorization = sign(&request, &signer, NOW_MS).expect("a good request");
    headers.push(("authorization", &authorization));
    let request =
        SignedRequest { method: "POST", path: &path, query: "", headers: &headers, body: body.as_bytes() };
    let expectation = Expectation { region, services: &["chime"], now_ms: NOW_MS, late_allowance_ms: 0 };
    let (verifier, credentials) =
        (Verifier::new(), |_: &str, _: Option<&str>| Ok::<_, NoSecret>(secret.clone()));
    report("signature of a send of 1 KiB", || {
        assert!(black_box(verifier.verify(&request, &expectation, &credentials)).is_ok());
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
