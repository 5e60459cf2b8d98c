//! What was written: on the command line, in the environment, in `carillon.toml`. A flag wins over the
//! environment, which wins over the file.
//!
//! One declaration serves all three: a field is a flag, a variable and a key. Nothing is understood here; to
//! add an option, add a field, its line in `or`, and its meaning in `meaning.rs`.
#![expect(
    rustdoc::invalid_html_tags,
    reason = "what documents a field is what `--help` prints, where <data-dir> is no tag"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::audit::Audit;
use super::bots::Bot;
use super::bus::Nats;
use super::events::Events;
use super::exchange::Exchange;
use super::flows::{Flows, Processor, Target};
use super::limits::Limits;
use super::push;
use super::search::Search;
use super::server::{Door, Metrics};
use super::store::StoreOptions;
use super::streams::{Stream, Streaming};
use super::tls::Tls;
use crate::error::{Error, Result};

/// Every option, as it was written. The variable of an option is its key in capitals after `CARILLON_`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::doc_markdown, reason = "the help shows these words as they stand")]
pub struct Written {
    /// The folder of credentials, certificates and the SQLite file [default: ./carillon-data].
    #[arg(long, env = "CARILLON_DATA_DIR", value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where to listen for plain HTTP, or off [default: 127.0.0.1:8480].
    #[arg(long, env = "CARILLON_HTTP", value_name = "ADDRESS:PORT")]
    pub http: Option<String>,
    /// Where to listen for HTTPS, or off [default: 127.0.0.1:8443].
    #[arg(long, env = "CARILLON_HTTPS", value_name = "ADDRESS:PORT")]
    pub(crate) https: Option<String>,
    /// The certificate chain, in PEM [default: a development certificate].
    ///
    /// Without one, a development CA is made once in <data-dir>/tls/; ca.pem there is the one to trust.
    #[arg(long, env = "CARILLON_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The key of the certificate, in PEM.
    #[arg(long, env = "CARILLON_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Host and port where clients open WebSockets [default: localhost:<https port>].
    ///
    /// This is what GetMessagingSessionEndpoint answers; amazon-chime-sdk-js always speaks wss to it.
    #[arg(long, env = "CARILLON_PUBLIC_HOST", value_name = "HOST:PORT")]
    pub(crate) public_host: Option<String>,
    /// Where the data lives.
    #[command(flatten)]
    pub(crate) store: StoreOptions,
    /// How nodes tell each other of events: local, nats://… or tls://… [default: local].
    ///
    /// With local there is one node. Several hosts stand with commas between them.
    #[arg(long, env = "CARILLON_BUS", value_name = "BUS", hide_env_values = true)]
    pub(crate) bus: Option<String>,
    /// The region in every ARN, and in every signature [default: us-east-1].
    #[arg(long, env = "CARILLON_REGION", value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// The account in every ARN [default: 000000000000].
    #[arg(long, env = "CARILLON_ACCOUNT_ID", value_name = "ACCOUNT")]
    pub(crate) account_id: Option<String>,
    /// Fetch keys of identity providers from private addresses, too [default: false; of dev: true].
    ///
    /// Without it they are fetched over HTTPS and from public addresses only, for the exchange and for STS.
    #[arg(long, env = "CARILLON_ALLOW_PRIVATE_PROVIDERS", value_name = "BOOL", num_args = 0..=1,
        require_equals = true, default_missing_value = "true", hide_possible_values = true,
        value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) allow_private_providers: Option<bool>,
    /// Let POST /_carillon/clock move the service's clock. For tests; never in production.
    #[arg(long, env = "CARILLON_TEST_CLOCK", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", hide_possible_values = true,
        value_parser = clap::builder::BoolishValueParser::new())]
    pub test_clock: Option<bool>,
    /// What to log, such as info or warn,carillon_store=debug [default: info].
    #[arg(long, env = "CARILLON_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// How to write logs: text or json [default: text].
    #[arg(long, env = "CARILLON_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// Functions behind plain HTTP.
    #[arg(skip)]
    pub targets: BTreeMap<String, Target>,
    /// Processors that are built in.
    #[arg(skip)]
    pub processors: BTreeMap<String, Processor>,
    /// How long processors are tried.
    #[arg(skip)]
    pub(crate) flows: Flows,
    /// Push applications.
    #[arg(skip)]
    pub(crate) push: push::Written,
    /// Where records of streams go that are not in Kinesis.
    #[arg(skip)]
    pub(crate) streams: BTreeMap<String, Stream>,
    /// What is streamed.
    #[arg(skip)]
    pub(crate) streaming: Streaming,
    /// Programs of bots that are not at Lex.
    #[arg(skip)]
    pub(crate) bots: BTreeMap<String, Bot>,
    /// Where events for operators go.
    #[arg(skip)]
    pub(crate) events: Events,
    /// Where messages can be searched.
    #[arg(skip)]
    pub(crate) search: Search,
    /// How much of each thing there may be, and how often.
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// Who may have credentials for an application's own token.
    #[arg(skip)]
    pub(crate) exchange: Exchange,
    /// The door: how many, how long, which proxies.
    #[arg(skip)]
    pub(crate) server: Door,
    /// Who sees what is measured.
    #[arg(skip)]
    pub(crate) metrics: Metrics,
    /// Certificates by ACME.
    #[arg(skip)]
    pub(crate) tls: Tls,
    /// The audit log.
    #[arg(skip)]
    pub(crate) audit: Audit,
    /// How the bus is reached.
    #[arg(skip)]
    pub(crate) nats: Nats,
    /// A carillon.toml, whose keys are these options with _ for - [default: none].
    #[arg(long, env = "CARILLON_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
}

