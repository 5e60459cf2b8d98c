//! The service: the store, and everything that a call needs to know of its surroundings.

use std::sync::{Arc, Mutex, PoisonError};

use carillon_auth::{Secret, Verifier};
use carillon_model::Key;
use carillon_model::arn::Home;
use carillon_store::Store;
use rand::Rng;
use rand::rngs::StdRng;

use crate::call::Call;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::operation::{Incoming, Operation, Write};
use crate::page::Seal;
use crate::quotas::Quotas;
use crate::router::Router;

/// The credentials that may do everything.
#[derive(Debug, Clone)]
pub struct RootCredentials {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret: Secret,
}

/// What the service is made of.
pub struct Settings {
    /// The store.
    pub store: Arc<Store>,
    /// Region and account.
    pub home: Home,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of all ids; seeded by the operating system, in tests by a number.
    pub random: StdRng,
    /// The credentials that may do everything.
    pub root: RootCredentials,
    /// Seals page tokens; nodes of a cluster share it.
    pub seal: Seal,
    /// How much of each thing there may be.
    pub quotas: Quotas,
    /// Host and port where clients open sockets.
    pub public_host: String,
}

/// The service.
pub struct Service {
    store: Arc<Store>,
    surroundings: Arc<Surroundings>,
    random: Mutex<StdRng>,
    pub(crate) verifier: Verifier,
    pub(crate) router: Router,
}

pub(crate) struct Surroundings {
    pub(crate) home: Home,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) root: RootCredentials,
    pub(crate) seal: Seal,
    pub(crate) quotas: Quotas,
    pub(crate) public_host: String,
}

impl Service {
    /// Puts the service together.
    pub fn new(settings: Settings) -> Self {
        let Settings { store, home, clock, random, root, seal, quotas, public_host } = settings;
        Self {
            store,
            surroundings: Arc::new(Surroundings { home, clock, root, seal, quotas, public_host }),
            random: Mutex::new(random),
            verifier: Verifier::new(),
            router: Router::new(crate::operations::all()),
        }
    }

    /// The store.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Region and account.
    pub fn home(&self) -> &Home {
        &self.surroundings.home
    }

    pub(crate) fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// The id of a request, or of anything else that only has to differ.
    pub fn new_id(&self) -> String {
        Key::random(self.random()).uuid()
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        // A generator that was left half-way by a panic is still random.
        self.random.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }

    /// Runs an operation that did not come over the wire: no signature is checked and nothing is decoded, so
    /// that a measurement can tell what those cost.
    pub async fn execute<O: Write>(&self, operation: O) -> Result<O::Response> {
        let bearer = operation.bearer().cloned();
        let call = Call::new(O::NAME, bearer, self.surroundings.clone(), self.random());
        let aggregate = operation.aggregate().to_owned();
        self.store.write(&aggregate, move |tx| operation.run(tx, &call)).await
    }

    /// Reads an operation from a request, and lets it pass if it may.
    pub(crate) fn admit<O: Operation>(&self, incoming: &Incoming) -> Result<(O, Call)> {
        let operation = O::decode(incoming)?;
        let foreign = |label: &&str| label.starts_with("arn:") && !self.surroundings.home.owns(label);
        if operation.labels().iter().any(foreign) {
            return Err(Error::forbidden("The resource is not of this region and account"));
        }
        let bearer = operation.bearer().cloned();
        let call = Call::new(O::NAME, bearer, self.surroundings.clone(), self.random());
        Ok((operation, call))
    }
}
