//! `UpdateChannelMessage`: the sender replaces what a message says. In a channel with a flow the edit is PENDING, and
//! everyone else goes on seeing what was, until the flow releases it.

use carillon_model::channel_flow::FlowOperation;
use carillon_model::event::Event;
use carillon_model::message::Message;

use super::existing::{Which, check_open, no_message};
use crate::chat::content;
use crate::chat::flow;
use crate::prelude::*;

/// The request.
#[operation(PUT "/channels/{channelArn}/messages/{messageId}" => 200, Updated)]
#[errors(BadRequest, Conflict)]
#[bearer]
pub struct UpdateChannelMessage {
    /// Where.
    #[label]
    pub channel_arn: ChannelArn,
    /// Which.
    #[label]
    pub message_id: MessageId,
    /// What it says from now on.
    pub content: NonEmptyContent,
    /// What the application writes on it; what it wrote before, where nothing is said.
    pub metadata: Option<MessageMetadata>,
    /// The sub-channel, in an elastic channel.
    pub sub_channel_id: Option<SubChannelId>,
    /// What the content is; what it was before, where nothing is said.
    pub content_type: Option<ContentType>,
}

/// The answer.
#[shape]
pub struct Updated {
    /// Where.
    pub channel_arn: ChannelArn,
    /// Which.
    pub message_id: MessageId,
    /// How far the edit has come.
    pub status: ChannelMessageStatusStructure,
    /// The sub-channel, in an elastic channel.
    pub sub_channel_id: Option<SubChannelId>,
}

/// Administrators and moderators edit their own messages too, and only where they also belong.
const RULE: Rule = Rule(&[Grant::Member]);

impl Write for UpdateChannelMessage {
    fn run(&self, tx: &mut Tx, call: &Call) -> Result<Updated> {
        content::check(call, ChannelMessageType::Standard, self.content.as_str(), self.metadata.as_ref())?;
        let which = Which {
            channel_arn: &self.channel_arn,
            message_id: &self.message_id,
            sub_channel_id: self.sub_channel_id.as_ref(),
        };
        let judge = |view: &View, message: &Message| self.check(call, view, message);
        let (mut view, mut message) = which.claim(tx, call, RULE, judge)?;
        let failed = message.status == ChannelMessageStatus::Failed;
        message.content = Some(Content::stored(self.content.as_str().to_owned()));
        if self.metadata.is_some() {
            message.metadata = shown(self.metadata.clone());
        }
        if let Some(content_type) = &self.content_type {
            message.content_type = Some(content_type.clone()).filter(|kind| !kind.as_str().is_empty());
        }
        (message.edited_at, message.updated_at) = (Some(view.channel.clock), view.channel.clock);
        (message.status, message.status_detail) = (ChannelMessageStatus::Sent, None);
        if let Some(flow) = view.flow.filter(|_| message.kind == ChannelMessageType::Standard) {
            message.status = ChannelMessageStatus::Pending;
            enter(tx, call, &mut view, flow, &message)?;
        } else {
            if failed {
                store::in_flight::delete_of_message(tx, message.sub_channel, message.key)?;
            }
            store::message::revise(tx, &message)?;
            tx.emit(Event::update_channel_message(&view.channel, &message))?;
        }
        Ok(Updated {
            channel_arn: self.channel_arn.clone(),
            message_id: self.message_id.clone(),
            status: ChannelMessageStatusStructure::from(&message),
            sub_channel_id: self.sub_channel_id.clone(),
        })
    }
}

/// Lets an edit into the flow; what it is to replace stays.
fn enter(tx: &mut Tx, call: &Call, view: &mut View, flow: Key, message: &Message) -> Result<()> {
    let place = (message.sub_channel, message.key);
    let push_notification = store::message::find_push_notification(tx, message.sub_channel, message.key)?;
    store::message::set_status(tx, place, message.status, None, message.updated_at)?;
    let entry = flow::Entry { flow, operation: FlowOperation::Update, message, push_notification };
    flow::begin(tx, call, &mut view.channel, entry)
}

