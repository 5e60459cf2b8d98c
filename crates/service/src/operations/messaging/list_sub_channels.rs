//! `ListSubChannels`: the sub-channels of an elastic channel, for those who moderate it.

use crate::prelude::*;

/// The request.
#[operation(GET "/channels/{channelArn}/subchannels" => 200, Listed)]
#[errors(BadRequest)]
#[paged]
#[bearer]
pub struct ListSubChannels {
    /// Which.
    #[label]
    pub channel_arn: ChannelArn,
}

/// The answer.
#[shape]
pub struct Listed {
    /// Which.
    pub channel_arn: ChannelArn,
    /// Its sub-channels.
    pub sub_channels: Vec<SubChannelSummary>,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
}

const RULE: Rule = Rule(&[Grant::Admin, Grant::Moderator]);

impl Read for ListSubChannels {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        let channel = call.view_channel(tx, &self.channel_arn, RULE)?.channel;
        if channel.elastic.is_none() {
            return Err(Error::bad_request("ChannelArn: the channel is not elastic"));
        }
        let (page, after) = Page::of(self, call)?;
        let rows = store::sub_channel::list_counted(tx, channel.key, after, page.reach())?;
        let (rows, next_token) = page.cut(rows, |(key, _)| *key);
        let sub_channels = rows
            .into_iter()
            .map(|(key, membership_count)| SubChannelSummary {
                sub_channel_id: SubChannelId::stored(key.to_string()),
                membership_count,
            })
            .collect();
        Ok(Listed { channel_arn: self.channel_arn.clone(), sub_channels, next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn those_who_moderate_see_each_sub_channel_with_all_its_members(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        let [b, c, d] = ["b", "c", "d"].map(|name| world.user(name));
        let first = world.join(&channel, &ana, &b).unwrap();
        world.join(&channel, &ana, &c);
        let second = world.join(&channel, &ana, &d).unwrap();
        world.join_sub_channel(&channel, &ana, &first);
        let mut list = ListSubChannels {
            channel_arn: channel.clone(),
            max_results: Some(1.try_into().unwrap()),
            next_token: None,
            chime_bearer: ana.clone(),
        };
        let mut seen = Vec::new();
        world.turn_pages(&mut list, |listed| {
            seen.extend(
                listed.sub_channels.into_iter().map(|one| (one.sub_channel_id, one.membership_count)),
            );
            listed.next_token
        });
        let mut expected = vec![(first, 3), (second, 1)];
        seen.sort();
        expected.sort();
        assert_eq!(seen, expected);
        list.chime_bearer = b;
        assert_eq!(world.call(&list).unwrap_err().code, ErrorCode::Forbidden);
        let plain = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let of_plain = ListSubChannels { channel_arn: plain, chime_bearer: ana, ..list };
        assert_eq!(world.call(&of_plain).unwrap_err().code, ErrorCode::BadRequest);
    }
}
