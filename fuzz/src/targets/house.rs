//! A service for the targets that need one: on a store of its own, with a clock that stands still, and a little in it,
//! so that an input can be about something.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use carillon_access::web_identity::{Finding, KeySets, KeySource, Unreachable};
use carillon_auth::{KeyRing, Secret, SignedRequest, Signer, presign, sign};
use carillon_model::Timestamp;
use carillon_model::arn::Home;
use carillon_service::front::rates::Rates;
use carillon_service::functions::Functions;
use carillon_service::patience::Patience;
use carillon_service::processors::Processors;
use carillon_service::quotas::Quotas;
use carillon_service::{Clock, RootCredentials, Service, Settings};
use carillon_store::{Location, Sink, Store};
use http::{Request, Response};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// 2026-01-15T12:00:00Z, at which all is signed.
pub(super) const NOW: Timestamp = Timestamp::from_ms(1_768_478_400_000);
const NOW_TEXT: &str = "20260115T120000Z";
const REGION: &str = "us-east-1";
pub(super) const HOST: &str = "carillon.example.test";

pub(super) struct House {
    service: Arc<Service>,
    secret: Secret,
    /// What stands for something that is there, and what is there.
    names: Vec<(&'static str, String)>,
    _folder: tempfile::TempDir,
}

thread_local! {
    static HOUSE: House = House::new();
}

/// Works with the house of this thread.
pub(super) fn house<T>(work: impl FnOnce(&House) -> T) -> T {
    HOUSE.with(work)
}

struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn real(&self) -> Timestamp {
        NOW
    }
    fn steady(&self) -> Duration {
        Duration::from_secs(1)
    }
}

struct NoKeySets;

impl KeySets for NoKeySets {
    fn find<'a>(&'a self, _: &'a KeySource, _: Option<&'a str>) -> Finding<'a> {
        Box::pin(std::future::ready(Err(Unreachable)))
    }
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let location = Location::Sqlite(folder.path().join("carillon.db"));
        let sink: Sink = Arc::new(drop);
        let secret = Secret::new("secret".to_owned());
        let service = Service::new(Settings {
            store: Arc::new(Store::open(&location, NOW.ms(), &sink).expect("a new store opens")),
            home: Home::new(REGION, "111122223333"),
            clock: Arc::new(StandingClock),
            random: StdRng::seed_from_u64(1),
            root: RootCredentials { access_key_id: "ROOT".to_owned(), secret: secret.clone() },
            keys: KeyRing::of(&[7; 32]),
            key_sets: Arc::new(NoKeySets),
            quotas: Quotas::default(),
            searched: carillon_service::search::Searched::All,
            processors: Processors::default(),
            patience: Patience::default(),
            functions: Functions::new(vec!["*".to_owned()]),
            shy_bots: std::collections::BTreeSet::new(),
            rates: Rates::OFF,
            public_host: "ws.example.test:8443".to_owned(),
            audit: None,
        });
        let service = Arc::new(service);
        wait(service.refresh_access()).expect("nobody is known yet");
        let mut house = Self { service, secret, names: Vec::new(), _folder: folder };
        house.furnish();
        house
    }

    fn furnish(&mut self) {
        let instance = self.make("/app-instances", &[], &json!({"Name": "n"}), "AppInstanceArn");
        let user = json!({"AppInstanceArn": instance, "AppInstanceUserId": "u", "Name": "n"});
        let user = self.make("/app-instance-users", &[], &user, "AppInstanceUserArn");
        let bearer = [("x-amz-chime-bearer".to_owned(), user.clone())];
        let channel = json!({"AppInstanceArn": instance, "Name": "n"});
        let channel = self.make("/channels", &bearer, &channel, "ChannelArn");
        let path = format!("/channels/{}/messages", encoded(&channel));
        let message = json!({"Content": "c", "Type": "STANDARD", "Persistence": "PERSISTENT"});
        let message = self.make(&path, &bearer, &message, "MessageId");
        self.names = vec![
            ("{instance}", instance.clone()),
            ("{user}", user.clone()),
            ("{channel}", channel.clone()),
            ("{message}", message),
            ("{instance%}", encoded(&instance)),
            ("{user%}", encoded(&user)),
            ("{channel%}", encoded(&channel)),
        ];
    }

    fn make(&self, path: &str, headers: &[(String, String)], body: &Value, named: &str) -> String {
        let mut body = body.clone();
        body["ClientRequestToken"] = json!("furnish");
        let text = body.to_string();
        let response = self.signed("chime", ("POST", path, ""), headers, text.as_bytes());
        let response = response.expect("it is well formed");
        let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        answer[named].as_str().unwrap_or_else(|| panic!("{path} {answer}")).to_owned()
    }

    /// A text with what is there in the place of what stands for it.
    pub(super) fn named(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, is)| text.replace(name, is))
    }

    /// Signs a request and has it answered; nothing where it is none that HTTP could carry.
    pub(super) fn signed(
        &self,
        service: &str,
        (method, path, query): (&str, &str, &str),
        headers: &[(String, String)],
        body: &[u8],
    ) -> Option<Response<Bytes>> {
        let mut all = vec![("host", HOST), ("x-amz-date", NOW_TEXT)];
        all.extend(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let request = SignedRequest { method, path, query, headers: &all, body };
        let authorization = sign(&request, &self.signer(service), NOW.ms()).ok()?;
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let mut request =
            Request::builder().method(method).uri(target).header("authorization", authorization);
        for (name, value) in all {
            request = request.header(name, value.as_bytes());
        }
        let request = request.body(Bytes::copy_from_slice(body)).ok()?;
        Some(wait(self.service.handle(request)))
    }

    /// Asks for a socket by a query, signed as far as it can be; with what it would be closed, or that it may open.
    pub(super) fn connect(&self, query: &str, is_signed: bool) -> Option<(u16, &'static str)> {
        let headers = [("host", HOST)];
        let request = SignedRequest { method: "GET", path: "/connect", query, headers: &headers, body: b"" };
        let signed = if is_signed {
            presign(&request, &self.signer("chime"), NOW.ms(), 10).ok()?
        } else {
            query.to_owned()
        };
        let request = Request::get(format!("/connect?{signed}")).header("host", HOST).body(()).ok()?;
        let (parts, ()) = request.into_parts();
        let answer = wait(self.service.connect(&parts));
        Some(answer.map_or_else(|close| (close.code, close.reason), |_| (101, "")))
    }

    /// The store, to be worked with.
    pub(super) fn with_store<F: Future>(&self, work: impl FnOnce(Arc<Store>) -> F) -> F::Output {
        wait(work(self.service.store().clone()))
    }

    fn signer<'a>(&'a self, service: &'a str) -> Signer<'a> {
        Signer { access_key_id: "ROOT", secret: &self.secret, session_token: None, region: REGION, service }
    }
}

/// Waits for a future; the workers of the store answer from threads of their own.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime starts").block_on(future)
}

fn encoded(text: &str) -> String {
    text.replace(':', "%3A").replace('/', "%2F")
}
