//! The workloads, one file each: how its scene is made, and what its next call is. To add one: its file, a line in
//! [`Kind`], and its lines in the functions below it.

mod belonging;
mod company;
mod fan_out;
mod history;
mod many_channels;
mod one_member;
mod search;

use std::sync::Arc;

use carillon_model::identity::Identity;
use carillon_model::{IdentityArn, Key};
use clap::ValueEnum;

use super::call::Workload;
use super::fill::{Filling, Plan};
use super::hands::call_all;
use super::host::Host;
use crate::members;
use crate::scene::{Scene, create_channel, text};
use carillon_server::error::Result;
use carillon_service::operations::messaging::create_channel::CreateChannel;
use carillon_service::operations::messaging::send_channel_message::SendChannelMessage;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Sends to one channel, one member of which listens. Its size is always 1.
    OneMember,
    /// Sends to one channel; the next goes out once all members were told. Its size is how many listen.
    FanOut,
    /// Sends to many channels, to few of them most of the time (Zipf). Its size is how many there are.
    ManyChannels,
    /// Status, message, the latest 50, and 50 from long ago, of one channel. Its size is how many messages it holds.
    History,
    /// Lists and searches of people in many channels. Its size is how many channels each belongs to.
    Belonging,
    /// Searches of people in 50 channels each, for words that few messages have and that many have, of 1,000 channels.
    /// Its size is how many messages these hold.
    Search,
    /// Sends of what people write to 1,000 channels. Its size is 0 without searches, 1 with.
    SearchedSends,
    /// A company's day: people read, write, and look whether it was read, more in the morning than at night. Its size
    /// is how many people there are, all of whom listen.
    Company,
}

impl Kind {
    /// Its sizes, where none are named.
    pub(crate) fn sizes(self) -> &'static [usize] {
        match self {
            Self::OneMember => &[1],
            Self::FanOut => &[100, 2_000],
            Self::ManyChannels => &[10_000],
            Self::History => &[10_000, 10_000_000],
            Self::Belonging => &[10, 10_000],
            Self::Search => &[100_000, 10_000_000],
            Self::SearchedSends => &[0, 1],
            Self::Company => &[500],
        }
    }

    /// Over how many connections it is called, where nothing is said.
    pub(crate) fn connections(self) -> usize {
        match self {
            Self::OneMember | Self::ManyChannels | Self::SearchedSends => 64,
            Self::FanOut => 16,
            Self::History | Self::Belonging | Self::Search => 4,
            Self::Company => 128,
        }
    }

    /// How many calls a second are due, where nothing is said: nothing means that each waits for the one before.
    pub(crate) fn rate(self) -> Option<u32> {
        (self == Self::Company).then_some(200)
    }

    /// Whether its rate goes up and down as a day does.
    pub(crate) fn is_day(self) -> bool {
        self == Self::Company
    }

    /// What its server's `carillon.toml` says, at this size.
    pub(crate) fn configuration(self, size: usize) -> &'static str {
        match self {
            Self::SearchedSends if size == 0 => "[search]\napp_instances = \"none\"\n",
            Self::Search | Self::SearchedSends => "[search]\napp_instances = \"all\"\n",
            _ => "",
        }
    }

    /// Makes its scene.
    pub(crate) async fn set(self, stage: &mut Stage<'_>) -> Result<Arc<dyn Workload>> {
        Ok(match self {
            Self::OneMember => Arc::new(one_member::set(stage).await?),
            Self::FanOut => Arc::new(fan_out::set(stage).await?),
            Self::ManyChannels => Arc::new(many_channels::set(stage).await?),
            Self::History => Arc::new(history::set(stage).await?),
            Self::Belonging => Arc::new(belonging::set(stage).await?),
            Self::Search => Arc::new(search::set(stage).await?),
            Self::SearchedSends => Arc::new(search::sends(stage).await?),
            Self::Company => Arc::new(company::set(stage).await?),
        })
    }
}