impl Written {
    /// Only where the data lies and where to listen, as a program says it that starts a server in itself.
    pub fn in_folder(data_dir: &Path, http: &str, https: &str) -> Self {
        let (http, https) = (Some(http.to_owned()), Some(https.to_owned()));
        Self { data_dir: Some(data_dir.to_owned()), http, https, ..Self::default() }
    }

    /// What a `carillon.toml` with this text says.
    pub fn of_text(text: &str) -> Result<Self> {
        Self::parse(Path::new("carillon.toml"), text)
    }

    /// All that was written, with the file that it names.
    pub(crate) fn with_file(self) -> Result<Self> {
        let exchange = Exchange::from_environment().or(self.exchange.clone());
        let here = Self { exchange, ..self };
        let Some(path) = here.config.clone() else { return Ok(here) };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::usage(format!("the configuration {} cannot be read: {error}", path.display()))
        })?;
        Ok(here.or(Self::parse(&path, &text)?))
    }

    /// What is written here, and for the rest what is written there.
    fn or(self, there: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(there.data_dir),
            http: self.http.or(there.http),
            https: self.https.or(there.https),
            tls_cert: self.tls_cert.or(there.tls_cert),
            tls_key: self.tls_key.or(there.tls_key),
            public_host: self.public_host.or(there.public_host),
            store: self.store.or(there.store),
            bus: self.bus.or(there.bus),
            region: self.region.or(there.region),
            allow_private_providers: self.allow_private_providers.or(there.allow_private_providers),
            account_id: self.account_id.or(there.account_id),
            test_clock: self.test_clock.or(there.test_clock),
            log: self.log.or(there.log),
            log_format: self.log_format.or(there.log_format),
            targets: there.targets,
            processors: there.processors,
            flows: there.flows,
            push: there.push,
            streams: there.streams,
            streaming: there.streaming,
            bots: there.bots,
            events: there.events,
            search: there.search,
            limits: self.limits.or(there.limits),
            exchange: self.exchange.or(there.exchange),
            server: there.server,
            metrics: there.metrics,
            tls: there.tls,
            audit: there.audit,
            nats: there.nats,
            config: self.config.or(there.config),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        let at = |error: &toml::de::Error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            let words = error.message().replace('\n', " ");
            Error::usage(format!("{}, line {line}: {words}", path.display()))
        };
        let table: toml::Table = toml::from_str(text).map_err(|error| at(&error))?;
        if let Some((unknown, known)) = first_unknown(&table, &Self::known()) {
            return Err(Error::usage(format!("{}: there is no setting {unknown}", path.display()))
                .hint(format!("The settings are {}.", known.join(", "))));
        }
        toml::from_str(text).map_err(|error| at(&error))
    }

    /// The keys that a file may have; a table's hold what may be in it.
    fn known() -> serde_json::Map<String, Value> {
        match serde_json::to_value(Self::default()) {
            Ok(Value::Object(known)) => known,
            _ => unreachable!("a structure of texts, numbers and flags is an object"),
        }
    }
}

