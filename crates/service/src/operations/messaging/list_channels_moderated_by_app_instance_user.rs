//! `ListChannelsModeratedByAppInstanceUser`: the channels that someone moderates by name; one's own, or for
//! administrators, anyone's.

use super::subject::subject;
use crate::prelude::*;

/// The request.
#[operation(GET "/channels?scope=app-instance-user-moderated-channels" => 200, Listed)]
#[errors(BadRequest)]
#[paged]
#[bearer]
pub struct ListChannelsModeratedByAppInstanceUser {
    /// Whose; the bearer's where nothing is said.
    #[query("app-instance-user-arn")]
    pub app_instance_user_arn: Option<IdentityArn>,
}

/// The answer.
#[shape]
pub struct Listed {
    /// The channels.
    pub channels: Vec<ChannelModeratedByAppInstanceUserSummary>,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
}

impl Read for ListChannelsModeratedByAppInstanceUser {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        let moderator = subject(tx, call, self.app_instance_user_arn.as_ref())?;
        let (page, after) = Page::of(self, call)?;
        let instance = moderator.arn.app_instance();
        let rows = store::moderator::list_channels(tx, &instance, moderator.key, after, page.reach())?;
        let (rows, next_token) = page.cut(rows, |(channel, _)| channel.key);
        // When somebody else was last sent a message of their own, the caller does not learn.
        let own = moderator.arn == self.chime_bearer;
        let channels = rows
            .into_iter()
            .map(|(channel, target)| ChannelModeratedByAppInstanceUserSummary {
                channel_summary: ChannelSummary::new(channel, target.filter(|_| own)),
            })
            .collect();
        Ok(Listed { channels, next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn an_explicit_role_counts_and_an_administrators_does_not(world: &mut World) {
        let (ana, bob, root) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let plain = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let elastic = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        let list = ListChannelsModeratedByAppInstanceUser {
            app_instance_user_arn: None,
            max_results: Some(1.try_into().unwrap()),
            next_token: None,
            chime_bearer: ana.clone(),
        };
        let first = world.call(&list).unwrap();
        assert!(first.next_token.is_some());
        let rest = ListChannelsModeratedByAppInstanceUser { next_token: first.next_token, ..list.clone() };
        let second = world.call(&rest).unwrap();
        assert_eq!(second.next_token, None);
        let channels = first.channels.into_iter().chain(second.channels);
        let mut seen: Vec<_> = channels.map(|entry| entry.channel_summary.channel_arn).collect();
        let mut expected = vec![plain, elastic];
        seen.sort();
        expected.sort();
        assert_eq!(seen, expected);
        let mut count = |who: &IdentityArn, whose: &IdentityArn| {
            let list = ListChannelsModeratedByAppInstanceUser {
                app_instance_user_arn: Some(whose.clone()),
                max_results: None,
                chime_bearer: who.clone(),
                ..list.clone()
            };
            world.call(&list).map(|listed| listed.channels.len()).map_err(|refused| refused.code)
        };
        assert_eq!(count(&root, &root), Ok(0));
        assert_eq!(count(&root, &ana), Ok(2));
        assert_eq!(count(&bob, &bob), Ok(0));
        assert_eq!(count(&bob, &ana), Err(ErrorCode::Forbidden));
    }

    #[engine_test]
    fn an_administrator_does_not_learn_of_whispers(world: &mut World) {
        let (ana, bob, root) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        world.send_to(&channel, &ana, "psst", &bob);
        let mut last = |who: &IdentityArn| {
            let list = ListChannelsModeratedByAppInstanceUser {
                app_instance_user_arn: Some(ana.clone()),
                max_results: None,
                next_token: None,
                chime_bearer: who.clone(),
            };
            world.call(&list).unwrap().channels[0].channel_summary.last_message_timestamp
        };
        assert_eq!((last(&ana), last(&root)), (Some(START), None));
    }
}
