//! A server under measurement, as it was configured for one, and those who send and listen there.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use carillon_model::ChannelArn;
use carillon_model::text::{FallbackAction, InvocationType};
use carillon_service::operations::messaging::associate_channel_flow::AssociateChannelFlow;
use carillon_service::operations::messaging::create_channel_flow::CreateChannelFlow;
use carillon_service::operations::messaging::list_channel_messages::ListChannelMessages;
use carillon_service::shapes::{
    ChannelMessageSummary, LambdaConfiguration, Processor, ProcessorConfiguration,
};

use super::child::{Child, command, command_of};
use super::common::root_key;
use super::load::Board;
use super::pace::{Load, Pace};
use super::scene::{Remote, Scene, create_channel, text};
use super::socket::Member;
use carillon_server::credentials::RootKey;
use carillon_server::error::{Error, Result};

/// The function of a processor that is built in.
pub(crate) const BUILT_IN: &str = "arn:aws:lambda:us-east-1:000000000000:function:built-in";
/// The function of a processor behind HTTP.
pub(crate) const BEHIND_HTTP: &str = "arn:aws:lambda:us-east-1:000000000000:function:behind-http";

/// Messages of a page.
const PAGE_LEN: i64 = 50;

/// A server, and its people.
pub(crate) struct Stage {
    /// Who signs.
    pub(crate) root: RootKey,
    /// The server.
    pub(crate) server: Child,
    /// A sender, a member, and a channel without a flow.
    pub(crate) scene: Scene,
    /// What the member is told.
    pub(crate) board: Arc<Board>,
    member: Member,
    /// The number of the next message.
    next: usize,
}

impl Stage {
    /// Starts a server on this store whose functions behind HTTP are there.
    pub(crate) async fn set(folder: &Path, store: &str, behind_http: SocketAddr) -> Result<Self> {
        Self::set_of(None, folder, store, behind_http).await
    }

    /// Starts a server of this binary, or of the one that runs.
    pub(crate) async fn set_of(
        binary: Option<&Path>,
        folder: &Path,
        store: &str,
        behind_http: SocketAddr,
    ) -> Result<Self> {
        let root = root_key()?;
        let config = folder.join("carillon.toml");
        std::fs::write(&config, configuration(behind_http))
            .map_err(|error| Error::failure(format!("{} cannot be written: {error}", config.display())))?;
        let data_dir = folder.join("server");
        let (config, data_dir) = (config.to_string_lossy(), data_dir.to_string_lossy());
        let mut words = vec!["serve", "--https", "off", "--limits-preset", "off", "--config", &config];
        // What operators are told of each fallback is no part of a measurement's output.
        words.extend(["--log", "error", "--data-dir", &data_dir]);
        if store != "sqlite" {
            words.extend(["--store", store]);
        }
        let command = match binary {
            Some(binary) => command_of(binary, &words, &root),
            None => command(&words, &root)?,
        };
        let server = Child::start_as(command).await?;
        let mut remote = Remote::open(server.address, &root).await?;
        let scene = Scene::set(format!("bench-{}", carillon_server::clock::real().ms()), &mut remote).await?;
        drop(remote);
        let board = Board::new();
        let member = Member::connect(server.address, &root, &scene, board.clone()).await?;
        Ok(Self { root, server, scene, board, member, next: 0 })
    }

