//! A certificate with its key, and what a listener shows of it. Where it comes from is not known here.

mod shown;

use std::path::Path;
use std::sync::Arc;

use carillon_model::Timestamp;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub(crate) use shown::{Answer, PROOF_PROTOCOL, Shown};

/// A chain with its key, good for a listener.
pub(crate) struct Pair {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) validity: Validity,
}

/// From when to when a certificate is good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validity {
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl Pair {
    /// From files.
    pub(crate) fn read(cert: &Path, key: &Path) -> std::result::Result<Self, String> {
        let chain = CertificateDer::pem_file_iter(cert);
        let chain = chain.and_then(Iterator::collect::<std::result::Result<_, _>>);
        let chain: Vec<_> = chain.map_err(|error| error.to_string())?;
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| format!("its key {} cannot be read: {error}", key.display()))?;
        Self::of(chain, key)
    }

    /// From texts.
    pub(crate) fn parse(chain: &str, key: &str) -> std::result::Result<Self, String> {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
        let chain = chain.collect::<std::result::Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| error.to_string())?;
        Self::of(chain, key)
    }

    fn of(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> std::result::Result<Self, String> {
        let leaf = chain.first().ok_or("it has no certificate")?;
        let validity = Validity::of(leaf)?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let mut config =
            builder.with_no_client_auth().with_single_cert(chain, key).map_err(|error| error.to_string())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), validity })
    }
}

impl Validity {
    /// Of a certificate.
    fn of(leaf: &CertificateDer<'_>) -> std::result::Result<Self, String> {
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|error| error.to_string())?;
        let validity = parsed.validity();
        let at =
            |time: x509_parser::time::ASN1Time| Timestamp::from_ms(time.timestamp().saturating_mul(1000));
        Ok(Self { not_before: at(validity.not_before), not_after: at(validity.not_after) })
    }
}

pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
