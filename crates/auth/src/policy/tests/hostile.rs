//! No document may panic or take long, however crooked.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn any_json() -> impl Strategy<Value = Json> {
    let words = proptest::sample::select(vec![
        "Allow",
        "Deny",
        "*",
        "chime:Connect",
        "arn:aws:chime:::*",
        "${aws:username}",
        "${",
        "${a:b, '",
        "'}",
        "${}",
        "2012-10-17",
        "true",
        "1e999",
        "-",
        ".",
        "::/0",
        "10.0.0.0/99",
        "9999-12-31T23:59:59Z",
        "-9223372036854775808",
    ]);
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value)),
        any::<String>().prop_map(|value| json!(value)),
        words.prop_map(|value| json!(value)),
    ];
    let names = proptest::sample::select(vec![
        "Version",
        "Id",
        "Statement",
        "Sid",
        "Effect",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Principal",
        "Condition",
        "StringEquals",
        "ForAllValues:StringLikeIfExists",
        "Null",
        "Bool",
        "DateLessThan",
        "NumericEquals",
        "IpAddress",
        "BinaryEquals",
        "ArnLike",
        "aws:username",
        "AWS",
        "Federated",
        "Service",
        "",
    ]);
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::Array),
            proptest::collection::vec((names.clone(), inner), 0..6)
                .prop_map(|pairs| pairs.into_iter().map(|(name, json)| (name.to_owned(), json)).collect()),
        ]
    })
}

/// JSON of the right shape, with anything in the places of the values.
fn near_policy() -> impl Strategy<Value = Json> {
    (any_json(), any_json(), any_json(), any_json()).prop_map(|(action, resource, condition, principal)| {
        json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": action, "Resource": resource,
            "Condition": condition, "Principal": principal }] })
    })
}

fn ask(document: &str) {
    if let Ok(policy) = Policy::parse(document) {
        let _ = Given::default().decide(&[&policy], "chime:Connect", APP);
    }
    if let Ok(policy) = TrustPolicy::parse(document) {
        let caller = Caller::Federated("accounts.example");
        let _ = policy.decide(&caller, "sts:AssumeRole", &Context::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_json_is_read_or_not(json in prop_oneof![any_json(), near_policy()]) {
        ask(&json.to_string());
    }

    #[test]
    fn any_text_is_read_or_not(text in any::<String>()) {
        ask(&text);
    }

    #[test]
    fn any_pattern_is_read_or_not(text in "[${}',:*?a é]{0,20}", value in "[${}',:*?a é]{0,20}") {
        let condition = json!({ "StringLike": { "aws:username": text } });
        let document = document(&json!({ "Effect": "Allow", "Action": "*", "Resource": format!("arn:{text}"),
            "Condition": condition }).to_string());
        if let Ok(policy) = Policy::parse(&document) {
            let given = Given(vec![("aws:username".to_owned(), Owned::Text(value.clone()))]);
            let _ = given.decide(&[&policy], &value, &format!("arn:{value}"));
        }
    }
}

#[test]
fn a_document_is_bounded() {
    let long = format!("{}{}", "[".repeat(100), " ".repeat(DOCUMENT_BYTES_MAX));
    assert!(Policy::parse(&long).unwrap_err().problem().contains("131072"));
    let deep = "[".repeat(10_000);
    assert!(Policy::parse(&deep).unwrap_err().problem().contains("recursion limit"));
}

/// A pattern on which naive matching takes longer than the universe has; ours needs the product of the lengths.
#[test]
fn many_stars_do_not_multiply() {
    let pattern = format!("arn:{}b", "*a".repeat(3_000));
    let statement = json!({ "Effect": "Allow", "Action": "*", "Resource": pattern }).to_string();
    let policy = Policy::parse(&document(&statement)).unwrap();
    let decision =
        Given::default().decide(&[&policy], "chime:Connect", &format!("arn:{}", "a".repeat(1_600)));
    assert_eq!(decision, Decision::Implicit);
}

#[test]
fn characters_are_counted_as_aws_does() {
    assert_eq!(characters("{ \"Ä\" :\n\t1 }"), 7);
}
