use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_config::Region;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_credential_types::provider::error::CredentialsError;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use carillon_model::channel_flow::Failure;
use tokio::net::TcpListener;

use super::*;
use crate::wire::ANSWER_BYTES_MAX;

const NOW: Timestamp = Timestamp::from_ms(1_768_478_400_000);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Gives credentials with a number in their token, each good until `ends_at`; none where that is zero.
#[derive(Debug)]
struct Issuer {
    issued: AtomicI64,
    ends_at: AtomicI64,
}

#[derive(Debug, Clone)]
struct Issues(Arc<Issuer>);

impl aws_credential_types::provider::ProvideCredentials for Issues {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let end = self.0.ends_at.load(Ordering::SeqCst);
        let number = self.0.issued.fetch_add(1, Ordering::SeqCst) + 1;
        let end_at = UNIX_EPOCH + Duration::from_millis(end.unsigned_abs());
        let credentials =
            Credentials::new("AKID", "secret", Some(format!("token {number}")), Some(end_at), "test");
        let refused = || Err(CredentialsError::provider_error("there are none"));
        aws_credential_types::provider::future::ProvideCredentials::ready(if end == 0 {
            refused()
        } else {
            Ok(credentials)
        })
    }
}

struct World {
    aws: Aws,
    issuer: Arc<Issuer>,
}

impl World {
    /// A service that answers with the status, the code and the length that the path says, and with the token that
    /// it was sent as a header.
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answer = |request: Request<Body>| {
            let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
            let (signature, token) = (header("authorization"), header("x-amz-security-token"));
            assert!(signature.contains("/eu-west-1/lex/aws4_request"), "{signature}");
            let told = request.uri().path().trim_start_matches('/').to_owned();
            async move {
                let mut told = told.split('/');
                let status: u16 = told.next().unwrap().parse().unwrap();
                if status == 0 {
                    std::future::pending::<()>().await;
                }
                let length: usize = told.next().unwrap().parse().unwrap();
                axum::http::Response::builder()
                    .status(status)
                    .header("x-told", token)
                    .header("x-amzn-errortype", told.next().unwrap_or_default())
                    .body(Body::from(vec![b'x'; length]))
                    .unwrap()
            }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        let issuer =
            Arc::new(Issuer { issued: AtomicI64::new(0), ends_at: AtomicI64::new(NOW.ms() + DAY_MS) });
        let config = SdkConfig::builder()
            .endpoint_url(url)
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(Issues(issuer.clone())))
            .build();
        let aws = Aws {
            endpoint: None,
            http: reqwest::Client::new(),
            config: OnceCell::new_with(Some(config)),
            held: Mutex::new(None),
        };
        Self { aws, issuer }
    }

    async fn call(&self, path: &str, now: Timestamp) -> Result<Answer, Refusal> {
        let timeout = if path == "/0" { Duration::from_millis(50) } else { Duration::from_mins(1) };
        let service = Service::LEX;
        self.aws
            .call(Call { service, region: None, path, headers: &[], body: "{}".to_owned(), timeout }, now)
            .await
    }

    /// The token that a call came with.
    async fn token(&self, after_ms: i64) -> String {
        let answer = self.call("/200/0", NOW.plus_ms(after_ms)).await.unwrap();
        answer.headers["x-told"].to_str().unwrap().to_owned()
    }

    fn end_at(&self, after_ms: i64) {
        self.issuer.ends_at.store(if after_ms == 0 { 0 } else { NOW.ms() + after_ms }, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn credentials_are_kept_renewed_before_they_end_and_used_to_their_end_where_they_cannot_be() {
    let world = World::new().await;
    assert_eq!((world.token(0).await, world.token(1).await), ("token 1".into(), "token 1".into()));
    assert_eq!(world.token(DAY_MS - RENEW_BEFORE_MS - 1).await, "token 1");
    world.end_at(2 * DAY_MS);
    assert_eq!(world.token(DAY_MS - RENEW_BEFORE_MS).await, "token 2");
    world.end_at(0);
    assert_eq!(world.token(2 * DAY_MS - 1).await, "token 2");
    let refusal = world.call("/200/0", NOW.plus_ms(2 * DAY_MS)).await.unwrap_err();
    assert_eq!(refusal.failure, Failure { reason: Reason::NotPermitted, permanent: true });
    assert!(refusal.message.contains("there are none"), "{}", refusal.message);
}

#[tokio::test]
async fn credentials_that_the_service_calls_expired_are_not_used_again() {
    let world = World::new().await;
    assert_eq!(world.token(0).await, "token 1");
    let refusal = world.call("/400/2/ExpiredTokenException", NOW).await.unwrap_err();
    assert_eq!(refusal.failure, Failure { reason: Reason::NotPermitted, permanent: false });
    assert_eq!(world.token(1).await, "token 2");
}

#[tokio::test]
async fn an_answer_that_never_comes_or_never_ends_is_a_failure_that_may_pass() {
    let world = World::new().await;
    let silent = world.call("/0", NOW).await.unwrap_err();
    assert_eq!(silent.failure, Failure { reason: Reason::TimedOut, permanent: false });
    assert_eq!(world.call("/200/1048576", NOW).await.unwrap().body.len(), ANSWER_BYTES_MAX);
    let long = world.call("/200/1048577", NOW).await.unwrap_err();
    assert_eq!(long.failure, Failure { reason: Reason::Refused, permanent: false });
}

#[test]
fn hosts_are_those_of_the_service_in_its_partition() {
    let at = |service, region, change: fn(&mut aws_config::SdkConfig)| {
        let mut config = SdkConfig::builder().build();
        change(&mut config);
        address(&config, service, region).unwrap()
    };
    let plain = |_: &mut SdkConfig| {};
    assert_eq!(at(Service::LAMBDA, "us-east-1", plain), "https://lambda.us-east-1.amazonaws.com");
    assert_eq!(at(Service::LEX, "eu-west-1", plain), "https://runtime-v2-lex.eu-west-1.amazonaws.com");
    assert_eq!(at(Service::EVENTBRIDGE, "cn-north-1", plain), "https://events.cn-north-1.amazonaws.com.cn");
    let fips = |config: &mut SdkConfig| *config = config.to_builder().use_fips(true).build();
    assert_eq!(
        at(Service::KINESIS, "us-gov-west-1", fips),
        "https://kinesis-fips.us-gov-west-1.amazonaws.com"
    );
    let dual = |config: &mut SdkConfig| *config = config.to_builder().use_dual_stack(true).build();
    assert_eq!(at(Service::LAMBDA, "us-east-1", dual), "https://lambda.us-east-1.api.aws");
    let given =
        |config: &mut SdkConfig| *config = config.to_builder().endpoint_url("http://here:1/p/").build();
    assert_eq!(at(Service::PINPOINT, "us-east-1", given), "http://here:1/p");
}
