//! `[server]` and `[metrics]`: how many may be at the door, how long they may take there, which proxies are believed,
//! and who may see what is measured.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::exchange::SharedSecret;
use crate::error::{Error, Result};
use crate::http::{Allowance, BODIES_BYTES_LEAST, Measuring, Patience, Proxies};

/// How long a head may take, from its first byte, or from the connection's beginning.
const HEAD_TIMEOUT_SECONDS: u32 = 10;
/// How long a body may take in all.
const BODY_TIMEOUT_SECONDS: u32 = 60;
/// How fast a body must come, after the first ten seconds.
const BODY_BYTES_PER_SECOND_MIN: u32 = 1024;
/// How long an answer may wait for a client that does not read.
const WRITE_TIMEOUT_SECONDS: u32 = 30;
/// How long a connection may be idle: longer than balancers keep theirs, which is a minute.
const IDLE_TIMEOUT_SECONDS: u32 = 75;
/// The bytes of all bodies that are being read or worked on.
const BODIES_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// The longest that sockets may be spread over.
const DRAIN_SECONDS_MAX: u32 = 3_600;

/// `[server]`: the door.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Door {
    /// Connections in all, sockets included [default: what the open files allow, at most 65536].
    connections_max: Option<u32>,
    /// Connections of one address; a /64 of version 6 is one [default: half of all, at most 16384].
    connections_per_address_max: Option<u32>,
    /// Connections on which nobody has signed yet, from addresses from which nobody has [default: a quarter of all, at
    /// most 1024].
    strangers_max: Option<u32>,
    /// Those of one address [default: half of them, at most 256].
    strangers_per_address_max: Option<u32>,
    /// Seconds for a head [default: 10].
    head_timeout_seconds: Option<u32>,
    /// Seconds for a body [default: 60].
    body_timeout_seconds: Option<u32>,
    /// How fast a body must come after the first ten seconds [default: 1024].
    body_bytes_per_second_min: Option<u32>,
    /// Seconds for which a client may not read its answer [default: 30].
    write_timeout_seconds: Option<u32>,
    /// Seconds between two requests of a connection [default: 75].
    idle_timeout_seconds: Option<u32>,
    /// Bytes of all bodies that are being read or worked on [default: 67108864].
    bodies_bytes_max: Option<u32>,
    /// Seconds over which sockets are closed when the server is told to stop, at most 3600 [default: 0].
    drain_seconds: Option<u32>,
    /// Networks of proxies that are believed where a request comes from [default: none].
    trusted_proxies: Vec<String>,
    /// The listeners where trusted proxies speak the PROXY protocol: off, http, https or both [default: off].
    proxy_protocol: Option<String>,
}

/// `[metrics]`: who sees what is measured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Metrics {
    /// A listener of its own, for nothing else [default: none].
    listen: Option<String>,
    /// What whoever asks must bear [default: nothing; without a listener only this machine may ask].
    token: Option<SharedSecret>,
}

/// What the door is set to.
#[derive(Debug, Clone)]
pub(crate) struct DoorSettings {
    /// How many.
    pub(crate) allowance: Allowance,
    /// How long.
    pub(crate) patience: Patience,
    /// The bytes of all bodies.
    pub(crate) bodies_bytes_max: usize,
    /// Over which time sockets are closed before the rest ends.
    pub(crate) drain: Duration,
    /// Whom it believes.
    pub(crate) proxies: Proxies,
    /// Where it is spoken.
    pub(crate) proxy_protocol: ProxyProtocol,
}

/// The listeners where the PROXY protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ProxyProtocol {
    /// On that of plain HTTP.
    pub(crate) http: bool,
    /// On that of HTTPS.
    pub(crate) https: bool,
}

impl Door {
    /// What it means.
    pub(crate) fn read(self) -> Result<DoorSettings> {
        let seconds = |name: &str, written: Option<u32>, default: u32| match written.unwrap_or(default) {
            0 => Err(Error::usage(format!("server.{name} is 0, which is no time at all"))),
            seconds => Ok(Duration::from_secs(u64::from(seconds))),
        };
        for (name, written) in [
            ("connections_max", self.connections_max),
            ("connections_per_address_max", self.connections_per_address_max),
            ("strangers_max", self.strangers_max),
            ("strangers_per_address_max", self.strangers_per_address_max),
        ] {
            if written == Some(0) {
                return Err(Error::usage(format!("server.{name} is 0, so nobody could connect")));
            }
        }
        let count = |written: Option<u32>| written.map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        let bodies = self.bodies_bytes_max.unwrap_or(BODIES_BYTES_MAX);
        let bodies_bytes_max = usize::try_from(bodies).unwrap_or(usize::MAX);
        if bodies_bytes_max < BODIES_BYTES_LEAST {
            return Err(Error::usage(format!(
                "server.bodies_bytes_max is {bodies}, which is under {BODIES_BYTES_LEAST}"
            )));
        }
        let drain_seconds = self.drain_seconds.unwrap_or_default();
        if DRAIN_SECONDS_MAX < drain_seconds {
            return Err(Error::usage(format!(
                "server.drain_seconds is {drain_seconds}, which is over {DRAIN_SECONDS_MAX}"
            )));
        }
        let (proxies, proxy_protocol) =
            (read_networks(&self.trusted_proxies)?, ProxyProtocol::read(self.proxy_protocol.as_deref())?);
        if proxy_protocol != ProxyProtocol::default() && proxies.is_empty() {
            return Err(Error::usage("server.proxy_protocol is set without server.trusted_proxies")
                .hint("Name the networks of the proxies: only they may say where a client is."));
        }
        Ok(DoorSettings {
            allowance: Allowance {
                all: count(self.connections_max),
                of_address: count(self.connections_per_address_max),
                strangers: count(self.strangers_max),
                strangers_of_address: count(self.strangers_per_address_max),
            },
            patience: Patience {
                head: seconds("head_timeout_seconds", self.head_timeout_seconds, HEAD_TIMEOUT_SECONDS)?,
                body: seconds("body_timeout_seconds", self.body_timeout_seconds, BODY_TIMEOUT_SECONDS)?,
                body_bytes_per_second: self
                    .body_bytes_per_second_min
                    .unwrap_or(BODY_BYTES_PER_SECOND_MIN)
                    .max(1),
                write: seconds("write_timeout_seconds", self.write_timeout_seconds, WRITE_TIMEOUT_SECONDS)?,
                idle: seconds("idle_timeout_seconds", self.idle_timeout_seconds, IDLE_TIMEOUT_SECONDS)?,
            },
            bodies_bytes_max,
            drain: Duration::from_secs(u64::from(drain_seconds)),
            proxies: Proxies::new(proxies),
            proxy_protocol,
        })
    }
}

