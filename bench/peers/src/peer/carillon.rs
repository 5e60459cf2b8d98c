//! Carillon, of any build: a channel whose members send by signed HTTP and listen over WebSocket.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;

use crate::Result;
use crate::crowd::{Heard, Listener, Wire};
use crate::peer::{About, Acknowledges, Peer, Sender, Way, content, log_in, version_of};
use crate::postgres::Postgres;
use crate::process::{Server, free_address};
use crate::wire::aws::{Call, Key, encoded};
use crate::wire::http::Connection;
use crate::wire::websocket;

/// The name of its database.
const DATABASE: &str = "peers_carillon";
/// Connections that make users.
const MAKING: usize = 16;
/// Members that one request adds.
const BATCH_LEN: usize = 100;
/// Members of the channel in which durable sends are measured: as many as there are senders at most.
pub(crate) const SENDERS_MAX: usize = 256;

/// A build of the server, on one of two engines.
pub(crate) struct Carillon {
    label: String,
    program: PathBuf,
    postgres: Option<Arc<Postgres>>,
    folder: PathBuf,
    key: Key,
    instance: String,
    /// Of those who send, and of those who listen, too.
    channels: [String; 2],
}

impl Carillon {
    /// This program, called so.
    pub(crate) fn new(label: &str, program: &Path, postgres: Option<Arc<Postgres>>) -> Result<Self> {
        let key = Key {
            id: "AKIAPEERS".to_owned(),
            secret: "both-sides-know-this".to_owned(),
            address: free_address()?,
        };
        Ok(Self {
            label: label.to_owned(),
            program: program.to_owned(),
            postgres,
            folder: PathBuf::new(),
            key,
            instance: String::new(),
            channels: Default::default(),
        })
    }

    fn user(&self, number: usize) -> String {
        format!("{}/user/{}", self.instance, name(number))
    }

    fn channel(&self, way: Way) -> &str {
        &self.channels[usize::from(way == Way::ToMany)]
    }

    async fn call(&self, connection: &mut Connection, call: &Call<'_>, wanted: u16) -> Result<Value> {
        connection.demand_json(&self.key.post(call)?, wanted).await
    }

    async fn make_instance(&self, connection: &mut Connection) -> Result<String> {
        let body = json!({"Name": "peers", "ClientRequestToken": "peers"}).to_string();
        let call = Call { path: "/app-instances", query: "", bearer: None, body: &body };
        text(&self.call(connection, &call, 201).await?, "AppInstanceArn")
    }

    /// Makes this many users, over several connections.
    async fn make_users(&self, count: usize) -> Result<()> {
        let mut making = JoinSet::new();
        for first in 0..MAKING {
            let (key, instance) = (self.key.clone(), self.instance.clone());
            making.spawn(async move {
                let mut connection = Connection::open(key.address).await?;
                for number in (first..count).step_by(MAKING) {
                    let name = name(number);
                    let body = json!({
                        "AppInstanceArn": instance, "AppInstanceUserId": name, "Name": name, "ClientRequestToken": name,
                    });
                    let body = body.to_string();
                    let call = Call { path: "/app-instance-users", query: "", bearer: None, body: &body };
                    connection.demand(&key.post(&call)?, 201).await?;
                }
                Ok::<_, crate::Error>(())
            });
        }
        while let Some(made) = making.join_next().await {
            made??;
        }
        Ok(())
    }

    /// Makes a channel of the first users.
    async fn make_channel(&self, connection: &mut Connection, name: &str, members: usize) -> Result<String> {
        let first = self.user(0);
        let body =
            json!({"AppInstanceArn": self.instance, "Name": name, "ClientRequestToken": name}).to_string();
        let call = Call { path: "/channels", query: "", bearer: Some(&first), body: &body };
        let channel = text(&self.call(connection, &call, 201).await?, "ChannelArn")?;
        let path = format!("/channels/{}/memberships", encoded(&channel));
        let others: Vec<String> = (1..members).map(|number| self.user(number)).collect();
        for some in others.chunks(BATCH_LEN) {
            let body = json!({"MemberArns": some}).to_string();
            let call =
                Call { path: &path, query: "operation=batch-create", bearer: Some(&first), body: &body };
            let answer = self.call(connection, &call, 200).await?;
            if answer["Errors"].as_array().is_some_and(|errors| !errors.is_empty()) {
                return Err(format!("some members could not be added: {}", answer["Errors"]).into());
            }
        }
        Ok(channel)
    }
}

fn name(number: usize) -> String {
    format!("member-{number}")
}

fn text(answer: &Value, name: &str) -> Result<String> {
    Ok(answer[name].as_str().ok_or_else(|| format!("no {name} in {answer}"))?.to_owned())
}

impl Peer for Carillon {
    type Sender = Member;

    fn about(&self) -> About {
        let (engine, how) = match &self.postgres {
            None => ("SQLite", "SQLite as built in (WAL, synchronous=FULL)"),
            Some(_) => ("PostgreSQL", "PostgreSQL"),
        };
        About {
            name: format!("Carillon {}, {engine}", self.label).replace("  ", " "),
            version: version_of(&self.program, &["--version"]),
            settings: format!(
                "serve --https off --limits-preset off, {how}; every request signed (before it is measured) and \
                 verified; each sender a member and a connection of its own"
            ),
            acknowledges: Acknowledges::OnceStored,
        }
    }

