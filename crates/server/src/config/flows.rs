//! What an operator says about channel flows: `[flows]`, `[targets]` and `[processors]` of `carillon.toml`. Tables
//! are nothing for a command line, so these are keys of the file only.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use carillon_model::arn::Home;
use carillon_model::text::LambdaFunctionArn;
use carillon_service::functions::Functions;
use carillon_service::patience::Patience;
use carillon_service::processors::{Action, BuiltIn, Processors};
use carillon_targets::aws::Aws;
use carillon_targets::{Manner, Native, Targets};
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// `[flows]`: how processors are called, and how long one that cannot be is tried and waited for, before its fallback
/// decides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Flows {
    /// The functions that flows may call: ARNs, or beginnings of ARNs with a `*` behind; those of the own account and
    /// region by default. Those of `[targets]` and `[processors]` may be called in any case.
    functions: Option<Vec<String>>,
    /// Calls, the first one included; 3 by default.
    tries_max: Option<u32>,
    /// Seconds after the first call within which the last one may begin; 10 by default.
    tries_window_seconds: Option<u32>,
    /// Milliseconds that a call may take; 2,500 by default.
    call_timeout_milliseconds: Option<u32>,
    /// Seconds that a call may wait to be made, while the processor keeps failing or has no place free; 120 by default.
    waiting_seconds: Option<u32>,
    /// Calls of one processor at once; 256 by default.
    calls_max: Option<u32>,
}

/// Calls of one processor at once, unless the operator says otherwise: at 100 ms, 2,560 a second.
const CALLS_MAX: u32 = 256;
/// How long a message waits that says so, unless the operator says otherwise: long enough to look at it.
const REHEARSAL_SECONDS: i64 = 10;
/// The most that an operator may say.
const CALLS_MOST: u32 = 1_024;

/// `[targets."<ARN>"]`: a function that is behind plain HTTP, not Lambda.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Where the call is posted.
    pub(crate) url: String,
    /// What both sides know, to sign and to check the call.
    #[serde(skip_serializing)]
    pub(super) secret: Option<String>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("url", &self.url).finish_non_exhaustive()
    }
}

/// `[processors."<ARN>"]`: a processor that is built in, under the ARN of a function.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Processor {
    /// Looks for whole words, in any case.
    Wordlist {
        /// The words.
        words: Vec<String>,
        /// What is done with what was found.
        action: WrittenAction,
    },
    /// Looks for patterns.
    Regex {
        /// `email`, `phone`, `card`, or a regular expression.
        patterns: Vec<String>,
        /// What is done with what was found.
        action: WrittenAction,
    },
    /// Denies what is longer.
    Length {
        /// The most characters.
        characters_max: usize,
    },
    /// Denies more than so many messages of one sender within so many seconds.
    Rate {
        /// The messages.
        messages_max: i64,
        /// The seconds.
        seconds: i64,
    },
    /// Does what a message says, to try out what clients show.
    Rehearsal {
        /// How long a message waits that says `wait`; 10 by default.
        wait_seconds: Option<i64>,
    },
}

/// What is done with what a processor found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WrittenAction {
    /// The message is denied.
    Deny,
    /// Each character of it becomes an asterisk.
    Mask,
}

impl Flows {
    /// What it means.
    pub(crate) fn patience(&self) -> Result<Patience> {
        let default = Patience::default();
        let patience = Patience {
            tries_max: self.tries_max.map_or(default.tries_max, i64::from),
            tries_window_ms: self
                .tries_window_seconds
                .map_or(default.tries_window_ms, |seconds| i64::from(seconds) * 1000),
            call_timeout_ms: self.call_timeout_milliseconds.map_or(default.call_timeout_ms, i64::from),
            waiting_ms: self.waiting_seconds.map_or(default.waiting_ms, |seconds| i64::from(seconds) * 1000),
        };
        let longest = carillon_service::front::invocation::CALL_TIMEOUT_MS_MAX;
        if patience.tries_max == 0 {
            return Err(Error::usage("flows.tries_max must be at least 1"));
        }
        if !(1..=longest).contains(&patience.call_timeout_ms) {
            return Err(Error::usage(format!("flows.call_timeout_milliseconds must be 1 to {longest}")));
        }
        if patience.waiting_ms == 0 {
            return Err(Error::usage("flows.waiting_seconds must be at least 1"));
        }
        Ok(patience)
    }

    /// How targets are called.
    pub(crate) fn manner(&self) -> Result<Manner> {
        let calls_max = self.calls_max.unwrap_or(CALLS_MAX);
        if !(1..=CALLS_MOST).contains(&calls_max) {
            return Err(Error::usage(format!("flows.calls_max must be 1 to {CALLS_MOST}")));
        }
        let timeout = Duration::from_millis(self.patience()?.call_timeout_ms.unsigned_abs());
        Ok(Manner { timeout, calls_max: calls_max as usize })
    }
}

impl Target {
    /// Where it is, as it is called.
    pub(super) fn native(&self) -> std::result::Result<Native, String> {
        Native::new(&self.url, self.secret.clone())
    }
}

/// The functions that are behind HTTP, and all others.
pub(crate) fn targets(
    written: BTreeMap<String, Target>,
    manner: Manner,
    random: StdRng,
    aws: Arc<Aws>,
) -> Result<Targets> {
    let mut native = HashMap::new();
    for (arn, target) in written {
        let arn = function("targets", &arn)?;
        let target = target
            .native()
            .map_err(|error| Error::usage(format!("targets.\"{}\": {error}", arn.as_str())))?;
        native.insert(arn.as_str().to_owned(), target);
    }
    Targets::new(native, manner, random, aws).map_err(Error::failure)
}

