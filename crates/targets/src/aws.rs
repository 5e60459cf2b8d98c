//! The calls of AWS's interfaces: signed by AWS's own signer, with the credentials, region and addresses that its SDKs
//! would find, by one HTTP client. One call is one file that knows its path and its body (decision 71).
//!
//! A call is made once. Whoever asks for it decides whether it is made again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningError, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_types::service_config::ServiceConfigKey;
use carillon_model::Timestamp;
use carillon_model::channel_flow::Reason;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::timeout;

use crate::wire::{self, Answer, Refusal, chain, is_of_expired_credentials};

/// Credentials are fetched anew so long before they end,
const RENEW_BEFORE_MS: i64 = 60_000;
/// and so long after they were fetched where they do not say when they end: somebody may have replaced them.
const RENEW_AFTER_MS: i64 = 15 * 60_000;

/// A service of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// Its name in `AWS_ENDPOINT_URL_…` and in profiles.
    id: &'static str,
    /// What a signature for it names.
    signing_name: &'static str,
    /// How its hosts begin.
    host: &'static str,
}

impl Service {
    /// Lambda.
    pub const LAMBDA: Self = Self::of("Lambda", "lambda", "lambda");
    /// Kinesis Data Streams.
    pub const KINESIS: Self = Self::of("Kinesis", "kinesis", "kinesis");
    /// Pinpoint, of which only the sending of messages is called.
    pub const PINPOINT: Self = Self::of("Pinpoint", "mobiletargeting", "pinpoint");
    /// The runtime of Lex V2.
    pub const LEX: Self = Self::of("Lex Runtime V2", "lex", "runtime-v2-lex");
    /// Messaging of the Amazon Chime SDK.
    pub const MESSAGING: Self = Self::of("Chime SDK Messaging", "chime", "messaging-chime");
    /// Its identity.
    pub const IDENTITY: Self = Self::of("Chime SDK Identity", "chime", "identity-chime");
    /// `EventBridge`.
    pub const EVENTBRIDGE: Self = Self::of("EventBridge", "events", "events");

    const fn of(id: &'static str, signing_name: &'static str, host: &'static str) -> Self {
        Self { id, signing_name, host }
    }
}

/// One call: a POST, unless it only asks ([`Aws::get`]).
#[derive(Debug)]
pub struct Call<'a> {
    /// Which service.
    pub service: Service,
    /// In which region; unset, it is that of the environment.
    pub region: Option<&'a str>,
    /// The path, encoded once.
    pub path: &'a str,
    /// Headers of this call; those of every call are added.
    pub headers: &'a [(&'static str, &'a str)],
    /// The body.
    pub body: String,
    /// How long it may take.
    pub timeout: Duration,
}

/// Calls AWS. It is made once for all services.
#[derive(Debug)]
pub struct Aws {
    http: reqwest::Client,
    /// Where all services are, if not where the environment says.
    endpoint: Option<String>,
    /// Read from the environment at the first call: who calls nothing there needs none of it.
    config: OnceCell<SdkConfig>,
    held: Mutex<Option<Held>>,
}

/// Credentials that were fetched.
#[derive(Debug, Clone)]
struct Held {
    credentials: Credentials,
    renew_at: Timestamp,
}

impl Aws {
    /// Calls by this client, as the environment says.
    pub fn new(http: reqwest::Client) -> Self {
        Self { http, endpoint: None, config: OnceCell::new(), held: Mutex::new(None) }
    }

    /// The same, at this URL.
    #[must_use]
    pub fn at(self, endpoint: Option<String>) -> Self {
        Self { endpoint, ..self }
    }

