//! `UpdateChannel`: changes the name, the mode or the metadata of a channel. What is left out stays.

use crate::prelude::*;

/// The request.
#[operation(PUT "/channels/{channelArn}" => 200, Updated)]
#[errors(BadRequest, Conflict)]
#[bearer]
pub struct UpdateChannel {
    /// Which.
    #[label]
    pub channel_arn: ChannelArn,
    /// Its new name.
    pub name: Option<NonEmptyResourceName>,
    /// Who may add members from now on.
    pub mode: Option<ChannelMode>,
    /// What the application writes on it; empty clears it.
    pub metadata: Option<Metadata>,
}

/// The answer.
#[shape]
pub struct Updated {
    /// Which.
    pub channel_arn: ChannelArn,
}

const RULE: Rule = Rule(&[Grant::Admin, Grant::Moderator]);

impl Write for UpdateChannel {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Updated> {
        let view = call.view_channel(tx, &self.channel_arn, RULE)?;
        if view.channel.elastic.is_some() && self.mode == Some(ChannelMode::Unrestricted) {
            return Err(Error::bad_request("Mode: an elastic channel is RESTRICTED"));
        }
        let mut channel = call.claim(tx, view, Claim::of(1), RULE)?.channel;
        channel.name = self.name.clone().unwrap_or(channel.name);
        channel.mode = self.mode.unwrap_or(channel.mode);
        if self.metadata.is_some() {
            channel.metadata = shown(self.metadata.clone());
        }
        crate::chat::channel::update(tx, &mut channel)?;
        Ok(Updated { channel_arn: channel.arn })
    }
}

#[cfg(test)]
mod tests {
    use super::super::describe_channel::DescribeChannel;
    use super::*;
    use crate::testing::*;

    fn rename(channel: &ChannelArn, who: &IdentityArn, name: &str) -> UpdateChannel {
        UpdateChannel {
            channel_arn: channel.clone(),
            name: Some(text(name)),
            mode: None,
            metadata: None,
            chime_bearer: who.clone(),
        }
    }

    fn describe(world: &mut World, channel: &ChannelArn, who: &IdentityArn) -> Channel {
        let describe = DescribeChannel { channel_arn: channel.clone(), chime_bearer: who.clone() };
        world.call(&describe).unwrap().channel
    }

    #[engine_test]
    fn what_is_left_out_stays_and_empty_metadata_goes(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.advance_ms(5_000);
        let update = UpdateChannel {
            mode: Some(ChannelMode::Unrestricted),
            metadata: Some(text("{}")),
            ..rename(&channel, &ana, "Hall")
        };
        world.call(&update).unwrap();
        let seen = describe(world, &channel, &ana);
        assert_eq!((seen.name.as_str(), seen.mode), ("Hall", ChannelMode::Unrestricted));
        assert_eq!(seen.metadata, Some(text("{}")));
        assert_eq!((seen.created_timestamp, seen.last_updated_timestamp), (START, START.plus_ms(5_000)));
        let clear = UpdateChannel { name: None, metadata: Some(text("")), ..rename(&channel, &ana, "-") };
        world.call(&clear).unwrap();
        let seen = describe(world, &channel, &ana);
        assert_eq!((seen.name.as_str(), seen.mode, seen.metadata), ("Hall", ChannelMode::Unrestricted, None));
    }

    #[engine_test]
    fn every_member_hidden_or_not_gets_the_whole_channel(world: &mut World) {
        let (ana, bob, ghost, root) =
            (world.user("ana"), world.user("bob"), world.user("ghost"), world.admin("root"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        world.join(&channel, &ana, &bob);
        world.join_hidden(&channel, &ana, &ghost);
        world.advance_ms(1_000);
        world.send(&channel, &ana, "hello");
        world.take_events();
        world.advance_ms(1_000);
        world.call(&rename(&channel, &root, "Hall")).unwrap();
        let event = world.take_full_events().remove(0);
        assert_eq!(event.kind.as_str(), "UPDATE_CHANNEL");
        let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
        let expected = serde_json::json!({
            "Name": "Hall", "ChannelArn": channel.as_str(), "Mode": "RESTRICTED", "Privacy": "PUBLIC",
            "CreatedBy": { "Arn": ana.as_str(), "Name": "Ana" },
            "CreatedTimestamp": "2026-01-15T12:00:00.000Z",
            "LastMessageTimestamp": "2026-01-15T12:00:01.000Z",
            "LastUpdatedTimestamp": "2026-01-15T12:00:02.000Z",
        });
        assert_eq!(payload, expected);
        world.call(&rename(&channel, &ana, "Lobby")).unwrap();
        assert_eq!(world.told(), [vec!["ana", "bob", "ghost"]]);
        assert_eq!(world.call(&rename(&channel, &bob, "Mine")).unwrap_err().code, ErrorCode::Forbidden);
        assert!(world.take_events().is_empty());
    }

    #[engine_test]
    fn an_elastic_channel_stays_restricted(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        world.join(&channel, &ana, &bob);
        world.take_events();
        let open = UpdateChannel { mode: Some(ChannelMode::Unrestricted), ..rename(&channel, &ana, "Open") };
        assert_eq!(world.call(&open).unwrap_err().code, ErrorCode::BadRequest);
        world.call(&rename(&channel, &ana, "Hall")).unwrap();
        assert_eq!(world.told(), [["bob"]]);
    }

    #[engine_test]
    fn only_who_moderates_is_told_how_an_elastic_channel_is_split(world: &mut World) {
        let (ana, bob, root) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        world.join(&channel, &ana, &bob);
        let place = world.place_of(&channel, &bob).unwrap();
        world.join_sub_channel(&channel, &ana, &place);
        world.take_events();
        world.call(&rename(&channel, &ana, "Hall")).unwrap();
        world.end(&channel, &root);
        let keys = [&ana, &bob].map(|who| key_of(world, who));
        for (event, told) in world.tell() {
            assert_eq!(told.len(), 2, "{}", event.kind.as_str());
            let sees = |key| event.frame_for(key, event.at).contains("ElasticChannelConfiguration");
            assert_eq!(keys.map(sees), [true, false], "{}", event.kind.as_str());
            let payload = |key| {
                let frame: serde_json::Value = serde_json::from_str(&event.frame_for(key, event.at)).unwrap();
                serde_json::from_str::<serde_json::Value>(frame["Payload"].as_str().unwrap()).unwrap()
            };
            let [mut whole, plain] = keys.map(payload);
            whole.as_object_mut().unwrap().remove("ElasticChannelConfiguration");
            assert_eq!(whole, plain, "all else is the same");
        }
    }

    fn key_of(world: &mut World, who: &IdentityArn) -> Key {
        let who = who.clone();
        world.step(move |tx, _| Ok(store::identity::find(tx, &who)?.unwrap().identity.key))
    }
}
