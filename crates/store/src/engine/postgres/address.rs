//! Where a PostgreSQL is: `postgres://user:password@host:port,host:port/database?option=value`, with libpq's names for
//! the options. What is not known here is refused: an option that is silently left out may be the one that matters.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::{self, Check, Files};
use super::{ANSWER_TIMEOUT, CONNECT_TIMEOUT};
use crate::{Error, Result};

/// How long a connection is quiet before the system looks whether the other side is there, and how often then.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// How often it looks in vain before the connection counts as cut.
const KEEPALIVE_RETRIES: u32 = 3;
/// The port of a host that is named without one.
const PORT: u16 = 5432;

/// Options that are passed on as they are.
const PASSED_ON: &[&str] = &[
    "user",
    "password",
    "dbname",
    "host",
    "hostaddr",
    "port",
    "options",
    "application_name",
    "channel_binding",
    "sslnegotiation",
];
/// Options that are understood here.
const UNDERSTOOD: &[&str] =
    &["sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs", "prepared_statements"];

/// Where a PostgreSQL is: one server, or several of which one takes writes.
#[derive(Debug)]
pub struct Address {
    /// In the order of the address; never empty.
    servers: Vec<Config>,
    pub(super) tls: Tls,
    /// Whether statements are prepared; where nothing is said, they are, but not through a pooler.
    pub(super) prepares: Option<bool>,
    /// The server that took a connection last. All lanes are to be at one, also when another comes back that was lost.
    latest: AtomicUsize,
    /// Whether what a connection sets is gone with the transaction. Found out by the first connection.
    is_pooled: AtomicBool,
    /// How often somebody waited for an answer.
    trips: AtomicU64,
    /// How often the server ended a transaction that waited for one that waited for it.
    deadlocks: AtomicU64,
}

/// How connections are encrypted.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) connector: MakeRustlsConnect,
    /// Whether one is made without, where it cannot be had.
    pub(super) is_optional: bool,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("is_optional", &self.is_optional).finish_non_exhaustive()
    }
}

