//! ejabberd: a room (MUC) whose archive (MAM) is in SQL. The room stores a message, and then tells it to all that are
//! in it, the sender included, which is the acknowledgement.

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::task::JoinHandle;

use crate::Result;
use crate::crowd::{Listener, Wire};
use crate::peer::{About, Acknowledges, Peer, ROOM, Sender, Way, content, log_in};
use crate::postgres::Postgres;
use crate::process::{Server, free_address};
use crate::wire::xmpp::{DOMAIN, Occupant, message, take_numbers};

/// What an id begins with where several messages of one occupant are under way.
const SLOT: &str = "slot-";
/// Occupants that a room may have.
const OCCUPANTS_MAX: usize = 10_000;

/// The server, as Debian packs it, on one of two engines.
pub(crate) struct Ejabberd {
    /// Where Debian's packages were unpacked.
    root: PathBuf,
    postgres: Option<Arc<Postgres>>,
    folder: PathBuf,
    address: SocketAddr,
    /// The occupant who sends for all, while nobody else is there.
    only: AsyncMutex<Option<Arc<Only>>>,
}

impl Ejabberd {
    /// Out of these unpacked packages, with its archive in `PostgreSQL`, or in a file of `SQLite`.
    pub(crate) fn new(root: &Path, postgres: Option<Arc<Postgres>>) -> Result<Self> {
        let (root, address) = (root.to_owned(), free_address()?);
        Ok(Self { root, postgres, folder: PathBuf::new(), address, only: AsyncMutex::new(None) })
    }

    /// What Debian calls the folder of this machine's libraries, and where the server is in it.
    fn libraries(&self) -> Result<(PathBuf, String)> {
        for folder in fs::read_dir(self.root.join("usr/lib"))?.flatten() {
            for library in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
                let name = library.file_name().to_string_lossy().into_owned();
                if let Some(version) = name.strip_prefix("ejabberd-") {
                    return Ok((folder.path(), version.to_owned()));
                }
            }
        }
        Err(format!("no ejabberd under {}", self.root.display()).into())
    }

    fn configuration(&self) -> String {
        let database = match &self.postgres {
            None => format!("sql_type: sqlite\nsql_database: \"{}\"\n", self.file().display()),
            Some(postgres) => format!(
                "sql_type: pgsql\nsql_server: \"{}\"\nsql_port: {}\nsql_username: \"{}\"\nsql_password: \"\"\n\
                 sql_database: \"{}\"\nsql_pool_size: 10\n",
                postgres.address.ip(),
                postgres.address.port(),
                postgres.user,
                DATABASE
            ),
        };
        format!(
            "hosts: [\"{DOMAIN}\"]\nloglevel: error\nlog_rotate_count: 0\nauth_method: [anonymous]\n\
             anonymous_protocol: sasl_anon\nallow_multiple_connections: true\nmax_fsm_queue: 100000\n\
             default_db: sql\n{database}\
             listen:\n  -\n    port: {}\n    ip: \"{}\"\n    module: ejabberd_c2s\n    access: all\n    \
             shaper: none\n    backlog: 4096\n\
             modules:\n  mod_disco: {{}}\n  mod_mam:\n    db_type: sql\n    default: always\n  mod_muc:\n    \
             db_type: sql\n    ram_db_type: mnesia\n    access: all\n    access_create: all\n    \
             access_persistent: all\n    access_mam: all\n    history_size: 0\n    max_users: {OCCUPANTS_MAX}\n    \
             min_message_interval: 0\n    min_presence_interval: 0\n    default_room_options:\n      mam: true\n      \
             persistent: true\n      presence_broadcast: []\n      max_users: {OCCUPANTS_MAX}\n",
            self.address.port(),
            self.address.ip(),
        )
    }

    fn file(&self) -> PathBuf {
        self.folder.join("ejabberd.db")
    }

    fn schema(&self, name: &str) -> PathBuf {
        self.root.join("usr/share/ejabberd/sql").join(name)
    }
}

/// The name of its database.
const DATABASE: &str = "peers_ejabberd";

impl Peer for Ejabberd {
    type Sender = Speaker;

