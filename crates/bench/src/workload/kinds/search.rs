//! Searches in messages, and what they cost those who send.
//!
//! What people write is words, few of them most of the time (Zipf): of [`VOCABULARY`] words the first is in every other
//! message, and one of the last in a few of a million.

use std::sync::LazyLock;
use std::time::Duration;

use carillon_model::identity::Identity;
use carillon_model::{AppInstanceArn, IdentityArn};
use carillon_service::operations::extensions::search_channel_messages::SearchChannelMessages;
use carillon_service::operations::messaging::send_channel_message::SendChannelMessage;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::call::{Call, Workload};
use super::super::ears::Audience;
use super::super::fill::Plan;
use super::super::zipf::Zipf;
use super::many_channels::{self, ManyChannels};
use super::{Stage, number_of};
use crate::client::Connection;
use crate::scene::{lost, text};
use carillon_server::error::{Error, Result};

/// Channels that are searched, or written to.
const CHANNELS: u64 = 1_000;
/// Who search them, each a twentieth.
const PEOPLE: u64 = 20;
/// Words that there are.
const VOCABULARY: usize = 50_000;
/// Words of a message.
const WORDS: usize = 14;
/// The words that many messages have, and those that few have.
const FREQUENT: std::ops::Range<usize> = 0..10;
const RARE: std::ops::Range<usize> = 20_000..50_000;
/// How often it is looked whether all is taken in.
const LOOK_EVERY: Duration = Duration::from_secs(2);

static ZIPF: LazyLock<Zipf> = LazyLock::new(|| Zipf::over(VOCABULARY));

/// A word, by its number: syllables, more of them in rare words.
fn word(number: usize) -> String {
    const SYLLABLES: [&str; 20] = [
        "ba", "ce", "di", "fo", "gu", "ha", "ki", "lo", "mu", "ne", "pa", "qui", "re", "so", "tu", "va",
        "we", "xi", "yo", "zu",
    ];
    let (mut rest, mut word) = (number, String::new());
    loop {
        word.push_str(SYLLABLES[rest % SYLLABLES.len()]);
        rest /= SYLLABLES.len();
        if rest == 0 {
            return word;
        }
        rest -= 1;
    }
}

/// What somebody writes.
fn sentence(random: &mut StdRng) -> String {
    let words: Vec<String> = (0..WORDS).map(|_| word(ZIPF.draw(random))).collect();
    words.join(" ")
}

pub(super) struct Search {
    people: Vec<IdentityArn>,
    instance: AppInstanceArn,
}

pub(super) async fn set(stage: &mut Stage<'_>) -> Result<Search> {
    let scene = stage.scene().await?;
    let people = stage.people(&scene, usize::try_from(PEOPLE).unwrap_or_default()).await?;
    let each = (stage.size as u64 / CHANNELS).max(1);
    let plan = |people: &[Identity]| Written { people: people.to_vec(), each };
    stage.fill(&scene, plan, &people).await?;
    taken_in(stage).await?;
    Ok(Search { people, instance: scene.sender.app_instance() })
}

/// Waits until all messages are taken in.
async fn taken_in(stage: &Stage<'_>) -> Result<()> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let server = stage.host.address();
        let mut connection = Connection::open(server).await.map_err(|error| lost(&error))?;
        let request = format!("GET /_carillon/metrics HTTP/1.1\r\nhost: {server}\r\n\r\n");
        let answer = connection.exchange(request.as_bytes()).await.map_err(|error| lost(&error))?;
        let page = String::from_utf8_lossy(answer.body).into_owned();
        let value = |name: &str| -> Option<u64> {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
            line.trim().split('.').next()?.parse().ok()
        };
        let channels =
            value("carillon_search_channels").ok_or_else(|| Error::failure("the server has no search"))?;
        if CHANNELS <= channels && value("carillon_search_channels_walked") == Some(channels) {
            return Ok(());
        }
    }
}

/// Channels of one person, who writes in them.
struct Written {
    people: Vec<Identity>,
    each: u64,
}

impl Plan for Written {
    fn channels(&self) -> u64 {
        CHANNELS
    }
    fn people(&self, number: u64) -> Vec<Identity> {
        vec![self.people[usize::try_from(number % PEOPLE).unwrap_or_default()].clone()]
    }
    fn messages_each(&self) -> u64 {
        self.each
    }
    fn content(&self, number: u64, at: u64) -> String {
        sentence(&mut StdRng::seed_from_u64((number << 32) | at))
    }
}

impl Workload for Search {
    fn kinds(&self) -> &'static [&'static str] {
        &["rare word", "frequent word", "rare and frequent", "phrase of two"]
    }

    fn call(&self, number: u64, random: &mut StdRng) -> Call {
        let kind = usize::try_from(number % 4).unwrap_or_default();
        let mut one = |of: std::ops::Range<usize>| word(random.random_range(of));
        let query = match kind {
            0 => one(RARE),
            1 => one(FREQUENT),
            2 => format!("{} {}", one(RARE), one(FREQUENT)),
            _ => format!("\"{} {}\"", one(FREQUENT), one(FREQUENT)),
        };
        let search = SearchChannelMessages {
            app_instance_arn: self.instance.clone(),
            query: text(&query),
            channel_arns: None,
            not_before: None,
            not_after: None,
            sort_order: None,
            max_results: None,
            next_token: None,
            chime_bearer: self.people[random.random_range(0..self.people.len())].clone(),
        };
        Call::of(kind, &search)
    }
}

/// Sends of what people write.
pub(super) struct Sends(ManyChannels);

pub(super) async fn sends(stage: &mut Stage<'_>) -> Result<Sends> {
    let channels = usize::try_from(CHANNELS).unwrap_or_default();
    Ok(Sends(
        many_channels::set(&mut Stage { host: stage.host, size: channels, by_wire: stage.by_wire }).await?,
    ))
}

impl Workload for Sends {
    fn kinds(&self) -> &'static [&'static str] {
        self.0.kinds()
    }

    fn call(&self, number: u64, random: &mut StdRng) -> Call {
        let message = self.0.message(number, random);
        // The number stays where those who listen look for it.
        let content = format!("message number {} {}", number_of(number), sentence(random));
        Call::of(0, &SendChannelMessage { content: text(&content), ..message }).heard_by(2)
    }

    fn audience(&self) -> Option<&Audience> {
        self.0.audience()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_word_is_one_of_its_own() {
        let words: BTreeSet<String> = (0..VOCABULARY).map(word).collect();
        assert_eq!(words.len(), VOCABULARY);
    }

    #[test]
    fn what_is_written_comes_again_from_its_number() {
        let one = |seed| sentence(&mut StdRng::seed_from_u64(seed));
        assert_eq!(one(7), one(7));
        assert_ne!(one(7), one(8));
    }
}
