//! Whom a request comes from, where proxies stand between: what a trusted one says is believed, what anybody else says
//! is not.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The most hops that are looked at, from the nearest.
const HOPS_MAX: usize = 32;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The networks of proxies that are trusted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Source {
    /// From which address.
    pub(crate) address: IpAddr,
    /// Whether over TLS.
    pub(crate) is_secure: bool,
}

impl Proxies {
    /// These networks.
    pub(crate) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether none is trusted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is one of them.
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Where a request came from, of which the connection says `near`: the nearest hop that is not trusted. A hop that
    /// is no address ends the search, since nothing behind it is vouched for.
    pub(crate) fn source(&self, near: Source, headers: &HeaderMap) -> Source {
        if !self.trust(near.address) {
            return near;
        }
        let mut source = near;
        for hop in from_the_right(headers, &FORWARDED_FOR).take(HOPS_MAX) {
            let Some(address) = parse_hop(hop) else { break };
            source.address = address;
            if !self.trust(address) {
                break;
            }
        }
        if let Some(scheme) = from_the_right(headers, &FORWARDED_PROTO).next() {
            source.is_secure = scheme.eq_ignore_ascii_case("https");
        }
        source
    }
}

/// The parts of a list that may stand in several headers, the last first.
fn from_the_right<'a>(headers: &'a HeaderMap, name: &'a HeaderName) -> impl Iterator<Item = &'a str> {
    let values: Vec<&str> = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?")).collect();
    values.into_iter().rev().flat_map(|value| value.rsplit(',')).map(str::trim)
}

/// An address, as proxies write it: some add a port.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let plain = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = plain.parse().ok().or_else(|| Some(text.parse::<std::net::SocketAddr>().ok()?.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(near: &str, headers: &[(&HeaderName, &str)]) -> (String, bool) {
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let source = proxies.source(Source { address: near.parse().unwrap(), is_secure: false }, &map);
        (source.address.to_string(), source.is_secure)
    }

    #[test]
    fn the_nearest_hop_that_is_not_trusted_is_the_client() {
        for (near, said, client) in [
            ("10.0.0.1", "203.0.113.5", "203.0.113.5"),
            ("10.0.0.1", "1.1.1.1, 203.0.113.5", "203.0.113.5"),
            ("10.0.0.1", "1.1.1.1, 203.0.113.5, 10.0.0.2", "203.0.113.5"),
            ("10.0.0.1", "203.0.113.5:4711,10.0.0.2", "203.0.113.5"),
            ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:10.0.0.1", "2001:db8::1", "2001:db8::1"),
            ("fd00::1", "::ffff:203.0.113.5", "203.0.113.5"),
            ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("10.0.0.1", "203.0.113.5, unknown, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("192.0.2.1", "203.0.113.5", "192.0.2.1"),
        ] {
            assert_eq!(source(near, &[(&FORWARDED_FOR, said)]).0, client, "{near} says {said}");
        }
        let two = [(&FORWARDED_FOR, "203.0.113.5"), (&FORWARDED_FOR, "10.0.0.2")];
        assert_eq!(source("10.0.0.1", &two).0, "203.0.113.5");
    }

    #[test]
    fn a_trusted_proxy_says_whether_it_was_tls() {
        assert!(source("10.0.0.1", &[(&FORWARDED_PROTO, "https")]).1);
        assert!(source("10.0.0.1", &[(&FORWARDED_PROTO, "http, HTTPS")]).1);
        assert!(!source("10.0.0.1", &[(&FORWARDED_PROTO, "https, http")]).1);
        assert!(!source("192.0.2.1", &[(&FORWARDED_PROTO, "https")]).1);
    }
}