    /// A connection to the server.
    pub(crate) async fn remote(&self) -> Result<Remote<'_>> {
        Remote::open(self.server.address, &self.root).await
    }

    /// Another channel of the people of a scene.
    pub(crate) async fn channel(&self, scene: &Scene, name: &str) -> Result<Scene> {
        let create = create_channel(&scene.sender, name, std::slice::from_ref(&scene.member));
        let channel = self.remote().await?.call(&create).await?.0.channel_arn;
        Ok(scene.in_channel(&channel))
    }

    /// Another channel of the stage's people, whose messages pass this function; where it cannot be called, they fail.
    pub(crate) async fn channel_with_flow(&self, name: &str, function: &str) -> Result<Scene> {
        self.channel_of_flow(name, function, FallbackAction::Abort).await
    }

    /// Another channel of the stage's people, whose messages pass this function, or not, if it cannot be called.
    pub(crate) async fn channel_of_flow(
        &self,
        name: &str,
        function: &str,
        fallback: FallbackAction,
    ) -> Result<Scene> {
        let scene = self.channel(&self.scene, name).await?;
        self.give_flow((name, function, fallback), &scene.channel).await?;
        Ok(scene)
    }

    /// Every message of a channel, the newest first, as its sender is told; or the newest of them.
    pub(crate) async fn messages(&self, scene: &Scene, most: usize) -> Result<Vec<ChannelMessageSummary>> {
        let (mut remote, mut messages, mut next_token) = (self.remote().await?, Vec::new(), None);
        loop {
            let list = ListChannelMessages {
                channel_arn: scene.channel.clone(),
                sort_order: None,
                not_before: None,
                not_after: None,
                max_results: PAGE_LEN.try_into().ok(),
                next_token,
                chime_bearer: scene.sender.clone(),
                sub_channel_id: None,
            };
            let (listed, _) = remote.call(&list).await?;
            messages.extend(listed.channel_messages);
            next_token = listed.next_token;
            if next_token.is_none() || most <= messages.len() {
                return Ok(messages);
            }
        }
    }

    async fn give_flow(
        &self,
        (name, function, fallback_action): (&str, &str, FallbackAction),
        channel: &ChannelArn,
    ) -> Result<()> {
        let lambda =
            LambdaConfiguration { resource_arn: text(function), invocation_type: InvocationType::Async };
        let first = 1.try_into().map_err(|_| Error::failure("a flow has no first processor"))?;
        let processor = Processor {
            name: text(name),
            configuration: ProcessorConfiguration { lambda },
            execution_order: first,
            fallback_action,
        };
        let create = CreateChannelFlow {
            app_instance_arn: self.scene.sender.app_instance(),
            processors: vec![processor],
            name: text(name),
            tags: None,
            client_request_token: text(name),
        };
        let mut remote = self.remote().await?;
        let channel_flow_arn = remote.call(&create).await?.0.channel_flow_arn;
        let chime_bearer = self.scene.sender.clone();
        remote
            .call(&AssociateChannelFlow { channel_arn: channel.clone(), channel_flow_arn, chime_bearer })
            .await?;
        Ok(())
    }

    /// A load of at most so many messages, of which the member's arrivals are noted.
    pub(crate) fn heard(&mut self, scene: &Scene, pace: Pace, connections: usize, most: usize) -> Load {
        let board = Some(self.board.clone());
        Load { board, ..self.unheard(scene, pace, connections, most) }
    }

    /// A load whose arrivals are nobody's concern.
    pub(crate) fn unheard(&mut self, scene: &Scene, pace: Pace, connections: usize, most: usize) -> Load {
        let (first, scene, root) = (self.next, scene.clone(), self.root.clone());
        self.next += most;
        let address = self.server.address;
        Load { address, root, scene, connections, pace, board: None, first, messages_max: most }
    }

    /// That the member still listens.
    pub(crate) fn check(&self) -> Result<()> {
        if self.member.is_gone() {
            return Err(Error::failure("the member's socket was closed during a round"));
        }
        Ok(())
    }
}

/// What the operator of such a server writes.
fn configuration(behind_http: SocketAddr) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "[targets.\"{BEHIND_HTTP}\"]\nurl = \"http://{behind_http}/\"");
    let _ = writeln!(text, "secret = \"both sides know this\"\n\n[processors.\"{BUILT_IN}\"]");
    let _ =
        writeln!(text, "kind = \"regex\"\npatterns = [\"email\", \"phone\", \"card\"]\naction = \"mask\"");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_is_understood() {
        let address = "127.0.0.1:9".parse().unwrap();
        let written: carillon_server::config::Written = toml::from_str(&configuration(address)).unwrap();
        assert_eq!(written.targets.keys().collect::<Vec<_>>(), [BEHIND_HTTP]);
        assert_eq!(written.processors.keys().collect::<Vec<_>>(), [BUILT_IN]);
    }
}
