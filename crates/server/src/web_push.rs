//! The keys by which push services of browsers know us: made once for each push application, and kept in the store,
//! sealed. Browsers subscribe with the public half, so whoever loses a key loses their subscriptions.

use std::collections::HashMap;

use carillon_auth::KeyRing;
use carillon_store::{self as store, Lane, Store, Tx};
use carillon_targets::push::VapidKey;
use data_encoding::HEXLOWER;
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::config::push::Written;
use crate::error::{Error, Result};

/// What they are sealed for, and where the store keeps them: under this, a space, and the ARN.
pub(crate) const PURPOSE: &str = "web push";

/// The keys of all applications that notify browsers, by their ARNs; those that are missing are made. Nodes that start
/// together agree on the first.
pub(crate) async fn open_keys(
    written: &Written,
    store: &Store,
    keys: &KeyRing,
    random: &mut StdRng,
) -> Result<HashMap<String, Vec<u8>>> {
    let mut opened = HashMap::new();
    for (arn, _) in written.iter().filter(|(_, application)| application.web_push.is_some()) {
        opened.insert(arn.clone(), open_key(arn, store, keys, random).await?);
    }
    Ok(opened)
}

async fn open_key(arn: &str, store: &Store, keys: &KeyRing, random: &mut StdRng) -> Result<Vec<u8>> {
    let (sealer, name) = (keys.sealer(PURPOSE), format!("{PURPOSE} {arn}"));
    let made = VapidKey::generate().ok_or_else(|| Error::failure("no key for browsers can be made"))?;
    let seal = |key: &[u8], nonce| HEXLOWER.encode(&sealer.seal(nonce, name.as_bytes(), key));
    let (value, setting) = (seal(&made, random.random()), name.clone());
    let kept = store.write(Lane::Account, move |tx: &mut Tx| {
        if let Some(kept) = store::setting::find(tx, &setting)? {
            return Ok(kept);
        }
        store::setting::set(tx, &setting, &value)?;
        Ok::<_, store::Error>(value.clone())
    });
    let unread = |error: store::Error| Error::failure(format!("the store cannot be used: {error}"));
    let bytes = HEXLOWER.decode(kept.await.map_err(unread)?.as_bytes()).unwrap_or_default();
    let Some(key) = sealer.open(name.as_bytes(), &bytes) else {
        let sentence = format!("no master key opens the key by which browsers are notified for {arn}");
        return Err(Error::failure(sentence).hint(
            "Give the key that it was sealed with too, after the new one: CARILLON_MASTER_KEY=new,old. Without \
             it, delete its row of the table setting; all browsers must subscribe anew.",
        ));
    };
    if !sealer.is_current(&bytes) {
        let (value, setting) = (seal(&key, random.random()), name);
        let resealed =
            store.write(Lane::Account, move |tx: &mut Tx| store::setting::set(tx, &setting, &value));
        resealed.await.map_err(unread)?;
    }
    Ok(key.to_vec())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use carillon_store::Location;
    use rand::SeedableRng as _;

    use super::*;

    const ARN: &str = "arn:aws:mobiletargeting:us-east-1:000000000000:apps/1f";

    #[tokio::test]
    async fn a_key_is_made_once_and_outlives_a_new_master_key_but_not_its_loss() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().join("carillon.db"));
        let open = tokio::task::spawn_blocking(move || Store::open(&location, 0, &(Arc::new(|_| {}) as _)));
        let store = open.await.unwrap().unwrap();
        let ring = |keys: &[&str]| {
            KeyRing::parse(&keys.iter().map(|key| key.repeat(32)).collect::<Vec<_>>().join(",")).unwrap()
        };
        let mut random = StdRng::seed_from_u64(1);
        let first = open_key(ARN, &store, &ring(&["01"]), &mut random).await.unwrap();
        assert_eq!(open_key(ARN, &store, &ring(&["01"]), &mut random).await.unwrap(), first);
        assert_eq!(open_key(ARN, &store, &ring(&["02", "01"]), &mut random).await.unwrap(), first);
        assert_eq!(open_key(ARN, &store, &ring(&["02"]), &mut random).await.unwrap(), first);
        let lost = open_key(ARN, &store, &ring(&["03"]), &mut random).await.unwrap_err();
        assert!(lost.to_string().contains(ARN), "{lost}");
        tokio::task::spawn_blocking(move || drop(store)).await.unwrap();
    }
}
