//! The doors: whether clients find the server by its public host, whom they meet there, and what proxies let through.

use std::time::Duration;

use carillon_auth::{SignedRequest, Signer, sign};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use serde_json::Value;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::scene::Scene;
use super::{Check, Found, PATIENCE, ok, serious, warning};
use crate::clock;
use crate::config::{Certificate, PublicHost};
use crate::credentials::RootKey;
use crate::exchange::Trust;
use crate::request::{SIGNING_NAME, basic_date};
use crate::tls::{Development, Tls};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "certificate", look: certificate },
    Check { name: "ports", look: ports },
    Check { name: "ready", look: ready },
    Check { name: "public-host", look: public_host },
    Check { name: "websockets", look: websockets },
    Check { name: "bodies", look: bodies },
    Check { name: "exchange", look: exchange },
    Check { name: "test-clock", look: test_clock },
    Check { name: "plain-http", look: plain_http },
    Check { name: "metrics", look: metrics },
];

/// How long a certificate must hold, so that whoever renews it by hand has the time,
const DAYS_MIN: i64 = 30;
/// and when it is time at last.
const DAYS_LEAST: i64 = 7;
const DAY_SECONDS: i64 = 24 * 60 * 60;
/// A body that no limit of Carillon refuses: 1 MiB is the most.
const BODY_BYTES: usize = 1_000_000;
/// How long an answer is waited for once another was waited for in vain: most likely all doors are of the server that
/// hangs, and the operator waits for all of them.
const PATIENCE_AFTERWARDS: Duration = Duration::from_secs(1);
/// What a client sends to open a socket; the key is the one of RFC 6455.
const UPGRADE: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

fn host_of(scene: &Scene<'_>) -> PublicHost {
    scene.settings.public_host(scene.settings.http, scene.settings.https)
}

fn certificate(scene: &Scene<'_>) -> Vec<Found> {
    let host = host_of(scene);
    if scene.settings.https.is_none() {
        return vec![ok("HTTPS is off: the certificate is a proxy's")];
    }
    let path = match &scene.settings.certificate {
        Certificate::Files { cert, .. } => {
            let opened = Tls::open(&scene.settings.certificate, &scene.settings.data_dir, &host, scene.now);
            if let Err(error) = opened {
                let remedy = "--tls-cert is a chain in PEM, its own certificate first; --tls-key is its key.";
                return vec![serious(error.to_string(), remedy)];
            }
            cert.clone()
        }
        Certificate::Acme(acme) if acme.domains.iter().any(|domain| domain == host.name()) => {
            return vec![ok(format!("the certificate for {} is had and renewed by ACME", host.name()))];
        }
        Certificate::Acme(_) => {
            let finding =
                format!("tls.acme.domains does not have {}, where clients open sockets", host.name());
            return vec![serious(finding, "Add it there, or give --public-host a name that is there.")];
        }
        Certificate::Development => {
            let ca = Development::in_folder(&scene.settings.data_dir).ca();
            if !["localhost", "127.0.0.1", "::1"].contains(&host.name()) {
                return vec![warning(
                    format!(
                        "the certificate for {} is of a development CA, which no client trusts by itself",
                        host.name()
                    ),
                    "Give --tls-cert and --tls-key, or have clients trust tls/ca.pem of the data folder.",
                )];
            }
            if !ca.exists() {
                return vec![ok("a development certificate will be made at the first start")];
            }
            scene.settings.data_dir.join("tls").join("leaf.pem")
        }
    };
    let shown = path.display().to_string();
    match CertificateDer::from_pem_file(&path) {
        Ok(leaf) => judge(&leaf, &host, scene.now.ms() / 1000, &shown),
        Err(error) => {
            vec![serious(format!("{shown} cannot be read: {error}"), "Put a certificate in PEM there.")]
        }
    }
}

fn judge(leaf: &CertificateDer<'_>, host: &PublicHost, now: i64, shown: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let name = host.name();
    let is_named = ParsedCertificate::try_from(leaf).is_ok_and(|parsed| {
        ServerName::try_from(name).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    });
    if !is_named {
        let finding = format!("{shown} is not for {name}, where clients open their sockets");
        found.push(serious(finding, "Have it made for that name, or give --public-host a name that it has."));
    }
    let Ok((_, parsed)) = X509Certificate::from_der(leaf) else {
        return vec![serious(format!("{shown} is no certificate"), "Put a certificate in PEM there.")];
    };
    let validity = parsed.validity();
    let days = (validity.not_after.timestamp() - now).div_euclid(DAY_SECONDS);
    if now < validity.not_before.timestamp() {
        found.push(serious(format!("{shown} holds from {} on", validity.not_before), "Is the clock right?"));
    }
    let until = format!("{shown} ends on {}, in {days} days", validity.not_after);
    let remedy = "Have it renewed, and by a program (ACME) from here on.";
    if days < DAYS_LEAST {
        found.push(serious(until, remedy));
    } else if days < DAYS_MIN {
        found.push(warning(until, remedy));
    } else if found.is_empty() {
        found.push(ok(format!("{until}, and is for {name}")));
    }
    found
}