impl UpdateChannelMessage {
    fn check(&self, call: &Call, view: &View, message: &Message) -> Result<()> {
        if message.sender.key != view.caller.key || !view.belongs_to(message.sub_channel) {
            return Err(no_message());
        }
        check_open(message)?;
        content::check(call, message.kind, self.content.as_str(), self.metadata.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::super::get_channel_message::GetChannelMessage;
    use super::super::send_channel_message::SendChannelMessage;
    use super::*;
    use crate::testing::*;

    fn update(
        channel: &ChannelArn,
        who: &IdentityArn,
        id: &MessageId,
        content: &str,
    ) -> UpdateChannelMessage {
        UpdateChannelMessage {
            channel_arn: channel.clone(),
            message_id: id.clone(),
            content: text(content),
            metadata: None,
            chime_bearer: who.clone(),
            sub_channel_id: None,
            content_type: None,
        }
    }

    #[engine_test]
    fn an_edit_replaces_what_is_given_and_tells_the_members(world: &mut World) {
        let (ana, bob) = (world.user("ana"), world.user("bob"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        let mut send = message_request(&channel, &bob, "Lunch?");
        (send.metadata, send.content_type) = (Some(text("{}")), Some(text("text/plain")));
        let id = world.call(&send).unwrap().message_id;
        world.told();
        world.advance_ms(7);
        let updated = world.call(&update(&channel, &bob, &id, "Dinner?")).unwrap();
        assert_eq!(updated.status.value, ChannelMessageStatus::Sent);
        let event = world.take_full_events().pop().unwrap();
        assert_eq!(event.audience.sub_channels, [event.channel]);
        assert_eq!(event.kind.as_str(), "UPDATE_CHANNEL_MESSAGE");
        let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
        let at = START.plus_ms(7).to_string();
        assert_eq!(payload["Content"], "Dinner?");
        assert_eq!((&payload["Metadata"], &payload["ContentType"]), (&"{}".into(), &"text/plain".into()));
        assert_eq!(payload["MessageId"], id.as_str());
        assert_eq!(payload["CreatedTimestamp"], START.to_string());
        assert_eq!(
            (&payload["LastEditedTimestamp"], &payload["LastUpdatedTimestamp"]),
            (&at.clone().into(), &at.into())
        );
        let clear = UpdateChannelMessage {
            metadata: Some(text("")),
            content_type: Some(text("")),
            ..update(&channel, &bob, &id, "Supper?")
        };
        world.call(&clear).unwrap();
        let get = GetChannelMessage {
            channel_arn: channel,
            message_id: id,
            chime_bearer: ana,
            sub_channel_id: None,
        };
        let message = world.call(&get).unwrap().channel_message;
        assert_eq!(message.content.unwrap().as_str(), "Supper?");
        assert_eq!((message.metadata, message.content_type), (None, None));
        assert_eq!(message.last_edited_timestamp, Some(START.plus_ms(7)));
    }

    #[engine_test]
    fn only_the_sender_who_still_belongs_edits(world: &mut World) {
        let (ana, bob, admin) = (world.user("ana"), world.user("bob"), world.admin("root"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        world.join(&channel, &ana, &admin);
        let id = world.send(&channel, &bob, "Mine");
        world.take_events();
        for who in [&ana, &admin] {
            assert_eq!(
                world.call(&update(&channel, who, &id, "Ours")).unwrap_err().code,
                ErrorCode::Forbidden
            );
        }
        for unknown in ["nonsense", &"0".repeat(64)] {
            let missing = update(&channel, &bob, &text(unknown), "Hm");
            assert_eq!(world.call(&missing).unwrap_err().code, ErrorCode::Forbidden);
        }
        assert!(world.take_events().is_empty());
        world.leave(&channel, &bob);
        assert_eq!(world.call(&update(&channel, &bob, &id, "Bye")).unwrap_err().code, ErrorCode::Forbidden);
        assert_eq!(world.contents(&channel, &ana), ["Mine"]);
    }

    #[engine_test]
    fn sizes_are_those_of_the_type_that_the_message_has(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let kind = ChannelMessageType::Control;
        let id =
            world.call(&SendChannelMessage { kind, ..message_request(&channel, &ana, "typing") }).unwrap();
        let id = id.message_id;
        let mut edit = update(&channel, &ana, &id, &"x".repeat(31));
        assert_eq!(world.call(&edit).unwrap_err().code, ErrorCode::BadRequest);
        edit.content = text(&"x".repeat(30));
        edit.metadata = Some(text("{}"));
        assert_eq!(world.call(&edit).unwrap_err().code, ErrorCode::BadRequest);
        edit.metadata = None;
        assert!(world.call(&edit).is_ok());
        let large = update(&channel, &ana, &id, &"x".repeat(4_097));
        assert_eq!(world.call(&large).unwrap_err().code, ErrorCode::BadRequest);
    }

    #[engine_test]
    fn a_message_that_failed_is_not_edited(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        let id = world.send_failing(&channel, &ana, &ana, "Lost");
        assert_eq!(world.call(&update(&channel, &ana, &id, "Found")).unwrap_err().code, ErrorCode::Conflict);
    }

    #[engine_test]
    fn an_edit_names_its_sub_channel_and_goes_to_its_members_only(world: &mut World) {
        let ana = world.user("ana");
        let channel = world.call(&elastic_request(world, &ana)).unwrap().channel_arn;
        let members = ["b", "c", "d"].map(|name| world.user(name));
        let places = members.each_ref().map(|member| world.join(&channel, &ana, member).unwrap());
        let send = SendChannelMessage {
            sub_channel_id: Some(places[0].clone()),
            ..message_request(&channel, &members[0], "Hi")
        };
        let id = world.call(&send).unwrap().message_id;
        world.told();
        let bare = update(&channel, &members[0], &id, "Hello");
        assert_eq!(world.call(&bare).unwrap_err().code, ErrorCode::BadRequest);
        let elsewhere = UpdateChannelMessage { sub_channel_id: Some(places[2].clone()), ..bare.clone() };
        assert_eq!(world.call(&elsewhere).unwrap_err().code, ErrorCode::Forbidden);
        let edit = UpdateChannelMessage { sub_channel_id: Some(places[0].clone()), ..bare };
        assert_eq!(world.call(&edit).unwrap().sub_channel_id, edit.sub_channel_id);
        assert_eq!(world.told(), [vec!["b", "c"]]);
    }
}
