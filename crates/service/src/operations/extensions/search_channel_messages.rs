//! `SearchChannelMessages`: the messages that say something, of some channels or of all that the caller belongs to,
//! newest first unless asked otherwise.
//!
//! Whoever may list a channel's messages may search them, and finds no other: their own sub-channels, what is meant
//! for them, what retention shows. What is searched is what a channel was shown: a message that is pending, failed or
//! denied is nobody's, and of one whose edit is, what it said before. So the sender of an edit that is pending finds,
//! and is shown, what the others see.
//!
//! A page is full, or there is no next one, unless it had looked at very many messages in vain; then it is short,
//! even empty, and has a token (`search::finding`).

use std::collections::{BTreeMap, BTreeSet};

use carillon_model::message::Message;
use carillon_store::index::{self, Member};
use serde::{Deserialize, Serialize};

use crate::call::OWN_SUB_CHANNEL;
use crate::operation::Paged;
use crate::page::{PAGE_BYTES_MAX, fitting};
use crate::prelude::*;
use crate::search::finding::{self, Asked, Hit, Mark, PLACES_MAX};
use crate::search::query::Query;

/// The request.
#[operation(POST "/_carillon/v1/messages/search" => 200, Searched)]
#[errors(BadRequest)]
#[bearer]
pub struct SearchChannelMessages {
    /// Where.
    pub app_instance_arn: AppInstanceArn,
    /// What: words, `"phrases"`, `-refused` ones, and `from:` ids.
    pub query: SearchQuery,
    /// In which channels; without them, in all that the caller belongs to and policies let them search.
    #[length(1, 50)]
    pub channel_arns: Option<Vec<ChannelArn>>,
    /// None that were accepted before.
    pub not_before: Option<Timestamp>,
    /// None that were accepted after.
    pub not_after: Option<Timestamp>,
    /// Newest or oldest first.
    pub sort_order: Option<SortOrder>,
    /// The length of a page.
    pub max_results: Option<MaxResults>,
    /// Where the page begins.
    pub next_token: Option<NextToken>,
}

impl Paged for SearchChannelMessages {
    fn page(&self) -> (Option<MaxResults>, Option<&NextToken>) {
        (self.max_results, self.next_token.as_ref())
    }

    fn begin_at(&mut self, token: Option<NextToken>) {
        self.next_token = token;
    }
}

/// The answer.
#[shape]
pub struct Searched {
    /// The messages.
    pub messages: Vec<FoundMessage>,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
}

/// A message that was found.
#[shape]
pub struct FoundMessage {
    /// Where.
    pub channel_arn: ChannelArn,
    /// The sub-channel, in an elastic channel.
    pub sub_channel_id: Option<SubChannelId>,
    /// Where in the content that stands which was asked for.
    pub highlights: Vec<Highlight>,
    /// Its id.
    pub message_id: MessageId,
    /// What it says.
    pub content: Option<Content>,
    /// What the application wrote on it.
    pub metadata: Option<MessageMetadata>,
    /// What it is.
    #[member("Type")]
    pub kind: ChannelMessageType,
    /// When it was accepted.
    pub created_timestamp: Timestamp,
    /// When anything of it last changed.
    pub last_updated_timestamp: Timestamp,
    /// When its content was last edited.
    pub last_edited_timestamp: Option<Timestamp>,
    /// Who sent it.
    pub sender: Identity,
    /// Whether its content was erased.
    pub redacted: bool,
    /// How far it has come.
    pub status: ChannelMessageStatusStructure,
    /// What the application attached.
    pub message_attributes: Option<MessageAttributeMap>,
    /// What the content is.
    pub content_type: Option<ContentType>,
    /// The one other member that may see it.
    pub target: Option<Vec<Target>>,
}

/// A part of a content, in bytes of its UTF-8.
#[shape]
pub struct Highlight {
    /// Where it begins.
    pub offset: i64,
    /// How long it is.
    pub length: i64,
}

/// Whoever lists a channel's messages.
const RULE: Rule = super::super::messaging::list_channel_messages::RULE;

/// Where a page begins.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Cursor {
    /// Behind which place the places begin that are searched together.
    after: Option<(Key, Key)>,
    from: Option<Mark>,
}

/// Places that are searched together, each with its channel.
#[derive(Default)]
struct Places {
    of: BTreeMap<Key, (ChannelArn, bool)>,
    /// The last of them, where there are more.
    last: Option<(Key, Key)>,
}

impl Read for SearchChannelMessages {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Searched> {
        if self.not_before.zip(self.not_after).is_some_and(|(least, greatest)| greatest < least) {
            return Err(Error::bad_request("NotBefore: must not be after NotAfter"));
        }
        let query = Query::parse(self.query.as_str());
        let query = query.map_err(|why| Error::bad_request(format!("Query: {why}")))?;
        let viewer = call.bearer_of(tx, &self.app_instance_arn)?.identity.key;
        let search = &call.surroundings.search;
        let instance = self.app_instance_arn.key().filter(|key| search.is_on(*key)).ok_or_else(|| {
            Error::bad_request(
                "AppInstanceArn: search is off for the app instance, by this server's configuration",
            )
        })?;
        let (page, cursor) = Page::of(self, call)?;
        let Cursor { after, from } = cursor.unwrap_or_default();
        let places = match &self.channel_arns {
            Some(arns) => self.named(tx, call, arns, after)?,
            None => self.own(tx, call, viewer, after)?,
        };
        let keys: Vec<Key> = places.of.keys().copied().collect();
        let asked = Asked {
            query: &query,
            viewer,
            order: self.sort_order.unwrap_or(SortOrder::Descending),
            keys: self.keys(tx, call)?,
            limit: page.size(),
            from,
        };
        let is_indexed = index::is_kept(tx, instance)?;
        let found = finding::find(tx, (&search.terms, is_indexed), &keys, &asked)?;
        let at: Vec<(Key, MessageKey)> = found.hits.iter().map(|hit| (keys[hit.place], hit.key)).collect();
        let messages = store::message::find_all(tx, &self.app_instance_arn, &at)?;
        // As a page of a list is, it is cut where the messages are long.
        let fitting = fitting(&messages, PAGE_BYTES_MAX, Message::text_bytes);
        let next = match at.get(fitting).map(|(place, key)| Mark::at(*place, *key)).or(found.next) {
            Some(from) => Some(Cursor { after, from: Some(from) }),
            None => places.last.map(|last| Cursor { after: Some(last), from: None }),
        };
        let hits = found.hits.into_iter().zip(messages).take(fitting);
        let messages = hits.map(|(hit, message)| shown(message, &places.of[&keys[hit.place]], hit)).collect();
        Ok(Searched { messages, next_token: next.map(|cursor| page.token(&cursor)) })
    }
}