impl ProxyProtocol {
    fn read(written: Option<&str>) -> Result<Self> {
        let (http, https) = match written {
            None | Some("off") => (false, false),
            Some("http") => (true, false),
            Some("https") => (false, true),
            Some("both") => (true, true),
            Some(text) => {
                return Err(Error::usage(format!(
                    "server.proxy_protocol is {text}, which is none of off, http, https and both"
                )));
            }
        };
        Ok(Self { http, https })
    }
}

impl Metrics {
    /// What it means.
    pub(crate) fn read(self) -> Result<Measuring> {
        let listen = self.listen.filter(|text| text != "off");
        let listen = listen.map(|text| {
            text.parse().map_err(|_| {
                Error::usage(format!("metrics.listen is {text}, which is not an address and a port"))
                    .hint("Such as 127.0.0.1:9480.")
            })
        });
        if self.token.as_ref().is_some_and(|token| token.expose().is_empty()) {
            return Err(Error::usage("metrics.token is empty"));
        }
        Ok(Measuring {
            listen: listen.transpose()?,
            token: self.token.map(|token| token.expose().to_owned().into()),
        })
    }
}

/// Networks, or single addresses.
fn read_networks(texts: &[String]) -> Result<Vec<IpNet>> {
    let read = |text: &String| {
        let network = text.parse::<IpNet>().ok();
        let network = network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        network.ok_or_else(|| {
            Error::usage(format!("server.trusted_proxies has {text}, which is not a network"))
                .hint("Such as 10.0.0.0/8, 192.0.2.7 or fd00::/8.")
        })
    };
    texts.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DoorSettings> {
        toml::from_str::<Door>(text).unwrap().read()
    }

    #[test]
    fn nothing_written_means_the_defaults() {
        let door = read("").unwrap();
        assert_eq!(door.allowance, Allowance::default());
        assert_eq!(door.patience.head, Duration::from_secs(10));
        assert_eq!(door.proxy_protocol, ProxyProtocol::default());
        let metrics = Metrics::default().read().unwrap();
        assert!(metrics.listen.is_none() && metrics.token.is_none());
    }

    #[test]
    fn every_key_reaches_what_it_is_named_for() {
        let door = read(
            "connections_max = 101\nconnections_per_address_max = 102\nstrangers_max = 103
            strangers_per_address_max = 104\nhead_timeout_seconds = 105\nbody_timeout_seconds = 106
            body_bytes_per_second_min = 107\nwrite_timeout_seconds = 108\nidle_timeout_seconds = 109
            bodies_bytes_max = 11000000\ntrusted_proxies = ['10.0.0.0/8', '::1']\nproxy_protocol = 'https'",
        )
        .unwrap();
        let shown = format!("{door:?}");
        for number in (101..=109).map(|number| number.to_string()).chain(["11000000".to_owned()]) {
            assert!(shown.contains(&number), "{number} is not in {shown}");
        }
        assert!(door.proxies.trust("::1".parse().unwrap()) && door.proxy_protocol.https);
    }

    #[test]
    fn what_cannot_hold_is_refused() {
        for (text, named) in [
            ("connections_max = 0", "server.connections_max"),
            ("head_timeout_seconds = 0", "server.head_timeout_seconds"),
            ("bodies_bytes_max = 1000", "server.bodies_bytes_max"),
            ("drain_seconds = 3601", "server.drain_seconds"),
            ("trusted_proxies = ['everybody']", "everybody"),
            ("proxy_protocol = 'http'", "without server.trusted_proxies"),
            ("proxy_protocol = 'v2'", "proxy_protocol is v2"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.status, crate::error::ExitStatus::Usage);
            assert!(error.to_string().contains(named), "{error}");
        }
        let metrics: Metrics = toml::from_str("listen = 'here'").unwrap();
        assert!(metrics.read().unwrap_err().to_string().contains("metrics.listen is here"));
    }
}