/// The options that are understood here, as they were written.
#[derive(Default)]
struct Options {
    mode: Option<String>,
    roots: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    prepares: Option<bool>,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let mut options = Options::default();
        let mut passed_on = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            if name == "host" {
                passed_on.extend(value.split(',').map(|host| format!("host={host}")));
            } else if PASSED_ON.contains(&name) {
                passed_on.push(option.to_owned());
            } else {
                let value = percent_decode_str(value).decode_utf8();
                let value = value.map_err(|_| Error::broken(format!("the option {name} is not in UTF-8")))?;
                options.take(name, &value)?;
            }
        }
        let config = format!("{place}?{}", passed_on.join("&"));
        let config = config.parse().map_err(|error: tokio_postgres::Error| {
            Error::broken(format!("not a PostgreSQL address: {}", super::fault::reason(&error)))
        })?;
        let (mode, tls) = options.tls()?;
        Ok(Self {
            servers: servers(&config, mode)?,
            tls,
            prepares: options.prepares,
            latest: AtomicUsize::new(0),
            is_pooled: AtomicBool::new(false),
            trips: AtomicU64::new(0),
            deadlocks: AtomicU64::new(0),
        })
    }

    /// The same with other options of the server, in the words of its command line.
    pub(crate) fn with_options(mut self, options: &str) -> Self {
        for server in &mut self.servers {
            server.options(options);
        }
        self
    }

    pub(super) fn server(&self, at: usize) -> &Config {
        &self.servers[at]
    }

    /// The servers in the order in which they are to be tried.
    pub(super) fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let (latest, count) = (self.latest(), self.servers.len());
        std::iter::once(latest).chain((0..count).filter(move |at| *at != latest))
    }

    /// The server that took a connection last.
    pub(super) fn latest(&self) -> usize {
        self.latest.load(Ordering::Acquire)
    }

    /// Says that this server took a connection.
    pub(super) fn took(&self, at: usize) {
        if self.latest.swap(at, Ordering::AcqRel) != at {
            tracing::info!("the store is {} from now on", self.place(at));
        }
    }

    /// How often a worker has waited for an answer so far.
    pub(crate) fn trips(&self) -> u64 {
        self.trips.load(Ordering::Relaxed)
    }

    /// How many deadlocks the server saw so far.
    pub(crate) fn deadlocks(&self) -> u64 {
        self.deadlocks.load(Ordering::Relaxed)
    }

    pub(super) fn count_deadlock(&self) {
        self.deadlocks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_trip(&self) {
        self.trips.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn is_pooled(&self) -> bool {
        self.is_pooled.load(Ordering::Acquire)
    }

    /// Says that there is a pooler between.
    pub(super) fn found_pooled(&self) {
        if !self.is_pooled.swap(true, Ordering::AcqRel) {
            let prepares = self.prepares.unwrap_or_default();
            tracing::info!(prepared_statements = prepares, "PostgreSQL is behind a pooler");
        }
    }

    /// A server in words, without what may be secret.
    pub(super) fn place(&self, at: usize) -> String {
        let server = &self.servers[at];
        let port = server.get_ports().first().copied().unwrap_or(PORT);
        match (server.get_hosts().first(), server.get_hostaddrs().first()) {
            (Some(Host::Tcp(host)), _) => format!("PostgreSQL at {host}:{port}"),
            (Some(Host::Unix(folder)), _) => format!("PostgreSQL at its socket in {}", folder.display()),
            (None, Some(address)) => format!("PostgreSQL at {address}, port {port}"),
            (None, None) => "PostgreSQL".to_owned(),
        }
    }

    /// All of them in words.
    pub(super) fn places(&self) -> String {
        (0..self.servers.len()).map(|at| self.place(at)).collect::<Vec<_>>().join(", ")
    }
}

impl Options {
    fn take(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "sslmode" => self.mode = Some(value.to_owned()),
            "sslrootcert" => self.roots = Some(value.to_owned()),
            "sslcert" => self.certificate = Some(value.to_owned()),
            "sslkey" => self.key = Some(value.to_owned()),
            "target_session_attrs" if ["read-write", "primary"].contains(&value) => {}
            "target_session_attrs" => {
                return Err(Error::broken(format!(
                    "target_session_attrs is {value}, but a store is written to: it can only be read-write"
                )));
            }
            "prepared_statements" => {
                self.prepares = match value {
                    "auto" => None,
                    "on" => Some(true),
                    "off" => Some(false),
                    _ => {
                        return Err(Error::broken(format!(
                            "prepared_statements is {value}, which is not auto, on or off"
                        )));
                    }
                };
            }
            _ => {
                let mut known = [PASSED_ON, UNDERSTOOD].concat();
                known.sort_unstable();
                return Err(Error::broken(format!(
                    "a PostgreSQL address has no option {name}; the options are {}",
                    known.join(", ")
                )));
            }
        }
        Ok(())
    }

    fn tls(&self) -> Result<(SslMode, Tls)> {
        let own = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            (Some(_), None) => return Err(Error::broken("sslcert is given without sslkey")),
            (None, Some(_)) => return Err(Error::broken("sslkey is given without sslcert")),
        };
        let files = Files { roots: self.roots.as_ref().map(PathBuf::from), own };
        let (mode, check) = match self.mode.as_deref().unwrap_or("prefer") {
            "disable" => (SslMode::Disable, Check::Nothing),
            "prefer" => (SslMode::Prefer, Check::Nothing),
            // As in libpq: whoever names an authority wants it to be asked.
            "require" if files.roots.is_some() => (SslMode::Require, Check::Chain),
            "require" => (SslMode::Require, Check::Nothing),
            "verify-ca" => (SslMode::Require, Check::Chain),
            "verify-full" => (SslMode::Require, Check::Name),
            other => {
                return Err(Error::broken(format!(
                    "sslmode is {other}, which is not disable, prefer, require, verify-ca or verify-full"
                )));
            }
        };
        Ok((mode, Tls { connector: tls::connector(check, &files)?, is_optional: mode == SslMode::Prefer }))
    }
}

