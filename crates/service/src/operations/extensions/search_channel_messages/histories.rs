//! Searches beside a naive one: histories of people who join and leave, write, whisper, edit, redact and delete, with
//! messages taken in now and then, by an application that policies deny now this channel and now that, each from a
//! number. What the naive search may read is what `ListChannelMessages` shows to the same caller, but for what those
//! policies deny; it takes texts apart in a way of its own, and looks at all of them each time.
//!
//! `CARILLON_SEARCH_HISTORIES` says how many histories there are, [`HISTORIES`] where it says nothing.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use super::tests::{policy, search, statement};
use super::*;
use crate::front::query::tests::{done, new_user};
use crate::operations::identity::delete_app_instance::DeleteAppInstance;
use crate::operations::messaging::delete_channel_message::DeleteChannelMessage;
use crate::operations::messaging::list_channel_memberships_for_app_instance_user as memberships;
use crate::operations::messaging::list_channel_messages::ListChannelMessages;
use crate::operations::messaging::redact_channel_message::RedactChannelMessage;
use crate::operations::messaging::send_channel_message::SendChannelMessage;
use crate::operations::messaging::update_channel_message::UpdateChannelMessage;
use crate::testing::*;

const HISTORIES: u64 = 6;
const STEPS: usize = 60;
/// Few, so that much is found; each is one word, or letters of a script without blanks.
const WORDS: &[&str] = &["alpha", "beta", "gamma", "delta", "東京", "京都", "都", "กิน", "นข้าว", "مرحبا"];

struct History {
    random: StdRng,
    people: Vec<IdentityArn>,
    root: IdentityArn,
    channels: Vec<ChannelArn>,
    elastic: ChannelArn,
    sent: Vec<(ChannelArn, Option<SubChannelId>, IdentityArn, MessageId)>,
    /// An application that may search, but not everywhere.
    narrowed: Credentials,
}

