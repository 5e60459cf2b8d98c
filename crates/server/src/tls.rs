//! TLS: a certificate from files, by ACME, or from a development CA that is made once.
//!
//! Only HTTP/1.1 is offered. Who is connected, and whether they may be, is not decided here.

pub(crate) mod acme;
mod development;
pub(crate) mod files;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use carillon_model::Timestamp;
use rustls::ServerConfig;

use crate::certificate::{PROOF_PROTOCOL, Pair, Shown, provider};
use crate::config::{Certificate, PublicHost};
use crate::error::{Error, Result};
pub use development::Development;
use files::Files;

/// What a listener needs, and what its clients must trust.
pub struct Tls {
    /// The listener's side.
    pub(crate) config: Arc<ServerConfig>,
    /// The CA to trust, where it is our own.
    pub(crate) ca: Option<PathBuf>,
    /// What it shows, which may be replaced.
    pub(crate) shown: Arc<Shown>,
    /// The files that are looked at, where it comes from files.
    pub(crate) files: Option<Arc<Files>>,
}

impl Tls {
    /// Reads the certificate, or makes one. By ACME there is none yet: until it comes from the store, the development
    /// CA stands in.
    pub fn open(
        certificate: &Certificate,
        data_dir: &Path,
        public_host: &PublicHost,
        now: Timestamp,
    ) -> Result<Self> {
        match certificate {
            Certificate::Files { cert, key } => {
                let pair = Pair::read(cert, key).map_err(|reason| {
                    Error::failure(format!("the certificate {} cannot be used: {reason}", cert.display()))
                        .hint(
                            "--tls-cert is a chain in PEM, its own certificate first; --tls-key is its key.",
                        )
                })?;
                let shown = Shown::new(pair.config, Some(pair.validity));
                let files = Some(Arc::new(Files::new(cert, key, shown.clone())));
                Ok(Self { config: showing(&shown, false)?, ca: None, shown, files })
            }
            Certificate::Development | Certificate::Acme(_) => {
                let development = Development::in_folder(data_dir);
                let shown = Shown::new(development.open(public_host.name(), now)?, None);
                let is_by_acme = matches!(certificate, Certificate::Acme(_));
                let config = showing(&shown, is_by_acme)?;
                Ok(Self { config, ca: (!is_by_acme).then(|| development.ca()), shown, files: None })
            }
        }
    }
}

/// The listener's side of what is shown; whether it also proves names to a certificate authority.
fn showing(shown: &Arc<Shown>, proves: bool) -> Result<Arc<ServerConfig>> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Error::failure(format!("TLS cannot be spoken: {error}")))?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(shown.clone());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if proves {
        config.alpn_protocols.push(PROOF_PROTOCOL.to_vec());
    }
    Ok(Arc::new(config))
}
