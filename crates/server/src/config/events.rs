//! What an operator says about the events that they are told of: `[events]` of `carillon.toml`.

use carillon_targets::Native;
use carillon_targets::events::Sink;
use serde::{Deserialize, Serialize};

use super::exchange::SharedSecret;
use crate::error::{Error, Result};

/// Whose events they are at `EventBridge`, which refuses `aws.…` from anybody else.
const SOURCE: &str = "carillon.chime";
/// The bus that every account has.
const BUS: &str = "default";

/// `[events]`: where events about processors, bots, pushes and streams go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Events {
    /// `log`, which is the default, `http` or `eventbridge`.
    to: Option<String>,
    /// Where they are posted.
    url: Option<String>,
    /// What both sides know, to sign and to check that.
    secret: Option<SharedSecret>,
    /// The name or the ARN of the bus; `default` by default.
    bus: Option<String>,
    /// The source under which the bus gets them; `carillon.chime` by default.
    source: Option<String>,
}

impl Events {
    /// Where they go; nothing where that is the log.
    pub(crate) fn sink(&self) -> Result<Option<Sink>> {
        let Self { to, url, secret, bus, source } = self;
        let of_http = url.is_some() || secret.is_some();
        let of_bus = bus.is_some() || source.is_some();
        let (sink, is_right) = match (to.as_deref().unwrap_or("log"), url) {
            ("log", _) => (None, !of_http && !of_bus),
            ("http", Some(url)) => {
                let native = Native::new(url, secret.as_ref().map(|secret| secret.expose().to_owned()));
                let native = native.map_err(|error| Error::usage(format!("events.url: {error}")))?;
                (Some(Sink::Http(native)), !of_bus)
            }
            ("http", None) => return Err(Error::usage("events.to is http, and events.url says not where")),
            ("eventbridge", _) => {
                let or =
                    |given: &Option<String>, usual: &str| given.clone().unwrap_or_else(|| usual.to_owned());
                let (bus, source) = (or(bus, BUS), or(source, SOURCE));
                if bus.is_empty() || source.is_empty() || source.starts_with("aws.") {
                    return Err(Error::usage(
                        "events.bus and events.source must be names, the source not of aws.…",
                    )
                    .hint("EventBridge takes events of aws.… from nobody but AWS."));
                }
                (Some(Sink::EventBridge { bus, source }), !of_http)
            }
            (other, _) => {
                return Err(Error::usage(format!("events.to is {other}, not log, http or eventbridge")));
            }
        };
        if is_right {
            return Ok(sink);
        }
        Err(Error::usage("events has settings that are of no meaning where they go")
            .hint("url and secret are for http; bus and source are for eventbridge."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(text: &str) -> std::result::Result<Option<Sink>, String> {
        toml::from_str::<Events>(text).unwrap().sink().map_err(|error| error.to_string())
    }

    #[test]
    fn events_go_to_the_log_a_url_or_a_bus() {
        assert!(sink("").unwrap().is_none() && sink("to = 'log'").unwrap().is_none());
        assert!(matches!(
            sink("to = 'http'\nurl = 'http://127.0.0.1:1'\nsecret = 'hush'"),
            Ok(Some(Sink::Http(_)))
        ));
        let Ok(Some(Sink::EventBridge { bus, source })) = sink("to = 'eventbridge'") else { panic!("a bus") };
        assert_eq!((bus.as_str(), source.as_str()), ("default", "carillon.chime"));
        for (text, named) in [
            ("to = 'mail'", "mail"),
            ("to = 'http'", "events.url"),
            ("to = 'http'\nurl = 'x'", "x is no URL"),
            ("url = 'http://127.0.0.1:1'", "no meaning"),
            ("to = 'eventbridge'\nurl = 'http://127.0.0.1:1'", "no meaning"),
            ("to = 'eventbridge'\nsource = 'aws.chime'", "aws.…"),
        ] {
            let error = sink(text).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
