//! Random policies and requests: both evaluators must decide alike.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};

use super::naive::Naive;
use super::*;

/// Texts from few letters, so that patterns and values meet often.
fn scrap() -> impl Strategy<Value = String> {
    "[ab:/é]{0,6}"
}

fn glob_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => scrap(),
        2 => Just("*".to_owned()),
        2 => Just("?".to_owned()),
        1 => Just("${aws:username}".to_owned()),
        1 => Just("${aws:username, 'ab'}".to_owned()),
        1 => Just("${aws:PrincipalTag/t}".to_owned()),
        1 => Just("${*}".to_owned()),
        1 => Just("${$}".to_owned()),
        1 => Just("$".to_owned()),
    ];
    proptest::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

fn one_or_many(item: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = Json> {
    prop_oneof![
        item.clone().prop_map(|text| json!(text)),
        proptest::collection::vec(item, 1..4).prop_map(|texts| json!(texts)),
    ]
}

fn boxed(strategy: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    strategy.boxed()
}

/// An ARN that only the newer version can read.
const VARIABLE_ARN: &str = "${aws:username}*";

fn number_text() -> impl Strategy<Value = String> {
    select(vec!["0", "-1", "1.5", "2", "10", "02", "1768478400"]).prop_map(str::to_owned)
}

fn date_text() -> impl Strategy<Value = String> {
    select(vec![
        "2026-01-15T12:00:00Z",
        "2026-01-15",
        "1768478400",
        "2026-01-15T13:00:00+01:00",
        "2027-01-01",
    ])
    .prop_map(str::to_owned)
}

fn network_text() -> impl Strategy<Value = String> {
    let v4 = (any::<[u8; 4]>(), 0..=32).prop_map(|([a, b, c, d], length)| {
        format!("{}.{}.{c}.{d}/{length}", [10, 203][usize::from(a % 2)], b % 2)
    });
    prop_oneof![v4, select(vec!["10.0.0.1", "2001:db8::/32", "::/0", "2001:db8::1"]).prop_map(str::to_owned)]
}

/// An operator with values that are good for it.
fn test() -> BoxedStrategy<(String, Json)> {
    let of = |names: Vec<&'static str>, values: BoxedStrategy<String>| {
        (select(names).prop_map(str::to_owned), one_or_many(values)).boxed()
    };
    let numeric = vec![
        "NumericEquals",
        "NumericNotEquals",
        "NumericLessThan",
        "NumericLessThanEquals",
        "NumericGreaterThan",
        "NumericGreaterThanEquals",
    ];
    let date = vec![
        "DateEquals",
        "DateNotEquals",
        "DateLessThan",
        "DateLessThanEquals",
        "DateGreaterThan",
        "DateGreaterThanEquals",
    ];
    let text = vec!["StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"];
    let arn = glob_text().prop_map(|text| format!("arn:a:*:?::{text}"));
    let arn = prop_oneof![arn, Just("*".to_owned()), Just(VARIABLE_ARN.to_owned())];
    let bools = select(vec!["true", "false", "True"]).prop_map(str::to_owned);
    prop_oneof![
        of(text, boxed(glob_text())),
        of(vec!["StringLike", "StringNotLike"], boxed(glob_text())),
        of(vec!["ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike"], boxed(arn)),
        of(vec!["Bool"], boxed(bools)),
        of(numeric, boxed(number_text())),
        of(date, boxed(date_text())),
        of(vec!["IpAddress", "NotIpAddress"], boxed(network_text())),
    ]
    .boxed()
}

const KEYS: [&str; 4] = ["aws:username", "aws:PrincipalTag/t", "aws:TagKeys", "aws:SourceIp"];

fn condition() -> impl Strategy<Value = (String, Json)> {
    let quantifier = select(vec!["", "", "ForAllValues:", "ForAnyValue:"]);
    let plain = (quantifier, test(), select(vec!["", "IfExists"])).prop_map(
        |(quantifier, (operator, values), if_exists)| (format!("{quantifier}{operator}{if_exists}"), values),
    );
    let null = select(vec!["true", "false"]).prop_map(|text| ("Null".to_owned(), json!(text)));
    (prop_oneof![9 => plain, 1 => null], select(KEYS.to_vec()))
        .prop_map(|((operator, values), key)| (operator, json!({ key: values })))
}