    fn ways(&self) -> &'static [Way] {
        &[Way::Alone, Way::Together]
    }

    fn tells(&self) -> bool {
        self.postgres.is_none()
    }

    async fn prepare(&mut self, folder: &Path, listeners: usize) -> Result<()> {
        self.folder = folder.into();
        if let Some(postgres) = &self.postgres {
            postgres.make(DATABASE)?;
        }
        let server = self.start()?;
        let address = self.key.address;
        let mut connection = crate::patiently(async || {
            let mut connection = Connection::open(address).await?;
            let ready =
                crate::wire::http::request("GET", "/_carillon/health/ready", &address.to_string(), &[], b"");
            connection.demand(&ready, 200).await?;
            Ok(connection)
        })
        .await?;
        self.instance = self.make_instance(&mut connection).await?;
        self.make_users(SENDERS_MAX.max(listeners)).await?;
        self.channels = [
            self.make_channel(&mut connection, "sends", SENDERS_MAX).await?,
            self.make_channel(&mut connection, "fan-out", listeners).await?,
        ];
        drop(connection);
        server.stop().await
    }

    fn start(&mut self) -> Result<Server> {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CARILLON_") {
                command.env_remove(name);
            }
        }
        command.env("CARILLON_ROOT_ACCESS_KEY_ID", &self.key.id);
        command.env("CARILLON_ROOT_SECRET_ACCESS_KEY", &self.key.secret);
        let address = self.key.address.to_string();
        command.args([
            "serve",
            "--https",
            "off",
            "--log",
            "warn",
            "--limits-preset",
            "off",
            "--http",
            &address,
        ]);
        command.arg("--data-dir").arg(self.folder.join("data"));
        if let Some(postgres) = &self.postgres {
            command.args(["--store", &postgres.url(DATABASE)]);
        }
        Server::start(command, &log_in(&self.folder))
    }

    fn helpers(&self) -> Vec<u32> {
        self.postgres.iter().map(|postgres| postgres.process).collect()
    }

    async fn sender(&self, way: Way, number: usize) -> Result<Member> {
        let hears = if way == Way::Together {
            // It ends the sender's ARN in a frame, and stands in no other of them.
            let own = format!("/user/{}\\\"", name(number));
            Some(Heard::of(self.listener(number).await?, own))
        } else {
            None
        };
        Ok(Member {
            connection: Connection::open(self.key.address).await?,
            path: format!("/channels/{}/messages", encoded(self.channel(way))),
            key: self.key.clone(),
            bearer: self.user(number),
            ready: Vec::new(),
            token: format!("{way:?}-{number}-{}", crate::now_ms()),
            made: 0,
            hears,
        })
    }

    fn listener(&self, number: usize) -> impl Future<Output = Result<Listener>> + Send + 'static {
        let (address, request) = (self.key.address, self.key.connect(&self.user(number)));
        async move { open(address, &request?).await }
    }
}

/// Opens a socket, and reads its first frame, which says that from here on nothing is missed.
pub(super) async fn open(address: SocketAddr, request: &[u8]) -> Result<Listener> {
    let (mut stream, mut received) = Connection::open(address).await?.upgrade(request).await?;
    loop {
        if let Some((_, _, end)) = websocket::parse(&received) {
            received.drain(..end);
            return Ok(Listener { stream, received, wire: Wire::Frames });
        }
        if stream.read_buf(&mut received).await? == 0 {
            return Err("a socket was closed before it was established".into());
        }
    }
}

/// A member who sends, and where that is asked for hears all, and goes on once they have heard themselves: whoever
/// sends faster than they listen is closed as too slow.
pub(crate) struct Member {
    connection: Connection,
    path: String,
    key: Key,
    bearer: String,
    /// Signed already.
    ready: Vec<Vec<u8>>,
    token: String,
    made: usize,
    hears: Option<Heard>,
}

impl Member {
    fn request(&mut self) -> Result<Vec<u8>> {
        self.made += 1;
        // By hand, because millions are made: nothing in it needs an escape.
        let body = format!(
            r#"{{"Content":"{}","Type":"STANDARD","Persistence":"PERSISTENT","ClientRequestToken":"{}-{}"}}"#,
            content(),
            self.token,
            self.made
        );
        self.key.post(&Call { path: &self.path, query: "", bearer: Some(&self.bearer), body: &body })
    }
}

impl Sender for Member {
    fn ready(&mut self, count: usize) {
        while self.ready.len() < count {
            let Ok(request) = self.request() else { return };
            self.ready.push(request);
        }
    }

    async fn send(&mut self) -> Result<()> {
        let ready = self.ready.pop();
        let request = if let Some(request) = ready { request } else { self.request()? };
        self.connection.demand(&request, 201).await?;
        match &mut self.hears {
            // All that were made are sent, but for those that are ready.
            Some(hears) => hears.wait(self.made - self.ready.len()).await,
            None => Ok(()),
        }
    }
}
