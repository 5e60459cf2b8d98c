//! Processors that are built in. The operator gives each the ARN of a function; an application puts it into a flow
//! like any other, and it decides at once, in the transaction that would have waited for a callback.
//!
//! They look at the content alone. To add one: a variant, a constructor that checks what the operator wrote, and its
//! arm in `judge`.

use std::collections::HashMap;

use carillon_model::channel_flow::{InFlight, Revision};
use carillon_model::text::{Content, LambdaFunctionArn};
use carillon_model::{MessageKey, Timestamp};
use carillon_store::{self as store, Tx};
use regex::{Regex, RegexBuilder};

use crate::error::Result;

/// The most bytes of a compiled pattern, so that no list of words takes the memory of the server.
const PATTERN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most messages that a rate may allow: what is counted for each message.
pub const RATE_MESSAGES_MAX: i64 = 1_000;
/// The longest that a rehearsal may let a message wait.
const REHEARSAL_SECONDS_MAX: i64 = 3_600;

/// The built-in processors, by the ARNs that the operator gave them.
#[derive(Debug, Default)]
pub struct Processors(HashMap<String, BuiltIn>);

/// A processor that is built in.
#[derive(Debug)]
pub enum BuiltIn {
    /// Looks for words.
    Wordlist(Finder),
    /// Looks for patterns.
    Patterns(Finder),
    /// Denies what is longer than this many characters.
    Length {
        /// The most characters.
        characters_max: usize,
    },
    /// Denies what one sender says too fast.
    Rate {
        /// New messages of one sender in one channel, or sub-channel,
        messages_max: i64,
        /// within this time.
        window_ms: i64,
    },
    /// Does what a message says, so that one can try out what clients show: `deny`, `fail`, or `wait`.
    Rehearsal {
        /// How long a message waits that says so.
        wait_ms: i64,
    },
}

/// What is done with what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The message is denied.
    Deny,
    /// Each character of it becomes an asterisk.
    Mask,
}

/// What to look for, and what to do then.
#[derive(Debug)]
pub struct Finder {
    patterns: Vec<Pattern>,
    action: Action,
}

#[derive(Debug)]
struct Pattern {
    regex: Regex,
    /// Whether what matched is what was meant.
    check: fn(&str) -> bool,
}

/// What a processor decides.
pub(crate) enum Verdict {
    Pass,
    Change(Box<Revision>),
    Deny,
    /// The message is to fail; what the processor did.
    Fail(&'static str),
    /// It is asked again then, and not before.
    Wait(Timestamp),
}

impl Processors {
    /// Adds a processor; false where the ARN has one.
    pub fn add(&mut self, function: &LambdaFunctionArn, processor: BuiltIn) -> bool {
        self.0.insert(function.as_str().to_owned(), processor).is_none()
    }

    /// The functions that are built in.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn has(&self, function: &str) -> bool {
        self.0.contains_key(function)
    }

    pub(crate) fn find(&self, function: &LambdaFunctionArn) -> Option<&BuiltIn> {
        self.0.get(function.as_str())
    }
}

impl BuiltIn {
    /// Looks for whole words, in any case.
    pub fn wordlist(words: &[String], action: Action) -> std::result::Result<Self, String> {
        if words.is_empty() || words.iter().any(String::is_empty) {
            return Err("must have words, and none of them empty".to_owned());
        }
        let words: Vec<String> = words.iter().map(|word| regex::escape(word)).collect();
        // Half-boundaries ask only what stands outside: a word may itself begin or end with a sign.
        let regex = compile(&format!(r"\b{{start-half}}(?:{})\b{{end-half}}", words.join("|")))?;
        let pattern = Pattern { regex, check: |_| true };
        Ok(Self::Wordlist(Finder { patterns: vec![pattern], action }))
    }

    /// Looks for patterns: `email`, `phone` and `card` by their names, any other as a regular expression.
    pub fn patterns(patterns: &[String], action: Action) -> std::result::Result<Self, String> {
        if patterns.is_empty() {
            return Err("must have patterns".to_owned());
        }
        let patterns = patterns.iter().map(|pattern| Pattern::named(pattern));
        Ok(Self::Patterns(Finder { patterns: patterns.collect::<std::result::Result<_, _>>()?, action }))
    }

