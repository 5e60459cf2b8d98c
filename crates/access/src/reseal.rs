//! Sealing anew: when another master key comes first, what is stored is sealed with it, so that the old one can go.

use std::sync::Arc;

use carillon_auth::{KeyRing, Sealer};
use carillon_store::{self as store, Lane, Tx};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::Access;

/// How many secrets a step looks at.
const STEP_LEN: i64 = 100;

/// What became of the secrets in the store.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Resealed {
    /// How many were sealed with the first key already.
    pub kept: usize,
    /// How many are sealed with it now.
    pub sealed: usize,
    /// How many no key opens.
    pub unreadable: usize,
}

impl Access {
    /// Seals with the first master key what the store holds under others. Cut short, it is taken up the next time.
    pub async fn reseal(self: &Arc<Self>, mut seed: impl FnMut() -> [u8; 32]) -> store::Result<Resealed> {
        let (mut all, mut next) = (Resealed::default(), Some(String::new()));
        while let Some(after) = next {
            let (access, seed) = (self.clone(), seed());
            let step = move |tx: &mut Tx| step(tx, &access.secrets, &after, seed);
            let (step, rest) = self.store.write(Lane::Account, step).await?;
            all.kept += step.kept;
            all.sealed += step.sealed;
            all.unreadable += step.unreadable;
            next = rest;
        }
        Ok(all)
    }
}

/// How many of the secrets in the store none of these keys opens. It changes nothing.
pub fn count_unreadable(tx: &mut Tx, keys: &KeyRing) -> store::Result<usize> {
    let (sealer, mut unreadable, mut after) = (keys.sealer(crate::ACCESS_KEYS), 0, String::new());
    loop {
        let keys = store::iam::access_key::list_sealed(tx, &after, STEP_LEN)?;
        unreadable += keys.iter().filter(|(id, sealed)| sealer.open(id.as_bytes(), sealed).is_none()).count();
        let Some((id, _)) = keys.into_iter().next_back() else { return Ok(unreadable) };
        after = id;
    }
}

/// Looks at the access keys after this one; where more may follow, after which.
fn step(
    tx: &mut Tx,
    sealer: &Sealer,
    after: &str,
    seed: [u8; 32],
) -> store::Result<(Resealed, Option<String>)> {
    let mut random = StdRng::from_seed(seed);
    let keys = store::iam::access_key::list_sealed(tx, after, STEP_LEN)?;
    let mut done = Resealed::default();
    for (id, sealed) in &keys {
        match sealer.open(id.as_bytes(), sealed) {
            None => done.unreadable += 1,
            Some(_) if sealer.is_current(sealed) => done.kept += 1,
            Some(secret) => {
                let mut nonce = [0; carillon_auth::seal::NONCE_BYTES];
                random.fill_bytes(&mut nonce);
                store::iam::access_key::reseal(tx, id, &sealer.seal(nonce, id.as_bytes(), &secret))?;
                done.sealed += 1;
            }
        }
    }
    let is_full = i64::try_from(keys.len()).is_ok_and(|length| length == STEP_LEN);
    Ok((done, keys.into_iter().next_back().map(|(id, _)| id).filter(|_| is_full)))
}

#[cfg(test)]
mod tests {
    use carillon_macros::engine_test;
    use carillon_model::Timestamp;
    use carillon_store::iam::AccessKey;
    use carillon_store::testing::{Schema, in_folder};
    use carillon_store::{Location, Sink, Store};

    use super::*;

    /// A store of a test.
    struct World(Store);

    impl World {
        fn on_sqlite(test: fn(&mut Self)) {
            let folder = tempfile::tempdir().unwrap();
            Self::on(&in_folder(folder.path()), test);
        }

        fn on_postgres(test: fn(&mut Self)) {
            let schema = Schema::new();
            Self::on(&schema.location(), test);
        }

        fn on(location: &Location, test: fn(&mut Self)) {
            let sink: Sink = Arc::new(|_| {});
            test(&mut Self(Store::open(location, 0, &sink).unwrap()));
        }

        fn step<T: Send + 'static>(&self, step: impl Fn(&mut Tx) -> store::Result<T> + Send + 'static) -> T {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(self.0.write(Lane::Account, step)).unwrap()
        }
    }

    fn sealer(keys: &[u8]) -> Sealer {
        let text: Vec<String> = keys.iter().map(|key| format!("{key:02x}").repeat(32)).collect();
        KeyRing::parse(&text.join(",")).unwrap().sealer(crate::ACCESS_KEYS)
    }

    fn keep(world: &mut World, keys: &'static [u8], id: &'static str) {
        world.step(move |tx| {
            let sealed_secret =
                sealer(keys).seal([1; 12], id.as_bytes(), format!("secret of {id}").as_bytes());
            let (id, principal) = (id.to_owned(), "AIDA".to_owned());
            let created_at = Timestamp::from_ms(0);
            let key = AccessKey { id, principal, sealed_secret, active: true, created_at };
            store::iam::access_key::insert(tx, &key)
        });
    }

    fn run(world: &mut World, keys: &'static [u8], after: &'static str) -> Resealed {
        world.step(move |tx| step(tx, &sealer(keys), after, [3; 32])).0
    }

    #[engine_test]
    fn what_an_older_key_has_sealed_is_sealed_with_the_first(world: &mut World) {
        keep(world, &[1], "AKIA1");
        keep(world, &[2], "AKIA2");
        keep(world, &[3], "AKIA3");
        let once = run(world, &[2, 1], "");
        assert_eq!(once, Resealed { kept: 1, sealed: 1, unreadable: 1 });
        assert_eq!(run(world, &[2, 1], ""), Resealed { kept: 2, sealed: 0, unreadable: 1 });
        assert_eq!(run(world, &[2], "AKIA1"), Resealed { kept: 1, sealed: 0, unreadable: 1 });
        let sealed = world.step(|tx| store::iam::access_key::list_sealed(tx, "", 1));
        let (id, sealed) = &sealed[0];
        let opened = sealer(&[2]).open(id.as_bytes(), sealed).unwrap();
        assert_eq!(opened.as_slice(), b"secret of AKIA1");
    }
}
