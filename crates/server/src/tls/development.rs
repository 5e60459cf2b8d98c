//! The development CA: made once, and trusted by whoever points their client at `ca.pem`. The leaf that it
//! signs is made anew when it is about to end or when the public host is another.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use carillon_model::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{RootCertStore, ServerConfig};

use crate::certificate::{Pair, provider};
use crate::error::{Error, Result};
use crate::private_file::{self, PRIVATE, PUBLIC};

const DAY: Duration = Duration::from_hours(24);
/// How long the CA lives: it is trusted by hand, and must not have to be often.
const CA_DAYS: u32 = 3_650;
/// How long a leaf lives: the most that Apple's clients accept is 825 days.
const LEAF_DAYS: u32 = 800;
/// A leaf with less left is made anew at the next start.
const LEFT_DAYS_MIN: u32 = 30;
/// Clients whose clocks are behind must not find a certificate that is not yet valid.
const BEFORE_DAYS: u32 = 2;
/// The names that every leaf has, beside the public host.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

type Reason = Box<dyn std::error::Error + Send + Sync>;

/// The files of the development CA.
pub struct Development {
    folder: PathBuf,
}

impl Development {
    /// Those in this data folder.
    pub fn in_folder(data_dir: &Path) -> Self {
        Self { folder: data_dir.join("tls") }
    }

    /// The certificate to trust.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    fn ca_key(&self) -> PathBuf {
        self.folder.join("ca-key.pem")
    }

    fn leaf(&self) -> PathBuf {
        self.folder.join("leaf.pem")
    }

    fn leaf_key(&self) -> PathBuf {
        self.folder.join("leaf-key.pem")
    }

    /// The listener's side, with whatever is missing made.
    pub fn open(&self, host: &str, now: Timestamp) -> Result<Arc<ServerConfig>> {
        let make = || -> std::result::Result<Arc<ServerConfig>, Reason> {
            std::fs::create_dir_all(&self.folder)?;
            if !self.ca().exists() {
                self.make_ca(now)?;
            }
            if let Ok(config) = self.find(host, now) {
                return Ok(config);
            }
            self.make_leaf(host, now)?;
            self.find(host, now)
        };
        make().map_err(|reason| {
            Error::failure(format!("the certificate in {} cannot be used: {reason}", self.folder.display()))
                .hint("Remove that folder to have a new CA made, which clients must then be told to trust.")
        })
    }

    /// The listener's side, if there is a leaf that its clients will accept for a while yet.
    pub fn find(&self, host: &str, now: Timestamp) -> std::result::Result<Arc<ServerConfig>, Reason> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.ca())?)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
        let leaf = CertificateDer::from_pem_file(self.leaf())?;
        let until = seconds(now) + DAY * LEFT_DAYS_MIN;
        for name in NAMES.into_iter().chain([host]) {
            use rustls::client::danger::ServerCertVerifier as _;
            let (name, until) = (ServerName::try_from(name)?, UnixTime::since_unix_epoch(until));
            verifier.verify_server_cert(&leaf, &[], &name, &[], until)?;
        }
        Ok(Pair::read(&self.leaf(), &self.leaf_key())?.config)
    }

    fn make_ca(&self, now: Timestamp) -> std::result::Result<(), Reason> {
        let key = KeyPair::generate()?;
        let certificate = ca_params(now)?.self_signed(&key)?;
        private_file::write(&self.ca_key(), &key.serialize_pem(), PRIVATE)?;
        private_file::write(&self.ca(), &certificate.pem(), PUBLIC)?;
        tracing::info!(path = %self.ca().display(), "made a development CA");
        Ok(())
    }

    fn make_leaf(&self, host: &str, now: Timestamp) -> std::result::Result<(), Reason> {
        let ca_key = KeyPair::from_pem(&std::fs::read_to_string(self.ca_key())?)?;
        // Of the CA's certificate, a leaf repeats only the name and what follows from the key.
        let issuer = Issuer::new(ca_params(now)?, ca_key);
        let mut names: Vec<String> = NAMES.map(str::to_owned).to_vec();
        if !NAMES.contains(&host) {
            names.push(host.to_owned());
        }
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "Carillon");
        limit(&mut params, now, LEAF_DAYS);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        private_file::write(&self.leaf_key(), &key.serialize_pem(), PRIVATE)?;
        private_file::write(&self.leaf(), &certificate.pem(), PUBLIC)?;
        tracing::info!(path = %self.leaf().display(), host, "made a development certificate");
        Ok(())
    }
}

fn ca_params(now: Timestamp) -> std::result::Result<CertificateParams, Reason> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Carillon development CA");
    limit(&mut params, now, CA_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn limit(params: &mut CertificateParams, now: Timestamp, days: u32) {
    let now = date_time_ymd(1970, 1, 1) + seconds(now);
    params.not_before = now - DAY * BEFORE_DAYS;
    params.not_after = now + DAY * days;
}

/// Since 1970.
fn seconds(time: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(time.ms() / 1000).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_768_478_400_000);

    fn later(days: i64) -> Timestamp {
        NOW.plus_ms(days * 86_400_000)
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn ca_and_leaf_are_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let development = Development::in_folder(folder.path());
        assert!(development.find("localhost", NOW).is_err());
        let config = development.open("localhost", NOW).unwrap();
        assert_eq!(config.alpn_protocols, [b"http/1.1"]);
        let (ca, leaf) = (read(&development.ca()), read(&development.leaf()));
        development.open("localhost", NOW).unwrap();
        assert_eq!((read(&development.ca()), read(&development.leaf())), (ca, leaf));
        for key in [development.ca_key(), development.leaf_key()] {
            assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, PRIVATE);
        }
    }

    #[test]
    fn the_leaf_has_the_public_host_and_is_made_anew_for_another() {
        let folder = tempfile::tempdir().unwrap();
        let development = Development::in_folder(folder.path());
        development.open("localhost", NOW).unwrap();
        let ca = read(&development.ca());
        for host in ["chat.example.test", "10.1.2.3", "fd00::1"] {
            assert!(development.find(host, NOW).is_err(), "{host}");
            development.open(host, NOW).unwrap();
            assert!(development.find(host, NOW).is_ok(), "{host}");
        }
        assert_eq!(read(&development.ca()), ca);
    }

    #[test]
    fn the_leaf_is_made_anew_before_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let development = Development::in_folder(folder.path());
        development.open("localhost", NOW).unwrap();
        assert!(development.find("localhost", later(700)).is_ok());
        assert!(development.find("localhost", later(790)).is_err());
        let ca = read(&development.ca());
        development.open("localhost", later(790)).unwrap();
        assert_eq!(read(&development.ca()), ca);
    }

    #[test]
    fn a_key_of_another_leaf_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let development = Development::in_folder(folder.path());
        development.open("localhost", NOW).unwrap();
        std::fs::write(development.leaf_key(), KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(development.find("localhost", NOW).is_err());
        development.open("localhost", NOW).unwrap();
    }
}
