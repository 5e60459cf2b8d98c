//! `[tls]`: certificates by ACME.

use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::DnsName;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where certificates come from, unless something else is written.
const DIRECTORY_URL: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// How long until the first try after one that failed.
const RETRY_SECONDS: u32 = 60;
/// The most names of a certificate.
const DOMAINS_MAX: usize = 100;

/// `[tls]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    /// Certificates by ACME.
    acme: Acme,
}

/// `[tls.acme]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Acme {
    /// The names of the certificate, which lead here [default: none, and no ACME].
    domains: Vec<String>,
    /// Where the authority may write to [default: nowhere].
    email: Option<String>,
    /// The authority [default: Let's Encrypt].
    directory_url: Option<String>,
    /// The CA of the authority's own certificate [default: those of the system].
    ca_file: Option<PathBuf>,
    /// How names are proven: http-01 or tls-alpn-01 [default: tls-alpn-01, and after a failure the other in turn].
    challenge: Option<String>,
    /// Seconds until the first try after one that failed; it doubles, up to six hours [default: 60].
    retry_seconds: Option<u32>,
}

/// From which authority, and for which names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSettings {
    /// The name that was written first, by which clients call the server unless something else is written.
    pub(crate) first: String,
    /// The names of the certificate, in order.
    pub(crate) domains: Vec<String>,
    /// Where the authority may write to.
    pub(crate) email: Option<String>,
    /// The authority.
    pub(crate) directory_url: String,
    /// The CA of the authority's own certificate, where the system does not know it.
    pub(crate) ca_file: Option<PathBuf>,
    /// How names are proven, by the first that the authority offers: with each try that fails, the next comes first.
    pub(crate) proofs: Vec<Proof>,
    /// How long until the first try after one that failed; it doubles.
    pub(crate) retry: Duration,
}

/// How a name is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// On the HTTP listener, which the authority finds at port 80.
    Http01,
    /// On the HTTPS listener, which it finds at port 443.
    TlsAlpn01,
}

impl Tls {
    /// From which authority, for which names; nothing where no name is written. The first flag says whether
    /// there is an HTTP listener to prove names on, the second whether there is one for HTTPS.
    pub(crate) fn acme(self, (has_http, has_https): (bool, bool)) -> Result<Option<AcmeSettings>> {
        let Acme { domains, email, directory_url, ca_file, challenge, retry_seconds } = self.acme;
        if domains.is_empty() {
            return Ok(None);
        }
        if !has_https {
            return Err(Error::usage("tls.acme.domains is written, and https is off"));
        }
        if DOMAINS_MAX < domains.len() {
            return Err(Error::usage(format!("tls.acme.domains has more than {DOMAINS_MAX} names")));
        }
        let mut domains = domains.iter().map(read_domain).collect::<Result<Vec<_>>>()?;
        let first = domains[0].clone();
        domains.sort();
        domains.dedup();
        let directory_url = directory_url.unwrap_or_else(|| DIRECTORY_URL.to_owned());
        if !directory_url.starts_with("https://") {
            return Err(Error::usage("tls.acme.directory_url must begin with https://"));
        }
        let proofs = match challenge.as_deref() {
            None if has_http => vec![Proof::TlsAlpn01, Proof::Http01],
            None | Some("tls-alpn-01") => vec![Proof::TlsAlpn01],
            Some("http-01") if has_http => vec![Proof::Http01],
            Some("http-01") => return Err(Error::usage("tls.acme.challenge is http-01, and http is off")),
            Some(_) => return Err(Error::usage("tls.acme.challenge must be http-01 or tls-alpn-01")),
        };
        let retry = Duration::from_secs(retry_seconds.unwrap_or(RETRY_SECONDS).max(1).into());
        Ok(Some(AcmeSettings { first, domains, email, directory_url, ca_file, proofs, retry }))
    }
}

/// A name that an authority can prove: no address, and no wildcard, which only DNS proves.
fn read_domain(text: &String) -> Result<String> {
    let name = text.to_ascii_lowercase();
    let is_name = DnsName::try_from(name.as_str()).is_ok() && name.parse::<std::net::IpAddr>().is_err();
    if is_name && !name.ends_with('.') {
        Ok(name)
    } else {
        Err(Error::usage(format!("tls.acme.domains: {text} is not the name of a host"))
            .hint("Such as chat.example.com, without a port and without *."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, has_http: bool) -> Result<Option<AcmeSettings>> {
        let tls: Tls = toml::from_str(text).unwrap();
        tls.acme((has_http, true))
    }

    #[test]
    fn names_are_read_and_the_rest_has_its_defaults() {
        assert_eq!(read("", true).unwrap(), None);
        let settings =
            read("[acme]\ndomains = ['Chat.example.com', 'a.example.com']", true).unwrap().unwrap();
        assert_eq!(settings.domains, ["a.example.com", "chat.example.com"]);
        assert_eq!(
            (settings.first.as_str(), settings.directory_url.as_str()),
            ("chat.example.com", DIRECTORY_URL)
        );
        assert_eq!(settings.proofs, [Proof::TlsAlpn01, Proof::Http01]);
        let settings = read("[acme]\ndomains = ['a.example.com']", false).unwrap().unwrap();
        assert_eq!(settings.proofs, [Proof::TlsAlpn01]);
    }

    #[test]
    fn what_no_authority_could_prove_is_refused() {
        for wrong in [
            "domains = ['*.example.com']",
            "domains = ['10.0.0.1']",
            "domains = ['a.example.com:443']",
            "domains = ['https://a.example.com']",
            "domains = ['a.example.com']\ndirectory_url = 'http://a'",
            "domains = ['a.example.com']\nchallenge = 'dns-01'",
            "domains = ['a.example.com']\nchallenge = 'http-01'",
        ] {
            assert!(read(&format!("[acme]\n{wrong}"), false).is_err(), "{wrong}");
        }
    }
}
