//! `ListChannels`: the public channels of an app instance, joined or not; for administrators, the private ones.

use crate::prelude::*;

/// The request.
#[operation(GET "/channels" => 200, Listed)]
#[errors(BadRequest)]
#[paged]
#[bearer]
pub struct ListChannels {
    /// Where.
    #[query("app-instance-arn")]
    pub app_instance_arn: AppInstanceArn,
    /// Which; the public ones where nothing is said.
    #[query("privacy")]
    pub privacy: Option<ChannelPrivacy>,
}

/// The answer.
#[shape]
pub struct Listed {
    /// The channels.
    pub channels: Vec<ChannelSummary>,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
}

impl Read for ListChannels {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        let bearer = call.bearer_of(tx, &self.app_instance_arn)?;
        let privacy = self.privacy.unwrap_or(ChannelPrivacy::Public);
        if privacy == ChannelPrivacy::Private && !bearer.is_admin {
            return Err(Error::not_admitted(
                Self::NAME,
                "with Privacy PRIVATE it is for administrators of the app instance",
            ));
        }
        let (page, after) = Page::of::<String>(self, call)?;
        let after = after.unwrap_or_default();
        let viewer = bearer.identity.key;
        let rows = store::channel::list(tx, (&self.app_instance_arn, viewer), privacy, &after, page.reach())?;
        let (rows, next_token) = page.cut(rows, |(channel, _)| channel.arn.id().to_owned());
        let channels =
            rows.into_iter().map(|(channel, target)| ChannelSummary::new(channel, target)).collect();
        Ok(Listed { channels, next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[engine_test]
    fn everyone_lists_public_channels_and_admins_private_ones(world: &mut World) {
        let (ana, bob, admin) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let public: Vec<_> = (0..3)
            .map(|_| world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public))
            .map(|arn| arn.id().to_owned())
            .collect();
        let private = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let mut list = ListChannels {
            app_instance_arn: world.instance().clone(),
            privacy: None,
            max_results: Some("2".parse().unwrap()),
            next_token: None,
            chime_bearer: bob.clone(),
        };
        let first = world.call(&list).unwrap();
        assert_eq!(first.channels.len(), 2);
        list.next_token = first.next_token;
        let second = world.call(&list).unwrap();
        assert_eq!(second.next_token, None);
        let mut seen: Vec<_> =
            first.channels.iter().chain(&second.channels).map(|c| c.channel_arn.id().to_owned()).collect();
        seen.sort();
        let mut expected = public.clone();
        expected.sort();
        assert_eq!(seen, expected);

        // A token belongs to its caller and its filters.
        let others = ListChannels { chime_bearer: ana, ..list.clone() };
        assert_eq!(world.call(&others).unwrap_err().code, ErrorCode::BadRequest);
        list.privacy = Some(ChannelPrivacy::Private);
        list.next_token = None;
        assert_eq!(world.call(&list).unwrap_err().code, ErrorCode::Forbidden);
        list.chime_bearer = admin;
        let channels = world.call(&list).unwrap().channels;
        assert_eq!(channels.into_iter().map(|c| c.channel_arn).collect::<Vec<_>>(), [private]);
    }

    #[engine_test]
    fn a_stranger_lists_nothing(world: &mut World) {
        let stranger = world.stranger("eve");
        let list = ListChannels {
            app_instance_arn: world.instance().clone(),
            privacy: None,
            max_results: None,
            next_token: None,
            chime_bearer: stranger,
        };
        assert_eq!(world.call(&list).unwrap_err().code, ErrorCode::Forbidden);
    }
}
