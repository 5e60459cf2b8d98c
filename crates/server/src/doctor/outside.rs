//! What the server calls: the bus, processors, push services, streams, bots, and whoever is told of events.

use std::collections::BTreeSet;
use std::time::Duration;

use carillon_model::channel_flow::Processor;
use carillon_store::survey;
use carillon_targets::events::Sink;
use reqwest::Url;
use tokio::net::TcpStream;

use super::scene::Scene;
use super::{Check, Found, ok, serious, warning};
use crate::cluster;
use crate::config::streams::{self, Stream};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "bus", look: bus },
    Check { name: "flows", look: flows },
    Check { name: "gates", look: gates },
    Check { name: "push", look: push },
    Check { name: "streams", look: streams },
    Check { name: "bots", look: bots },
    Check { name: "events", look: events },
];

/// How long a target may take to be connected to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// What says where the credentials of AWS are; any one is enough.
const AWS_VARIABLES: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];
const AWS_REMEDY: &str =
    "Give the server AWS_ACCESS_KEY_ID and its like (a role of the machine is not seen here), or map it.";
const REACH_REMEDY: &str =
    "Start it, or correct its url in the configuration; does a firewall stand between?";

impl Scene<'_> {
    /// Why a target cannot be connected to.
    fn why_unreachable(&self, url: &str) -> Option<String> {
        let parsed = Url::parse(url).ok()?;
        let (host, port) = (parsed.host_str()?.to_owned(), parsed.port_or_known_default()?);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        match self.wait_for(CONNECT_TIMEOUT, TcpStream::connect((host.as_str(), port))) {
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(error.to_string()),
            None => Some("it does not answer in time".to_owned()),
        }
    }

    /// Why a service of AWS cannot be called, by what is known here.
    fn why_no_aws(&self, variable: &str) -> Option<String> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(url) = set(variable).or_else(|| set("AWS_ENDPOINT_URL"))
            && let Some(why) = self.why_unreachable(&url)
        {
            return Some(format!("{variable} is {url}, and there: {why}"));
        }
        let home = std::env::home_dir().unwrap_or_default();
        let is_given = AWS_VARIABLES.iter().any(|name| set(name).is_some())
            || [".aws/credentials", ".aws/config"].iter().any(|file| home.join(file).exists());
        (!is_given).then(|| "no credentials of AWS are given".to_owned())
    }
}

fn all_well(found: Vec<Found>, words: &str) -> Vec<Found> {
    if found.is_empty() { vec![ok(words)] } else { found }
}

fn bus(scene: &Scene<'_>) -> Vec<Found> {
    let shown = scene.settings.bus.to_string();
    match scene.wait(cluster::open_bus(&scene.settings.bus)) {
        Some(Ok(_)) => vec![ok(format!("{shown} can be used"))],
        Some(Err(error)) => {
            vec![serious(error.to_string(), "Is --bus right, does NATS run there, may this user use it?")]
        }
        None => vec![serious(
            format!("the bus {shown} does not answer in time"),
            "Is it overloaded, or a firewall between?",
        )],
    }
}

fn flows(scene: &Scene<'_>) -> Vec<Found> {
    scene.look(survey::list_processors, |processors| {
        let called: BTreeSet<String> =
            processors.iter().map(|one: &Processor| one.function.as_str().to_owned()).collect();
        let found = called.iter().filter_map(|function| of_function(scene, function)).collect();
        all_well(found, "every processor of a flow can be reached, as far as is seen from here")
    })
}

fn of_function(scene: &Scene<'_>, function: &str) -> Option<Found> {
    let settings = scene.settings;
    if settings.processors.contains_key(function) {
        return None;
    }
    if !settings.functions.admit(function) {
        return Some(serious(
            format!("a flow names {function}, which flows.functions does not admit"),
            "Name it in flows.functions, or in targets or processors.",
        ));
    }
    if let Some(target) = settings.targets.get(function) {
        let why = scene.why_unreachable(&target.url)?;
        return Some(serious(
            format!("a flow calls {function} at {}, and there: {why}", target.url),
            REACH_REMEDY,
        ));
    }
    let why = scene.why_no_aws("AWS_ENDPOINT_URL_LAMBDA")?;
    Some(warning(format!("a flow calls {function} at Lambda: {why}"), AWS_REMEDY))
}

