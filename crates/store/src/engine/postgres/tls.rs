//! TLS to PostgreSQL, with what libpq's `sslmode` means for certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Error, Result};

/// What is checked of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing: what is said is encrypted, but to whom is not known.
    Nothing,
    /// That a known authority has issued it.
    Chain,
    /// And that it is for the host of the address.
    Name,
}

/// The files of an address.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The authorities; where there is none, or it is `system`, the system's.
    pub(super) roots: Option<PathBuf>,
    /// A certificate of one's own, and its key.
    pub(super) own: Option<(PathBuf, PathBuf)>,
}

/// Makes what connects.
pub(super) fn connector(check: Check, files: &Files) -> Result<MakeRustlsConnect> {
    let provider = aws_lc_rs::default_provider();
    let verifier = Verifier {
        roots: if check == Check::Nothing { None } else { Some(roots(files.roots.as_deref())?) },
        is_for_name: check == Check::Name,
        algorithms: provider.signature_verification_algorithms,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::broken(format!("TLS cannot be used: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &files.own {
        None => builder.with_no_client_auth(),
        Some((certificates, key)) => {
            let read = PrivateKeyDer::from_pem_file(key).map_err(|error| unread("sslkey", key, &error))?;
            builder.with_client_auth_cert(certificates_of("sslcert", certificates)?, read).map_err(
                |error| Error::broken(format!("sslcert and sslkey do not belong together: {error}")),
            )?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn roots(file: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match file.filter(|file| *file != Path::new("system")) {
        Some(file) => {
            for certificate in certificates_of("sslrootcert", file)? {
                roots.add(certificate).map_err(|error| unread("sslrootcert", file, &error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(Error::broken(
            "there is no certificate authority to trust: name a file with sslrootcert",
        ));
    }
    Ok(roots)
}

fn certificates_of(option: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(file)?.collect::<std::result::Result<Vec<_>, _>>();
    let certificates = read().map_err(|error| unread(option, file, &error))?;
    if certificates.is_empty() {
        return Err(Error::broken(format!("{option}: {} holds no certificate", file.display())));
    }
    Ok(certificates)
}

fn unread(option: &str, file: &Path, error: &dyn std::error::Error) -> Error {
    Error::broken(format!("{option}: {} cannot be used: {error}", file.display()))
}

#[derive(Debug)]
struct Verifier {
    /// Nothing is checked without.
    roots: Option<RootCertStore>,
    is_for_name: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
            if self.is_for_name {
                verify_server_name(&certificate, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
