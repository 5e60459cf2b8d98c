//! Sockudo: a server of the Pusher protocol in Rust. Events come by its signed HTTP API and go to sockets; it stores
//! nothing.

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use md5::{Digest as _, Md5};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::Result;
use crate::crowd::{Listener, Wire};
use crate::peer::{About, Acknowledges, Peer, ROOM, Sender, Way, content, log_in, version_of};
use crate::process::{Server, free_address};
use crate::wire::http::{Connection, request, upgrade_request};
use crate::wire::websocket;

const APP: &str = "peers";
const KEY: &str = "peers-key";
const SECRET: &str = "both sides know this";
/// What a listener is told once the channel is theirs.
const SUBSCRIBED: &[u8] = b"subscription_succeeded";

/// The server.
pub(crate) struct Sockudo {
    program: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
}

impl Sockudo {
    /// This program.
    pub(crate) fn new(program: &Path) -> Result<Self> {
        Ok(Self { program: program.to_owned(), folder: PathBuf::new(), address: free_address()? })
    }

    fn configuration(&self) -> String {
        let off = json!({"enabled": false});
        let policy = json!({
            "limits": {"max_connections": 100_000, "max_client_events_per_second": 1_000_000},
            "features": {"enable_client_messages": false},
            "channels": {"allowed_origins": ["*"]},
        });
        let app = json!({"id": APP, "key": KEY, "secret": SECRET, "enabled": true, "policy": policy});
        json!({
            "debug": false,
            "mode": "production",
            "host": self.address.ip().to_string(),
            "port": self.address.port(),
            "adapter": {"driver": "local"},
            "app_manager": {"driver": "memory", "array": {"apps": [app]}, "cache": off},
            "cache": {"driver": "memory"},
            "queue": {"driver": "memory"},
            "rate_limiter": off,
            "metrics": off,
            "ssl": off,
            "websocket": {"compression": "disabled"},
        })
        .to_string()
    }
}

impl Peer for Sockudo {
    type Sender = Backend;

    fn about(&self) -> About {
        About {
            name: "Sockudo".to_owned(),
            version: version_of(&self.program, &["--version"]),
            settings: "built with the release profile of its own workspace (LTO, one codegen unit) and its default \
                       features; local adapter, app in memory, no metrics, no rate limits, no compression, no delta \
                       compression (listeners speak protocol 7); events by its HTTP API, signed once and verified each \
                       time, each by a connection of its own, because it ends them with its answers"
                .to_owned(),
            acknowledges: Acknowledges::StoresNothing,
        }
    }

    fn ways(&self) -> &'static [Way] {
        &[]
    }

    fn tells(&self) -> bool {
        true
    }

    async fn prepare(&mut self, folder: &Path, _: usize) -> Result<()> {
        self.folder = folder.into();
        Ok(fs::write(folder.join("sockudo.json"), self.configuration())?)
    }

    fn start(&mut self) -> Result<Server> {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.folder.join("sockudo.json")).current_dir(&self.folder);
        command.env("RUST_LOG", "error");
        Server::start(command, &log_in(&self.folder))
    }

    async fn sender(&self, _: Way, _: usize) -> Result<Backend> {
        let body = json!({"name": "message", "channel": ROOM, "data": content()}).to_string();
        let path = format!("/apps/{APP}/events");
        let query = signed_query(&path, body.as_bytes(), crate::now_ms() / 1_000);
        let headers = [("content-type", "application/json")];
        let target = format!("{path}?{query}");
        let message = request("POST", &target, &self.address.to_string(), &headers, body.as_bytes());
        Ok(Backend { address: self.address, message })
    }

    fn listener(&self, _: usize) -> impl Future<Output = Result<Listener>> + Send + 'static {
        let address = self.address;
        async move {
            let target = format!("/app/{KEY}?protocol=7&client=js&version=8.4.0");
            let request = upgrade_request(&target, &address.to_string());
            let (mut stream, mut received) = Connection::open(address).await?.upgrade(&request).await?;
            let subscribe = json!({"event": "pusher:subscribe", "data": {"channel": ROOM}}).to_string();
            stream.write_all(&websocket::frame(websocket::TEXT, subscribe.as_bytes())).await?;
            websocket::wait_for(&mut stream, &mut received, SUBSCRIBED).await?;
            Ok(Listener { stream, received, wire: Wire::Frames })
        }
    }
}

/// The query that signs a request of the HTTP API.
fn signed_query(path: &str, body: &[u8], now_s: i64) -> String {
    let body = HEXLOWER.encode(&Md5::digest(body));
    let query = format!("auth_key={KEY}&auth_timestamp={now_s}&auth_version=1.0&body_md5={body}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = hmac::sign(&key, format!("POST\n{path}\n{query}").as_bytes());
    format!("{query}&auth_signature={}", HEXLOWER.encode(signature.as_ref()))
}

/// An application's server, which tells everybody. It connects anew for each event: Sockudo ends the connection with
/// each answer of its API, whatever was asked for (5.2.0).
pub(crate) struct Backend {
    address: SocketAddr,
    message: Vec<u8>,
}

impl Sender for Backend {
    async fn send(&mut self) -> Result<()> {
        Connection::open(self.address).await?.demand(&self.message, 200).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_signed_over_its_body() {
        let query = signed_query("/apps/peers/events", b"{}", 7);
        assert!(query.starts_with(
            "auth_key=peers-key&auth_timestamp=7&auth_version=1.0&body_md5=99914b932bd37a50b983c5e7"
        ));
        assert_eq!(query.len() - query.find("auth_signature=").unwrap(), "auth_signature=".len() + 64);
    }
}
