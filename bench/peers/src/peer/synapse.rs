//! Synapse: a room of Matrix in PostgreSQL. A message is acknowledged by the number of its event, once that is stored.

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::Result;
use crate::crowd::Listener;
use crate::peer::{About, Acknowledges, Peer, Sender, Way, content, log_in, version_of};
use crate::postgres::Postgres;
use crate::process::{Server, free_address};
use crate::wire::http::{Connection, request};

/// The name of its database.
const DATABASE: &str = "peers_synapse";

/// The server, out of a virtual environment.
pub(crate) struct Synapse {
    python: PathBuf,
    postgres: Arc<Postgres>,
    folder: PathBuf,
    address: SocketAddr,
    token: String,
    room: String,
}

impl Synapse {
    /// Of this environment's Python.
    pub(crate) fn new(python: &Path, postgres: Arc<Postgres>) -> Result<Self> {
        let (folder, address) = (PathBuf::new(), free_address()?);
        let (token, room) = (String::new(), String::new());
        Ok(Self { python: python.to_owned(), postgres, folder, address, token, room })
    }

    fn configuration(&self) -> Value {
        let (postgres, file) = (&self.postgres, |name: &str| self.folder.join(name).display().to_string());
        let no_limit = json!({"per_second": 1_000_000, "burst_count": 1_000_000});
        // YAML takes JSON as it is.
        json!({
            "server_name": "bench.test",
            "report_stats": false,
            "pid_file": file("pid"),
            "media_store_path": file("media"),
            "signing_key_path": file("signing.key"),
            "log_config": file("log.json"),
            "macaroon_secret_key": "both are known here",
            "form_secret": "both are known here",
            "trusted_key_servers": [],
            "suppress_key_server_warning": true,
            "listeners": [{
                "port": self.address.port(), "bind_addresses": ["127.0.0.1"], "type": "http", "tls": false,
                "resources": [{"names": ["client"]}],
            }],
            "database": {"name": "psycopg2", "args": {
                "user": postgres.user, "host": postgres.address.ip().to_string(),
                "port": postgres.address.port(), "dbname": DATABASE, "cp_min": 5, "cp_max": 10,
            }},
            "enable_registration": true,
            "enable_registration_without_verification": true,
            "presence": {"enabled": false},
            "user_directory": {"enabled": false},
            "push": {"enabled": false},
            "rc_message": no_limit,
            "rc_registration": no_limit,
            "caches": {"global_factor": 2.0},
        })
    }

    async fn call(&self, connection: &mut Connection, target: &str, body: &Value) -> Result<Value> {
        let authorization = format!("Bearer {}", self.token);
        let mut headers = vec![("content-type", "application/json")];
        if !self.token.is_empty() {
            headers.push(("authorization", &authorization));
        }
        let body = body.to_string();
        let request = request("POST", target, &self.address.to_string(), &headers, body.as_bytes());
        connection.demand_json(&request, 200).await
    }
}

fn text(answer: &Value, name: &str) -> Result<String> {
    Ok(answer[name].as_str().ok_or_else(|| format!("no {name} in {answer}"))?.to_owned())
}

impl Peer for Synapse {
    type Sender = User;

    fn about(&self) -> About {
        let version = "import importlib.metadata as m; print(m.version('matrix-synapse'))";
        About {
            name: "Synapse, PostgreSQL".to_owned(),
            version: format!("Synapse {}", version_of(&self.python, &["-c", version])),
            settings: "one process, 5 to 10 connections to PostgreSQL, rates not limited, presence, push and user \
                       directory off, caches doubled, log of warnings; one user over all connections, each of which \
                       waits for the answer"
                .to_owned(),
            acknowledges: Acknowledges::OnceStored,
        }
    }

    fn ways(&self) -> &'static [Way] {
        &[Way::Alone]
    }

    fn tells(&self) -> bool {
        false
    }

    async fn prepare(&mut self, folder: &Path, _: usize) -> Result<()> {
        self.folder = folder.into();
        self.token.clear();
        let configuration = self.configuration().to_string();
        fs::write(folder.join("homeserver.yaml"), configuration)?;
        let log = json!({"version": 1, "root": {"level": "WARNING"}, "disable_existing_loggers": false});
        fs::write(folder.join("log.json"), log.to_string())?;
        self.postgres.make(DATABASE)?;
        let mut keys = Command::new(&self.python);
        keys.args(["-m", "synapse.app.homeserver", "--generate-keys", "--config-path"]);
        let made = keys.arg(folder.join("homeserver.yaml")).current_dir(folder).output()?;
        if !made.status.success() {
            return Err(format!("Synapse makes no keys: {}", String::from_utf8_lossy(&made.stderr)).into());
        }
        let server = self.start()?;
        let register = json!({
            "username": "ana", "password": "both sides know this", "auth": {"type": "m.login.dummy"},
        });
        let answer = crate::patiently(async || {
            let mut connection = Connection::open(self.address).await?;
            self.call(&mut connection, "/_matrix/client/v3/register", &register).await
        });
        self.token = text(&answer.await?, "access_token")?;
        let mut connection = Connection::open(self.address).await?;
        let create =
            self.call(&mut connection, "/_matrix/client/v3/createRoom", &json!({"name": "bench"})).await?;
        self.room = text(&create, "room_id")?;
        server.stop().await
    }

    fn start(&mut self) -> Result<Server> {
        let mut command = Command::new(&self.python);
        command.args(["-m", "synapse.app.homeserver", "--config-path"]);
        command.arg(self.folder.join("homeserver.yaml")).current_dir(&self.folder);
        Server::start(command, &log_in(&self.folder))
    }

    fn helpers(&self) -> Vec<u32> {
        vec![self.postgres.process]
    }

    async fn sender(&self, _: Way, number: usize) -> Result<User> {
        let connection = Connection::open(self.address).await?;
        let room = self.room.replace('!', "%21").replace(':', "%3A");
        let target = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/peers-{number}-");
        let body = json!({"msgtype": "m.text", "body": content()}).to_string();
        let (host, authorization) = (self.address.to_string(), format!("Bearer {}", self.token));
        // So that no number of an earlier connection comes again.
        let life = crate::now_ms();
        Ok(User { connection, target: format!("{target}{life}-"), host, authorization, body, sent: 0 })
    }

    #[expect(clippy::manual_async_fn, reason = "an `async fn` would hold the peer")]
    fn listener(&self, _: usize) -> impl Future<Output = Result<Listener>> + Send + 'static {
        async { Err("Synapse's listeners ask again and again, which is no fan-out".into()) }
    }
}

/// A connection of the user.
pub(crate) struct User {
    connection: Connection,
    target: String,
    host: String,
    authorization: String,
    body: String,
    sent: usize,
}

impl Sender for User {
    async fn send(&mut self) -> Result<()> {
        self.sent += 1;
        let target = format!("{}{}", self.target, self.sent);
        let headers = [("authorization", self.authorization.as_str()), ("content-type", "application/json")];
        let request = request("PUT", &target, &self.host, &headers, self.body.as_bytes());
        self.connection.demand(&request, 200).await.map(drop)
    }
}