    /// Denies what is longer than this many characters.
    pub fn length(characters_max: usize) -> std::result::Result<Self, String> {
        if characters_max == 0 {
            return Err("must allow at least one character".to_owned());
        }
        Ok(Self::Length { characters_max })
    }

    /// Denies more than so many new messages of one sender, in one channel, within so many seconds.
    pub fn rate(messages_max: i64, seconds: i64) -> std::result::Result<Self, String> {
        const SECONDS_MAX: i64 = crate::patience::CALLBACK_WINDOW_MS / 1000;
        if !(1..=RATE_MESSAGES_MAX).contains(&messages_max) || !(1..=SECONDS_MAX).contains(&seconds) {
            return Err(format!(
                "must have 1 to {RATE_MESSAGES_MAX} messages within 1 to {SECONDS_MAX} seconds"
            ));
        }
        Ok(Self::Rate { messages_max, window_ms: seconds * 1000 })
    }

    /// Does what messages say.
    pub fn rehearsal(wait_seconds: i64) -> std::result::Result<Self, String> {
        if !(1..=REHEARSAL_SECONDS_MAX).contains(&wait_seconds) {
            return Err(format!("must wait 1 to {REHEARSAL_SECONDS_MAX} seconds"));
        }
        Ok(Self::Rehearsal { wait_ms: wait_seconds * 1000 })
    }

    pub(crate) fn judge(&self, tx: &mut Tx, one: &InFlight, now: Timestamp) -> Result<Verdict> {
        let revision = one.current();
        let content = revision.content.as_ref().map_or("", Content::as_str);
        Ok(match self {
            Self::Wordlist(finder) | Self::Patterns(finder) => finder.judge(revision, content),
            Self::Length { characters_max } if *characters_max < content.chars().count() => Verdict::Deny,
            Self::Length { .. } => Verdict::Pass,
            Self::Rate { messages_max, window_ms } => {
                let least = MessageKey::least(now.plus_ms(1 - window_ms));
                let (place, sender) = (one.sub_channel, one.sender.key);
                let before = store::in_flight::count_since(tx, place, sender, least, *messages_max)?;
                if *messages_max <= before { Verdict::Deny } else { Verdict::Pass }
            }
            Self::Rehearsal { wait_ms } => rehearse(content, one.accepted_at.plus_ms(*wait_ms), now),
        })
    }
}

/// What a message says that is to become of it; one that waits passes afterwards.
fn rehearse(content: &str, until: Timestamp, now: Timestamp) -> Verdict {
    let says = |word: &str| {
        content.split(|c: char| !c.is_alphanumeric()).any(|said| said.eq_ignore_ascii_case(word))
    };
    if says("deny") {
        Verdict::Deny
    } else if says("fail") {
        Verdict::Fail("failed, as the message asked it to")
    } else if says("wait") && now < until {
        Verdict::Wait(until)
    } else {
        Verdict::Pass
    }
}

impl Finder {
    fn judge(&self, revision: &Revision, content: &str) -> Verdict {
        let mut found: Vec<(usize, usize)> = Vec::new();
        for pattern in &self.patterns {
            let matches = pattern.regex.find_iter(content).filter(|found| (pattern.check)(found.as_str()));
            found.extend(matches.map(|found| (found.start(), found.end())));
            if self.action == Action::Deny && !found.is_empty() {
                return Verdict::Deny;
            }
        }
        if found.is_empty() {
            return Verdict::Pass;
        }
        let masked = mask(content, &found);
        Verdict::Change(Box::new(Revision { content: Some(Content::stored(masked)), ..revision.clone() }))
    }
}

/// An asterisk for each character within these ranges, which begin and end between characters.
fn mask(content: &str, ranges: &[(usize, usize)]) -> String {
    let masked = |at: usize| ranges.iter().any(|(start, end)| (*start..*end).contains(&at));
    content.char_indices().map(|(at, character)| if masked(at) { '*' } else { character }).collect()
}

