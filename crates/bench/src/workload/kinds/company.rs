//! A company's day: everybody has an open socket, and belongs to a few channels, of a team, of a department, of all.
//! Most calls read; most of what is written is written to few channels.

use std::sync::{Mutex, PoisonError};

use carillon_model::text::MessageId;
use carillon_model::{ChannelArn, IdentityArn};
use carillon_service::operations::messaging::get_channel_message_status::GetChannelMessageStatus;
use carillon_service::operations::messaging::list_channel_memberships_for_app_instance_user as memberships;
use carillon_service::operations::messaging::list_channel_messages::ListChannelMessages;
use carillon_service::operations::messaging::send_channel_message::SendChannelMessage;
use carillon_service::operations::messaging::update_channel_read_marker::UpdateChannelReadMarker;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde::Deserialize;

use super::super::call::{Call, Workload};
use super::super::ears::Audience;
use super::super::zipf::Zipf;
use super::{Stage, create, number_of, unknown};
use crate::members;
use crate::scene::{Scene, text};
use carillon_server::error::Result;

/// How many a channel of each kind has, beside the one of all.
const GROUPS: [usize; 2] = [10, 50];
/// Messages of the page that one sees first.
const PAGE_LEN: i64 = 50;
/// Of a hundred calls, how many are of each kind, in the order of [`Company::kinds`].
const SHARES: [u32; 5] = [20, 15, 30, 10, 25];
const SEND: usize = 0;
const STATUS: usize = 1;
const LATEST: usize = 2;
const MINE: usize = 3;
const READ: usize = 4;

pub(super) struct Company {
    scene: Scene,
    channels: Vec<Channel>,
    zipf: Zipf,
    audience: Audience,
}

struct Channel {
    arn: ChannelArn,
    people: Vec<IdentityArn>,
    /// The last message that was sent to it, and by whom.
    last: Mutex<Option<(MessageId, IdentityArn)>>,
}

pub(super) async fn set(stage: &mut Stage<'_>) -> Result<Company> {
    let scene = stage.scene().await?;
    let people = stage.people(&scene, stage.size.max(1)).await?;
    // Teams are written to most, the channel of all least.
    let mut groups: Vec<Vec<IdentityArn>> = Vec::new();
    for length in GROUPS {
        groups.extend(people.chunks(length).map(<[_]>::to_vec));
    }
    groups.push(people.clone());
    let (mut channels, mut remote) = (Vec::new(), stage.host.remote().await?);
    for (number, people) in groups.into_iter().enumerate() {
        let arn = scene.sender.app_instance().channel(&format!("group-{number}"));
        remote.call(&create(&arn, &[unknown(&people[0])])).await?;
        members::add(&mut remote, &arn, &people[0], &people[1..]).await?;
        channels.push(Channel { arn, people, last: Mutex::default() });
    }
    let audience = Audience::gather(&stage.host.door(), &people).await?;
    Ok(Company { scene, zipf: Zipf::over(channels.len()), channels, audience })
}

/// The kind of a call, of a number below a hundred.
fn kind_of(mut drawn: u32) -> usize {
    for (kind, share) in SHARES.into_iter().enumerate() {
        if drawn < share {
            return kind;
        }
        drawn -= share;
    }
    SEND
}

impl Workload for Company {
    fn kinds(&self) -> &'static [&'static str] {
        &["send", "status", "latest 50", "my channels", "read marker"]
    }

    fn call(&self, number: u64, random: &mut StdRng) -> Call {
        let at = self.zipf.draw(random);
        let channel = &self.channels[at];
        let person = random.random_range(0..channel.people.len());
        let who = channel.people[person].clone();
        let (channel_arn, mut kind) = (channel.arn.clone(), kind_of(random.random_range(0..100)));
        let last = channel.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if kind == STATUS && last.is_none() {
            kind = SEND;
        }
        match (kind, last) {
            (STATUS, Some((message_id, sender))) => Call::of(
                kind,
                &GetChannelMessageStatus {
                    channel_arn,
                    message_id,
                    sub_channel_id: None,
                    chime_bearer: sender,
                },
            ),
            (LATEST, _) => Call::of(
                kind,
                &ListChannelMessages {
                    channel_arn,
                    sort_order: None,
                    not_before: None,
                    not_after: None,
                    max_results: PAGE_LEN.try_into().ok(),
                    next_token: None,
                    chime_bearer: who,
                    sub_channel_id: None,
                },
            ),
            (MINE, _) => Call::of(
                kind,
                &memberships::ListChannelMembershipsForAppInstanceUser {
                    app_instance_user_arn: None,
                    max_results: None,
                    next_token: None,
                    chime_bearer: who,
                },
            ),
            (READ, _) => Call::of(kind, &UpdateChannelReadMarker { channel_arn, chime_bearer: who }),
            _ => {
                let message = SendChannelMessage {
                    channel_arn,
                    chime_bearer: who,
                    ..self.scene.message(number_of(number))
                };
                Call::of(SEND, &message).heard_by(channel.people.len()).about((at, person))
            }
        }
    }

    fn audience(&self) -> Option<&Audience> {
        Some(&self.audience)
    }

    fn note_answer(&self, call: &Call, body: &[u8]) {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Sent {
            message_id: String,
        }
        if call.kind != SEND {
            return;
        }
        let (at, person) = call.about;
        let channel = &self.channels[at];
        if let Ok(sent) = serde_json::from_slice::<Sent>(body) {
            let last = (text(&sent.message_id), channel.people[person].clone());
            *channel.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_calls_each_kind_has_its_share() {
        for (kind, share) in SHARES.into_iter().enumerate() {
            assert_eq!((0..100).filter(|drawn| kind_of(*drawn) == kind).count(), share as usize);
        }
        assert_eq!(SHARES.iter().sum::<u32>(), 100);
    }
}
