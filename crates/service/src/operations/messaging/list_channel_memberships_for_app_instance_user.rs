//! `ListChannelMembershipsForAppInstanceUser`: the channels that someone belongs to; one's own, or for
//! administrators, anyone's.

use super::subject::subject;
use crate::prelude::*;

/// The request.
#[operation(GET "/channels?scope=app-instance-user-memberships" => 200, Listed)]
#[errors(BadRequest)]
#[paged]
#[bearer]
pub struct ListChannelMembershipsForAppInstanceUser {
    /// Whose; the bearer's where nothing is said.
    #[query("app-instance-user-arn")]
    pub app_instance_user_arn: Option<IdentityArn>,
}

/// The answer.
#[shape]
pub struct Listed {
    /// The channels.
    pub channel_memberships: Vec<ChannelMembershipForAppInstanceUserSummary>,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
}

impl Read for ListChannelMembershipsForAppInstanceUser {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        let member = subject(tx, call, self.app_instance_user_arn.as_ref())?;
        let instance = member.arn.app_instance();
        let (page, after) = Page::of(self, call)?;
        let rows = store::membership::list_channels(tx, &instance, member.key, after, page.reach())?;
        let (rows, next_token) = page.cut(rows, |row| (row.channel.key, row.sub_channel));
        let channel_memberships = rows
            .into_iter()
            .map(|row| ChannelMembershipForAppInstanceUserSummary::new(row, &member, &self.chime_bearer))
            .collect();
        Ok(Listed { channel_memberships, next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn everyone_lists_their_own_channels_and_admins_anyones(world: &mut World) {
        let (ana, bob, admin) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let mut made: Vec<_> = (0..3)
            .map(|_| world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private))
            .collect();
        world.join_hidden(&made[0], &ana, &bob);
        // Of those that are deleted the memberships are still there.
        for _ in 0..5 {
            let deleted = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
            world.end(&deleted, &ana);
        }
        made.sort();
        let mut list = ListChannelMembershipsForAppInstanceUser {
            app_instance_user_arn: None,
            max_results: Some(1.try_into().unwrap()),
            next_token: None,
            chime_bearer: ana.clone(),
        };
        let mut seen = Vec::new();
        world.turn_pages(&mut list, |listed| {
            seen.extend(
                listed.channel_memberships.into_iter().map(|entry| entry.channel_summary.channel_arn),
            );
            listed.next_token
        });
        seen.sort();
        assert_eq!(seen, made);

        let of_bob = ListChannelMembershipsForAppInstanceUser {
            app_instance_user_arn: Some(bob.clone()),
            next_token: None,
            ..list.clone()
        };
        assert_eq!(world.call(&of_bob).unwrap_err().code, ErrorCode::Forbidden);
        let as_admin = ListChannelMembershipsForAppInstanceUser { chime_bearer: admin, ..of_bob.clone() };
        let entries = world.call(&as_admin).unwrap().channel_memberships;
        let kinds: Vec<_> =
            entries.iter().map(|entry| entry.app_instance_user_membership_summary.kind).collect();
        assert_eq!(kinds, [ChannelMembershipType::Hidden]);
        let own = ListChannelMembershipsForAppInstanceUser { chime_bearer: bob, ..of_bob };
        assert_eq!(world.call(&own).unwrap().channel_memberships.len(), 1);
        let nobody = Some(world.instance().user("nobody"));
        let missing = ListChannelMembershipsForAppInstanceUser { app_instance_user_arn: nobody, ..as_admin };
        assert_eq!(world.call(&missing).unwrap_err().code, ErrorCode::Forbidden);
    }

    #[engine_test]
    fn the_last_message_is_the_last_that_one_can_see(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        world.join(&channel, &ana, &cy);
        world.advance_ms(1_000);
        world.send(&channel, &ana, "to all");
        world.advance_ms(1_000);
        world.send_to(&channel, &ana, "to bob", &bob);
        let root = world.admin("root");
        let mut last = |who: &IdentityArn, whose: Option<&IdentityArn>| {
            let list = ListChannelMembershipsForAppInstanceUser {
                app_instance_user_arn: whose.cloned(),
                max_results: None,
                next_token: None,
                chime_bearer: who.clone(),
            };
            world.call(&list).unwrap().channel_memberships[0].channel_summary.last_message_timestamp.unwrap()
        };
        assert_eq!(last(&ana, None), START.plus_ms(2_000));
        assert_eq!(last(&bob, None), START.plus_ms(2_000));
        assert_eq!(last(&cy, None), START.plus_ms(1_000));
        assert_eq!(last(&root, Some(&bob)), START.plus_ms(1_000), "as much as the caller can see");
    }
}