/// Where a scene is made.
pub(crate) struct Stage<'a> {
    /// The server.
    pub(crate) host: &'a mut Host,
    /// The size of the workload.
    pub(crate) size: usize,
    /// Whether everything goes through the interface: slow, but right for a binary of any version.
    pub(crate) by_wire: bool,
}

impl Stage<'_> {
    /// An app instance of its own, two people, and a channel of both.
    async fn scene(&self) -> Result<Scene> {
        let name = format!("bench-{}", carillon_server::clock::real().ms());
        Scene::set(name, &mut self.host.remote().await?).await
    }

    /// More people.
    async fn people(&self, scene: &Scene, count: usize) -> Result<Vec<IdentityArn>> {
        members::make(self.host.address(), &self.host.root, &scene.sender.app_instance(), count).await
    }

    /// Fills the server with channels, and answers the ids of the messages of the first, where they are kept.
    async fn fill<P: Plan>(
        &mut self,
        scene: &Scene,
        plan: impl FnOnce(&[Identity]) -> P,
        people: &[IdentityArn],
    ) -> Result<Filled> {
        let instance = scene.sender.app_instance();
        if self.by_wire {
            let people: Vec<Identity> = people.iter().map(unknown).collect();
            return self.fill_by_wire(scene, plan(&people)).await;
        }
        self.host.rest().await?;
        let filling = Filling::of(self.host, &instance).await?;
        let mut found = Vec::with_capacity(people.len());
        for person in people {
            found.push(filling.find(person).await?);
        }
        let plan = plan(&found);
        let each = plan.messages_each();
        filling.fill(plan).await?;
        let messages = filling.messages(0, each);
        drop(filling);
        self.host.go_on().await?;
        Ok(Filled::Written(messages))
    }

    async fn fill_by_wire(&self, scene: &Scene, plan: impl Plan) -> Result<Filled> {
        let plan = Arc::new(plan);
        let (instance, channels) =
            (scene.sender.app_instance(), usize::try_from(plan.channels()).unwrap_or(usize::MAX));
        let each = usize::try_from(plan.messages_each()).unwrap_or(usize::MAX);
        let (of, planned) = (instance.clone(), plan.clone());
        let create = move |number: usize| {
            let people = planned.people(number as u64);
            create(&of.channel(&format!("filled-{number}")), &people)
        };
        call_all(self.host, "making channels", channels, create).await?;
        let (scene, of) = (scene.clone(), instance);
        let message = move |number: usize| SendChannelMessage {
            channel_arn: of.channel(&format!("filled-{}", number / each)),
            chime_bearer: plan.people((number / each) as u64)[0].arn.clone(),
            ..scene.message(number)
        };
        let sent = call_all(self.host, "sending messages", channels.saturating_mul(each), message).await?;
        Ok(Filled::Sent(sent.into_iter().take(each).map(|sent| sent.message_id.to_string()).collect()))
    }
}

/// The messages of the first channel that was filled.
enum Filled {
    /// Written into the store.
    Written(super::fill::Messages),
    /// Sent.
    Sent(Vec<String>),
}

/// The number of a message, as a scene counts.
fn number_of(call: u64) -> usize {
    usize::try_from(call).expect("a call has a number of this machine's")
}

/// Someone of whom only the ARN is known, which is all that the interface needs.
fn unknown(arn: &IdentityArn) -> Identity {
    Identity { key: Key([0; 16]), arn: arn.clone(), name: String::new() }
}

/// Makes a channel of these people, the first of whom makes it.
fn create(channel: &carillon_model::ChannelArn, people: &[Identity]) -> CreateChannel {
    let members: Vec<_> = people[1..].iter().map(|person| person.arn.clone()).collect();
    CreateChannel {
        name: text("bench"),
        channel_id: Some(text(channel.id())),
        ..create_channel(&people[0].arn, channel.id(), &members)
    }
}
