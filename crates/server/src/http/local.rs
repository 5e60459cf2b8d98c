//! Whether a request is of this machine: by the host that it names, and the page that it comes from. A page of the web
//! that has its own name point here names that host, and its origin is always its own.

use std::net::IpAddr;

use http::{HeaderMap, header};

use crate::exchange::Exchange;

/// Whether a request names this machine, or this other host.
pub(super) fn host_is(headers: &HeaderMap, other: &str) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_none_or(|host| is_here(host, other))
}

/// Whether a request comes from no page, from one of this machine, or from one that the exchange is told to admit.
pub(super) fn origin_is(headers: &HeaderMap, other: &str, exchange: Option<&Exchange>) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    host.is_some_and(|host| is_here(host, other)) || exchange.is_some_and(|exchange| exchange.names(origin))
}

/// Whether a request names this machine and was not handed on by anybody: then whoever sent it is on this machine.
pub(super) fn is_unforwarded(headers: &HeaderMap) -> bool {
    host_is(headers, "")
        && !["forwarded", "via", "x-forwarded-for", "x-real-ip"]
            .iter()
            .any(|name| headers.contains_key(*name))
}

fn is_here(authority: &str, other: &str) -> bool {
    let colon = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
    let host = colon.map_or(authority, |colon| &authority[..colon]).to_ascii_lowercase();
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return address.to_canonical().is_loopback() || (!other.is_empty() && host == other);
    }
    host == "localhost" || host.ends_with(".localhost") || (!other.is_empty() && host == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_few_names() {
        for here in [
            "localhost",
            "LOCALHOST:8480",
            "127.0.0.1:8480",
            "127.9.9.9",
            "[::1]:8443",
            "chat.localhost",
            "dev:1",
        ] {
            assert!(is_here(here, "dev"), "{here}");
        }
        for elsewhere in [
            "",
            "evil.example",
            "localhost.evil.example:8480",
            "192.0.2.1",
            "[2001:db8::1]:1",
            "notlocalhost",
        ] {
            assert!(!is_here(elsewhere, "dev"), "{elsewhere}");
        }
        assert!(!is_here("dev", ""));
    }

    #[test]
    fn a_page_of_the_web_is_not_of_this_machine() {
        let from = |origin: &str| {
            let headers = HeaderMap::from_iter([(header::ORIGIN, origin.parse().unwrap())]);
            origin_is(&headers, "", None)
        };
        assert!(from("http://localhost:3000") && from("https://127.0.0.1"));
        assert!(!from("https://evil.example") && !from("null") && !from("file://localhost"));
        assert!(origin_is(&HeaderMap::new(), "", None));
    }

    #[test]
    fn what_a_proxy_handed_on_is_not_of_this_machine() {
        let with = |name: &'static str, value: &str| {
            HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
        };
        assert!(is_unforwarded(&with("host", "localhost:8480")));
        assert!(!is_unforwarded(&with("host", "chat.example.com")));
        assert!(!is_unforwarded(&with("x-forwarded-for", "127.0.0.1")));
    }
}
