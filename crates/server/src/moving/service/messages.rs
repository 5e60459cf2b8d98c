//! What was said in a channel. Each who is in it reads it, because a message to one of them is shown to nobody else,
//! nor is one that waits or failed to anybody but its sender. The first who is let in reads for all of them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use carillon_model::Key;
use carillon_store::moving::{self, Columns, Held};
use carillon_store::{Lane, Tx};
use futures_util::{StreamExt as _, TryStreamExt as _, stream, try_join};
use serde_json::Value;

use super::api::Question;
use super::channel::{Place, Room};
use super::rows::{self, key_of, text, when};
use super::{Move, broken};
use crate::error::Result;

/// How many members of a channel read at once: a few use up what the channel allows.
const READERS_AT_ONCE: usize = 16;

/// How far reading has come in the places of a channel.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Of each place where somebody reads for all: whether they have read all that all can see.
    places: HashMap<Key, bool>,
    reach: Reach,
}

/// How far numbers and times of a channel go.
#[derive(Debug, Default, Clone, Copy)]
struct Reach {
    sequence: i64,
    clock: i64,
}

/// Somebody who reads.
#[derive(Debug, Clone, Copy)]
struct Reader<'a> {
    who: &'a str,
    /// Whether they read for all: nothing, until they were let in.
    for_all: Option<bool>,
}

/// What is written of a page.
#[derive(Debug, Default)]
struct Page {
    /// What others see, too.
    shown: Vec<Columns>,
    /// What its sender alone sees, as far as that is known.
    unshown: Vec<Columns>,
    reach: Reach,
    /// Whether something in it looks otherwise to all others: what they themselves said and what is not through.
    is_own_view: bool,
}

impl Move<'_> {
    /// Reads as each member.
    pub(super) async fn messages_as_members(
        &self,
        room: &Room<'_>,
        readers: &[(Place, &str)],
    ) -> Result<Read> {
        let read = Mutex::default();
        let reading = stream::iter(readers).map(async |(place, who)| {
            self.messages_as(room, place, Reader { who, for_all: None }, &read).await
        });
        reading.buffer_unordered(READERS_AT_ONCE).try_collect::<()>().await?;
        Ok(read.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads what all see, where no member did, as somebody who sees that; then the channel goes on after it.
    pub(super) async fn messages_of_all(&self, room: &Room<'_>, places: &[Place], read: Read) -> Result<()> {
        let left: Vec<_> = places.iter().filter(|place| read.places.get(&place.key) != Some(&true)).collect();
        let read = Mutex::new(read);
        let reading = stream::iter(left).map(async |place| {
            self.messages_as(room, place, Reader { who: room.admin, for_all: Some(true) }, &read).await
        });
        reading.buffer_unordered(READERS_AT_ONCE).try_collect::<()>().await?;
        let Reach { sequence, clock } = read.into_inner().unwrap_or_else(PoisonError::into_inner).reach;
        let (Some(store), channel) = (&self.store, key_of(room.arn)) else { return Ok(()) };
        let work = move |tx: &mut Tx| moving::raise(tx, channel, sequence, clock);
        store.write(Lane::Job, work).await.map_err(|error| broken(&error))
    }

    /// Reads a place to its end. While a page is put into the store, the next one is asked for.
    async fn messages_as(
        &self,
        room: &Room<'_>,
        place: &Place,
        mut reader: Reader<'_>,
        read: &Mutex<Read>,
    ) -> Result<()> {
        let path = format!("{}/messages", room.path);
        let question = Question::messaging("ListChannelMessages", room.arn, path).by(reader.who);
        let ask = async |token: &str| {
            let page = self.api.page(&question, "ChannelMessages", &place.query(), token).await;
            self.seen(&question, page)
        };
        let mut is_own_view = false;
        let mut asked = ask("").await?;
        while let Some((messages, token)) = asked {
            let for_all = *reader.for_all.get_or_insert_with(|| {
                let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
                let is_first = !read.places.contains_key(&place.key);
                read.places.entry(place.key).or_default();
                is_first
            });
            let page = self.page_of((key_of(room.arn), place.key), &messages, (reader.who, for_all));
            is_own_view |= page.is_own_view;
            let put = self.put_page(page, read);
            let Some(token) = token else {
                put.await?;
                if for_all && (!is_own_view || reader.who == room.admin) {
                    read.lock().unwrap_or_else(PoisonError::into_inner).places.insert(place.key, true);
                }
                return Ok(());
            };
            ((), asked) = try_join!(put, ask(&token))?;
        }
        Ok(())
    }

    /// What is to be written of a page that somebody read, for all or only what is theirs.
    fn page_of(&self, places: (Key, Key), messages: &[Value], (who, for_all): (&str, bool)) -> Page {
        let mut page = Page::default();
        for message in messages {
            let (status, sender) = (rows::status_of(message), text(&message["Sender"], "Arn"));
            let is_unshown = status != "SENT" && sender == who;
            page.is_own_view |= is_unshown;
            if status == "PENDING" {
                self.miss("a message that waits in a flow");
                continue;
            }
            if !for_all && !is_unshown && message["Target"].get(0).is_none() {
                continue;
            }
            let (key, row) = { rows::message(places, message, !is_unshown, &mut self.found().people) };
            if !rows::is_kept(message) {
                self.miss("the id of a message, which is not in the form of ours: it has another one here");
            }
            let reach = Reach { sequence: key.sequence(), clock: when(message, "LastUpdatedTimestamp") };
            page.reach = page.reach.or(reach);
            let rows = if is_unshown { &mut page.unshown } else { &mut page.shown };
            rows.push(row);
        }
        page
    }

    async fn put_page(&self, page: Page, read: &Mutex<Read>) -> Result<()> {
        self.put("message", Held::Nothing, page.shown).await?;
        // What all see stays: an edit that failed is its sender's alone, and would be shown to all of them.
        self.put("message", Held::Where("released"), page.unshown).await?;
        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
        read.reach = read.reach.or(page.reach);
        Ok(())
    }
}

impl Reach {
    fn or(self, other: Self) -> Self {
        Self { sequence: self.sequence.max(other.sequence), clock: self.clock.max(other.clock) }
    }
}