impl Pattern {
    fn named(name: &str) -> std::result::Result<Self, String> {
        let (pattern, check): (&str, fn(&str) -> bool) = match name {
            "email" => (r"[\w.%+-]+@[\w-]+(?:\.[\w-]+)+", |_| true),
            // Seven to fifteen digits, as E.164 allows, with what people put between them.
            "phone" => (r"\+?\(?\d(?:[ ().\-/]{0,2}\d){6,14}\b", |_| true),
            "card" => (r"\b\d(?:[ -]?\d){11,18}\b", is_card),
            other => (other, |found| !found.is_empty()),
        };
        Ok(Self { regex: compile(pattern)?, check })
    }
}

fn compile(pattern: &str) -> std::result::Result<Regex, String> {
    let built = RegexBuilder::new(pattern).case_insensitive(true).size_limit(PATTERN_BYTES_MAX).build();
    built.map_err(|error| format!("is no pattern: {error}"))
}

/// Whether the digits pass the check of Luhn (ISO/IEC 7812-1, annex B), as the number of a card does.
fn is_card(text: &str) -> bool {
    let digits = text.chars().rev().filter_map(|character| character.to_digit(10));
    let sum: u32 = digits
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit) {
            (0, digit) => digit,
            (_, digit) if digit < 5 => digit * 2,
            (_, digit) => digit * 2 - 9,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(content: &str) -> Revision {
        Revision { content: Some(Content::stored(content.to_owned())), ..Revision::default() }
    }

    /// What is left of a content; nothing where it is denied.
    fn judged(processor: &BuiltIn, content: &str) -> Option<String> {
        let (BuiltIn::Wordlist(finder) | BuiltIn::Patterns(finder)) = processor else {
            unreachable!("these tests are about finders")
        };
        match finder.judge(&said(content), content) {
            Verdict::Pass => Some(content.to_owned()),
            Verdict::Change(revision) => revision.content.map(Content::into_string),
            Verdict::Deny => None,
            Verdict::Fail(_) | Verdict::Wait(_) => unreachable!("finders decide at once"),
        }
    }

    fn words(list: &[&str], action: Action) -> BuiltIn {
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        BuiltIn::wordlist(&list, action).unwrap()
    }

    fn patterns(list: &[&str], action: Action) -> BuiltIn {
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        BuiltIn::patterns(&list, action).unwrap()
    }

    #[test]
    fn whole_words_are_found_in_any_case_and_language() {
        let mask = words(&["darn", "über", "c++"], Action::Mask);
        for (content, left) in [
            ("Darn it, DARN!", "**** it, ****!"),
            ("darned and undarn stay", "darned and undarn stay"),
            ("Überall? ÜBER!", "Überall? ****!"),
            ("c++ and c+++", "*** and ***+"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(judged(&mask, content).as_deref(), Some(left), "{content}");
        }
        let deny = words(&["darn"], Action::Deny);
        assert_eq!((judged(&deny, "oh darn"), judged(&deny, "oh dear").is_some()), (None, true));
    }

    #[test]
    fn named_patterns_find_what_their_names_say() {
        let mask = patterns(&["email", "phone", "card"], Action::Mask);
        for (content, left) in [
            ("ana@example.com!", "***************!"),
            ("mail a.b+c@mail.example.co.uk now", "mail ************************ now"),
            ("call +49 (30) 1234-567", "call *****************"),
            ("pay 4111 1111 1111 1111.", "pay *******************."),
            ("order 12345, room 7", "order 12345, room 7"),
        ] {
            assert_eq!(judged(&mask, content).as_deref(), Some(left), "{content}");
        }
        let card = patterns(&["card"], Action::Deny);
        assert_eq!(judged(&card, "4111 1111 1111 1111"), None);
        assert!(judged(&card, "4111 1111 1111 1112").is_some(), "the check of Luhn fails");
        let own = patterns(&["secret-[0-9]+"], Action::Mask);
        assert_eq!(judged(&own, "Secret-42 and secret").as_deref(), Some("********* and secret"));
    }

    #[test]
    fn what_an_operator_wrote_wrongly_is_refused() {
        assert!(BuiltIn::wordlist(&[], Action::Deny).is_err());
        assert!(BuiltIn::patterns(&["(".to_owned()], Action::Deny).is_err());
        assert!(BuiltIn::patterns(&["a{1000}{1000}{1000}".to_owned()], Action::Deny).is_err());
        assert!(BuiltIn::length(0).is_err() && BuiltIn::rate(0, 1).is_err() && BuiltIn::rate(1, 0).is_err());
    }
}
