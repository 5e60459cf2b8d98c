//! Who may do what, as one table that a person can read: `role_matrix.txt`.
//!
//! Each operation with a bearer is tried by each kind of caller in each kind of channel; for one without, no role
//! counts, and the table says so. The requests are made from
//! the declarations, so an operation that is added changes the table, and the test fails until its rows are read
//! and kept: run it with `CARILLON_WRITE_ROLE_MATRIX=1`, then compare the rows with the specification.

mod faults;
mod refusals;
mod round_trips;
mod valid;
mod why;

use std::cell::Cell;
use std::fmt::Write as _;

use carillon_model::shape::{Location, Member};
use carillon_model::text::{ChannelMode, ChannelPrivacy, MessageId};
use carillon_model::{ChannelArn, ChannelFlowArn, IdentityArn};
use serde_json::{Value, json};

use crate::chat::receipts;
use crate::constraints::{request, sample};
use crate::front::route::Route;
use crate::testing::{World, association};

/// The operation, the words of the title, and what the request says.
type Variant = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// What a request of an operation says beside what every request says. An operation without a line is tried once.
const VARIANTS: &[Variant] = &[
    ("CreateChannelMembership", "another, DEFAULT", &[("MemberArn", "newcomer")]),
    ("CreateChannelMembership", "another, HIDDEN", &[("MemberArn", "newcomer"), ("Type", "HIDDEN")]),
    ("CreateChannelMembership", "oneself", &[("MemberArn", "caller")]),
    ("CreateChannelBan", "a member's", &[("MemberArn", "other")]),
    ("CreateChannelBan", "a moderator's", &[("MemberArn", "moderator")]),
    ("DeleteChannelBan", "", &[("MemberArn", "other")]),
    ("DeleteChannelModerator", "", &[("ChannelModeratorArn", "other")]),
    ("DescribeChannelBan", "of who is not banned", &[("MemberArn", "other")]),
    ("DescribeChannelMembership", "own", &[("MemberArn", "caller")]),
    ("DescribeChannelMembership", "another's", &[("MemberArn", "other")]),
    ("DescribeChannelMembershipForAppInstanceUser", "own", &[("AppInstanceUserArn", "caller")]),
    ("DescribeChannelMembershipForAppInstanceUser", "another's", &[("AppInstanceUserArn", "other")]),
    ("DescribeChannelModeratedByAppInstanceUser", "own", &[("AppInstanceUserArn", "caller")]),
    ("DescribeChannelModeratedByAppInstanceUser", "a moderator's", &[("AppInstanceUserArn", "moderator")]),
    ("DescribeChannelModerator", "", &[("ChannelModeratorArn", "moderator")]),
    ("DeleteChannelMembership", "own", &[("MemberArn", "caller")]),
    ("DeleteChannelMembership", "another's", &[("MemberArn", "other")]),
    ("ListChannelMemberships", "DEFAULT", &[]),
    ("ListChannelMemberships", "HIDDEN", &[("Type", "HIDDEN")]),
    ("ListChannelMembershipsForAppInstanceUser", "own", &[("AppInstanceUserArn", "caller")]),
    ("ListChannelMembershipsForAppInstanceUser", "another's", &[("AppInstanceUserArn", "other")]),
    ("ListChannelsModeratedByAppInstanceUser", "own", &[("AppInstanceUserArn", "caller")]),
    ("ListChannelsModeratedByAppInstanceUser", "another's", &[("AppInstanceUserArn", "other")]),
    ("ListUnreadCounts", "own", &[("AppInstanceUserArn", "caller")]),
    ("ListUnreadCounts", "another's", &[("AppInstanceUserArn", "other")]),
    ("ListChannels", "PUBLIC", &[("Privacy", "PUBLIC")]),
    ("ListChannels", "PRIVATE", &[("Privacy", "PRIVATE")]),
    ("SearchChannelMessages", "own channels", &[]),
    ("SearchChannelMessages", "a channel that is named", &[("ChannelArns", "channel")]),
];

const TABLE: &str = include_str!("role_matrix.txt");
const TABLE_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/role_matrix.txt");

