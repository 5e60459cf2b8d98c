//! What the TLS listener shows: a certificate that may be replaced while it is shown, and what proves to a certificate
//! authority that a name leads here.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use carillon_model::Timestamp;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use super::{Pair, Validity, provider};

/// What a client says that asks for a proof (RFC 8737).
pub(crate) const PROOF_PROTOCOL: &[u8] = b"acme-tls/1";

/// What answers one challenge of a certificate authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// The name that is to be proven.
    pub(crate) domain: String,
    /// By which HTTP-01 asks.
    pub(crate) token: String,
    /// What it wants to read.
    pub(crate) authorization: String,
}

/// What is shown.
pub(crate) struct Shown {
    current: ArcSwap<ServerConfig>,
    /// Unix milliseconds; zero where nobody knows.
    not_after_ms: AtomicI64,
    proofs: ArcSwap<Proofs>,
}

#[derive(Default)]
struct Proofs {
    answers: Vec<Answer>,
    certificates: HashMap<String, Arc<CertifiedKey>>,
}

impl Shown {
    /// This, until there is something else.
    pub(crate) fn new(config: Arc<ServerConfig>, validity: Option<Validity>) -> Arc<Self> {
        let shown = Self {
            current: ArcSwap::new(config),
            not_after_ms: AtomicI64::new(0),
            proofs: ArcSwap::default(),
        };
        shown.note(validity);
        Arc::new(shown)
    }

    /// Shows another certificate from here on.
    pub(crate) fn replace(&self, pair: Pair) {
        self.note(Some(pair.validity));
        self.current.store(pair.config);
    }

    fn note(&self, validity: Option<Validity>) {
        let not_after_ms = validity.map_or(0, |validity| validity.not_after.ms());
        self.not_after_ms.store(not_after_ms, Ordering::Relaxed);
    }

    /// When the certificate ends, where that is known.
    pub(crate) fn not_after(&self) -> Option<Timestamp> {
        let ms = self.not_after_ms.load(Ordering::Relaxed);
        (ms != 0).then(|| Timestamp::from_ms(ms))
    }

    /// Answers these challenges from here on, and no others.
    pub(crate) fn prove(&self, answers: Vec<Answer>) -> Result<(), rcgen::Error> {
        if self.proofs.load().answers == answers {
            return Ok(());
        }
        let certificates = answers.iter().map(|answer| Ok((answer.domain.clone(), Arc::new(proof(answer)?))));
        let certificates = certificates.collect::<Result<_, rcgen::Error>>()?;
        self.proofs.store(Arc::new(Proofs { answers, certificates }));
        Ok(())
    }

    /// What HTTP-01 wants to read by this token.
    pub(crate) fn answer(&self, token: &str) -> Option<String> {
        let proofs = self.proofs.load();
        proofs.answers.iter().find(|answer| answer.token == token).map(|answer| answer.authorization.clone())
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if hello.alpn().is_some_and(|mut names| names.any(|name| name == PROOF_PROTOCOL)) {
            let name = hello.server_name()?.to_ascii_lowercase();
            return self.proofs.load().certificates.get(&name).cloned();
        }
        self.current.load().cert_resolver.resolve(hello)
    }
}

/// The certificate that proves a name by TLS-ALPN-01: its own issuer, with the digest of the answer.
fn proof(answer: &Answer) -> Result<CertifiedKey, rcgen::Error> {
    let mut params = CertificateParams::new(vec![answer.domain.clone()])?;
    let digest = digest(&SHA256, answer.authorization.as_bytes());
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
    let key = KeyPair::generate()?;
    let chain = vec![CertificateDer::from(params.self_signed(&key)?)];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = provider().key_provider.load_private_key(key);
    // It is not looked at whether the two match: whoever reads the certificate would stumble over the proof in it.
    Ok(CertifiedKey::new(chain, key.map_err(|_| rcgen::Error::CouldNotParseKeyPair)?))
}
