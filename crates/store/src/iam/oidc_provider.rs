//! Issuers of JSON web tokens, by their URLs without a scheme.

use carillon_model::Timestamp;

use super::{Tag, from_json, to_json};
use crate::engine::{Row, values};
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

/// Adds an issuer; false where it is there already.
pub fn insert(tx: &mut Tx, provider: &OidcProvider) -> Result<bool> {
    let count = tx.execute(
        "INSERT INTO iam_oidc_provider (url, client_ids, thumbprints, tags, created_at)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        values![
            provider.url,
            to_json(&provider.client_ids),
            to_json(&provider.thumbprints),
            to_json(&provider.tags),
            provider.created_at
        ],
    )?;
    Ok(count == 1)
}

/// The issuer with this URL.
pub fn find(tx: &mut Tx, url: &str) -> Result<Option<OidcProvider>> {
    let sql = "SELECT url, client_ids, thumbprints, tags, created_at FROM iam_oidc_provider WHERE url = $1";
    tx.row(sql, values![url], provider)
}

/// All issuers. Their number has a quota.
pub fn all(tx: &mut Tx) -> Result<Vec<OidcProvider>> {
    let sql = "SELECT url, client_ids, thumbprints, tags, created_at FROM iam_oidc_provider ORDER BY url";
    tx.rows(sql, &[], provider)
}

/// Writes what may change of an issuer.
pub fn update(tx: &mut Tx, provider: &OidcProvider) -> Result<()> {
    tx.defer(
        "UPDATE iam_oidc_provider SET client_ids = $2, thumbprints = $3, tags = $4 WHERE url = $1",
        values![
            provider.url,
            to_json(&provider.client_ids),
            to_json(&provider.thumbprints),
            to_json(&provider.tags)
        ],
    )
}

/// Takes an issuer away.
pub fn delete(tx: &mut Tx, url: &str) -> Result<()> {
    tx.defer("DELETE FROM iam_oidc_provider WHERE url = $1", values![url])
}

fn provider(row: &Row<'_>) -> Result<OidcProvider> {
    Ok(OidcProvider {
        url: row.get(0)?,
        client_ids: from_json(&row.get::<String>(1)?)?,
        thumbprints: from_json(&row.get::<String>(2)?)?,
        tags: from_json(&row.get::<String>(3)?)?,
        created_at: row.get(4)?,
    })
}