fn ports(scene: &Scene<'_>) -> Vec<Found> {
    if scene.is_served {
        return vec![ok("a server uses the data folder")];
    }
    let listeners = [scene.settings.http, scene.settings.https, scene.settings.metrics.listen];
    let bound =
        listeners.into_iter().flatten().map(|address| scene.wait(async { crate::http::bind(address) }));
    let found: Vec<Found> = bound
        .flatten()
        .filter_map(Result::err)
        .map(|error| serious(error.to_string(), "Stop who has it, or listen elsewhere: --http, --https."))
        .collect();
    if found.is_empty() { vec![ok("free: no server runs on this data folder")] } else { found }
}

/// What a call answered: its status, the name of its error, its body.
struct Answer {
    status: u16,
    error: Option<String>,
    body: String,
}

impl Scene<'_> {
    fn ask(&self, request: reqwest::RequestBuilder) -> Result<Answer, String> {
        let asking = async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            let error = response.headers().get("x-amzn-errortype");
            let error = error.and_then(|name| name.to_str().ok()).map(str::to_owned);
            // Whoever takes the socket over says nothing more of its own accord.
            let body = if status == 101 { String::new() } else { response.text().await? };
            Ok(Answer { status, error, body })
        };
        let patience = if self.was_kept_waiting.get() { PATIENCE_AFTERWARDS } else { PATIENCE };
        let answered = self.wait_for(patience, asking);
        let is_late = |error: &reqwest::Error| error.is_timeout();
        if answered.as_ref().is_none_or(|answered| answered.as_ref().is_err_and(is_late)) {
            self.was_kept_waiting.set(true);
        }
        answered.ok_or("no answer in time".to_owned())?.map_err(|error: reqwest::Error| {
            let mut words = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(inner) = source {
                words = inner.to_string();
                source = inner.source();
            }
            words
        })
    }

    /// A call at the public host, signed as root for it.
    fn signed(&self, root: &RootKey, (method, path): (&str, &str), body: String) -> reqwest::RequestBuilder {
        let host = host_of(self);
        let (date, secret) = (basic_date(clock::real()), root.secret());
        let headers = [("host", host.as_str()), ("x-amz-date", date.as_str())];
        let signer = Signer {
            access_key_id: &root.access_key_id,
            secret: &secret,
            session_token: None,
            region: self.settings.home.region(),
            service: SIGNING_NAME,
        };
        let request = SignedRequest { method, path, query: "", headers: &headers, body: body.as_bytes() };
        let authorization =
            sign(&request, &signer, clock::real().ms()).expect("requests of ours keep the limits");
        let method = method.parse().expect("a method of HTTP");
        let request = self.client.request(method, format!("https://{}{path}", host.as_str()));
        request.header("x-amz-date", date).header("authorization", authorization).body(body)
    }

    /// Whether there is somebody to be found at the public host.
    fn why_not_called(&self) -> Option<&'static str> {
        if !self.is_served {
            return Some("not tried: no server runs on this data folder");
        }
        (self.settings.https.is_none() && self.settings.public_host.is_none())
            .then_some("not tried: HTTPS is off, and no public host is given")
    }
}

fn ready(scene: &Scene<'_>) -> Vec<Found> {
    if !scene.is_served {
        return vec![ok("not asked: no server runs on this data folder")];
    }
    let at = format!("{}/_carillon/health/ready", scene.here());
    match scene.ask(scene.client.get(&at)) {
        Ok(Answer { status: 200, .. }) => vec![ok("the server is ready")],
        Ok(Answer { body, .. }) => {
            let reasons =
                serde_json::from_str::<Value>(&body).map(|body| body["reasons"].to_string()).unwrap_or(body);
            vec![serious(format!("the server is unready: {reasons}"), "Its log says what it cannot reach.")]
        }
        Err(error) => vec![serious(
            format!("a server uses the data folder, and {at} does not answer: {error}"),
            "Give doctor the options of that server. If these are right, it hangs: its log says where.",
        )],
    }
}

fn public_host(scene: &Scene<'_>) -> Vec<Found> {
    let host = host_of(scene);
    let host = host.as_str();
    if scene.is_served && scene.settings.https.is_none() && scene.settings.public_host.is_none() {
        return vec![warning(
            format!("HTTPS is off, and clients are told {host}, where they speak TLS all the same"),
            "Give --public-host: the name and port of the proxy that has the certificate.",
        )];
    }
    if let Some(why) = scene.why_not_called() {
        return vec![ok(why)];
    }
    let Some(root) = &scene.root else {
        return vec![ok("not tried: the root credentials are not known here")];
    };
    match scene.ask(scene.signed(root, ("GET", "/app-instances"), String::new())) {
        Ok(Answer { status: 200, .. }) => vec![ok(format!("{host} leads here"))],
        Ok(Answer { error: Some(name), .. }) if name.contains("InvalidSignature") => vec![serious(
            format!("what comes by {host} is not what was signed: a proxy changes the host or the path"),
            "Have it pass Host and the path on as they are: `proxy_set_header Host $http_host` of nginx.",
        )],
        Ok(Answer { status, error, .. }) => vec![serious(
            format!("{host} leads to another: it answers {status} {}", error.unwrap_or_default()),
            "Give --public-host the name by which this server is reached, or lead that name here.",
        )],
        Err(error) => vec![serious(
            format!("nobody answers at {host}, where clients open their sockets: {error}"),
            "Does the name lead here, and does a proxy or the firewall let it through? --public-host says the name.",
        )],
    }
}

