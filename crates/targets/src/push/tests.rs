//! What the tests of the wires share: keys that are made for the run, and one notification.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carillon_model::Key;
use carillon_model::text::{AllowMessages, EndpointStatus};

use super::*;

pub(super) const NOTIFICATION: Notification<'static> =
    Notification { title: "Lobby", body: "Hi", voip: false, message_id: "0a6f", channel_arn: "arn:lobby" };

/// As Apple gives one out.
pub(super) static EC_KEY: LazyLock<String> = LazyLock::new(|| pem(&VapidKey::generate().unwrap()));
/// As Google does.
pub(super) static RSA_KEY: LazyLock<String> = LazyLock::new(|| {
    let der: Pkcs8V1Der<'_> = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
    pem(der.as_ref())
});

const RESOURCE: &str = "arn:aws:mobiletargeting:us-east-1:000000000000:apps/1f";

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

pub(super) fn endpoint(kind: EndpointType, token: &str, voip: Option<&str>) -> Endpoint {
    Endpoint {
        key: Key([1; 16]),
        owner: Key([2; 16]),
        device: [0; 32],
        name: None,
        kind,
        resource: RESOURCE.parse().unwrap(),
        device_token: token.parse().unwrap(),
        voip_device_token: voip.map(|token| token.parse().unwrap()),
        allow_messages: AllowMessages::All,
        status: EndpointStatus::Active,
        status_reason: None,
        created_at: Timestamp::from_ms(0),
        updated_at: Timestamp::from_ms(0),
    }
}

#[test]
fn each_endpoint_has_its_way() {
    let apns = ApnsSettings {
        team_id: "TEAM",
        key_id: "KEY",
        key: EC_KEY.as_bytes(),
        topic: "com.example.chat",
        url: None,
        sandbox_url: None,
    };
    let key = VapidKey::read(&VapidKey::generate().unwrap()).unwrap();
    let application = Application {
        apns: Apns::new(&apns).ok(),
        fcm: None,
        web_push: WebPush::new("mailto:ops@example.com", &[], key).ok(),
        pinpoint: None,
        keeps_dead: false,
    };
    let push = Push::new(HashMap::from([(RESOURCE.to_owned(), application)]));
    let through = |service: &str| Way::Through(format!("{RESOURCE} {service}"));
    let apple = endpoint(EndpointType::Apns, "9a0b", None);
    assert_eq!(push.way(&apple, false), through("apns"));
    assert_eq!(push.way(&apple, true), Way::Skip);
    let caller = endpoint(EndpointType::ApnsSandbox, "9a0b", Some("9a0c"));
    assert_eq!(push.way(&caller, true), through("apns_sandbox"));
    let browser = r#"{"endpoint":"https://push.example.com/x","keys":{"p256dh":"","auth":""}}"#;
    let browser = endpoint(EndpointType::Gcm, browser, None);
    assert_eq!(push.way(&browser, true), through("web_push https://push.example.com"));
    let cause = |endpoint: &Endpoint| match push.way(endpoint, false) {
        Way::None(undelivered) => undelivered.cause,
        way => panic!("{way:?}"),
    };
    assert_eq!(cause(&endpoint(EndpointType::Gcm, "android", None)), Cause::Unmapped, "it has no fcm");
    let foreign = Endpoint { resource: RESOURCE.replace("1f", "2f").parse().unwrap(), ..apple };
    assert_eq!(cause(&foreign), Cause::Unmapped);
    assert_eq!(cause(&endpoint(EndpointType::Gcm, "{}", None)), Cause::DeadToken);
}