impl History {
    fn begin(world: &mut World, narrowed: &Credentials, seed: u64) -> Self {
        world.use_new_instance();
        let mut random = StdRng::seed_from_u64(seed);
        let root = world.admin("root");
        let people: Vec<_> = ["ana", "bob", "cy", "di"].map(|name| world.user(name)).into();
        let channels = [ChannelPrivacy::Private, ChannelPrivacy::Public, ChannelPrivacy::Private];
        let channels = channels.map(|privacy| {
            let owner = people[random.random_range(0..people.len())].clone();
            world.channel_of(&owner, ChannelMode::Unrestricted, privacy)
        });
        let elastic = world.call(&elastic_request(world, &people[0])).unwrap().channel_arn;
        for channel in channels.iter().chain([&elastic]) {
            for person in &people {
                if random.random_range(0..3) != 0 {
                    let _ = world.try_join(channel, &root, person, ChannelMembershipType::Default);
                }
            }
        }
        Self {
            random,
            people,
            root,
            channels: channels.into(),
            elastic,
            sent: Vec::new(),
            narrowed: narrowed.clone(),
        }
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.random.random_range(0..of.len())].clone()
    }

    fn content(&mut self) -> String {
        let count = self.random.random_range(1..5);
        (0..count).map(|_| self.one(WORDS)).collect::<Vec<_>>().join(" ")
    }

    /// Anything that can happen; what is refused is refused.
    fn step(&mut self, world: &mut World) {
        let (people, mut channels) = (self.people.clone(), self.channels.clone());
        channels.push(self.elastic.clone());
        let (who, channel) = (self.one(&people), self.one(&channels));
        match self.random.random_range(0..20) {
            0 | 1 => {
                let other = self.one(&people);
                let _ = world.try_join(&channel, &who, &other, ChannelMembershipType::Default);
            }
            2 => drop(world.try_leave(&channel, &who)),
            3 => {
                let rows_max = self.one(&[1, 3, 100]);
                world.index(rows_max);
            }
            4 => {
                let days = self.one(&[Some("1"), None, None]);
                world.keep_messages(&self.root.app_instance(), days);
            }
            5 => world.advance_ms(self.one(&[1, 60_000, 24 * 60 * 60 * 1000])),
            6 | 7 => self.change(world),
            8 => world.balance(),
            _ => self.send(world, &channel, &who),
        }
    }

    fn send(&mut self, world: &mut World, channel: &ChannelArn, who: &IdentityArn) {
        let sub_channel_id = world.place_of(channel, who).filter(|_| *channel == self.elastic);
        let people = self.people.clone();
        let target = (self.random.random_range(0..4) == 0)
            .then(|| vec![Target { member_arn: Some(self.one(&people)) }]);
        let send = SendChannelMessage {
            client_request_token: world.token(),
            target,
            sub_channel_id: sub_channel_id.clone(),
            ..message_request(channel, who, &self.content())
        };
        if let Ok(sent) = world.call(&send) {
            self.sent.push((channel.clone(), sub_channel_id, who.clone(), sent.message_id));
        }
        world.advance_ms(self.random.random_range(0..2));
    }

    /// An edit, a redaction or a deletion of something that was sent.
    fn change(&mut self, world: &mut World) {
        if self.sent.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.sent.len());
        let (channel_arn, sub_channel_id, chime_bearer, message_id) = self.sent[at].clone();
        match self.random.random_range(0..3) {
            0 => {
                let content = text(&self.content());
                drop(world.call(&UpdateChannelMessage {
                    channel_arn,
                    message_id,
                    content,
                    metadata: None,
                    chime_bearer,
                    sub_channel_id,
                    content_type: None,
                }));
            }
            1 => drop(world.call(&RedactChannelMessage {
                channel_arn,
                message_id,
                sub_channel_id,
                chime_bearer,
            })),
            _ => {
                let chime_bearer = self.root.clone();
                drop(world.call(&DeleteChannelMessage {
                    channel_arn,
                    message_id,
                    sub_channel_id,
                    chime_bearer,
                }));
            }
        }
    }

    /// A query, and which contents of whom it means.
    fn query(&mut self) -> (String, Vec<Meant>) {
        let count = self.one(&[1, 1, 1, 2, 3]);
        let mut meant = Vec::new();
        for number in 0..count {
            let word = self.one(WORDS);
            meant.push(match self.random.random_range(0..8) {
                0 => Meant::Phrase(false, format!("{word} {}", self.one(WORDS))),
                1 if number != 0 => Meant::Phrase(true, word.to_owned()),
                2 => Meant::Sender(false, self.one(&["ana", "bob"]).to_owned()),
                3 if number != 0 => Meant::Sender(true, self.one(&["ana", "bob"]).to_owned()),
                _ => Meant::Phrase(false, word.to_owned()),
            });
        }
        (meant.iter().map(Meant::spelt).collect::<Vec<_>>().join(" "), meant)
    }

    /// Searches as somebody, and compares.
    fn compare(&mut self, world: &mut World) -> usize {
        let everybody: Vec<_> = self.people.iter().chain([&self.root]).cloned().collect();
        let who = self.one(&everybody);
        let (query, meant) = self.query();
        let order = self.one(&[SortOrder::Ascending, SortOrder::Descending]);
        let named = self.named(world, &who);
        let places = match &named {
            Some(channels) => {
                channels.iter().flat_map(|channel| self.places_in(world, channel, &who)).collect()
            }
            None => own_places(world, &who),
        };
        let denied = self.deny(world);
        let is_denied = |channel: &ChannelArn| denied.contains(channel);
        if let Some(named) = named.iter().flatten().find(|channel| is_denied(channel)) {
            let own = world.sign_with(self.narrowed.clone());
            let asked =
                SearchChannelMessages { channel_arns: Some(vec![named.clone()]), ..search(&who, &query) };
            assert_eq!(world.refusal(&asked), ErrorCode::AccessDenied);
            world.sign_with(own);
        }
        let named =
            named.map(|named| named.into_iter().filter(|channel| !is_denied(channel)).collect::<Vec<_>>());
        if named.as_ref().is_some_and(Vec::is_empty) {
            return 0;
        }
        let mut expected = Vec::new();
        for (channel, place) in places.into_iter().filter(|(channel, _)| !is_denied(channel)) {
            for message in listed(world, &channel, place, &who) {
                let content = message.content.as_ref().map(Content::as_str).unwrap_or_default();
                let sender = message.sender.arn.id();
                if !message.redacted && means(&meant, content, sender) {
                    expected.push((message.message_id.into_string(), content.to_owned()));
                }
            }
        }
        expected.sort();
        let mut asked = SearchChannelMessages {
            channel_arns: named,
            sort_order: Some(order),
            max_results: Some(self.random.random_range(1..6).try_into().unwrap()),
            ..search(&who, &query)
        };
        let mut found = Vec::new();
        let own = world.sign_with(self.narrowed.clone());
        world.turn_pages(&mut asked, |page| {
            let message =
                |one: FoundMessage| (one.message_id.into_string(), one.content.unwrap().into_string());
            found.extend(page.messages.into_iter().map(message));
            page.next_token
        });
        world.sign_with(own);
        let times: Vec<&str> = found.iter().map(|(id, _)| &id[..32]).collect();
        let in_order = match order {
            SortOrder::Ascending => times.is_sorted(),
            SortOrder::Descending => times.iter().rev().is_sorted(),
        };
        assert!(in_order, "{query} {order:?}: {found:?}");
        found.sort();
        assert_eq!(found, expected, "{query} {order:?} by {}", who.id());
        found.len()
    }

    /// Denies the searching application some channels, by a policy that names each, or a tag of each, or all others.
    fn deny(&mut self, world: &mut World) -> Vec<ChannelArn> {
        let mut channels = self.channels.clone();
        channels.push(self.elastic.clone());
        let count = self.one(&[0, 0, 1, 2]);
        let denied: Vec<ChannelArn> = (0..count).map(|_| self.one(&channels)).collect();
        let names: Vec<&str> = denied.iter().map(ChannelArn::as_str).collect();
        let all = || statement("Allow", json!({"Resource": "*"}));
        let statements = match (count, self.random.random_range(0..3)) {
            (0, _) => vec![all()],
            (_, 0) => vec![all(), statement("Deny", json!({"Resource": names}))],
            (_, 1) => vec![statement("Allow", json!({"NotResource": names}))],
            _ => {
                for channel in &channels {
                    let is_denied = if denied.contains(channel) { "yes" } else { "no" };
                    world.tag(channel.as_str(), "denied", is_denied);
                }
                let condition = json!({"StringEquals": {"aws:ResourceTag/denied": "yes"}});
                vec![all(), statement("Deny", json!({"Resource": "*", "Condition": condition}))]
            }
        };
        let document = policy(&statements);
        let put = [("UserName", "searcher"), ("PolicyName", "p"), ("PolicyDocument", &*document)];
        done(world, "PutUserPolicy", &put);
        denied
    }

    /// Some channels that the caller may read, or none.
    fn named(&mut self, world: &mut World, who: &IdentityArn) -> Option<Vec<ChannelArn>> {
        if self.random.random_range(0..2) == 0 {
            return None;
        }
        let mut channels = self.channels.clone();
        channels.push(self.elastic.clone());
        let mut readable = Vec::new();
        for channel in channels {
            let is_readable = !self.places_in(world, &channel, who).is_empty();
            let alone =
                SearchChannelMessages { channel_arns: Some(vec![channel.clone()]), ..search(who, "alpha") };
            assert_eq!(world.call(&alone).is_ok(), is_readable, "{} in {channel:?}", who.id());
            readable.extend(Some(channel).filter(|_| is_readable && self.random.random_range(0..2) == 0));
        }
        Some(readable).filter(|readable| !readable.is_empty())
    }

    /// Where in a channel somebody may read: that is what listing says.
    fn places_in(
        &self,
        world: &mut World,
        channel: &ChannelArn,
        who: &IdentityArn,
    ) -> Vec<(ChannelArn, Option<SubChannelId>)> {
        let all: Vec<Option<SubChannelId>> = if *channel == self.elastic {
            let (root, arn) = (self.root.clone(), channel.clone());
            let places = world.stored(move |tx| {
                let standing = store::standing::find(tx, &root, &arn)?;
                let channel = standing.and_then(|standing| standing.channel);
                channel.map_or(Ok(Vec::new()), |channel| store::sub_channel::list_places(tx, &channel))
            });
            places.into_iter().map(|place| Some(SubChannelId::stored(place.to_string()))).collect()
        } else {
            vec![None]
        };
        let readable = |place: &Option<SubChannelId>, world: &mut World| {
            let list = ListChannelMessages { sub_channel_id: place.clone(), ..messages_of(channel, who) };
            world.call(&list).is_ok()
        };
        let places: Vec<_> = all.into_iter().filter(|place| readable(place, world)).collect();
        places.into_iter().map(|place| (channel.clone(), place)).collect()
    }
}

