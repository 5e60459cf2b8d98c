//! What happens to a message: it is shown to its channel.

use carillon_model::channel::Channel;
use carillon_model::event::{Event, EventType};
use carillon_model::message::Message;
use carillon_model::text::ChannelMessagePersistenceType;
use carillon_store::{self as store, Tx};

use super::bots;
use crate::call::Call;
use crate::error::Result;

/// Shows a message that is new, or was changed, to everyone whom its event is for: at once, or when a flow releases
/// it. Of a new one that is for one member alone, those who see it keep when that was, because their channel shows it
/// as its last message. The bots whom it concerns are asked.
pub(crate) fn show(
    tx: &mut Tx,
    call: &Call,
    channel: &Channel,
    message: &Message,
    event: Event,
) -> Result<()> {
    let is_kept = message.persistence == ChannelMessagePersistenceType::Persistent;
    if is_kept && message.target.is_some() && event.kind == EventType::CreateChannelMessage {
        for one in &event.audience.users {
            store::membership::note_target(tx, channel.key, *one, message.sub_channel, channel.clock)?;
        }
    }
    bots::ask(tx, call, channel, message, &event)?;
    Ok(tx.emit(event)?)
}
