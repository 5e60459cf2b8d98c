//! The service: the store, and everything that a call needs to know of its surroundings.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use carillon_auth::{KeyRing, Verifier};
use carillon_model::arn::Home;
use carillon_model::{Key, Timestamp};
use carillon_store::Store;
use rand::Rng;
use rand::rngs::StdRng;

use crate::access::{Access, Caller, Gate, Resealed, RootCredentials, rules};
use crate::call::{Call, Due, Surroundings};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::front::audit::Ledger;
use crate::front::limiter::{Exhausted, Limiter};
use crate::front::rates::Rates;
use crate::front::route::{self, Asked};
use crate::front::router::Router;
use crate::front::web_identity::KeySets;
use crate::functions::Functions;
use crate::operation::{Operation, Write};
use crate::page;
use crate::patience::Patience;
use crate::processors::Processors;
use crate::quotas::Quotas;

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
    /// The master keys, from which all that is sealed has its keys; nodes of a cluster share them.
    pub keys: KeyRing,
    /// Knows the keys of identity providers.
    pub key_sets: Arc<dyn KeySets>,
    /// How much of each thing there may be.
    pub quotas: Quotas,
    /// The processors that are built in.
    pub processors: Processors,
    /// How long the others are tried.
    pub patience: Patience,
    /// The functions that flows may call.
    pub functions: Functions,
    /// How often each operation may be called.
    pub rates: Rates,
    /// Host and port where clients open sockets.
    pub public_host: String,
    /// Where the audit log is kept, if it is.
    pub audit: Option<Arc<dyn Ledger>>,
}

/// The service.
pub struct Service {
    store: Arc<Store>,
    surroundings: Arc<Surroundings>,
    pub(crate) root: RootCredentials,
    pub(crate) key_sets: Arc<dyn KeySets>,
    random: Mutex<StdRng>,
    under_way: Mutex<HashSet<String>>,
    pub(crate) limiter: Option<Arc<Limiter>>,
    ledger: Option<Arc<dyn Ledger>>,
    /// Requests that were refused because nobody is proven to have signed them.
    turned_away: AtomicU64,
    pub(crate) verifier: Verifier,
    pub(crate) access: Arc<Access>,
    pub(crate) router: Router,
}

