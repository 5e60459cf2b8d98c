//! `ListChannelBans`: who is banned from a channel.

use crate::prelude::*;

/// The request.
#[operation(GET "/channels/{channelArn}/bans" => 200, Listed)]
#[errors(BadRequest)]
#[paged]
#[bearer]
pub struct ListChannelBans {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
}

/// The answer.
#[shape]
pub struct Listed {
    /// Where.
    pub channel_arn: ChannelArn,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
    /// Who.
    pub channel_bans: Vec<ChannelBanSummary>,
}

const RULE: Rule = Rule(&[Grant::Admin, Grant::Moderator]);

impl Read for ListChannelBans {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        let view = call.view_channel(tx, &self.channel_arn, RULE)?;
        let (page, after) = Page::of(self, call)?;
        let instance = self.channel_arn.app_instance();
        let rows = store::ban::list(tx, &instance, view.channel.key, after, page.reach())?;
        let (rows, next_token) = page.cut(rows, |member| member.key);
        let channel_bans =
            rows.iter().map(|member| ChannelBanSummary { member: Identity::from(member) }).collect();
        Ok(Listed { channel_arn: self.channel_arn.clone(), next_token, channel_bans })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn pages_of_one_hold_each_once_and_members_see_none(world: &mut World) {
        let (ana, eve) = (world.user("ana"), world.user("eve"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        world.join(&channel, &ana, &eve);
        for name in ["bob", "cy"] {
            let member = world.user(name);
            world.ban(&channel, &ana, &member);
        }
        let mut list = ListChannelBans {
            channel_arn: channel.clone(),
            max_results: Some(1.try_into().unwrap()),
            next_token: None,
            chime_bearer: ana,
        };
        let mut seen = Vec::new();
        world.turn_pages(&mut list, |listed| {
            seen.extend(listed.channel_bans.iter().map(|entry| entry.member.arn.id().to_owned()));
            listed.next_token
        });
        seen.sort();
        assert_eq!(seen, ["bob", "cy"]);
        list.chime_bearer = eve;
        assert_eq!(world.call(&list).unwrap_err().code, ErrorCode::Forbidden);
    }
}
