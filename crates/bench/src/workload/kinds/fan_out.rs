//! Sends to one channel, all members of which have an open socket.

use rand::rngs::StdRng;

use super::super::call::{Call, Workload};
use super::super::ears::Audience;
use super::{Stage, number_of};
use crate::members;
use crate::scene::Scene;
use carillon_server::error::Result;

pub(super) struct FanOut {
    scene: Scene,
    audience: Audience,
    listeners: usize,
}

pub(super) async fn set(stage: &mut Stage<'_>) -> Result<FanOut> {
    let scene = stage.scene().await?;
    let people = stage.people(&scene, stage.size).await?;
    members::add(&mut stage.host.remote().await?, &scene.channel, &scene.sender, &people).await?;
    let audience = Audience::gather(&stage.host.door(), &people).await?;
    Ok(FanOut { scene, audience, listeners: people.len() })
}

impl Workload for FanOut {
    fn kinds(&self) -> &'static [&'static str] {
        &["send"]
    }

    fn call(&self, number: u64, _random: &mut StdRng) -> Call {
        Call::of(0, &self.scene.message(number_of(number))).heard_by(self.listeners)
    }

    fn audience(&self) -> Option<&Audience> {
        Some(&self.audience)
    }

    fn waits_for_audience(&self) -> bool {
        true
    }
}
