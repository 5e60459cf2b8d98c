//! `ListChannelReadMarkers`: how far each member has read a channel, where that is shared. Who never moved their marker
//! is listed without a time; hidden members are not listed, and do not see the others.

use crate::chat::receipts;
use crate::prelude::*;

/// The request.
#[operation(GET "/_carillon/v1/channels/{channelArn}/read-markers" => 200, Listed)]
#[errors(BadRequest)]
#[paged]
#[bearer]
pub struct ListChannelReadMarkers {
    /// Which.
    #[label]
    pub channel_arn: ChannelArn,
}

/// The answer.
#[shape]
pub struct Listed {
    /// Which.
    pub channel_arn: ChannelArn,
    /// Who, and how far.
    pub members: Vec<ChannelReadMarker>,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
}

/// How far one member has read.
#[shape]
pub struct ChannelReadMarker {
    /// Who.
    pub member: Identity,
    /// Up to when; nothing, where they never said so.
    pub read_marker_timestamp: Option<Timestamp>,
}

/// Those who see the members and what they say.
const RULE: Rule = Rule(&[Grant::Admin, Grant::Moderator, Grant::Member]);

impl Read for ListChannelReadMarkers {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        let view = call.view_channel(tx, &self.channel_arn, RULE)?;
        if view.channel.elastic.is_some() {
            return Err(Error::bad_request("ChannelArn: an elastic channel has no read markers"));
        }
        if !receipts::are_shared(tx, &self.channel_arn)? {
            let (tag, on) = (receipts::TAG, receipts::ON);
            return Err(Error::bad_request(format!(
                "ChannelArn: the channel does not share its read markers: neither it nor its app instance says so \
                 with the tag {tag}={on}"
            )));
        }
        let (page, after) = Page::of(self, call)?;
        let rows = store::read_marker::list(tx, &view.channel, after, page.reach())?;
        let (rows, next_token) = page.cut(rows, |row| row.member.key);
        let members = rows
            .iter()
            .map(|row| ChannelReadMarker {
                member: Identity::from(&row.member),
                read_marker_timestamp: row.read_at,
            })
            .collect();
        Ok(Listed { channel_arn: self.channel_arn.clone(), members, next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::messaging::update_channel_read_marker::UpdateChannelReadMarker;
    use crate::operations::tags::untag_resource::UntagResource;
    use crate::testing::*;

    fn list(channel: &ChannelArn, who: &IdentityArn) -> ListChannelReadMarkers {
        ListChannelReadMarkers {
            channel_arn: channel.clone(),
            max_results: None,
            next_token: None,
            chime_bearer: who.clone(),
        }
    }

    fn read(world: &mut World, channel: &ChannelArn, who: &IdentityArn) -> Timestamp {
        world.advance_ms(1_000);
        let read = UpdateChannelReadMarker { channel_arn: channel.clone(), chime_bearer: who.clone() };
        world.call(&read).unwrap();
        world.now()
    }

    /// Who is listed to whom, in pages of one, with how far each has read.
    fn listed(
        world: &mut World,
        channel: &ChannelArn,
        who: &IdentityArn,
    ) -> Vec<(String, Option<Timestamp>)> {
        let mut page =
            ListChannelReadMarkers { max_results: Some(1.try_into().unwrap()), ..list(channel, who) };
        let mut all = Vec::new();
        world.turn_pages(&mut page, |listed| {
            all.extend(
                listed
                    .members
                    .iter()
                    .map(|entry| (entry.member.arn.id().to_owned(), entry.read_marker_timestamp)),
            );
            listed.next_token
        });
        all.sort();
        all
    }

    #[engine_test]
    fn members_learn_how_far_the_others_have_read_where_the_channel_says_so(world: &mut World) {
        let [ana, bob, cy, ghost] = ["ana", "bob", "cy", "ghost"].map(|name| world.user(name));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        world.join(&channel, &ana, &bob);
        world.join(&channel, &ana, &cy);
        world.join_hidden(&channel, &ana, &ghost);
        let at = read(world, &channel, &bob);
        read(world, &channel, &ghost);
        for who in [&ana, &bob, &cy] {
            assert_eq!(world.refusal(&list(&channel, who)), ErrorCode::BadRequest, "nobody has said so");
        }
        world.tag(channel.as_str(), "carillon:read-receipts", "on");
        let all = [("ana".to_owned(), None), ("bob".to_owned(), Some(at)), ("cy".to_owned(), None)];
        for who in [&ana, &bob, &cy] {
            assert_eq!(listed(world, &channel, who), all);
        }
        let (outsider, root) = (world.user("dora"), world.admin("root"));
        for who in [&outsider, &ghost] {
            assert_eq!(world.refusal(&list(&channel, who)), ErrorCode::Forbidden);
        }
        assert_eq!(listed(world, &channel, &root), all);
        world.leave(&channel, &bob);
        assert_eq!(listed(world, &channel, &ana).len(), 2);
        world.leave(&channel, &cy);
        assert_eq!(world.refusal(&list(&channel, &cy)), ErrorCode::Forbidden);
    }

    #[engine_test]
    fn the_tag_of_the_channel_stands_over_that_of_its_app_instance(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        let instance = world.instance().as_str().to_owned();
        world.tag(&instance, "carillon:read-receipts", "on");
        assert_eq!(listed(world, &channel, &ana), [("ana".to_owned(), None)]);
        for off in ["off", "ON", "on "] {
            world.tag(channel.as_str(), "carillon:read-receipts", off);
            assert_eq!(world.refusal(&list(&channel, &ana)), ErrorCode::BadRequest, "{off:?}");
        }
        let (resource_arn, tag_keys) = (text(channel.as_str()), vec![text("carillon:read-receipts")]);
        world.call(&UntagResource { resource_arn, tag_keys }).unwrap();
        assert_eq!(listed(world, &channel, &ana), [("ana".to_owned(), None)]);
        world.tag(&instance, "carillon:read-receipts", "off");
        assert_eq!(world.refusal(&list(&channel, &ana)), ErrorCode::BadRequest);
    }

    #[engine_test]
    fn an_elastic_channel_has_none(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        world.tag(channel.as_str(), "carillon:read-receipts", "on");
        assert_eq!(world.refusal(&list(&channel, &ana)), ErrorCode::BadRequest);
    }
}
