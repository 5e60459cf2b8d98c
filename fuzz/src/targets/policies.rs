//! What people write down to decide by: policies of IAM, and the filters of push notifications.

use carillon_auth::policy::{Caller, Context, Entry, Policy, Request, TrustPolicy, Value, decide};
use carillon_model::filter::Rule;
use carillon_model::message::Attributes;
use carillon_model::text::FilterRule;

use super::Target;
use crate::outcome::note;

/// The first line is a value for the context and the resource, the rest the document.
pub(super) const POLICY: Target = Target {
    name: "policy",
    about: "policy documents, of identities and of trust",
    words: "Version 2012-10-17 2008-10-17 Id Statement Sid Effect Allow Deny Action NotAction Resource \
            NotResource Principal NotPrincipal Condition StringEquals StringNotEquals StringLike \
            ForAllValues: ForAnyValue: IfExists Null Bool DateLessThan NumericEquals IpAddress ArnLike \
            BinaryEquals aws:username aws:CurrentTime aws:SourceIp aws:PrincipalTag/id ${aws:username} ${*} \
            ${ chime:* chime:Connect sts:AssumeRole Federated AWS",
    is_quick: true,
    run: policy,
};

/// A rule in the first line, and the attributes of a message in the others: a name, and its values by commas.
pub(super) const FILTER: Target = Target {
    name: "filter",
    about: "the filter rules of push notifications",
    words: "$or anything-but mention type Room [{\" \":[\"",
    is_quick: true,
    run: filter,
};

fn policy(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (value, document) = text.split_once('\n').unwrap_or(("", &text));
    let entries = [
        Entry::new("aws:username", Value::Text(value)),
        Entry::tag("aws:PrincipalTag/", "id", value),
        Entry::new("aws:CurrentTime", Value::Time(1_768_478_400_000)),
    ];
    let context = Context::new(&entries);
    match Policy::parse(document) {
        Ok(policy) => {
            let request = Request { action: "chime:Connect", resource: value, context: &context };
            let decision = decide([&policy], &request);
            assert_eq!(decision, decide([&policy], &request));
            note(&format!("{decision:?}"));
        }
        Err(error) => note(&error.to_string()),
    }
    match TrustPolicy::parse(document) {
        Ok(policy) => {
            let decision = policy.decide(&Caller::Federated(value), "sts:AssumeRole", &context);
            note(&format!("{decision:?}"));
        }
        Err(error) => note(&error.to_string()),
    }
}

fn filter(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (rule, lines) = text.split_once('\n').unwrap_or((&text, ""));
    let mut attributes = Attributes::new();
    for (name, values) in lines.lines().filter_map(|line| line.split_once(' ')) {
        let values = values.split(',').filter_map(|value| value.parse().ok());
        if let Ok(name) = name.parse() {
            attributes.insert(name, values.collect());
        }
    }
    match rule.parse::<FilterRule>().and_then(|rule| Rule::read(&rule)) {
        Ok(rule) => note(if rule.passes(&attributes) { "passes" } else { "does not pass" }),
        Err(violation) => note(&violation.to_string()),
    }
}