impl SearchChannelMessages {
    /// Between which keys messages are found, both within.
    fn keys(&self, tx: &mut Tx, call: &Call) -> Result<(MessageKey, MessageKey)> {
        let since = crate::chat::retention::seen_since(tx, &self.app_instance_arn, call.now)?;
        let least = self.not_before.max(since).map_or(MessageKey([0; 32]), MessageKey::least);
        Ok((least, self.not_after.map_or(MessageKey([0xff; 32]), MessageKey::greatest)))
    }

    /// The places where the caller belongs, in channels that policies let them search.
    fn own(&self, tx: &mut Tx, call: &Call, viewer: Key, after: Option<(Key, Key)>) -> Result<Places> {
        let after = after.unwrap_or((Key([0; 16]), Key([0; 16])));
        let arn = |member: &Member| self.app_instance_arn.channel(&member.channel_id);
        let at = |member: &Member| (member.channel, member.place);
        let (members, given_up_at) = call.admitted(
            tx,
            (after, count(PLACES_MAX + 1)),
            |tx, after, limit| index::list_members(tx, viewer, *after, limit),
            |member| (at(member), arn(member)),
        )?;
        let places = Places::of(members.iter().map(|member| (at(member), arn(member))));
        Ok(Places { last: places.last.or(given_up_at), ..places })
    }

    /// The places that the caller may read in these channels, each of which admits them.
    fn named(
        &self,
        tx: &mut Tx,
        call: &Call,
        arns: &[ChannelArn],
        after: Option<(Key, Key)>,
    ) -> Result<Places> {
        let mut all = BTreeMap::new();
        for arn in arns.iter().collect::<BTreeSet<_>>() {
            if arn.app_instance() != self.app_instance_arn {
                return Err(Error::bad_request("ChannelArns: a channel is of another app instance"));
            }
            let view = call.view_channel(tx, arn, RULE)?;
            for place in readable(tx, call, &view)? {
                all.insert((view.channel.key, place), arn.clone());
            }
        }
        Ok(Places::of(
            all.into_iter().filter(|(at, _)| after.is_none_or(|after| after < *at)).take(PLACES_MAX + 1),
        ))
    }
}

/// The places of a channel that the caller may read: of an elastic one, those of theirs, or for who moderates, all.
fn readable(tx: &mut Tx, call: &Call, view: &View) -> Result<Vec<Key>> {
    if view.channel.elastic.is_none() {
        return Ok(vec![view.channel.key]);
    }
    let mut places: Vec<Key> = view.memberships.iter().map(|place| place.sub_channel).collect();
    if view.is_moderating() {
        // Quotas allow far fewer.
        let all = store::sub_channel::list_counted(tx, view.channel.key, None, i64::MAX)?;
        places.extend(all.into_iter().map(|(key, _)| key));
    }
    if places.is_empty() { Err(Error::not_admitted(call.operation, OWN_SUB_CHANNEL)) } else { Ok(places) }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Places {
    /// Up to as many as are searched together; one more says that there are more.
    fn of(all: impl Iterator<Item = ((Key, Key), ChannelArn)>) -> Self {
        let mut places = Self::default();
        let mut last = None;
        for ((channel, place), arn) in all {
            if places.of.len() == PLACES_MAX {
                places.last = last;
                break;
            }
            places.of.insert(place, (arn, channel != place));
            last = Some((channel, place));
        }
        places
    }
}

fn shown(mut message: Message, (channel_arn, is_sub_channel): &(ChannelArn, bool), hit: Hit) -> FoundMessage {
    let place = message.sub_channel;
    // As the channel was shown it, whatever a flow does with it.
    (message.status, message.status_detail) = (ChannelMessageStatus::Sent, None);
    let ChannelMessageSummary {
        message_id,
        content,
        metadata,
        kind,
        created_timestamp,
        last_updated_timestamp,
        last_edited_timestamp,
        sender,
        redacted,
        status,
        message_attributes,
        content_type,
        target,
    } = message.into();
    let highlight =
        |range: std::ops::Range<usize>| Highlight { offset: count(range.start), length: count(range.len()) };
    FoundMessage {
        channel_arn: channel_arn.clone(),
        sub_channel_id: is_sub_channel.then(|| SubChannelId::stored(place.to_string())),
        highlights: hit.highlights.into_iter().map(highlight).collect(),
        message_id,
        content,
        metadata,
        kind,
        created_timestamp,
        last_updated_timestamp,
        last_edited_timestamp,
        sender,
        redacted,
        status,
        message_attributes,
        content_type,
        target,
    }
}

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;
