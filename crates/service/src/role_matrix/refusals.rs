//! Every refusal says what refused: on the whole surface, each has the form of the gate that it comes from.

use super::*;
use crate::constraints::sample;
use crate::front::query::tests::new_user;
use crate::front::rates::Rates;

/// What a refusal by its code and message comes from; nothing where nobody could tell.
fn refused_by(operation: &str, answer: &Value) -> Option<&'static str> {
    let (code, message) = (answer["Code"].as_str()?, answer["Message"].as_str()?);
    let policy = format!(" is not authorized to perform: chime:{operation} on resource: ");
    let role = format!("The role of the bearer does not allow chime:{operation} here: ");
    let state = ["not exist", "no such", "is not", "does not", "cannot be"];
    match code {
        "AccessDeniedException"
            if message.contains(&policy) || message.contains("mobiletargeting:GetApp") =>
        {
            Some("policy")
        }
        "Forbidden" if message.starts_with(&role) => Some("role"),
        // What it is about, by name, and nothing that sounds like a role.
        "Forbidden" if !message.contains("role") && state.iter().any(|words| message.contains(words)) => {
            Some("state")
        }
        "ResourceLimitExceeded" if message.starts_with("The quota is full: ") => Some("quota"),
        "Throttled" if message.starts_with("The rate ") && message.contains(" a second for ") => Some("rate"),
        _ => None,
    }
}

#[test]
fn every_refusal_says_what_refused() {
    World::once(|world| {
        let cast = Cast::new(world);
        let nobody = new_user(world, "nobody", crate::front::why::tests::NOTHING);
        let (mut count, mut wrong) = (std::collections::BTreeMap::new(), Vec::new());
        let mut judge = |operation: &'static str, (status, answer): (u16, Value)| {
            if !(matches!(status, 403 | 429) || answer["Code"] == "ResourceLimitExceeded") {
                return;
            }
            match refused_by(operation, &answer) {
                Some(by) => *count.entry(by).or_insert(0) += 1,
                None => wrong.push(format!("{operation}: {status} {answer}")),
            }
        };
        for route in crate::front::route::all() {
            let mut variants: Vec<_> = VARIANTS.iter().filter(|(name, ..)| *name == route.name).collect();
            if variants.is_empty() {
                variants.push(&("", "", &[]));
            }
            let bears = |member: &Member| matches!(member.location, Location::Header(_));
            // Without a bearer no role refuses, and root does what it is asked.
            for (_, caller) in cast.callers.iter().filter(|_| (route.members)().iter().any(bears)) {
                for (_, _, says) in &variants {
                    let scene = cast.scene(world, ChannelPrivacy::Private, ChannelMode::Restricted);
                    let value_of = |member: &Member| cast.value(&scene, caller, says, member);
                    judge(route.name, request(world, &route, value_of));
                }
            }
            // Of what is not there.
            let absent = |member: &Member| match member.location {
                Location::Header(_) => Some(json!(cast.callers[0].1)),
                _ => member.required.then(|| sample(member.name, &member.shape)),
            };
            judge(route.name, request(world, &route, absent));
            let own = world.sign_with(nobody.clone());
            judge(route.name, request(world, &route, absent));
            world.sign_with(own);
        }
        world.set_quotas(|quotas| (quotas.channels_max, quotas.channel_memberships_max) = (0, 0));
        let scene = |member: &Member| match member.name {
            "AppInstanceArn" => Some(json!(cast.newcomer.app_instance())),
            "ChimeBearer" => Some(json!(cast.callers[1].1)),
            name => member.required.then(|| sample(name, &member.shape)),
        };
        let create =
            crate::front::route::all().into_iter().find(|route| route.name == "CreateChannel").unwrap();
        judge("CreateChannel", request(world, &create, scene));
        world.set_rates(Rates { bearer_calls_per_second: 1, ..Rates::OFF });
        judge("CreateChannel", request(world, &create, scene));
        judge("CreateChannel", request(world, &create, scene));
        println!("refusals: {count:?}");
        assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
        assert_eq!(count.keys().copied().collect::<Vec<_>>(), ["policy", "quota", "rate", "role", "state"]);
    });
}
