//! TLS: a certificate from files, or from a development CA that is made once.
//!
//! Only HTTP/1.1 is offered. Who is connected, and whether they may be, is not decided here.

mod development;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use carillon_model::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{Certificate, PublicHost};
use crate::error::{Error, Result};
pub use development::Development;

/// What a listener needs, and what its clients must trust.
pub struct Tls {
    /// The listener's side.
    pub(crate) config: Arc<ServerConfig>,
    /// The CA to trust, where it is our own.
    pub(crate) ca: Option<PathBuf>,
}

impl Tls {
    /// Reads the certificate, or makes one.
    pub fn open(
        certificate: &Certificate,
        data_dir: &Path,
        public_host: &PublicHost,
        now: Timestamp,
    ) -> Result<Self> {
        match certificate {
            Certificate::Files { cert, key } => {
                let config = config(cert, key).map_err(|reason| {
                    Error::failure(format!("the certificate {} cannot be used: {reason}", cert.display()))
                        .hint(
                            "--tls-cert is a chain in PEM, its own certificate first; --tls-key is its key.",
                        )
                })?;
                Ok(Self { config, ca: None })
            }
            Certificate::Development => {
                let development = Development::in_folder(data_dir);
                let config = development.open(public_host.name(), now)?;
                Ok(Self { config, ca: Some(development.ca()) })
            }
        }
    }
}

/// The listener's side of a chain and its key.
fn config(cert: &Path, key: &Path) -> std::result::Result<Arc<ServerConfig>, String> {
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<std::result::Result<_, _>>);
    let chain: Vec<_> = chain.map_err(|error| error.to_string())?;
    if chain.is_empty() {
        return Err("it has no certificate".to_owned());
    }
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| format!("its key {} cannot be read: {error}", key.display()))?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config =
        builder.with_no_client_auth().with_single_cert(chain, key).map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
