//! Read markers that moved, on their way to those who may learn of them.
//!
//! A marker moves without the channel's claim, so what is told of it is no event: it has no number, is not stored, and
//! is not shown to who resumes. Whoever wants all of them asks `ListChannelReadMarkers`. So what is told may be
//! gathered and thinned out, and must be: a channel of 10,000 whose members all read would be 100 million deliveries.

use carillon_model::event::ReadMarkers;
use carillon_model::{ChannelArn, Key};
use carillon_store::{self as store, LIST_LEN_MAX, Tx};

use crate::chat::receipts;
use crate::error::Result;
use crate::front::service::Service;

/// The most markers that are told of at once: their names make a frame of some 30 KB.
const MARKERS_MAX: usize = LIST_LEN_MAX;
/// The most markers times members that are told at once.
const TOLD_MAX: usize = 100_000;
/// A channel rests for a second for each so many members, counting one that is begun.
const MEMBERS_PER_SECOND: usize = 1_000;
/// As far as members are counted for that.
const COUNTED_MAX: i64 = 20_000;
/// Channels that are read in one transaction.
pub const CHANNELS_MAX: usize = 32;

/// Read markers of a channel that moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The channel.
    pub channel: Key,
    /// Its ARN.
    pub arn: ChannelArn,
    /// Whose they are.
    pub members: Vec<Key>,
}

/// What is to be told of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// To the members; nothing, where none of the markers is there any more.
    pub markers: Option<ReadMarkers>,
    /// How many of those that moved it is about, from the first on.
    pub taken: usize,
    /// For how many seconds the channel is to be left alone from here on.
    pub rest_seconds: u32,
}

impl Service {
    /// What the members of up to [`CHANNELS_MAX`] channels are told, for each; nothing, where a channel does not share
    /// its read markers.
    pub async fn tell_read_markers(&self, moved: Vec<Moved>) -> Result<Vec<Option<Told>>> {
        let tell = move |tx: &mut Tx| moved.iter().map(|moved| told(tx, moved)).collect::<Result<Vec<_>>>();
        self.store().read(tell).await
    }
}

fn told(tx: &mut Tx, moved: &Moved) -> Result<Option<Told>> {
    if !receipts::are_shared(tx, &moved.arn)? {
        return Ok(None);
    }
    let members = store::membership::count_members(tx, moved.channel, None, COUNTED_MAX)?;
    let members = usize::try_from(members).unwrap_or_default().max(1);
    let taken = moved.members.len().min(MARKERS_MAX).min((TOLD_MAX / members).max(1));
    let place = (moved.channel, &moved.arn.app_instance());
    let markers = store::read_marker::find(tx, place, &moved.members[..taken])?;
    let shown = markers.iter().map(|(member, read_at)| (member, *read_at));
    Ok(Some(Told {
        markers: (!markers.is_empty()).then(|| ReadMarkers::new(moved.channel, &moved.arn, shown)),
        taken,
        rest_seconds: u32::try_from(members.div_ceil(MEMBERS_PER_SECOND)).unwrap_or(u32::MAX),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::messaging::update_channel_read_marker::UpdateChannelReadMarker;
    use crate::testing::*;
    use carillon_model::IdentityArn;
    use carillon_model::text::{ChannelMode, ChannelPrivacy};
    use serde_json::{Value, json};

    fn read(world: &mut World, channel: &ChannelArn, who: &IdentityArn) {
        world
            .call(&UpdateChannelReadMarker { channel_arn: channel.clone(), chime_bearer: who.clone() })
            .unwrap();
    }

    #[engine_test]
    fn markers_that_moved_are_told_together_where_the_channel_shares_them(world: &mut World) {
        let [ana, bob, ghost] = ["ana", "bob", "ghost"].map(|name| world.user(name));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Public);
        world.join(&channel, &ana, &bob);
        world.join_hidden(&channel, &ana, &ghost);
        world.take_moved();
        for who in [&bob, &ghost, &ana, &bob] {
            read(world, &channel, who);
        }
        let moved = world.take_moved();
        assert_eq!(moved.len(), 1, "of one channel");
        assert_eq!(moved[0].members.len(), 2, "a hidden member's marker is nobody's");
        assert_eq!(world.told_of(moved.clone()), [None]);
        world.tag(channel.as_str(), receipts::TAG, receipts::ON);
        let told = world.told_of(moved.clone()).remove(0).unwrap();
        assert_eq!((told.taken, told.rest_seconds), (2, 1));
        let frame: Value = serde_json::from_str(&told.markers.unwrap().frame()).unwrap();
        assert_eq!(
            frame["Headers"],
            json!({
                "x-amz-chime-event-type": "UPDATE_CHANNEL_READ_MARKER",
                "x-amz-chime-message-type": "SYSTEM",
            })
        );
        let payload: Value = serde_json::from_str(frame["Payload"].as_str().unwrap()).unwrap();
        let at = world.now().to_string();
        assert_eq!(payload["ChannelArn"], channel.as_str());
        let named = |who: &IdentityArn, name: &str| {
            let member = json!({ "Arn": who, "Name": name });
            json!({ "Member": member, "ReadMarkerTimestamp": at })
        };
        let mut members = payload["Members"].as_array().unwrap().clone();
        members.sort_by_key(|member| member["Member"]["Name"].to_string());
        assert_eq!(members, [named(&ana, "Ana"), named(&bob, "Bob")]);
        world.leave(&channel, &bob);
        world.leave(&channel, &ana);
        assert_eq!(world.told_of(moved).remove(0).unwrap().markers, None, "who has left is not told of");
    }
}
