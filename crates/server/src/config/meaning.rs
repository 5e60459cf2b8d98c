//! What the options mean. Only this reaches the rest of the binary.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use carillon_model::arn::Home;
use carillon_service::front::rates::Rates;
use carillon_service::functions::Functions;
use carillon_service::patience::Patience;
use carillon_service::quotas::Quotas;
use carillon_service::search::Searched;
use carillon_store::Skips;
use carillon_targets::Manner;
use carillon_targets::bots::Program;
use carillon_targets::events::Sink;
use rustls::pki_types::ServerName;

use super::Written;
use super::audit::AuditLog;
use super::bots::{self, Bot};
use super::bus::BusAddress;
use super::flows::{self, Processor, Target};
use super::limits::Preset;
use super::push;
use super::server::DoorSettings;
use super::store::StoreAddress;
use super::streams::Stream;
use super::tls::AcmeSettings;
use crate::error::{Error, Result};
use crate::exchange;
use crate::http::Measuring;
use crate::key_sets::Reach;

/// How the server is to run.
#[derive(Debug)]
pub struct Settings {
    /// The folder of credentials, certificates and the SQLite file.
    pub data_dir: PathBuf,
    /// Where to listen for plain HTTP.
    pub http: Option<SocketAddr>,
    /// Where to listen for HTTPS.
    pub https: Option<SocketAddr>,
    /// The certificate.
    pub certificate: Certificate,
    /// Where clients open sockets; unset, it is this machine, at the port of the HTTPS listener.
    pub(crate) public_host: Option<PublicHost>,
    /// Where the data lives.
    pub store: StoreAddress,
    /// How nodes tell each other of events.
    pub bus: BusAddress,
    /// Region and account.
    pub home: Home,
    /// How much of each thing there may be.
    pub(crate) quotas: Quotas,
    /// How often each operation may be called.
    pub(crate) rates: Rates,
    /// From which identity providers keys are fetched.
    pub(crate) reach: Reach,
    /// Which functions flows may call.
    pub(crate) functions: Functions,
    /// Who may have credentials for an application's own token; nobody, where there is nothing.
    pub(crate) exchange: Option<Arc<exchange::Settings>>,
    /// Whether tests may move the clock.
    pub(crate) test_clock: bool,
    /// How long processors are tried.
    pub(crate) patience: Patience,
    /// How they are called.
    pub(crate) manner: Manner,
    /// Functions behind plain HTTP.
    pub(crate) targets: BTreeMap<String, Target>,
    /// Processors that are built in.
    pub(crate) processors: BTreeMap<String, Processor>,
    /// Push applications.
    pub(crate) push: push::Written,
    /// Where records of streams go that are not in Kinesis.
    pub streams: BTreeMap<String, Stream>,
    /// How long a record is tried.
    pub(crate) streaming_patience: Duration,
    /// What is not streamed.
    pub(crate) skips: Skips,
    /// Programs of bots that are not at Lex.
    pub(crate) programs: HashMap<String, Program>,
    /// Those of them that answer only where they are meant.
    pub(crate) shy_bots: BTreeSet<String>,
    /// Where events for operators go, if not into the log.
    pub(crate) events: Option<Sink>,
    /// In which app instances messages can be searched.
    pub(crate) searched: Searched,
    /// The door: how many, how long, which proxies.
    pub(crate) door: DoorSettings,
    /// Who sees what is measured.
    pub(crate) metrics: Measuring,
    /// Whether only pages and programs of this machine may exchange tokens, or move the clock.
    pub(crate) local_only: bool,
    /// Where the audit log is kept.
    pub(crate) audit: AuditLog,
    /// What to log.
    pub log: String,
    /// How to write logs.
    pub(crate) log_format: LogFormat,
}

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificate {
    /// From a development CA of our own.
    Development,
    /// From a certificate authority, by ACME.
    Acme(AcmeSettings),
    /// From these files.
    Files {
        /// The chain.
        cert: PathBuf,
        /// Its key.
        key: PathBuf,
    },
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// A bare authority: host, and port unless it is 443. Clients sign it as it stands, so it is in lower case, and
/// without a port that browsers would leave out of `Host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicHost {
    authority: String,
    host: String,
}

/// What holds where nothing is written.
struct Defaults {
    preset: Preset,
    exchange: &'static str,
    reach: Reach,
    searched: Searched,
}

impl Settings {
    /// Reads what was written for a server in earnest.
    pub fn read(written: Written) -> Result<Self> {
        let defaults = Defaults {
            preset: Preset::Generous,
            exchange: "off",
            reach: Reach::Public,
            searched: Searched::None,
        };
        Self::read_from(written, &defaults, false)
    }

    /// Reads what was written for a command on the store itself: what a server says of its start is nothing for one
    /// that ends at once.
    pub fn read_beside(written: Written) -> Result<Self> {
        let mut settings = Self::read(written)?;
        if settings.log == "info" {
            "warn".clone_into(&mut settings.log);
        }
        Ok(settings)
    }