/// Processors that the server leaves alone at present, because they failed.
fn gates(scene: &Scene<'_>) -> Vec<Found> {
    if !scene.is_served {
        return vec![ok("not asked: no server runs on this data folder")];
    }
    let mut request = scene.client.get(match scene.settings.metrics.listen {
        Some(address) => format!("http://{address}/_carillon/metrics"),
        None => format!("{}/_carillon/metrics", scene.here()),
    });
    if let Some(token) = &scene.settings.metrics.token {
        request = request.bearer_auth(token.as_str());
    }
    let asking = async { request.send().await?.error_for_status()?.text().await };
    let Some(Ok(text)) = scene.wait(asking) else {
        return vec![ok("not known: what is measured cannot be read")];
    };
    let closed =
        text.lines().find_map(|line| line.strip_prefix(r#"carillon_processor_gates{state="closed"} "#));
    match closed {
        None | Some("0") => vec![ok("no processor is left alone")],
        Some(count) => vec![warning(
            format!("{count} processors failed so often that they are left alone for a while"),
            "Their log, and this server's, say why; messages pass by the fallback of their flow.",
        )],
    }
}

fn push(scene: &Scene<'_>) -> Vec<Found> {
    if let Err(error) = scene.settings.check_push() {
        return vec![serious(
            error.to_string(),
            "No server starts with it: put the key there, and let its user read it.",
        )];
    }
    scene.look(survey::count_devices, |devices| {
        let unmapped = devices.into_iter().filter(|(arn, _)| !scene.settings.push.contains_key(arn));
        let found = unmapped
            .map(|(arn, count)| {
                let finding =
                    format!("{count} devices are registered for {arn}, which is not mapped: none is told");
                warning(finding, "Map it: [push.\"<ARN>\"] of the configuration.")
            })
            .collect();
        all_well(found, "every device is of an application that is mapped")
    })
}

fn streams(scene: &Scene<'_>) -> Vec<Found> {
    let settings = scene.settings;
    let mut found = Vec::new();
    match scene.wait(streams::check(&settings.streams, &settings.home)) {
        Some(Ok((_, away))) => found.extend(away.into_iter().map(|words| serious(words, REACH_REMEDY))),
        Some(Err(error)) => found.push(serious(error.to_string(), "No server starts with it: correct it.")),
        None => found.push(serious("the sinks of streams do not answer in time", REACH_REMEDY)),
    }
    for (arn, stream) in &settings.streams {
        if let Stream::Http(target) = stream
            && let Some(why) = scene.why_unreachable(&target.url)
        {
            let finding = format!("records of {arn} go to {}, and there: {why}; they wait", target.url);
            found.push(serious(finding, REACH_REMEDY));
        }
    }
    found.extend(scene.look(survey::list_streams, |named| {
        let unmapped = named.into_iter().filter(|arn| !settings.streams.contains_key(arn));
        let found = unmapped.filter_map(|arn| {
            let why = scene.why_no_aws("AWS_ENDPOINT_URL_KINESIS")?;
            Some(warning(format!("records of {arn} go to Kinesis: {why}; they wait"), AWS_REMEDY))
        });
        found.collect()
    }));
    all_well(found, "every stream has a sink that can be reached, as far as is seen from here")
}

fn bots(scene: &Scene<'_>) -> Vec<Found> {
    scene.look(survey::list_bots, |bots| {
        let aliases: BTreeSet<String> = bots.iter().map(|bot| bot.alias.as_str().to_owned()).collect();
        let of_alias = |alias: &String| {
            if let Some(program) = scene.settings.programs.get(alias) {
                let url = program.url()?;
                let why = scene.why_unreachable(url)?;
                return Some(serious(format!("a bot is {alias} at {url}, and there: {why}"), REACH_REMEDY));
            }
            let why = scene.why_no_aws("AWS_ENDPOINT_URL_LEX_RUNTIME_V2")?;
            Some(warning(format!("a bot is {alias} at Lex: {why}"), AWS_REMEDY))
        };
        all_well(
            aliases.iter().filter_map(of_alias).collect(),
            "every bot can be reached, as far as is seen from here",
        )
    })
}

fn events(scene: &Scene<'_>) -> Vec<Found> {
    match &scene.settings.events {
        None => vec![ok("they go into the log")],
        Some(Sink::Http(native)) => match scene.why_unreachable(native.url()) {
            None => vec![ok(format!("{} can be reached", native.url()))],
            Some(why) => {
                vec![serious(
                    format!("events go to {}, and there: {why}; they wait", native.url()),
                    REACH_REMEDY,
                )]
            }
        },
        Some(Sink::EventBridge { .. }) => match scene.why_no_aws("AWS_ENDPOINT_URL_EVENTBRIDGE") {
            None => vec![ok("they go to EventBridge")],
            Some(why) => vec![warning(format!("events go to EventBridge: {why}; they wait"), AWS_REMEDY)],
        },
    }
}
