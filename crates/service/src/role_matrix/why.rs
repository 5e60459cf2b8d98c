//! For the whole table of roles: what the question why is answered is what the call does.

use serde_json::Map;

use super::*;
use crate::front::why::tests::is_refusal;

#[test]
fn why_says_what_every_role_may_do() {
    World::once(|world| {
        let cast = Cast::new(world);
        let (mut count, mut refused) = (0, 0);
        for route in crate::front::route::all() {
            let bears = |member: &Member| matches!(member.location, Location::Header(_));
            if !(route.members)().iter().any(bears) {
                continue;
            }
            let mut variants: Vec<_> = VARIANTS.iter().filter(|(name, ..)| *name == route.name).collect();
            if variants.is_empty() {
                variants.push(&("", "", &[]));
            }
            for (_, _, says) in variants {
                for privacy in [ChannelPrivacy::Public, ChannelPrivacy::Private] {
                    for (role, caller) in &cast.callers {
                        let scene = cast.scene(world, privacy, ChannelMode::Unrestricted);
                        let value_of = |member: &Member| cast.value(&scene, caller, says, member);
                        let members = (route.members)().into_iter().filter(|member| !bears(member));
                        let named =
                            members.filter_map(|member| Some((member.name.to_owned(), value_of(&member)?)));
                        let asked: Map<String, Value> = named.collect();
                        let action = format!("chime:{}", route.name);
                        world.take_events();
                        let why = world.why(&json!({"Bearer": caller, "Action": action, "Request": asked}));
                        assert!(world.take_events().is_empty());
                        let (status, answer) = request(world, &route, value_of);
                        let is_refused = is_refusal(status, &answer);
                        assert_eq!(why["Allowed"], !is_refused, "{} {role}: {why} {answer}", route.name);
                        if is_refused {
                            assert_eq!(why["Reason"], answer["Message"]);
                            refused += 1;
                        }
                        count += 1;
                    }
                }
            }
        }
        println!("asked why: {count}, refused: {refused}");
        assert!(0 < refused && refused < count);
    });
}
