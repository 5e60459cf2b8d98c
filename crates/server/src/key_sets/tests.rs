//! A provider on loopback, which counts how often it is asked and answers what the test wants.

use std::future::{Ready, ready};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;

/// Stands until it is moved.
#[derive(Default)]
struct Standing(AtomicI64);

impl Standing {
    fn pass(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        panic!("tokens of others are judged by real time")
    }

    fn real(&self) -> Timestamp {
        Timestamp::from_ms(1_768_478_400_000 + self.0.load(Ordering::Relaxed))
    }

    fn steady(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.real().ms().unsigned_abs())
    }
}

struct Answers {
    asked: AtomicUsize,
    answer: Mutex<(u16, Vec<u8>)>,
}

struct Scene {
    clock: Arc<Standing>,
    answers: Arc<Answers>,
    sets: FetchedKeySets,
    url: String,
}

impl Scene {
    async fn new() -> Self {
        let answers = Arc::new(Answers { asked: AtomicUsize::new(0), answer: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(Self::reply).with_state(answers.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let clock = Arc::new(Standing::default());
        let sets = FetchedKeySets::new(clock.clone(), Reach::Private).unwrap();
        let scene = Self { clock, answers, sets, url };
        scene.publish(&["one"]);
        scene
    }

    fn reply(State(answers): State<Arc<Answers>>) -> Ready<Response> {
        answers.asked.fetch_add(1, Ordering::Relaxed);
        let (status, body) = answers.answer.lock().unwrap().clone();
        let response = Response::builder().status(status).header("location", "/elsewhere");
        ready(response.body(Body::from(body)).unwrap())
    }

    fn answer(&self, status: u16, body: Vec<u8>) {
        *self.answers.answer.lock().unwrap() = (status, body);
    }

    fn publish(&self, ids: &[&str]) {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let key = |id: &&str| json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": x });
        let keys: Vec<_> = ids.iter().map(key).collect();
        self.answer(200, json!({ "keys": keys }).to_string().into_bytes());
    }

    fn asked(&self) -> usize {
        self.answers.asked.swap(0, Ordering::Relaxed)
    }

    /// Whether there are keys, and this one among them.
    async fn find(&self, id: &str) -> Option<bool> {
        let source = KeySource::Jwks(format!("{}/jwks.json", self.url));
        self.sets.find(&source, Some(id)).await.ok().map(|keys| keys.has(Some(id)))
    }
}

#[tokio::test]
async fn keys_are_kept_until_they_are_old() {
    let scene = Scene::new().await;
    for _ in 0..3 {
        assert_eq!(scene.find("one").await, Some(true));
    }
    assert_eq!(scene.asked(), 1);
    scene.clock.pass(FRESH_MS);
    assert_eq!(scene.find("one").await, Some(true));
    assert_eq!(scene.asked(), 1);
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_but_not_more_often_than_the_interval() {
    let scene = Scene::new().await;
    assert_eq!(scene.find("one").await, Some(true));
    scene.publish(&["two"]);
    assert_eq!((scene.find("two").await, scene.asked()), (Some(true), 2));
    // Two more at once, and then one each interval.
    for asked in [1, 1, 0, 0] {
        assert_eq!((scene.find("three").await, scene.asked()), (Some(false), asked));
    }
    assert_eq!((scene.find("two").await, scene.asked()), (Some(true), 0));
    scene.clock.pass(ASK_INTERVAL_MS - 1);
    assert_eq!((scene.find("three").await, scene.asked()), (Some(false), 0));
    scene.publish(&["three"]);
    scene.clock.pass(1);
    assert_eq!((scene.find("three").await, scene.asked()), (Some(true), 1));
}

#[tokio::test]
async fn the_last_keys_are_used_while_the_provider_is_down() {
    let scene = Scene::new().await;
    assert_eq!(scene.find("one").await, Some(true));
    scene.answer(500, Vec::new());
    scene.clock.pass(KEPT_MS_MAX - 1);
    assert_eq!((scene.find("one").await, scene.asked()), (Some(true), 2));
    scene.clock.pass(1);
    for asked in [1, 1, 1, 0] {
        assert_eq!((scene.find("one").await, scene.asked()), (None, asked));
    }
    scene.publish(&["one"]);
    scene.clock.pass(ASK_INTERVAL_MS);
    assert_eq!((scene.find("one").await, scene.asked()), (Some(true), 1));
}

#[tokio::test]
async fn many_at_once_ask_once() {
    let scene = Scene::new().await;
    let found = futures_util::future::join_all((0..50).map(|_| scene.find("one"))).await;
    assert!(found.iter().all(|found| *found == Some(true)));
    assert_eq!(scene.asked(), 1);
}

#[tokio::test]
async fn what_is_no_set_or_too_large_or_elsewhere_is_not_taken() {
    let large = vec![b' '; ANSWER_BYTES_MAX + 1];
    for (status, body) in [(200, b"{}".to_vec()), (200, large), (302, Vec::new()), (404, Vec::new())] {
        let scene = Scene::new().await;
        scene.answer(status, body);
        assert_eq!((scene.find("one").await, scene.asked()), (None, 1), "{status}");
    }
}

#[tokio::test]
async fn the_place_of_the_keys_is_found_through_the_issuer() {
    let scene = Scene::new().await;
    let provider = Scene::new().await;
    let found = |issuer: &str| json!({ "issuer": issuer, "jwks_uri": format!("{}/keys", scene.url) });
    let source = KeySource::Issuer(provider.url.clone());
    provider.answer(200, found("https://another.example").to_string().into_bytes());
    assert!(provider.sets.find(&source, Some("one")).await.is_err());
    provider.answer(200, found(&provider.url).to_string().into_bytes());
    provider.clock.pass(ASK_INTERVAL_MS);
    assert!(provider.sets.find(&source, Some("one")).await.unwrap().has(Some("one")));
    assert_eq!((provider.asked(), scene.asked()), (2, 1));
}

#[tokio::test]
async fn no_more_providers_are_kept_than_there_may_be() {
    let scene = Scene::new().await;
    for number in 0..SOURCES_MAX + 9 {
        scene.clock.pass(1);
        let source = KeySource::Jwks(format!("{}/{number}", scene.url));
        assert!(scene.sets.find(&source, None).await.is_ok());
    }
    assert_eq!(scene.sets.providers.lock().unwrap().len(), SOURCES_MAX);
    assert_eq!(scene.asked(), SOURCES_MAX + 9);
}

#[test]
fn only_https_or_this_machine_is_asked() {
    for good in ["https://id.example/jwks", "http://127.0.0.1:1/a", "http://localhost/a", "http://[::1]:1/"] {
        assert!(check_url(good, Reach::Private).is_ok(), "{good}");
    }
    for bad in
        ["http://id.example/jwks", "http://10.0.0.1/", "file:///etc/passwd", "ftp://localhost/", "jwks"]
    {
        assert!(check_url(bad, Reach::Private).is_err(), "{bad}");
    }
    assert!(check_url("http://localhost.example/", Reach::Private).is_err());
}

#[tokio::test]
async fn nobody_in_a_network_of_ones_own_is_asked_unless_a_setting_allows_it() {
    let scene = Scene::new().await;
    let port = scene.url.rsplit(':').next().unwrap();
    let sets = FetchedKeySets::new(scene.clock.clone(), Reach::Public).unwrap();
    for url in [
        scene.url.clone(),
        format!("https://127.0.0.1:{port}/"),
        format!("https://[::1]:{port}/"),
        format!("https://2130706433:{port}/"),
        format!("https://localhost:{port}/"),
        format!("http://localhost:{port}/"),
        "https://169.254.169.254/".to_owned(),
    ] {
        assert!(sets.find(&KeySource::Jwks(url.clone()), None).await.is_err(), "{url}");
    }
    // That it is the address, and not the certificate that it has none of.
    let reason = sets.get(&format!("https://localhost:{port}/")).await.unwrap_err();
    assert!(reason.contains("leads to no public address"), "{reason}");
    assert_eq!(scene.answers.asked.load(Ordering::Relaxed), 0);
}
