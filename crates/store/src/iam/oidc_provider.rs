//! Issuers of JSON web tokens, by their URLs without a scheme.

use carillon_model::Timestamp;

use super::Tag;
use crate::engine::values;
use crate::row::{Written, row, sql};
use crate::{Result, Tx};

/// An issuer whose tokens are taken.
#[derive(Debug, Clone, PartialEq)]
pub struct OidcProvider {
    /// Its URL, without the scheme.
    pub url: String,
    /// The audiences that its tokens may be for.
    pub client_ids: Vec<String>,
    /// The digests of certificates; they are kept and not used.
    pub thumbprints: Vec<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Since when there is one.
    pub created_at: Timestamp,
}

row! { ($) provider_columns:
    fn provider(row) -> OidcProvider { url, client_ids, thumbprints, tags, created_at }
}

/// Adds an issuer; false where it is there already.
pub fn insert(tx: &mut Tx, provider: &OidcProvider) -> Result<bool> {
    let sql = sql!(provider_columns!(INSERT INTO iam_oidc_provider (..)) " ON CONFLICT DO NOTHING");
    Ok(tx.execute(sql, &provider.values(&[]))? == 1)
}

/// The issuer with this URL.
pub fn find(tx: &mut Tx, url: &str) -> Result<Option<OidcProvider>> {
    let sql = sql!("SELECT " provider_columns!() " FROM iam_oidc_provider WHERE url = $1");
    tx.row(sql, values![url], provider)
}

/// All issuers. Their number has a quota.
pub fn all(tx: &mut Tx) -> Result<Vec<OidcProvider>> {
    let sql = sql!("SELECT " provider_columns!() " FROM iam_oidc_provider ORDER BY url");
    tx.rows(sql, &[], provider)
}

/// Writes what may change of an issuer.
pub fn update(tx: &mut Tx, provider: &OidcProvider) -> Result<()> {
    tx.defer(
        "UPDATE iam_oidc_provider SET client_ids = $2, thumbprints = $3, tags = $4 WHERE url = $1",
        values![provider.url, provider.client_ids, provider.thumbprints, provider.tags],
    )
}

/// Takes an issuer away.
pub fn delete(tx: &mut Tx, url: &str) -> Result<()> {
    tx.defer("DELETE FROM iam_oidc_provider WHERE url = $1", values![url])
}