    fn about(&self) -> About {
        let (engine, how) = match &self.postgres {
            None => (
                "SQLite",
                "the archive in a file of SQLite that is in WAL mode (ejabberd sets none; its own default, a rollback \
                 journal, flushes four times a message), synchronous=FULL"
                    .to_owned(),
            ),
            Some(_) => ("PostgreSQL", "the archive in PostgreSQL over 10 connections".to_owned()),
        };
        let version = self.libraries().map_or_else(|_| "version unknown".to_owned(), |(_, version)| version);
        About {
            name: format!("ejabberd, {engine}"),
            version: format!("ejabberd {version} of Debian"),
            settings: format!(
                "one persistent room with MAM, {how}; no shapers, no history on joining, nobody is told of who comes; \
                 anonymous logins, no TLS. Who sends alone is one occupant with all messages under way at once"
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

    async fn prepare(&mut self, folder: &Path, _: usize) -> Result<()> {
        self.folder = folder.into();
        *self.only.lock().await = None;
        fs::create_dir_all(folder.join("spool"))?;
        fs::write(folder.join("ejabberd.yml"), self.configuration())?;
        if let Some(postgres) = &self.postgres {
            postgres.make(DATABASE)?;
            postgres.run_file(DATABASE, &self.schema("pg.sql"))?;
        } else {
            let database = rusqlite::Connection::open(self.file())?;
            database.pragma_update(None, "journal_mode", "WAL")?;
            database.execute_batch(&fs::read_to_string(self.schema("lite.sql"))?)?;
        }
        let server = self.start()?;
        crate::patiently(async || Occupant::join(self.address, ROOM, "first").await).await?;
        server.stop().await
    }

    fn start(&mut self) -> Result<Server> {
        *self.only.get_mut() = None;
        let erlang = self.root.join("usr/lib/erlang");
        let runtime = fs::read_dir(&erlang)?.flatten().map(|entry| entry.path());
        let runtime = runtime.filter(|path| {
            path.file_name().is_some_and(|name| name.display().to_string().starts_with("erts-"))
        });
        let binaries = runtime.last().ok_or("no Erlang beside ejabberd")?.join("bin");
        let (libraries, _) = self.libraries()?;
        let mut command = Command::new(binaries.join("erlexec"));
        command
            .env("ROOTDIR", &erlang)
            .env("BINDIR", &binaries)
            .env("EMU", "beam")
            .env("PROGNAME", "erl")
            .env("ERL_LIBS", &libraries)
            .env("LD_LIBRARY_PATH", &libraries)
            .env("ERL_MAX_ETS_TABLES", "1400")
            .env("EJABBERD_CONFIG_PATH", self.folder.join("ejabberd.yml"))
            .env("EJABBERD_LOG_PATH", self.folder.join("ejabberd.log"))
            // As `ejabberdctl` starts it, without a name that other nodes could reach.
            .args(["-noinput", "+K", "true", "+P", "250000", "-mnesia", "dir"])
            .arg(format!("\"{}\"", self.folder.join("spool").display()))
            .args(["-s", "ejabberd"])
            .current_dir(&self.folder);
        Server::start(command, &log_in(&self.folder))
    }

    fn helpers(&self) -> Vec<u32> {
        self.postgres.iter().map(|postgres| postgres.process).collect()
    }

    async fn sender(&self, way: Way, number: usize) -> Result<Speaker> {
        if way == Way::Together {
            let occupant = Occupant::join(self.address, ROOM, &format!("occupant-{number}")).await?;
            return Ok(Speaker::Occupant { occupant, number, sent: 0 });
        }
        let mut only = self.only.lock().await;
        let current = only.as_ref().filter(|only| !only.reading.is_finished()).cloned();
        let open = match current {
            Some(open) => open,
            None => only.insert(Only::join(self.address).await?).clone(),
        };
        Ok(Speaker::Slot { slot: open.slot(number), only: open, message: slot_message(number) })
    }

    fn listener(&self, number: usize) -> impl Future<Output = Result<Listener>> + Send + 'static {
        let address = self.address;
        async move {
            let occupant = Occupant::join(address, ROOM, &format!("listener-{number}")).await?;
            Ok(Listener { stream: occupant.stream, received: occupant.received, wire: Wire::Stream })
        }
    }
}

fn slot_message(number: usize) -> Vec<u8> {
    message(ROOM, &format!("{SLOT}{number}"), &content()).into_bytes()
}

/// One occupant, of whom several messages are under way: at most one in each slot.
pub(crate) struct Only {
    writing: AsyncMutex<OwnedWriteHalf>,
    slots: Arc<Mutex<Vec<Arc<Notify>>>>,
    reading: JoinHandle<Result<()>>,
}

impl Only {
    async fn join(address: SocketAddr) -> Result<Arc<Self>> {
        let occupant = Occupant::join(address, ROOM, "only").await?;
        let (mut reader, writing) = occupant.stream.into_split();
        let (slots, mut received) = (Arc::new(Mutex::new(Vec::<Arc<Notify>>::new())), occupant.received);
        let told = slots.clone();
        let reading = tokio::spawn(async move {
            loop {
                for number in take_numbers(&mut received, SLOT.as_bytes())? {
                    let slots = told.lock().unwrap_or_else(PoisonError::into_inner);
                    slots.get(number).into_iter().for_each(|slot| slot.notify_one());
                }
                if reader.read_buf(&mut received).await? == 0 {
                    return Err("the stream ended".into());
                }
            }
        });
        Ok(Arc::new(Self { writing: AsyncMutex::new(writing), slots, reading }))
    }

    fn slot(&self, number: usize) -> Arc<Notify> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        while slots.len() <= number {
            slots.push(Arc::new(Notify::new()));
        }
        slots[number].clone()
    }
}

impl Drop for Only {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Who sends.
pub(crate) enum Speaker {
    /// One of many in the room, who hears all.
    Occupant {
        /// Who.
        occupant: Occupant,
        /// Which.
        number: usize,
        /// How many messages they sent.
        sent: usize,
    },
    /// One of the messages of the only occupant.
    Slot {
        /// Who.
        only: Arc<Only>,
        /// Rung when the message came back.
        slot: Arc<Notify>,
        /// The message.
        message: Vec<u8>,
    },
}

impl Sender for Speaker {
    async fn send(&mut self) -> Result<()> {
        match self {
            Self::Occupant { occupant, number, sent } => {
                *sent += 1;
                let id = format!("occupant-{number}-{sent}.");
                occupant.send(message(ROOM, &id, &content()).as_bytes(), id.as_bytes()).await
            }
            Self::Slot { only, slot, message } => {
                only.writing.lock().await.write_all(message).await?;
                slot.notified().await;
                Ok(())
            }
        }
    }
}
