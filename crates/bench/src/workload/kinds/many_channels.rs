//! Sends to many channels of two people each, to few of them most of the time.

use carillon_service::operations::messaging::send_channel_message::SendChannelMessage;
use rand::rngs::StdRng;

use super::super::call::{Call, Workload};
use super::super::ears::Audience;
use super::super::hands::call_all;
use super::super::zipf::Zipf;
use super::{Stage, create, number_of, unknown};
use crate::scene::Scene;
use carillon_model::{ChannelArn, IdentityArn};
use carillon_server::error::Result;

/// Who talks to each other.
const PEOPLE: usize = 100;

pub(super) struct ManyChannels {
    scene: Scene,
    /// Each with who sends in it.
    channels: Vec<(ChannelArn, IdentityArn)>,
    zipf: Zipf,
    audience: Audience,
}

pub(super) async fn set(stage: &mut Stage<'_>) -> Result<ManyChannels> {
    let scene = stage.scene().await?;
    let people = stage.people(&scene, PEOPLE).await?;
    let instance = scene.sender.app_instance();
    let (of, pairs) = (instance.clone(), people.clone());
    let channel = move |number: usize| {
        let (sender, other) = pair(number);
        create(&of.channel(&format!("pair-{number}")), &[unknown(&pairs[sender]), unknown(&pairs[other])])
    };
    call_all(stage.host, "making channels", stage.size, channel).await?;
    let channel =
        |number: usize| (instance.channel(&format!("pair-{number}")), people[pair(number).0].clone());
    let channels = (0..stage.size).map(channel).collect();
    let audience = Audience::gather(&stage.host.door(), &people).await?;
    Ok(ManyChannels { scene, channels, zipf: Zipf::over(stage.size), audience })
}

/// The two of a channel, who are never the same.
fn pair(number: usize) -> (usize, usize) {
    let sender = number % PEOPLE;
    (sender, (sender + 1 + number / PEOPLE % (PEOPLE - 1)) % PEOPLE)
}

impl ManyChannels {
    /// The next message.
    pub(super) fn message(&self, number: u64, random: &mut StdRng) -> SendChannelMessage {
        let (channel, sender) = &self.channels[self.zipf.draw(random)];
        SendChannelMessage {
            channel_arn: channel.clone(),
            chime_bearer: sender.clone(),
            ..self.scene.message(number_of(number))
        }
    }
}

impl Workload for ManyChannels {
    fn kinds(&self) -> &'static [&'static str] {
        &["send"]
    }

    fn call(&self, number: u64, random: &mut StdRng) -> Call {
        Call::of(0, &self.message(number, random)).heard_by(2)
    }

    fn audience(&self) -> Option<&Audience> {
        Some(&self.audience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_a_channel_are_two() {
        assert!((0..20_000).map(pair).all(|(sender, other)| sender != other && other < PEOPLE));
    }
}
