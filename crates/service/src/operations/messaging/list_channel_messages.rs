//! `ListChannelMessages`: the messages of a channel by the time they were accepted, newest first unless asked
//! otherwise. The sender's own pending and failed messages are among them, nobody else's are.
//!
//! A page is cut before what the caller may not see is left out, so it can be short, even empty, and still have
//! a token: the cost of a page does not depend on how much of the channel is hidden.

use carillon_model::message::Message;

use crate::prelude::*;

/// The request.
#[operation(GET "/channels/{channelArn}/messages" => 200, Listed)]
#[errors(BadRequest)]
#[paged]
#[bearer]
pub struct ListChannelMessages {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Newest or oldest first.
    #[query("sort-order")]
    pub sort_order: Option<SortOrder>,
    /// None that were accepted before.
    #[query("not-before")]
    pub not_before: Option<Timestamp>,
    /// None that were accepted after.
    #[query("not-after")]
    pub not_after: Option<Timestamp>,
    /// The sub-channel, in an elastic channel.
    #[query("sub-channel-id")]
    pub sub_channel_id: Option<SubChannelId>,
}

/// The answer.
#[shape]
pub struct Listed {
    /// Where.
    pub channel_arn: ChannelArn,
    /// Where the next page begins.
    pub next_token: Option<NextToken>,
    /// The messages.
    pub channel_messages: Vec<ChannelMessageSummary>,
    /// The sub-channel, in an elastic channel.
    pub sub_channel_id: Option<SubChannelId>,
}

pub(crate) const RULE: Rule =
    Rule(&[Grant::Admin, Grant::Moderator, Grant::AnyMember, Grant::OutsiderIfPublic]);

impl Read for ListChannelMessages {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Listed> {
        if self.not_before.zip(self.not_after).is_some_and(|(least, greatest)| greatest < least) {
            return Err(Error::bad_request("NotBefore: must not be after NotAfter"));
        }
        let view = call.view_channel(tx, &self.channel_arn, RULE)?;
        let sub_channel = view.readable_sub_channel(tx, call, self.sub_channel_id.as_ref())?;
        let (page, after) = Page::of(self, call)?;
        let order = self.sort_order.unwrap_or(SortOrder::Descending);
        let since = crate::chat::retention::kept_since(view.retention, call.now);
        let rows = match self.range(since, order, after) {
            None => Vec::new(),
            Some(range) => {
                let instance = self.channel_arn.app_instance();
                store::message::list(tx, &instance, sub_channel, range, order, page.reach())?
            }
        };
        let (rows, next_token) = page.cut_by(rows, Message::text_bytes, |message| message.key);
        let shown = crate::chat::seen::messages(tx, &self.channel_arn.app_instance(), rows, view.caller.key)?;
        Ok(Listed {
            channel_arn: self.channel_arn.clone(),
            next_token,
            channel_messages: shown.into_iter().map(ChannelMessageSummary::from).collect(),
            sub_channel_id: self.sub_channel_id.clone(),
        })
    }
}

impl ListChannelMessages {
    /// The keys to read, both ends within; nothing where none is left.
    fn range(
        &self,
        since: Option<Timestamp>,
        order: SortOrder,
        after: Option<MessageKey>,
    ) -> Option<(MessageKey, MessageKey)> {
        // Nothing is less than a time, so the later bound stands.
        let least = self.not_before.max(since).map_or(MessageKey([0; 32]), MessageKey::least);
        let greatest = self.not_after.map_or(MessageKey([0xff; 32]), MessageKey::greatest);
        Some(match (order, after) {
            (_, None) => (least, greatest),
            // While a walk goes on, what it comes to may have passed the period.
            (SortOrder::Ascending, Some(after)) => (after.next()?.max(least), greatest),
            (SortOrder::Descending, Some(after)) => (least, after.previous()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    fn contents(world: &mut World, mut list: ListChannelMessages) -> Vec<String> {
        let mut contents = Vec::new();
        loop {
            let page = world.call(&list).unwrap();
            contents.extend(page.channel_messages.into_iter().map(|m| m.content.unwrap().into_string()));
            list.next_token = page.next_token;
            if list.next_token.is_none() {
                return contents;
            }
        }
    }

    #[engine_test]
    fn both_orders_in_pages_of_any_length(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let sent: Vec<String> = (0..7).map(|number| format!("message {number}")).collect();
        for (number, content) in sent.iter().enumerate() {
            world.send(&channel, &ana, content);
            // Some share a millisecond: their order is the order of sending all the same.
            world.advance_ms(i64::from(number % 3 == 0));
        }
        for length in [1, 3, 50] {
            let page = ListChannelMessages {
                max_results: Some(length.try_into().unwrap()),
                ..messages_of(&channel, &ana)
            };
            let ascending = ListChannelMessages { sort_order: Some(SortOrder::Ascending), ..page.clone() };
            assert_eq!(contents(world, ascending), sent);
            let newest_first: Vec<String> = sent.iter().rev().cloned().collect();
            assert_eq!(contents(world, page), newest_first);
        }
    }

    #[engine_test]
    fn bounds_of_time_are_inclusive_and_must_not_cross(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        for content in ["0", "1", "2", "3"] {
            world.send(&channel, &ana, content);
            world.advance_ms(10);
        }
        let mut bounded = messages_of(&channel, &ana);
        bounded.not_before = Some(START.plus_ms(10));
        bounded.not_after = Some(START.plus_ms(20));
        bounded.max_results = Some(1.try_into().unwrap());
        assert_eq!(contents(world, bounded.clone()), ["2", "1"]);
        bounded.not_after = Some(START.plus_ms(9));
        assert_eq!(world.call(&bounded).unwrap_err().code, ErrorCode::BadRequest);
    }

    #[engine_test]
    fn what_is_not_for_the_caller_is_left_out_and_the_walk_goes_on(world: &mut World) {
        let (ana, bob, cy) = (world.user("ana"), world.user("bob"), world.user("cy"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        world.join(&channel, &ana, &cy);
        world.send(&channel, &ana, "to all");
        world.send_to(&channel, &ana, "to bob", &bob);
        world.send_failing(&channel, &ana, &bob, "failed");
        world.send(&channel, &ana, "to all again");
        let one = |who| ListChannelMessages {
            max_results: Some(1.try_into().unwrap()),
            ..messages_of(&channel, who)
        };
        assert_eq!(contents(world, one(&bob)), ["to all again", "failed", "to bob", "to all"]);
        assert_eq!(contents(world, one(&cy)), ["to all again", "to all"]);
        assert_eq!(contents(world, one(&ana)), ["to all again", "to bob", "to all"]);
    }

    #[engine_test]
    fn a_token_does_not_carry_over_to_another_channel(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let other = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.send(&channel, &ana, "one");
        world.send(&channel, &ana, "two");
        let page =
            ListChannelMessages { max_results: Some(1.try_into().unwrap()), ..messages_of(&channel, &ana) };
        let next_token = world.call(&page).unwrap().next_token;
        assert!(next_token.is_some());
        let elsewhere = ListChannelMessages { next_token: next_token.clone(), ..messages_of(&other, &ana) };
        assert_eq!(world.call(&elsewhere).unwrap_err().code, ErrorCode::BadRequest);
        let same = ListChannelMessages { next_token, ..messages_of(&channel, &ana) };
        assert_eq!(contents(world, same), ["one"]);
    }
}