/// A configuration for each server of one that may name several.
fn servers(all: &Config, mode: SslMode) -> Result<Vec<Config>> {
    let (hosts, addresses, ports) = (all.get_hosts(), all.get_hostaddrs(), all.get_ports());
    let count = hosts.len().max(addresses.len());
    if count == 0 {
        return Err(Error::broken("a PostgreSQL address names a host"));
    }
    let fits = |len: usize, least: usize| (least..=1).contains(&len) || len == count;
    if !fits(ports.len(), 0) || ![hosts.len(), addresses.len()].iter().all(|len| [0, count].contains(len)) {
        return Err(Error::broken("a PostgreSQL address has as many hostaddr and port as it has hosts"));
    }
    let server = |at: usize| {
        let mut server = who(all);
        match hosts.get(at) {
            Some(Host::Tcp(host)) => drop(server.host(host)),
            Some(Host::Unix(path)) => drop(server.host_path(path)),
            None => {}
        }
        if let Some(address) = addresses.get(at) {
            server.hostaddr(*address);
        }
        // There is no TLS on a socket of this machine.
        let is_local = matches!(hosts.get(at), Some(Host::Unix(_)));
        server
            .port(ports.get(at).or(ports.first()).copied().unwrap_or(PORT))
            .ssl_mode(if is_local { SslMode::Disable } else { mode })
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_IDLE)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(ANSWER_TIMEOUT);
        server
    };
    Ok((0..count).map(server).collect())
}

/// All but where the server is and how it is reached.
fn who(all: &Config) -> Config {
    let mut config = Config::new();
    if let Some(user) = all.get_user() {
        config.user(user);
    }
    if let Some(password) = all.get_password() {
        config.password(password);
    }
    if let Some(database) = all.get_dbname() {
        config.dbname(database);
    }
    if let Some(options) = all.get_options() {
        config.options(options);
    }
    config.application_name(all.get_application_name().unwrap_or("carillon"));
    config.ssl_negotiation(all.get_ssl_negotiation()).channel_binding(all.get_channel_binding());
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Address::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn each_host_is_a_server_with_the_port_that_belongs_to_it() {
        let places = |text: &str| {
            let address = Address::parse(text).unwrap();
            let servers = address.servers.iter();
            servers
                .map(|server| (server.get_hosts().to_vec(), server.get_ports().to_vec()))
                .collect::<Vec<_>>()
        };
        let tcp = |host: &str, port| (vec![Host::Tcp(host.to_owned())], vec![port]);
        assert_eq!(places("postgres://me@one/db"), [tcp("one", 5432)]);
        assert_eq!(places("postgres://me@one:1,two:2/db"), [tcp("one", 1), tcp("two", 2)]);
        assert_eq!(places("postgres:///db?host=one,two&port=7"), [tcp("one", 7), tcp("two", 7)]);
        let socket = (vec![Host::Unix("/run/pg".into())], vec![5432]);
        assert_eq!(places("postgres://%2Frun%2Fpg/db"), [socket]);
    }

    #[test]
    fn a_server_has_all_that_the_address_says() {
        let address =
            Address::parse("postgres://me:secret@one,two/chat?application_name=c1&options=-c%20a.b%3D1")
                .unwrap();
        for server in &address.servers {
            assert_eq!(server.get_user(), Some("me"));
            assert_eq!(server.get_password(), Some(b"secret".as_slice()));
            assert_eq!(server.get_dbname(), Some("chat"));
            assert_eq!(server.get_application_name(), Some("c1"));
            assert_eq!(server.get_options(), Some("-c a.b=1"));
        }
        assert!(!format!("{address:?}").contains("secret"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(
            refused("postgres://db/x?sslmod=require")
                .starts_with("a PostgreSQL address has no option sslmod;")
        );
        assert!(refused("postgres://db/x?connect_timeout=3").contains("no option connect_timeout"));
        assert!(
            refused("postgres://db/x?sslmode=allow").starts_with("sslmode is allow, which is not disable")
        );
        assert!(refused("postgres://db/x?sslcert=a.pem").contains("without sslkey"));
        assert!(
            refused("postgres://db/x?sslmode=verify-ca&sslrootcert=/no/such").starts_with("sslrootcert: ")
        );
        assert!(refused("postgres://a,b/x?target_session_attrs=any").contains("read-write"));
        assert!(refused("postgres://db/x?prepared_statements=yes").contains("auto, on or off"));
        assert!(refused("postgres:///x").contains("names a host"));
        assert!(refused("postgres://a,b,c/x?port=1,2").contains("as many"));
    }

    #[test]
    fn the_server_that_took_a_connection_last_is_tried_first() {
        let address = Address::parse("postgres://a,b,c/x").unwrap();
        assert_eq!(address.order().collect::<Vec<_>>(), [0, 1, 2]);
        address.took(1);
        assert_eq!(address.order().collect::<Vec<_>>(), [1, 0, 2]);
    }
}