fn own_places(world: &mut World, who: &IdentityArn) -> Vec<(ChannelArn, Option<SubChannelId>)> {
    let mut places = Vec::new();
    let mut list = memberships::ListChannelMembershipsForAppInstanceUser {
        app_instance_user_arn: None,
        max_results: None,
        next_token: None,
        chime_bearer: who.clone(),
    };
    world.turn_pages(&mut list, |page| {
        places.extend(page.channel_memberships.into_iter().map(|one| {
            let place = one.app_instance_user_membership_summary.sub_channel_id;
            (one.channel_summary.channel_arn, place)
        }));
        page.next_token
    });
    places
}

fn listed(
    world: &mut World,
    channel: &ChannelArn,
    sub_channel_id: Option<SubChannelId>,
    who: &IdentityArn,
) -> Vec<ChannelMessageSummary> {
    let mut messages = Vec::new();
    let mut list = ListChannelMessages { sub_channel_id, ..messages_of(channel, who) };
    world.turn_pages(&mut list, |page| {
        messages.extend(page.channel_messages);
        page.next_token
    });
    messages
}

/// A part of a query, and whether it is refused.
enum Meant {
    Phrase(bool, String),
    Sender(bool, String),
}

impl Meant {
    fn spelt(&self) -> String {
        let minus = |is_refused: &bool| if *is_refused { "-" } else { "" };
        match self {
            Self::Phrase(is_refused, words) => format!("{}\"{words}\"", minus(is_refused)),
            Self::Sender(is_refused, id) => format!("{}from:{id}", minus(is_refused)),
        }
    }
}

