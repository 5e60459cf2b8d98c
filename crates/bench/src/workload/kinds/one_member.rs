//! Sends to one channel, one member of which has an open socket.

use std::slice;

use rand::rngs::StdRng;

use super::super::call::{Call, Workload};
use super::super::ears::Audience;
use super::{Stage, number_of};
use crate::scene::Scene;
use carillon_server::error::Result;

pub(super) struct OneMember {
    scene: Scene,
    audience: Audience,
}

pub(super) async fn set(stage: &mut Stage<'_>) -> Result<OneMember> {
    let scene = stage.scene().await?;
    let audience = Audience::gather(&stage.host.door(), slice::from_ref(&scene.member)).await?;
    Ok(OneMember { scene, audience })
}

impl Workload for OneMember {
    fn kinds(&self) -> &'static [&'static str] {
        &["send"]
    }

    fn call(&self, number: u64, _random: &mut StdRng) -> Call {
        Call::of(0, &self.scene.message(number_of(number))).heard_by(1)
    }

    fn audience(&self) -> Option<&Audience> {
        Some(&self.audience)
    }
}