/// The people of the table; messages are the member's.
struct Cast {
    callers: [(&'static str, IdentityArn); 7],
    newcomer: IdentityArn,
    other: IdentityArn,
    flow: ChannelFlowArn,
    tokens: Cell<u64>,
}

struct Scene {
    channel: ChannelArn,
    message: MessageId,
}

impl Scene {
    /// Lets the channel have what an operation asks for beside a role.
    fn prepare(&self, world: &mut World, route: &Route) {
        if route.name == "ListChannelReadMarkers" {
            world.tag(self.channel.as_str(), receipts::TAG, receipts::ON);
        }
    }
}

#[test]
fn the_table_of_roles_is_as_it_was_read() {
    World::once(|world| {
        let cast = Cast::new(world);
        let mut table = String::new();
        for route in crate::front::route::all() {
            let bears = |member: &Member| matches!(member.location, Location::Header(_));
            if !(route.members)().iter().any(bears) {
                writeln!(table, "{}\n  no bearer: whoever the policy of the credentials admits", route.name)
                    .unwrap();
                continue;
            }
            let mut variants: Vec<_> = VARIANTS.iter().filter(|(name, ..)| *name == route.name).collect();
            if variants.is_empty() {
                variants.push(&("", "", &[]));
            }
            for (_, words, says) in variants {
                write_rows(world, &cast, &route, (words, says), &mut table);
            }
        }
        if std::env::var_os("CARILLON_WRITE_ROLE_MATRIX").is_some() {
            std::fs::write(TABLE_PATH, &table).unwrap();
        } else {
            assert!(table == TABLE, "role_matrix.txt is not what happens now, which is:\n{table}");
        }
    });
}

fn write_rows(
    world: &mut World,
    cast: &Cast,
    route: &Route,
    (words, says): (&str, &[(&str, &str)]),
    table: &mut String,
) {
    let title = [route.name, words].join(" ");
    writeln!(table, "{}", title.trim_end()).unwrap();
    for privacy in [ChannelPrivacy::Public, ChannelPrivacy::Private] {
        for mode in [ChannelMode::Restricted, ChannelMode::Unrestricted] {
            write!(table, "  {:7} {:12}", privacy.as_str(), mode.as_str()).unwrap();
            for (role, caller) in &cast.callers {
                let scene = cast.scene(world, privacy, mode);
                scene.prepare(world, route);
                let value_of = |member: &Member| cast.value(&scene, caller, says, member);
                let (status, answer) = request(world, route, value_of);
                let outcome = if status < 300 { "allowed" } else { answer["Code"].as_str().unwrap() };
                write!(table, "  {role}: {outcome:9}").unwrap();
            }
            table.truncate(table.trim_end().len());
            table.push('\n');
        }
    }
}

impl Cast {
    fn new(world: &mut World) -> Self {
        let callers = [
            ("admin", world.admin("root")),
            ("moderator", world.user("ana")),
            ("member", world.user("bob")),
            ("hidden", world.user("ghost")),
            ("outsider", world.user("dora")),
            ("bot", world.bot("belle")),
            ("stranger", world.stranger("eve")),
        ];
        let (newcomer, other, flow) = (world.user("new"), world.user("cy"), world.flow());
        Self { callers, newcomer, other, flow, tokens: Cell::new(0) }
    }

    /// A channel of its own for each try, because some tries change it.
    fn scene(&self, world: &mut World, privacy: ChannelPrivacy, mode: ChannelMode) -> Scene {
        let scene = self.plain_scene(world, privacy, mode);
        world.call(&association(&scene.channel, &self.flow, &self.callers[1].1)).unwrap();
        scene
    }

    /// The same without a flow.
    fn plain_scene(&self, world: &mut World, privacy: ChannelPrivacy, mode: ChannelMode) -> Scene {
        let [_, (_, moderator), (_, member), (_, hidden), _, (_, bot), _] = &self.callers;
        let channel = world.channel_of(moderator, mode, privacy);
        for who in [member, bot, &self.other] {
            world.join(&channel, moderator, who);
        }
        world.join_hidden(&channel, moderator, hidden);
        // Sent before the flow comes: what is in a flow is nobody's but its sender's.
        let message = world.send(&channel, member, "Hello");
        Scene { channel, message }
    }

    fn value(
        &self,
        scene: &Scene,
        caller: &IdentityArn,
        says: &[(&str, &str)],
        member: &Member,
    ) -> Option<Value> {
        if let Some((_, value)) = says.iter().find(|(name, _)| *name == member.name) {
            return Some(match *value {
                "caller" => json!(caller),
                "newcomer" => json!(self.newcomer),
                "other" => json!(self.other),
                "moderator" => json!(self.callers[1].1),
                "channel" => json!([scene.channel]),
                plain => json!(plain),
            });
        }
        if !member.required && member.name != "ChimeBearer" {
            return None;
        }
        Some(match member.name {
            "AppInstanceArn" => json!(scene.channel.app_instance()),
            "ChannelArn" => json!(scene.channel),
            "ChannelFlowArn" => json!(self.flow),
            "ChimeBearer" | "MemberArn" => json!(caller),
            "ClientRequestToken" => {
                self.tokens.set(self.tokens.get() + 1);
                json!(format!("try-{}", self.tokens.get()))
            }
            "ChannelModeratorArn" => json!(self.other),
            "Fields" => json!([{ "Key": "MEMBERS", "Operator": "INCLUDES", "Values": [self.other] }]),
            "MemberArns" => json!([self.newcomer]),
            "MessageId" => json!(scene.message),
            _ => sample(member.name, &member.shape),
        })
    }
}