    /// Calls a service that a test plays at this URL.
    #[cfg(test)]
    pub(crate) fn played(url: &str) -> Self {
        let credentials = Credentials::from_keys("AKID", "secret", None);
        let config = SdkConfig::builder()
            .endpoint_url(url)
            .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(credentials))
            .build();
        Self { config: OnceCell::new_with(Some(config)), ..Self::new(reqwest::Client::new()) }
    }

    /// Makes a call; `now` is the real time, which a signature names.
    pub async fn call(&self, call: Call<'_>, now: Timestamp) -> Result<Answer, Refusal> {
        self.make_in_time(Method::POST, call, now).await
    }

    /// Makes a call that asks, and has no body.
    pub async fn get(&self, call: Call<'_>, now: Timestamp) -> Result<Answer, Refusal> {
        self.make_in_time(Method::GET, call, now).await
    }

    async fn make_in_time(&self, method: Method, call: Call<'_>, now: Timestamp) -> Result<Answer, Refusal> {
        let service = call.service.id;
        // Boxed, because what finds credentials is large, and many wait.
        let made = timeout(call.timeout, Box::pin(self.make(method, call, now))).await;
        let result = made.unwrap_or_else(|_| Err(Refusal::transient(Reason::TimedOut)));
        if let Err(refusal) = &result {
            let Refusal { failure, code, message, .. } = refusal;
            tracing::debug!(service, reason = %failure.reason, code, message, "a call of AWS failed");
            if is_of_expired_credentials(code) {
                *self.held.lock().await = None;
            }
        }
        result
    }

    async fn make(&self, method: Method, call: Call<'_>, now: Timestamp) -> Result<Answer, Refusal> {
        let config = self.config.get_or_init(load).await;
        let region = call.region.or_else(|| config.region().map(AsRef::as_ref));
        let region = region.ok_or_else(|| Refusal::unprepared("no region is known"))?;
        let credentials = self.credentials(config, now).await?;
        let place = match &self.endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => address(config, call.service, region)?,
        };
        let url = place + call.path;
        let headers = signed((&method, &call), &url, region, credentials, now);
        let headers = headers.map_err(|error| Refusal::unprepared(&error.to_string()))?;
        wire::send(self.http.request(method, url).headers(headers).body(call.body), call.timeout).await
    }

    /// The credentials: fetched anew shortly before they end, by one call for all that wait; those at hand are used
    /// as long as they last where that fails.
    async fn credentials(&self, config: &SdkConfig, now: Timestamp) -> Result<Credentials, Refusal> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| now < held.renew_at) {
            return Ok(held.credentials.clone());
        }
        let provider = config.credentials_provider().ok_or_else(|| Refusal::unprepared("no credentials"))?;
        match provider.provide_credentials().await {
            Ok(credentials) => {
                let renew_at = match ends_at(&credentials) {
                    Some(end) => end.plus_ms(-RENEW_BEFORE_MS),
                    None => now.plus_ms(RENEW_AFTER_MS),
                };
                *held = Some(Held { credentials: credentials.clone(), renew_at });
                Ok(credentials)
            }
            Err(error) => match held.as_ref() {
                Some(held) if ends_at(&held.credentials).is_none_or(|end| now < end) => {
                    tracing::warn!(error = %chain(&error), "the credentials of AWS cannot be renewed");
                    Ok(held.credentials.clone())
                }
                _ => Err(Refusal::unprepared(&chain(&error))),
            },
        }
    }
}

async fn load() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).load().await
}

/// Where a service is, without a slash behind: where the environment or a profile says, or at AWS itself.
fn address(config: &SdkConfig, service: Service, region: &str) -> Result<String, Refusal> {
    let key =
        ServiceConfigKey::builder().service_id(service.id).env("AWS_ENDPOINT_URL").profile("endpoint_url");
    let key = key.build().map_err(|error| Refusal::unprepared(&error.to_string()))?;
    let given = config.service_config().and_then(|services| services.load_config(key));
    if let Some(url) = given.as_deref().or(config.endpoint_url()) {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let fips = if config.use_fips() == Some(true) { "-fips" } else { "" };
    let (one_stack, dual_stack) = domains(region);
    let domain = if config.use_dual_stack() == Some(true) { dual_stack } else { one_stack };
    Ok(format!("https://{}{fips}.{region}.{domain}", service.host))
}

/// The domains of a region's partition: the usual, and that which IPv6 reaches, too.
fn domains(region: &str) -> (&'static str, &'static str) {
    let partitions = [
        ("cn-", ("amazonaws.com.cn", "api.amazonwebservices.com.cn")),
        ("us-isob-", ("sc2s.sgov.gov", "sc2s.sgov.gov")),
        ("us-iso-", ("c2s.ic.gov", "c2s.ic.gov")),
        ("eusc-", ("amazonaws.eu", "api.amazonwebservices.eu")),
    ];
    let named = partitions.into_iter().find(|(prefix, _)| region.starts_with(prefix));
    named.map_or(("amazonaws.com", "api.aws"), |(_, domains)| domains)
}

/// The headers of a call, the signature among them.
fn signed(
    (method, call): (&Method, &Call<'_>),
    url: &str,
    region: &str,
    credentials: Credentials,
    now: Timestamp,
) -> Result<HeaderMap, SigningError> {
    let identity = credentials.into();
    let time = UNIX_EPOCH + Duration::from_millis(now.ms().max(0).unsigned_abs());
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(call.service.signing_name)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .expect("all that a signature needs is given")
        .into();
    let request = SignableRequest::new(
        method.as_str(),
        url,
        call.headers.iter().copied(),
        SignableBody::Bytes(call.body.as_bytes()),
    )?;
    let (instructions, _) = sign(request, &params)?.into_parts();
    let mut headers = HeaderMap::new();
    let given = call.headers.iter().copied();
    for (name, value) in given.chain(instructions.headers()) {
        if let (Ok(name), Ok(value)) =
            (name.parse::<reqwest::header::HeaderName>(), HeaderValue::from_str(value))
        {
            headers.insert(name, value);
        }
    }
    Ok(headers)
}

fn ends_at(credentials: &Credentials) -> Option<Timestamp> {
    let since = credentials.expiry()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Some(Timestamp::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests;