    /// Reads what was written for a server to develop with: it has no rates unless they are asked for, and everybody
    /// on this machine may have credentials.
    pub fn read_for_dev(written: Written) -> Result<Self> {
        let defaults = Defaults {
            preset: Preset::Off,
            exchange: "anonymous",
            reach: Reach::Private,
            searched: Searched::All,
        };
        Self::read_from(written, &defaults, true)
    }

    fn read_from(written: Written, defaults: &Defaults, local_only: bool) -> Result<Self> {
        let written = written.with_file()?;
        let reach = written.allow_private_providers.map_or(defaults.reach, Reach::of);
        let (quotas, rates) = written.limits.read(defaults.preset)?;
        let data_dir = written.data_dir.unwrap_or_else(|| PathBuf::from("carillon-data"));
        let http = read_listener("http", written.http.as_deref().unwrap_or("127.0.0.1:8480"))?;
        let https = read_listener("https", written.https.as_deref().unwrap_or("127.0.0.1:8443"))?;
        if http.is_none() && https.is_none() {
            return Err(Error::usage("http and https are both off, so there is nothing to listen on"));
        }
        let acme = written.tls.acme((http.is_some(), https.is_some()))?;
        let first = acme.as_ref().map(|acme| acme.first.clone());
        let certificate = read_certificate(acme, written.tls_cert, written.tls_key)?;
        let public_host = written.public_host.or(first).as_deref().map(PublicHost::parse).transpose()?;
        let store = written.store.read(&format!("sqlite:{}", data_dir.join("carillon.db").display()))?;
        let bus = written.nats.read(written.bus.as_deref().unwrap_or("local"))?;
        if bus != BusAddress::Local && matches!(store.location, carillon_store::Location::Sqlite(_)) {
            return Err(Error::usage(format!("bus is {bus}, and the store is a file, which one server has"))
                .hint("Nodes share --store postgres://…"));
        }
        let region = written.region.as_deref().unwrap_or("us-east-1");
        let account = written.account_id.as_deref().unwrap_or("000000000000");
        let home = read_home(region, account)?;
        let mut named = written.bots;
        if let Some(alias) = bots::demo_alias(&home).filter(|_| local_only) {
            named.entry(alias.as_str().to_owned()).or_insert_with(Bot::echo);
        }
        let mut processors = written.processors;
        if let Some(function) = flows::demo_function(&home).filter(|_| local_only) {
            processors.entry(function.as_str().to_owned()).or_insert_with(Processor::rehearsal);
        }
        Ok(Self {
            data_dir,
            http,
            https,
            certificate,
            public_host,
            store,
            bus,
            patience: written.flows.patience()?,
            manner: written.flows.manner()?,
            functions: flows::functions(&written.flows, &home, (&written.targets, &processors))?,
            reach,
            targets: written.targets,
            push: written.push,
            streams: written.streams,
            streaming_patience: written.streaming.patience()?,
            skips: written.streaming.skips(),
            processors,
            programs: bots::programs(&named)?,
            shy_bots: named.into_iter().filter(|(_, bot)| bot.is_shy()).map(|(arn, _)| arn).collect(),
            events: written.events.sink()?,
            searched: written.search.read(&home, defaults.searched.clone())?,
            quotas,
            rates,
            exchange: written.exchange.read(&home, defaults.exchange, reach)?.map(Arc::new),
            home,
            test_clock: written.test_clock.unwrap_or_default(),
            door: written.server.read()?,
            metrics: written.metrics.read()?,
            local_only,
            audit: written.audit.read()?,
            log: written.log.unwrap_or_else(|| "info".to_owned()),
            log_format: read_log_format(written.log_format.as_deref().unwrap_or("text"))?,
        })
    }

    /// Whether the push applications can be used; answers how many there are.
    pub fn check_push(&self) -> Result<usize> {
        push::check(&self.push)?;
        Ok(self.push.len())
    }

    /// Where clients open sockets, once it is known where the server listens.
    pub fn public_host(&self, http: Option<SocketAddr>, https: Option<SocketAddr>) -> PublicHost {
        let port = https.or(http).map_or(443, |address| address.port());
        let here = || PublicHost::new("localhost".to_owned(), port);
        self.public_host.clone().unwrap_or_else(here)
    }
}

impl PublicHost {
    fn new(host: String, port: u16) -> Self {
        let authority = if port == 443 { host.clone() } else { format!("{host}:{port}") };
        Self { authority, host }
    }

