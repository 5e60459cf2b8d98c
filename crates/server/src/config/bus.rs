//! What an operator says about the bus: `--bus`, and `[nats]` of `carillon.toml`.

use std::fmt;
use std::path::PathBuf;

use carillon_delivery::NatsSettings;
use serde::{Deserialize, Serialize};

use super::store::without_secrets;
use crate::error::{Error, Result};

/// The port of NATS.
const PORT: u16 = 4222;

/// `[nats]`: how the bus is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Nats {
    /// A file of credentials, as NATS makes them [default: none].
    creds_file: Option<PathBuf>,
    /// Who signs the servers' certificates, in PEM [default: whom the system trusts].
    ca_file: Option<PathBuf>,
    /// What all subjects begin with: clusters that share one NATS have each another [default: carillon].
    subject_prefix: Option<String>,
}

/// How nodes tell each other of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusAddress {
    /// There is one node.
    Local,
    /// By NATS.
    Nats {
        /// How.
        settings: Box<NatsSettings>,
        /// For people.
        shown: String,
    },
}

impl Nats {
    /// Reads `local`, `nats://…` or `tls://…`.
    pub(super) fn read(self, bus: &str) -> Result<BusAddress> {
        if bus == "local" {
            return if self == Self::default() {
                Ok(BusAddress::Local)
            } else {
                Err(Error::usage("[nats] is given, and the bus is local").hint("Give --bus nats://… too."))
            };
        }
        let shown = without_secrets(bus);
        let refuse = |words: &str| {
            let sentence = format!("bus is {shown}, {words}");
            Err(Error::usage(sentence)
                .hint("Such as local, nats://host:4222, or tls://user:password@one,two."))
        };
        let Some((scheme, rest)) =
            bus.split_once("://").filter(|(scheme, _)| ["nats", "tls"].contains(scheme))
        else {
            return refuse("which is neither local nor nats://… nor tls://…");
        };
        let (user, hosts) = rest.rsplit_once('@').map_or((None, rest), |(user, hosts)| (Some(user), hosts));
        let user = match user.map(|user| user.split_once(':')) {
            None => None,
            Some(Some((name, password))) if !name.is_empty() => Some((decoded(name), decoded(password))),
            Some(_) => return refuse("where a user has no password"),
        };
        let mut servers = Vec::new();
        for host in hosts.split(',') {
            let address = format!("{scheme}://{host}");
            let port = host.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            match port {
                _ if host.is_empty() || host.contains('/') => return refuse("where a host is none"),
                Some(Err(_)) if !host.ends_with(']') => return refuse("where a port is none"),
                Some(Ok(_)) => servers.push(address),
                _ => servers.push(format!("{address}:{PORT}")),
            }
        }
        let prefix = self.subject_prefix.unwrap_or_else(|| "carillon".to_owned());
        let is_token = |token: &str| {
            !token.is_empty()
                && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if !prefix.split('.').all(is_token) {
            return Err(Error::usage(format!(
                "nats.subject_prefix is {prefix}, which is not made of letters, digits, - and _ with dots between"
            )));
        }
        let Self { creds_file, ca_file, .. } = self;
        let settings =
            Box::new(NatsSettings { servers, user, creds_file, ca_file, tls: scheme == "tls", prefix });
        Ok(BusAddress::Nats { settings, shown })
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl fmt::Display for BusAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Nats { shown, .. } => f.write_str(shown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(bus: &str) -> Option<(Vec<String>, bool)> {
        match Nats::default().read(bus) {
            Ok(BusAddress::Nats { settings, shown }) => {
                assert!(!shown.contains("secret"), "{shown}");
                Some((settings.servers, settings.user.is_some()))
            }
            _ => None,
        }
    }

    #[test]
    fn an_address_names_one_server_or_several() {
        let of = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        assert_eq!(servers("nats://bus"), Some((of(&["nats://bus:4222"]), false)));
        assert_eq!(
            servers("tls://me:secret@a:1,[::1]"),
            Some((of(&["tls://a:1", "tls://[::1]:4222"]), true))
        );
        for wrong in ["kafka://bus", "nats://", "nats://a,", "nats://a:x", "nats://me@a", "nats://a/b", ""] {
            assert_eq!(servers(wrong), None, "{wrong}");
        }
        let nats = Nats { subject_prefix: Some("a.b-1".to_owned()), ..Nats::default() };
        assert!(nats.clone().read("local").is_err());
        assert!(nats.read("nats://bus").is_ok());
        for wrong in ["", "a..b", "a.*", "a b", ">"] {
            let nats = Nats { subject_prefix: Some(wrong.to_owned()), ..Nats::default() };
            assert!(nats.read("nats://bus").is_err(), "{wrong}");
        }
    }
}