/// The whole name of the first key that is no option, and those that it may have meant. Of an unknown table, the name
/// is that of what is in it, because that was meant.
fn first_unknown(
    table: &toml::Table,
    known: &serde_json::Map<String, Value>,
) -> Option<(String, Vec<String>)> {
    for (key, value) in table {
        let within = match (known.get(key), value) {
            (None, _) => Some((innermost(key, value), known.keys().cloned().collect())),
            // A table without names of its own, such as `targets`, holds what the operator names.
            (Some(Value::Object(known)), toml::Value::Table(table)) if !known.is_empty() => {
                let whole = |name: String| format!("{key}.{name}");
                let found = first_unknown(table, known);
                found.map(|(name, keys)| (whole(name), keys.into_iter().map(whole).collect()))
            }
            _ => None,
        };
        if within.is_some() {
            return within;
        }
    }
    None
}

fn innermost(key: &str, mut value: &toml::Value) -> String {
    let mut name = key.to_owned();
    while let Some((inner, below)) = value.as_table().and_then(|table| table.iter().next()) {
        name.extend([".", inner]);
        value = below;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Written> {
        Written::of_text(text)
    }

    fn refused(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_here_wins_over_the_file() {
        let here = Written { http: Some("off".to_owned()), ..Written::default() };
        let both = here.or(parse("http = '0.0.0.0:80'\nregion = 'eu-west-1'\ntest_clock = true").unwrap());
        assert_eq!(both.http.as_deref(), Some("off"));
        assert_eq!(both.region.as_deref(), Some("eu-west-1"));
        assert_eq!(both.test_clock, Some(true));
        let off = Written { test_clock: Some(false), ..Written::default() };
        assert_eq!(off.or(both).test_clock, Some(false));
    }

    #[test]
    fn the_file_is_read_where_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("carillon.toml");
        let named = Written { config: Some(path.clone()), ..Written::default() };
        assert!(named.clone().with_file().unwrap_err().to_string().contains("carillon.toml"));
        std::fs::write(&path, "store = 'postgres://db/chat'").unwrap();
        assert_eq!(named.with_file().unwrap().store.address.as_deref(), Some("postgres://db/chat"));
    }

    #[test]
    fn a_key_that_is_no_option_is_refused_by_its_whole_name() {
        assert_eq!(refused("colour = 'red'"), "carillon.toml: there is no setting colour");
        assert_eq!(
            refused("[limits]\nno_such_limit = 1"),
            "carillon.toml: there is no setting limits.no_such_limit"
        );
        assert_eq!(refused("[chat]\nrooms.lobby = 1"), "carillon.toml: there is no setting chat.rooms.lobby");
        assert_eq!(refused("config = 'other.toml'"), "carillon.toml: there is no setting config");
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        assert!(refused("http = '127.0.0.1:1'\nregion = 5").starts_with("carillon.toml, line 2: "));
        assert!(refused("\n\nhttp = ").starts_with("carillon.toml, line 3: "));
    }
}
