//! What the store keeps for all nodes, sealed: the certificate with its key, the account, the answers to challenges.

use std::sync::Arc;

use carillon_auth::Sealer;
use carillon_model::Timestamp;
use carillon_store::{self as store, Tx};
use data_encoding::HEXLOWER;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::certificate::Answer;
use crate::config::AcmeSettings;

/// What they are sealed for, and what their names in the store begin with.
pub(crate) const PURPOSE: &str = "acme";

/// What is known of the certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The chain in PEM; nothing while there is none.
    pub(super) chain: String,
    /// Its key in PEM.
    pub(super) key: String,
    /// When it is to be renewed.
    pub(super) renew_at_ms: i64,
    /// When the authority is to be asked again when that is.
    pub(super) ask_at_ms: i64,
    /// How many tries have failed since the last that did not.
    pub(super) failures: u32,
    /// Before which there is no other try.
    pub(super) try_at_ms: i64,
}

impl Record {
    /// Whether a certificate is to be ordered now.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.try_at_ms <= now.ms() && (self.chain.is_empty() || self.renew_at_ms <= now.ms())
    }

    /// Whether the authority is to be asked now when to renew.
    pub(super) fn is_to_ask(&self, now: Timestamp) -> bool {
        !self.chain.is_empty() && self.ask_at_ms.max(self.try_at_ms) <= now.ms()
    }
}

/// Reads and writes it. A secret that no master key opens is as one that is not there: it is had anew.
#[derive(Clone)]
pub(super) struct Kept {
    sealer: Arc<Sealer>,
    record: String,
    account: String,
    answers: String,
}

impl Kept {
    /// Of these names at this authority.
    pub(super) fn new(settings: &AcmeSettings, sealer: Sealer) -> Self {
        let (directory, domains) = (&settings.directory_url, settings.domains.join(","));
        Self {
            sealer: Arc::new(sealer),
            record: format!("{PURPOSE} certificate {domains} {directory}"),
            account: format!("{PURPOSE} account {directory}"),
            answers: format!("{PURPOSE} answers"),
        }
    }

    /// The certificate, and the answers that are wanted at present.
    pub(super) fn look(&self, tx: &mut Tx) -> store::Result<(Record, Vec<Answer>)> {
        let record = self.find(tx, &self.record)?.unwrap_or_default();
        Ok((record, self.find(tx, &self.answers)?.unwrap_or_default()))
    }

    /// The account's credentials, as JSON.
    pub(super) fn account(&self, tx: &mut Tx) -> store::Result<Option<serde_json::Value>> {
        self.find(tx, &self.account)
    }

    pub(super) fn set_record(&self, tx: &mut Tx, record: &Record, nonce: [u8; 12]) -> store::Result<()> {
        self.set(tx, &self.record, record, nonce)
    }

    pub(super) fn set_account(
        &self,
        tx: &mut Tx,
        account: &serde_json::Value,
        nonce: [u8; 12],
    ) -> store::Result<()> {
        self.set(tx, &self.account, account, nonce)
    }

    pub(super) fn set_answers(&self, tx: &mut Tx, answers: &[Answer], nonce: [u8; 12]) -> store::Result<()> {
        self.set(tx, &self.answers, &answers, nonce)
    }

    fn find<T: DeserializeOwned>(&self, tx: &mut Tx, name: &str) -> store::Result<Option<T>> {
        let Some(text) = store::setting::find(tx, name)? else { return Ok(None) };
        let sealed = HEXLOWER.decode(text.as_bytes()).unwrap_or_default();
        let opened = self.sealer.open(name.as_bytes(), &sealed);
        Ok(opened.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    fn set(&self, tx: &mut Tx, name: &str, value: &impl Serialize, nonce: [u8; 12]) -> store::Result<()> {
        let text =
            zeroize::Zeroizing::new(serde_json::to_vec(value).expect("texts and numbers always serialize"));
        store::setting::set(tx, name, &HEXLOWER.encode(&self.sealer.seal(nonce, name.as_bytes(), &text)))
    }
}