impl Service {
    /// Puts the service together.
    pub fn new(settings: Settings) -> Self {
        let Settings {
            store,
            home,
            clock,
            random,
            root,
            keys,
            key_sets,
            quotas,
            rates,
            processors,
            patience,
            functions,
            public_host,
            audit,
        } = settings;
        let limiter = Limiter::new(rates, &clock);
        let page_tokens = keys.sealer(page::PURPOSE);
        let surroundings =
            Surroundings { home, clock, page_tokens, quotas, processors, patience, functions, public_host };
        Self {
            store,
            limiter,
            surroundings: Arc::new(surroundings),
            root,
            key_sets,
            random: Mutex::new(random),
            under_way: Mutex::default(),
            ledger: audit,
            turned_away: AtomicU64::new(0),
            verifier: Verifier::new(),
            access: Arc::new(Access::new(&keys)),
            router: Router::new(route::all()),
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

    /// Where the audit log is kept, if it is.
    pub(crate) fn ledger(&self) -> Option<&Arc<dyn Ledger>> {
        self.ledger.as_ref()
    }

    /// Requests that were refused because nobody is proven to have signed them.
    pub fn turned_away_count(&self) -> &AtomicU64 {
        &self.turned_away
    }

    /// Whether this function may be called: a flow may have been made when another setting held.
    pub fn may_call(&self, function: &str) -> bool {
        self.surroundings.functions.admit(function)
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
        let root = self.root.access_key_id.clone();
        let call = Call::new(O::NAME, bearer, self.surroundings.clone(), root, self.random());
        let lane = operation.lane();
        self.store.write(lane, move |tx| operation.run(tx, &call)).await
    }

    /// The call of a job: it has the instant and the randomness of any other, and nobody behind it.
    pub(crate) fn job(&self, name: &'static str) -> Call {
        let root = self.root.access_key_id.clone();
        Call::new(name, None, self.surroundings.clone(), root, self.random())
    }

    /// Enters what only one call at a time may do; another one at the same time is a conflict.
    pub(crate) fn enter(&self, name: Option<&str>) -> Result<Option<Entered<'_>>> {
        let Some(name) = name else { return Ok(None) };
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if !under_way.insert(name.to_owned()) {
            return Err(Error::conflict("The same is being done at this moment"));
        }
        Ok(Some(Entered { under_way: &self.under_way, name: name.to_owned() }))
    }

    /// Seals with the first master key what the store holds under others. Cut short, it is taken up the next time.
    pub async fn reseal(&self) -> Result<Resealed> {
        self.access.reseal(&self.store, || self.random()).await
    }

    /// Reads anew who may sign and what they may do, if it has changed: before the first request, and from time to
    /// time, since another node or another process may have changed it.
    pub async fn refresh_access(&self) -> Result<()> {
        self.access.refresh(&self.store, self.home().account()).await
    }

    /// Reads an operation from a request, and lets it pass the first gate if it may. A gate that depends on what is
    /// stored is left to be passed in the transaction.
    pub(crate) fn admit<O: Operation>(&self, asked: &Asked) -> Result<(O, Call, Option<Gate>)> {
        let operation = O::decode(&asked.incoming)?;
        asked.notes.operation(&operation);
        let foreign = |label: &&str| label.starts_with("arn:") && !self.surroundings.home.owns(label);
        if operation.labels().iter().any(foreign) {
            return Err(Error::forbidden("The resource is not of this region and account"));
        }
        let caller = &asked.caller;
        let bill = self.limiter.as_ref().map(|limiter| limiter.bill(&operation, caller.counted_as()));
        let due = bill.map(|bill| Box::new(bill) as Box<dyn Due>);
        let principal = match &caller.actor {
            None => self.root.access_key_id.clone(),
            Some(_) => caller.arn(self.home().account()),
        };
        let call = Call::new(
            O::NAME,
            operation.bearer().cloned(),
            self.surroundings.clone(),
            principal,
            self.random(),
        )
        .owing(due)
        .bound_to(caller.bound_to());
        let gate = self.gate(&operation, asked, call.now)?;
        match &gate {
            None => call.admit()?,
            Some(_) => self.may_be_refused(caller)?,
        }
        Ok((operation, call, gate))
    }

    /// Refuses who was refused too often by policy, before the store is asked whether they will be again.
    pub(crate) fn may_be_refused(&self, caller: &Caller) -> std::result::Result<(), Exhausted> {
        self.limiter.as_ref().map_or(Ok(()), |limiter| limiter.may_be_refused(caller.counted_as()))
    }

    /// Counts a refusal by policy: whoever has more of them than they may is told to wait.
    pub(crate) fn count_refusal(&self, caller: &Caller) -> std::result::Result<(), Exhausted> {
        self.limiter.as_ref().map_or(Ok(()), |limiter| limiter.refused(caller.counted_as()))
    }

    fn gate<O: Operation>(&self, operation: &O, asked: &Asked, now: Timestamp) -> Result<Option<Gate>> {
        let Asked { caller, surrounding, .. } = asked;
        if caller.actor.is_none() {
            return Ok(None);
        }
        let asked = rules::asked(operation, self.home());
        let gate = Gate { caller: caller.clone(), asked, surrounding: surrounding.clone(), now };
        if gate.reads_resource_tags() {
            return Ok(Some(gate));
        }
        gate.pass(self.home(), |_| Ok::<_, Error>(Vec::new()))?;
        Ok(None)
    }
}

/// What only one call at a time may do, being done; dropped, it is over.
pub(crate) struct Entered<'a> {
    under_way: &'a Mutex<HashSet<String>>,
    name: String,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}
