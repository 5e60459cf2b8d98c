//! `ListChannelMemberships`: who belongs to a channel. Hidden members are listed to those who moderate only.

use crate::call::OWN_SUB_CHANNEL;
use crate::prelude::*;

/// The request.
#[operation(GET "/channels/{channelArn}/memberships" => 200, Listed)]
#[errors(BadRequest)]
#[paged]
#[bearer]
pub struct ListChannelMemberships {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Seen or hidden ones; those seen where nothing is said.
    #[query("type")]
    #[member("Type")]
    pub kind: Option<ChannelMembershipType>,
    /// The sub-channel, in an elastic channel.
    #[query("sub-channel-id")]
    pub sub_channel_id: Option<SubChannelId>,
}

/// The answer.
#[shape]
pub struct Listed {
    /// Where.
    pub channel_arn: ChannelArn,
    /// Who.
    pub channel_memberships: Vec<ChannelMembershipSummary>,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
}

/// A hidden member cannot see the others.
const OPEN: Rule = Rule(&[Grant::Admin, Grant::Moderator, Grant::Member, Grant::OutsiderIfPublic]);
const HIDDEN: Rule = Rule(&[Grant::Admin, Grant::Moderator]);

impl Read for ListChannelMemberships {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        let kind = self.kind.unwrap_or(ChannelMembershipType::Default);
        let rule = if kind == ChannelMembershipType::Hidden { HIDDEN } else { OPEN };
        let view = call.view_channel(tx, &self.channel_arn, rule)?;
        let sub_channel = self.sub_channel(tx, call, &view)?;
        let (page, after) = Page::of(self, call)?;
        let rows =
            store::membership::list_members(tx, &view.channel, sub_channel, kind, after, page.reach())?;
        let (rows, next_token) = page.cut(rows, |(_, cursor)| *cursor);
        let channel_memberships = rows
            .iter()
            .map(|(member, _)| ChannelMembershipSummary { member: Identity::from(member) })
            .collect();
        Ok(Listed { channel_arn: self.channel_arn.clone(), channel_memberships, next_token })
    }
}

impl ListChannelMemberships {
    /// The sub-channel to list; nothing for all: of an ordinary channel, and for whoever moderates. An outsider of a
    /// public elastic channel has no sub-channel to see, and must not see more than its members do.
    fn sub_channel(&self, tx: &mut Tx, call: &Call, view: &View) -> Result<Option<Key>> {
        match (view.channel.elastic, &self.sub_channel_id) {
            (None, None) => Ok(None),
            (Some(_), None) if view.is_moderating() => Ok(None),
            (Some(_), None) => {
                let own = view.memberships.first().map(|place| Some(place.sub_channel));
                own.ok_or_else(|| Error::not_admitted(call.operation, OWN_SUB_CHANNEL))
            }
            (_, named) => view.readable_sub_channel(tx, call, named.as_ref()).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::create_channel::CreateChannel;
    use super::*;
    use crate::testing::*;

    fn list(channel: &ChannelArn, who: &IdentityArn) -> ListChannelMemberships {
        ListChannelMemberships {
            channel_arn: channel.clone(),
            kind: None,
            max_results: None,
            next_token: None,
            chime_bearer: who.clone(),
            sub_channel_id: None,
        }
    }

    #[engine_test]
    fn an_outsider_sees_nobody_of_a_public_elastic_channel(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let stadium = CreateChannel { privacy: Some(ChannelPrivacy::Public), ..elastic_request(world, &ana) };
        let channel = world.call(&stadium).unwrap().channel_arn;
        let place = world.join(&channel, &ana, &bob);
        for sub_channel_id in [None, place] {
            let request = ListChannelMemberships { sub_channel_id, ..list(&channel, &cy) };
            assert_eq!(world.refusal(&request), ErrorCode::Forbidden);
        }
        assert_eq!(world.members(&channel, &bob), ["bob"]);
    }

    #[engine_test]
    fn pages_of_one_hold_every_member_once(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        for name in ["bob", "cy", "dora"] {
            let member = world.user(name);
            world.join(&channel, &ana, &member);
        }
        let mut page =
            ListChannelMemberships { max_results: Some(1.try_into().unwrap()), ..list(&channel, &ana) };
        let mut seen = Vec::new();
        loop {
            let listed = world.call(&page).unwrap();
            seen.extend(listed.channel_memberships.iter().map(|entry| entry.member.arn.id().to_owned()));
            page.next_token = listed.next_token;
            if page.next_token.is_none() {
                break;
            }
        }
        seen.sort();
        assert_eq!(seen, ["ana", "bob", "cy", "dora"]);
        let outsider = world.user("eve");
        assert_eq!(world.call(&list(&channel, &outsider)).unwrap().channel_memberships.len(), 4);
    }

    #[engine_test]
    fn hidden_members_are_listed_to_moderators_and_see_nobody(world: &mut World) {
        let (ana, bob, ghost) = (world.user("ana"), world.user("bob"), world.user("ghost"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        world.join(&channel, &ana, &bob);
        world.join_hidden(&channel, &ana, &ghost);
        let hidden =
            ListChannelMemberships { kind: Some(ChannelMembershipType::Hidden), ..list(&channel, &ana) };
        let listed = world.call(&hidden).unwrap().channel_memberships;
        assert_eq!(
            listed.into_iter().map(|entry| entry.member.arn).collect::<Vec<_>>(),
            std::slice::from_ref(&ghost)
        );
        let asked_by_bob = ListChannelMemberships { chime_bearer: bob.clone(), ..hidden };
        assert_eq!(world.call(&asked_by_bob).unwrap_err().code, ErrorCode::Forbidden);
        assert_eq!(world.call(&list(&channel, &bob)).unwrap().channel_memberships.len(), 2);
        assert_eq!(world.call(&list(&channel, &ghost)).unwrap_err().code, ErrorCode::Forbidden);
    }

    #[engine_test]
    fn a_sub_channel_is_seen_by_its_members_and_by_who_moderates(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        let members: Vec<_> = ["b", "c", "d"].map(|name| world.user(name)).to_vec();
        let places: Vec<_> =
            members.iter().map(|member| world.join(&channel, &ana, member).unwrap()).collect();
        assert_eq!(world.call(&list(&channel, &ana)).unwrap().channel_memberships.len(), 3);
        assert_eq!(world.call(&list(&channel, &members[2])).unwrap().channel_memberships.len(), 1);
        let first =
            ListChannelMemberships { sub_channel_id: Some(places[0].clone()), ..list(&channel, &members[0]) };
        assert_eq!(world.call(&first).unwrap().channel_memberships.len(), 2);
        let peek = ListChannelMemberships { chime_bearer: members[2].clone(), ..first };
        assert_eq!(world.call(&peek).unwrap_err().code, ErrorCode::Forbidden);
    }
}