fn means(meant: &[Meant], content: &str, sender: &str) -> bool {
    let has = |words: &str| {
        let (content, words) = (tokens(content), tokens(words));
        content.windows(words.len()).any(|window| window == words)
    };
    let senders: Vec<&String> = meant
        .iter()
        .filter_map(|one| if let Meant::Sender(false, id) = one { Some(id) } else { None })
        .collect();
    let fits = meant.iter().all(|one| match one {
        Meant::Phrase(is_refused, words) => has(words) != *is_refused,
        Meant::Sender(true, id) => id != sender,
        Meant::Sender(false, _) => true,
    });
    fits && (senders.is_empty() || senders.iter().any(|id| *id == sender))
}

/// Words, and the letters of those that are not Latin or Arabic.
fn tokens(text: &str) -> Vec<String> {
    let is_word = |word: &str| word.is_ascii() || word == "مرحبا";
    let split = |word: &str| {
        if is_word(word) { vec![word.to_owned()] } else { word.chars().map(String::from).collect() }
    };
    text.split(' ').flat_map(split).collect()
}

#[engine_test]
fn histories_find_what_a_naive_search_finds(world: &mut World) {
    let count = std::env::var("CARILLON_SEARCH_HISTORIES").ok().and_then(|count| count.parse().ok());
    let first: u64 =
        std::env::var("CARILLON_SEARCH_FIRST").ok().and_then(|first| first.parse().ok()).unwrap_or_default();
    let (mut searches, mut found) = (0, 0);
    let narrowed = new_user(world, "searcher", &policy(&[statement("Allow", json!({"Resource": "*"}))]));
    for seed in first..first + count.unwrap_or(HISTORIES) {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut history = History::begin(world, &narrowed, seed);
            let (mut searches, mut found) = (0, 0);
            for _ in 0..STEPS {
                history.step(world);
                if history.random.random_range(0..4) == 0 {
                    found += history.compare(world);
                    searches += 1;
                }
            }
            let app_instance_arn = history.root.app_instance();
            world.call(&DeleteAppInstance { app_instance_arn }).unwrap();
            world.run_jobs();
            (searches, found)
        }));
        let (more, also) = result.unwrap_or_else(|panic| {
            println!("the history of {seed}");
            std::panic::resume_unwind(panic)
        });
        (searches, found) = (searches + more, found + also);
    }
    println!("{searches} searches found {found} messages");
    assert!(0 < found);
}