fn websockets(scene: &Scene<'_>) -> Vec<Found> {
    if let Some(why) = scene.why_not_called() {
        return vec![ok(why)];
    }
    let host = host_of(scene);
    let host = host.as_str();
    // Whoever may not have one is told so in the socket, so that anybody may try.
    let request = scene.client.get(format!("https://{host}/connect"));
    let request = UPGRADE.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    let remedy =
        "Have the proxy pass Upgrade and Connection on, over HTTP/1.1, and keep silent sockets for minutes.";
    match scene.ask(request) {
        Ok(Answer { status: 101, .. }) => vec![ok(format!("{host} opens sockets"))],
        Ok(Answer { status: 429 | 503, .. }) => vec![ok("not tried: the server has too much to do")],
        Ok(Answer { status, .. }) => {
            vec![serious(
                format!("{host} opens no socket, it answers {status}: a proxy takes the upgrade away"),
                remedy,
            )]
        }
        Err(error) => vec![serious(format!("{host} opens no socket: {error}"), remedy)],
    }
}

fn bodies(scene: &Scene<'_>) -> Vec<Found> {
    if let Some(why) = scene.why_not_called() {
        return vec![ok(why)];
    }
    let Some(root) = &scene.root else {
        return vec![ok("not tried: the root credentials are not known here")];
    };
    let host = host_of(scene);
    // No name may be so long: the server reads it all, and refuses it.
    let body = format!(r#"{{"Name":"{}"}}"#, "x".repeat(BODY_BYTES));
    let remedy = "Let the proxy take bodies of 1 MiB and a little more: `client_max_body_size 2m` of nginx.";
    match scene.ask(scene.signed(root, ("POST", "/app-instances"), body)) {
        Ok(Answer { status: 400, error: Some(_), .. }) => vec![ok("bodies of 1 MB arrive")],
        Ok(Answer { error: Some(name), .. }) if !name.contains("InvalidSignature") => {
            vec![ok("bodies of 1 MB arrive")]
        }
        Ok(Answer { status, .. }) => {
            vec![serious(format!("bodies of 1 MB do not come through {}: {status}", host.as_str()), remedy)]
        }
        Err(error) => {
            vec![serious(format!("bodies of 1 MB do not come through {}: {error}", host.as_str()), remedy)]
        }
    }
}

fn exchange(scene: &Scene<'_>) -> Vec<Found> {
    let Some(exchange) = &scene.settings.exchange else { return vec![ok("off")] };
    let mut found = Vec::new();
    if matches!(exchange.trust, Trust::Anonymous) {
        found.push(warning(
            "everybody who asks gets a user and its credentials (exchange.mode is anonymous)",
            "Set mode = \"jwt\" or \"secret\", unless that is meant.",
        ));
    }
    if exchange.origins.is_none() {
        found.push(warning(
            "pages of every origin may exchange tokens for credentials",
            "Name your own in exchange.origins, such as https://chat.example.com.",
        ));
    }
    if found.is_empty() { vec![ok("for named origins")] } else { found }
}

fn test_clock(scene: &Scene<'_>) -> Vec<Found> {
    if scene.settings.test_clock {
        return vec![warning(
            "whoever reaches the server can move its time",
            "Leave --test-clock away in production.",
        )];
    }
    vec![ok("off")]
}

fn plain_http(scene: &Scene<'_>) -> Vec<Found> {
    match scene.settings.http {
        Some(address) if !address.ip().is_loopback() && scene.settings.door.proxies.is_empty() => {
            vec![warning(
                format!(
                    "{address} takes what others send in the clear, and no proxy is named that would send it"
                ),
                "Listen on a loopback address, or name the proxies before it: server.trusted_proxies.",
            )]
        }
        _ => vec![ok("for this machine, or for proxies that are named")],
    }
}

fn metrics(scene: &Scene<'_>) -> Vec<Found> {
    let metrics = &scene.settings.metrics;
    match metrics.listen {
        Some(address) if !address.ip().is_loopback() && metrics.token.is_none() => vec![warning(
            format!("{address} shows everybody what is measured"),
            "Set metrics.token, or listen where only those reach it who may see it.",
        )],
        _ => vec![ok("for those who may see them")],
    }
}
