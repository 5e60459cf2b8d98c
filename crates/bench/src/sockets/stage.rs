//! What is measured: a server with users, and a bare broadcast in a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use carillon_model::{ChannelArn, IdentityArn};

use crate::child::{Child, free_address};
use crate::common::root_key;
use crate::fan_out::Plan;
use crate::load::sign;
use crate::members;
use crate::scene::{Remote, Scene, create_channel};
use carillon_server::credentials::RootKey;
use carillon_server::error::{Error, Result};

/// A server under measurement, and its users.
pub(super) struct Stage {
    pub(super) root: RootKey,
    pub(super) server: Child,
    pub(super) https: SocketAddr,
    pub(super) ca: PathBuf,
    pub(super) scene: Scene,
    pub(super) users: Vec<IdentityArn>,
    /// The number of the next message.
    pub(super) next: usize,
}

impl Stage {
    pub(super) async fn set(folder: &Path, name: &str, users: usize) -> Result<Self> {
        let (root, https) = (root_key()?, free_address()?);
        let data_dir = folder.join(name);
        let (shown, port) = (data_dir.to_string_lossy(), https.to_string());
        let words =
            ["serve", "--https", &port, "--log", "warn", "--limits-preset", "off", "--data-dir", &shown];
        let server = Child::start(&words, &root).await?;
        let mut remote = Remote::open(server.address, &root).await?;
        let scene =
            Scene::set(format!("{name}-{}", carillon_server::clock::real().ms()), &mut remote).await?;
        drop(remote);
        let users = members::make(server.address, &root, &scene.sender.app_instance(), users).await?;
        let ca = data_dir.join("tls").join("ca.pem");
        Ok(Self { root, server, https, ca, scene, users, next: 0 })
    }

    /// A channel of these users.
    pub(super) async fn channel(&self, name: &str, users: &[IdentityArn]) -> Result<ChannelArn> {
        let mut remote = Remote::open(self.server.address, &self.root).await?;
        channel_of(&mut remote, &self.scene, name, users).await
    }

    pub(super) async fn requests(&mut self, channel: &ChannelArn, count: usize) -> Result<Arc<[Vec<u8>]>> {
        let scene = self.scene.in_channel(channel);
        let first = self.next;
        self.next += count;
        sign(&scene, &self.root, self.server.address, first, count).await
    }

    pub(super) fn plan(&self, requests: Arc<[Vec<u8>]>, lasting: Duration) -> Plan {
        let (address, process) = (self.server.address, self.server.id());
        Plan { address, process, requests, senders: 1, window: 1, lasting }
    }
}

/// A channel of the scene's sender and these users.
pub(crate) async fn channel_of(
    remote: &mut Remote<'_>,
    scene: &Scene,
    name: &str,
    users: &[IdentityArn],
) -> Result<ChannelArn> {
    let create = create_channel(&scene.sender, name, &[]);
    let channel = remote.call(&create).await?.0.channel_arn;
    members::add(remote, &channel, &scene.sender, users).await?;
    Ok(channel)
}

/// A bare broadcast in a process of its own.
pub(crate) struct Bare {
    pub(crate) process: Child,
    pub(super) https: SocketAddr,
    pub(super) ca: PathBuf,
}

impl Bare {
    pub(crate) async fn start(folder: &Path, root: &RootKey) -> Result<Self> {
        let (https, folder) = (free_address()?, folder.join("bare"));
        std::fs::create_dir_all(&folder)
            .map_err(|error| Error::failure(format!("{} cannot be made: {error}", folder.display())))?;
        let (port, shown) = (https.to_string(), folder.to_string_lossy());
        let words = ["bench-part", "broadcast", "--https", &port, "--folder", &shown];
        let process = Child::start(&words, root).await?;
        Ok(Self { process, https, ca: folder.join("tls").join("ca.pem") })
    }

    /// Requests to tell this frame to everybody.
    pub(super) fn requests(&self, frame: &[u8], count: usize) -> Arc<[Vec<u8>]> {
        let (address, length) = (self.process.address, frame.len());
        let mut request =
            format!("POST /tell HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n")
                .into_bytes();
        request.extend_from_slice(frame);
        vec![request; count].into()
    }
}
