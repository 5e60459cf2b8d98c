//! Policy documents: whatever the bytes are, they are read or refused, and what was read decides.
//!
//! `cargo +nightly fuzz run policy` in `crates/auth`, with cargo-fuzz installed; the seeds of `tests/*.txt` are
//! a good corpus. `cargo check` here needs neither.
#![no_main]

use carillon_auth::policy::{Caller, Context, Entry, Policy, Request, TrustPolicy, Value, decide};
use libfuzzer_sys::fuzz_target;

// The first line is a value for the context and the resource, the rest is the document.
fuzz_target!(|text: &str| {
    let (value, document) = text.split_once('\n').unwrap_or(("", text));
    let entries = [
        Entry::new("aws:username", Value::Text(value)),
        Entry::tag("aws:PrincipalTag/", "id", value),
        Entry::new("aws:CurrentTime", Value::Time(1_768_478_400_000)),
    ];
    let context = Context::new(&entries);
    if let Ok(policy) = Policy::parse(document) {
        let request = Request { action: "chime:Connect", resource: value, context: &context };
        let decision = decide([&policy], &request);
        assert_eq!(decision, decide([&policy], &request));
    }
    if let Ok(policy) = TrustPolicy::parse(document) {
        policy.decide(&Caller::Federated(value), "sts:AssumeRole", &context);
    }
});