/// The functions that flows may call.
pub(crate) fn functions(
    flows: &Flows,
    home: &Home,
    (targets, processors): (&BTreeMap<String, Target>, &BTreeMap<String, Processor>),
) -> Result<Functions> {
    let own = || vec![format!("arn:aws:lambda:{}:{}:function:*", home.region(), home.account())];
    let mut patterns = flows.functions.clone().unwrap_or_else(own);
    for pattern in &patterns {
        if !pattern.starts_with("arn:") || pattern.trim_end_matches('*').contains('*') {
            return Err(Error::usage(format!("flows.functions has {pattern}"))
                .hint("It is the ARN of a function, or the beginning of one and a * at its end."));
        }
    }
    patterns.extend(targets.keys().chain(processors.keys()).cloned());
    Ok(Functions::new(patterns))
}

/// The processors that are built in.
pub(crate) fn processors(written: &BTreeMap<String, Processor>) -> Result<Processors> {
    let mut processors = Processors::default();
    for (arn, processor) in written {
        let arn = function("processors", arn)?;
        let built_in = processor
            .meaning()
            .map_err(|error| Error::usage(format!("processors.\"{}\": {error}", arn.as_str())))?;
        processors.add(&arn, built_in);
    }
    Ok(processors)
}

fn function(table: &str, arn: &str) -> Result<LambdaFunctionArn> {
    arn.parse().map_err(|error| {
        Error::usage(format!("{table}.\"{arn}\" is not the ARN of a function: {error}"))
            .hint("It is what a processor of CreateChannelFlow names: arn:aws:lambda:…:function:name.")
    })
}

/// The function of the processor that `dev` shows; nothing where no region of AWS could be called so.
pub fn demo_function(home: &Home) -> Option<LambdaFunctionArn> {
    format!("arn:aws:lambda:{}:{}:function:rehearsal", home.region(), home.account()).parse().ok()
}

impl Processor {
    /// Does what messages say.
    pub(crate) fn rehearsal() -> Self {
        Self::Rehearsal { wait_seconds: None }
    }

    fn meaning(&self) -> std::result::Result<BuiltIn, String> {
        match self {
            Self::Wordlist { words, action } => BuiltIn::wordlist(words, (*action).into()),
            Self::Regex { patterns, action } => BuiltIn::patterns(patterns, (*action).into()),
            Self::Length { characters_max } => BuiltIn::length(*characters_max),
            Self::Rate { messages_max, seconds } => BuiltIn::rate(*messages_max, *seconds),
            Self::Rehearsal { wait_seconds } => BuiltIn::rehearsal(wait_seconds.unwrap_or(REHEARSAL_SECONDS)),
        }
    }
}

impl From<WrittenAction> for Action {
    fn from(action: WrittenAction) -> Self {
        match action {
            WrittenAction::Deny => Self::Deny,
            WrittenAction::Mask => Self::Mask,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;
    use crate::outgoing::Clients;

    const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:moderate";

    fn processor(text: &str) -> std::result::Result<Processor, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn each_kind_of_processor_is_read() {
        for text in [
            "kind = 'wordlist'\nwords = ['darn']\naction = 'mask'",
            "kind = 'regex'\npatterns = ['email', 'secret-[0-9]+']\naction = 'deny'",
            "kind = 'length'\ncharacters_max = 280",
            "kind = 'rate'\nmessages_max = 5\nseconds = 10",
            "kind = 'rehearsal'",
            "kind = 'rehearsal'\nwait_seconds = 3",
        ] {
            let written = BTreeMap::from([(FUNCTION.to_owned(), processor(text).unwrap())]);
            assert!(processors(&written).is_ok(), "{text}");
        }
        assert!(processor("kind = 'poem'").is_err());
        assert!(
            processor("kind = 'length'\ncharacters_max = 1\nwords = []").is_err(),
            "a key of another kind"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let refused = |arn: &str, url: &str| {
            let target = Target { url: url.to_owned(), secret: Some("hush".to_owned()) };
            let written = BTreeMap::from([(arn.to_owned(), target)]);
            let (manner, random) = (Flows::default().manner().unwrap(), StdRng::seed_from_u64(1));
            targets(written, manner, random, Clients::new().unwrap().aws).err().unwrap().to_string()
        };
        assert!(refused("moderate", "http://127.0.0.1").contains("targets.\"moderate\""));
        assert!(refused(FUNCTION, "nowhere").contains("nowhere is no URL"));
        let patience = |text: &str| toml::from_str::<Flows>(text).unwrap().patience();
        assert_eq!(patience("").unwrap(), Patience::default());
        assert_eq!(patience("tries_max = 5").unwrap().tries_max, 5);
        assert!(patience("tries_max = 0").is_err() && patience("call_timeout_milliseconds = 60000").is_err());
        assert_eq!(patience("waiting_seconds = 7").unwrap().waiting_ms, 7_000);
        assert!(patience("waiting_seconds = 0").is_err());
        let manner = |text: &str| toml::from_str::<Flows>(text).unwrap().manner();
        assert_eq!(manner("calls_max = 7").unwrap().calls_max, 7);
        assert!(manner("calls_max = 0").is_err() && manner("calls_max = 1025").is_err());
    }
}