    fn parse(text: &str) -> Result<Self> {
        let refuse = || {
            Error::usage(format!("public_host is {text}, which is not a host and a port"))
                .hint("It has no scheme and no path: chat.example.com, or chat.example.com:8443.")
        };
        let colon = text.rfind(':').filter(|colon| !text[*colon..].contains(']'));
        let (host, port) = match colon {
            None => (text, 443),
            Some(colon) => {
                let port = text[colon + 1..].parse().ok().filter(|port| *port != 0);
                (&text[..colon], port.ok_or_else(refuse)?)
            }
        };
        let host = host.to_ascii_lowercase();
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_host = match address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.contains(':') && ServerName::try_from(host.as_str()).is_ok(),
        };
        if !is_host {
            return Err(refuse());
        }
        Ok(Self::new(host, port))
    }

    /// What clients are told.
    pub(crate) fn as_str(&self) -> &str {
        &self.authority
    }

    /// The name that a certificate must have: an address stands without its brackets.
    pub fn name(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// Where the certificate comes from: of files and an authority only one may be written.
fn read_certificate(
    acme: Option<AcmeSettings>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Certificate> {
    match (cert, key) {
        (Some(_), Some(_)) if acme.is_some() => {
            Err(Error::usage("--tls-cert is given, and tls.acme.domains is written"))
        }
        (Some(cert), Some(key)) => Ok(Certificate::Files { cert, key }),
        (None, None) => Ok(acme.map_or(Certificate::Development, Certificate::Acme)),
        (Some(_), None) => Err(Error::usage("--tls-cert is given without --tls-key")),
        (None, Some(_)) => Err(Error::usage("--tls-key is given without --tls-cert")),
    }
}

fn read_listener(key: &str, text: &str) -> Result<Option<SocketAddr>> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        Error::usage(format!("{key} is {text}, which is not an address and a port"))
            .hint("Such as 127.0.0.1:8480, 0.0.0.0:8480 or [::]:8480; off turns the listener off.")
    })
}

fn read_home(region: &str, account: &str) -> Result<Home> {
    let in_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.is_empty() || 63 < region.len() || !region.bytes().all(in_region) {
        return Err(Error::usage(format!("region is {region}, which is not a region such as us-east-1")));
    }
    if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::usage(format!("account_id is {account}, which does not have 12 digits")));
    }
    Ok(Home::new(region, account))
}

fn read_log_format(text: &str) -> Result<LogFormat> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Error::usage(format!("log_format is {text}, which is neither text nor json"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(change: impl FnOnce(&mut Written)) -> Result<Settings> {
        let mut written = Written::default();
        change(&mut written);
        Settings::read(written)
    }

    #[test]
    fn nothing_written_means_the_defaults() {
        let settings = read(|_| {}).unwrap();
        let (http, https) = (settings.http, settings.https);
        assert_eq!(http, Some(([127, 0, 0, 1], 8480).into()));
        assert_eq!(https, Some(([127, 0, 0, 1], 8443).into()));
        assert_eq!(settings.public_host(http, https).as_str(), "localhost:8443");
        let carillon_store::Location::Sqlite(path) = settings.store.location else {
            panic!("SQLite is the default")
        };
        assert_eq!(path, PathBuf::from("carillon-data/carillon.db"));
        assert_eq!((settings.home.region(), settings.home.account()), ("us-east-1", "000000000000"));
        assert!(!settings.test_clock);
        let plain = read(|written| written.https = Some("off".into())).unwrap();
        assert_eq!(plain.public_host(plain.http, plain.https).as_str(), "localhost:8480");
    }

    #[test]
    fn a_value_without_a_meaning_is_refused_as_usage() {
        type Change = fn(&mut Written);
        let refusals: [(&str, Change); 8] = [
            ("everywhere", |written| written.http = Some("everywhere".into())),
            ("both off", |written| (written.http, written.https) = (Some("off".into()), Some("off".into()))),
            ("--tls-key", |written| written.tls_cert = Some("cert.pem".into())),
            ("nats://bus:x", |written| written.bus = Some("nats://me:secret@bus:x".into())),
            ("Nowhere Land", |written| written.region = Some("Nowhere Land".into())),
            ("12 digits", |written| written.account_id = Some("12".into())),
            ("mysql://db/x", |written| {
                written.store.address = Some("mysql://me:secret@db/x?p=secret".into());
            }),
            ("neither", |written| written.log_format = Some("xml".into())),
        ];
        for (named, change) in refusals {
            let error = read(change).unwrap_err();
            assert_eq!(error.status, crate::error::ExitStatus::Usage);
            assert!(error.to_string().contains(named), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_public_host_is_a_bare_authority() {
        let host =
            |text| PublicHost::parse(text).map(|host| (host.authority.clone(), host.name().to_owned()));
        let is = |authority: &str, name: &str| Ok((authority.to_owned(), name.to_owned()));
        assert_eq!(host("Chat.Example.com:8443"), is("chat.example.com:8443", "chat.example.com"));
        assert_eq!(host("chat.example.com:443"), is("chat.example.com", "chat.example.com"));
        assert_eq!(host("[::1]:8443"), is("[::1]:8443", "::1"));
        assert_eq!(host("10.0.0.1"), is("10.0.0.1", "10.0.0.1"));
        for wrong in [
            "",
            "wss://chat",
            "chat/x",
            "me@chat",
            "chat:port",
            "chat:",
            "chat:0",
            "a b",
            "::1",
            "[chat]",
            "[::1",
            "[::1]x",
        ] {
            assert!(PublicHost::parse(wrong).is_err(), "{wrong}");
        }
    }
}
