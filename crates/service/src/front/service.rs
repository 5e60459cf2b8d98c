//! The service: the store, and everything that a call needs to know of its surroundings.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use carillon_access::web_identity::KeySets;
use carillon_access::{self as access, Access, Caller, Resealed, RootCredentials, When};
use carillon_auth::KeyRing;
use carillon_model::arn::Home;
use carillon_model::{IdentityArn, Key};
use carillon_store::{Store, Tx};
use rand::Rng;
use rand::rngs::StdRng;

use crate::call::{Call, Surroundings};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::front::audit::Ledger;
use crate::front::limiter::{Exhausted, Limiter};
use crate::front::limits::{FullQuotas, Hit};
use crate::front::rates::Rates;
use crate::front::ready::Ready;
use crate::front::roles::Role;
use crate::functions::Functions;
use crate::operation::Write;
use crate::page;
use crate::patience::Patience;
use crate::processors::Processors;
use crate::quotas::Quotas;
use crate::search::{Search, Searched};

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
    /// In which app instances messages can be searched.
    pub searched: Searched,
    /// The processors that are built in.
    pub processors: Processors,
    /// How long the others are tried.
    pub patience: Patience,
    /// The functions that flows may call.
    pub functions: Functions,
    /// The bots, by their aliases, that answer what is said to everyone only where they are meant.
    pub shy_bots: BTreeSet<String>,
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
    pub(crate) access: Arc<Access>,
    random: Mutex<StdRng>,
    pub(crate) limiter: Option<Arc<Limiter>>,
    pub(crate) full_quotas: FullQuotas,
    ledger: Option<Arc<dyn Ledger>>,
    /// Requests that were refused because nobody is proven to have signed them.
    turned_away: AtomicU64,
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
            searched,
            rates,
            processors,
            patience,
            functions,
            shy_bots,
            public_host,
            audit,
        } = settings;
        let limiter = Limiter::new(rates, &clock);
        let page_tokens = keys.sealer(page::PURPOSE);
        let built_in = Role::ALL.map(Role::built_in).to_vec();
        let access = access::Settings { store: store.clone(), home: home.clone(), root, key_sets, built_in };
        let surroundings = Surroundings {
            home,
            clock,
            page_tokens,
            quotas,
            search: Search::new(searched, &keys),
            processors,
            patience,
            functions,
            shy_bots,
            public_host,
        };
        Self {
            store,
            limiter,
            full_quotas: FullQuotas::default(),
            surroundings: Arc::new(surroundings),
            access: Arc::new(Access::new(access, &keys)),
            random: Mutex::new(random),
            ledger: audit,
            turned_away: AtomicU64::new(0),
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

    /// How often limits were hit: all rates that there are, and the quotas that were full.
    pub fn limits_hit(&self) -> Vec<Hit> {
        let rates = self.limiter.iter().flat_map(|limiter| limiter.exhausted_so_far());
        let rates = rates.map(|(rate, count)| Hit { kind: "rate", limit: rate.key(), count });
        rates.chain(self.full_quotas.hits()).collect()
    }

    /// Where messages can be searched, and how far they are taken in.
    pub fn search(&self) -> &Search {
        &self.surroundings.search
    }

    /// Whether this function may be called: a flow may have been made when another setting held.
    pub fn may_call(&self, function: &str) -> bool {
        self.surroundings.functions.admit(function)
    }

    pub(crate) fn surroundings(&self) -> &Arc<Surroundings> {
        &self.surroundings
    }

    /// The instant, for whoever judges a request.
    pub(crate) fn when(&self) -> When {
        let clock = &self.surroundings.clock;
        When { now: clock.now(), real: clock.real() }
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
        let root = self.access.root_key_id().to_owned();
        let call = Call::new(O::NAME, bearer, self.surroundings.clone(), root, self.random());
        self.change(Ready::new(operation, call, None)).await
    }

    /// Runs an operation that writes.
    pub(crate) async fn change<O: Write>(&self, ready: Box<Ready<O>>) -> Result<O::Response> {
        let run = |ready: &Ready<O>, tx: &mut Tx| {
            ready.pass(tx)?;
            ready.operation.run(tx, &ready.call)
        };
        self.change_by(ready, run).await
    }

    /// Does this with an operation that writes, in its lane, with what it looks at.
    pub(crate) async fn change_by<
        O: Write,
        T: Send + 'static,
        E: From<Error> + From<carillon_store::Error> + Send + 'static,
    >(
        &self,
        mut ready: Box<Ready<O>>,
        run: impl Fn(&Ready<O>, &mut Tx) -> std::result::Result<T, E> + Send + 'static,
    ) -> std::result::Result<T, E> {
        if let Some(find) = O::GOES_BY {
            let operation = ready.operation.clone();
            ready.call.go_by(self.store.read(move |tx| find(&operation, tx)).await?);
        }
        let (lane, look) = (ready.operation.lane(), ready.operation.look(&ready.call));
        self.store.write_looking(lane, look, move |tx: &mut Tx| run(&ready, tx)).await
    }

    /// The call of a job: it has the instant and the randomness of any other, and nobody behind it.
    pub(crate) fn job(&self, name: &'static str) -> Call {
        self.call(name, None)
    }

    /// A call that the server makes for a bot.
    pub(crate) fn call_of(&self, name: &'static str, bot: &IdentityArn) -> Call {
        self.call(name, Some(bot.clone()))
    }

    fn call(&self, name: &'static str, bearer: Option<IdentityArn>) -> Call {
        let root = self.access.root_key_id().to_owned();
        Call::new(name, bearer, self.surroundings.clone(), root, self.random())
    }

    /// Seals with the first master key what the store holds under others. Cut short, it is taken up the next time.
    pub async fn reseal(&self) -> Result<Resealed> {
        Ok(self.access.reseal(|| self.random()).await?)
    }

    /// Reads anew who may sign and what they may do, if it has changed: before the first request, and from time to
    /// time, since another node or another process may have changed it.
    pub async fn refresh_access(&self) -> Result<()> {
        Ok(self.access.refresh().await?)
    }

    /// Refuses who was refused too often by policy, before the store is asked whether they will be again.
    pub(crate) fn may_be_refused(&self, caller: &Caller) -> std::result::Result<(), Exhausted> {
        self.limiter.as_ref().map_or(Ok(()), |limiter| limiter.may_be_refused(caller.counted_as()))
    }

    /// Counts a refusal by policy: whoever has more of them than they may is told to wait.
    pub(crate) fn count_refusal(&self, caller: &Caller) -> std::result::Result<(), Exhausted> {
        self.limiter.as_ref().map_or(Ok(()), |limiter| limiter.refused(caller.counted_as()))
    }
}