fn statement() -> impl Strategy<Value = Json> {
    let action = prop_oneof![Just("*".to_owned()), "c:[ab*?]{1,4}".prop_map(|text| text)];
    let resource = prop_oneof![
        1 => Just("*".to_owned()),
        4 => glob_text().prop_map(|text| format!("arn:{text}")),
    ];
    (
        select(vec!["Allow", "Allow", "Deny"]),
        select(vec!["Action", "Action", "NotAction"]),
        one_or_many(boxed(action)),
        select(vec!["Resource", "Resource", "NotResource"]),
        one_or_many(boxed(resource)),
        proptest::collection::vec(condition(), 0..3),
    )
        .prop_map(|(effect, action, actions, resource, resources, conditions)| {
            let conditions: serde_json::Map<String, Json> = conditions.into_iter().collect();
            json!({ "Effect": effect, action: actions, resource: resources, "Condition": conditions })
        })
}

fn policy() -> impl Strategy<Value = String> {
    (select(vec!["2012-10-17", "2012-10-17", "2008-10-17"]), proptest::collection::vec(statement(), 1..4))
        .prop_map(|(version, statements)| json!({ "Version": version, "Statement": statements }).to_string())
        .prop_filter("without variables this is no ARN", |text| {
            !text.contains("2008-10-17") || !text.contains(VARIABLE_ARN)
        })
}

fn owned() -> impl Strategy<Value = Owned> {
    let text = prop_oneof![
        scrap(),
        number_text(),
        date_text(),
        select(vec![
            "10.0.0.1",
            "203.1.0.0",
            "2001:db8::1",
            "true",
            "*",
            "a?",
            "arn:a:b:c::a/b",
            "arn:a:é:a:a"
        ])
        .prop_map(str::to_owned),
        glob_text().prop_map(|text| format!("arn:a:b:c::{text}")),
    ];
    prop_oneof![
        6 => text.clone().prop_map(Owned::Text),
        3 => proptest::collection::vec(text, 0..4).prop_map(Owned::Texts),
        1 => (1_768_478_399_000..1_768_478_401_000_i64).prop_map(Owned::Time),
        1 => (-2..20_i64).prop_map(Owned::Number),
        1 => any::<[u8; 4]>().prop_map(|address| Owned::Address(address.into())),
        1 => any::<bool>().prop_map(Owned::Bool),
    ]
}

fn given() -> impl Strategy<Value = Given> {
    let pair = (select(KEYS.to_vec()).prop_map(str::to_owned), owned());
    proptest::collection::vec(pair, 0..5).prop_map(Given)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn both_evaluators_decide_alike(
        documents in proptest::collection::vec(policy(), 1..3),
        given in given(),
        action in "c:[ab]{1,4}",
        resource in prop_oneof![
            scrap().prop_map(|text| format!("arn:{text}")),
            select(vec!["*", "arn:ab", "arn:*"]).prop_map(str::to_owned),
        ],
    ) {
        let policies: Vec<Policy> = documents.iter().map(|text| Policy::parse(text).expect(text)).collect();
        let policies: Vec<&Policy> = policies.iter().collect();
        let decision = given.decide(&policies, &action, &resource);
        prop_assert_eq!(word(&decision), Naive::new(&documents).decide(&given, &action, &resource));
    }

    #[test]
    fn what_tells_nothing_apart_decides_alike(
        policy in policy(),
        given in given(),
        action in "c:[ab]{1,4}",
        prefix in scrap().prop_map(|text| format!("arn:{text}")),
        rests in proptest::collection::vec("[ab:/é*?]{0,5}", 2..8),
    ) {
        let policy = Policy::parse(&policy).expect(&policy);
        let tells_apart = given.look(|context| policy.tells_apart(&action, &prefix, context));
        let of = |rest: &String| word(&given.decide(&[&policy], &action, &format!("{prefix}{rest}")));
        let words: Vec<_> = rests.iter().map(of).collect();
        prop_assert!(tells_apart || words.iter().all(|word| *word == words[0]), "{words:?}");
    }

    #[test]
    fn both_match_arns_alike(pattern in "[*?]?[ab:*?]{0,9}", text in "[ab:]{0,9}") {
        let condition = json!({ "ArnLike": { "aws:PrincipalArn": format!("arn:{pattern}:::::") } });
        let document = json!({ "Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition } }).to_string();
        let given = Given(vec![("aws:PrincipalArn".to_owned(), Owned::Text(format!("arn:{text}:::::")))]);
        let policy = Policy::parse(&document).unwrap();
        let decision = given.decide(&[&policy], "c:a", "*");
        prop_assert_eq!(word(&decision), Naive::new(&[document]).decide(&given, "c:a", "*"));
    }
}

/// Enough that each operator meets each kind of value many times; some seconds in a debug build.
const CASES: u32 = 2_000;
