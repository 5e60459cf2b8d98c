//! Reads of one channel that holds many messages: how far one of them has come, one of them, the latest, and a page
//! from long ago.

use carillon_model::identity::Identity;
use carillon_model::{ChannelArn, IdentityArn, MessageKey, Timestamp};
use carillon_service::operations::messaging::get_channel_message::GetChannelMessage;
use carillon_service::operations::messaging::get_channel_message_status::GetChannelMessageStatus;
use carillon_service::operations::messaging::list_channel_messages::ListChannelMessages;
use rand::RngExt as _;
use rand::rngs::StdRng;

use super::super::call::{Call, Workload};
use super::super::fill::Plan;
use super::{Filled, Stage};
use crate::scene::text;
use carillon_server::error::Result;

/// Messages of a page.
const PAGE_LEN: i64 = 50;

pub(super) struct History {
    channel: ChannelArn,
    reader: IdentityArn,
    messages: Filled,
    count: u64,
}

pub(super) async fn set(stage: &mut Stage<'_>) -> Result<History> {
    let scene = stage.scene().await?;
    let (count, people) = (stage.size.max(1) as u64, [scene.sender.clone(), scene.member.clone()]);
    let plan = |people: &[Identity]| OneChannel { people: people.to_vec(), count };
    let messages = stage.fill(&scene, plan, &people).await?;
    let channel = scene.sender.app_instance().channel("filled-0");
    // Who sent them asks, because a status is told to nobody else.
    Ok(History { channel, reader: scene.sender, messages, count })
}

/// One channel of two.
struct OneChannel {
    people: Vec<Identity>,
    count: u64,
}

impl Plan for OneChannel {
    fn channels(&self) -> u64 {
        1
    }
    fn people(&self, _number: u64) -> Vec<Identity> {
        self.people.clone()
    }
    fn messages_each(&self) -> u64 {
        self.count
    }
}

impl Filled {
    fn id(&self, number: u64) -> String {
        match self {
            Self::Written(messages) => messages.key(number).to_string(),
            Self::Sent(ids) => ids[usize::try_from(number).unwrap_or_default()].clone(),
        }
    }

    fn at(&self, number: u64) -> Option<Timestamp> {
        match self {
            Self::Written(messages) => Some(messages.at(number)),
            Self::Sent(_) => MessageKey::from_hex(&self.id(number)).map(|key| key.created()),
        }
    }
}

impl Workload for History {
    fn kinds(&self) -> &'static [&'static str] {
        &["status", "message", "latest 50", "deep page"]
    }

    fn call(&self, number: u64, random: &mut StdRng) -> Call {
        let (kind, one) =
            (usize::try_from(number % 4).unwrap_or_default(), random.random_range(0..self.count));
        let (channel_arn, chime_bearer, sub_channel_id) = (self.channel.clone(), self.reader.clone(), None);
        let message_id = || text(&self.messages.id(one));
        match kind {
            0 => Call::of(
                kind,
                &GetChannelMessageStatus {
                    channel_arn,
                    message_id: message_id(),
                    sub_channel_id,
                    chime_bearer,
                },
            ),
            1 => Call::of(
                kind,
                &GetChannelMessage { channel_arn, message_id: message_id(), sub_channel_id, chime_bearer },
            ),
            _ => {
                let list = ListChannelMessages {
                    channel_arn,
                    sort_order: None,
                    not_before: None,
                    not_after: if kind == 3 { self.messages.at(one) } else { None },
                    max_results: PAGE_LEN.try_into().ok(),
                    next_token: None,
                    chime_bearer,
                    sub_channel_id,
                };
                Call::of(kind, &list)
            }
        }
    }
}
