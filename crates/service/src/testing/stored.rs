//! What the store holds, where no operation shows it.

use super::{World, futures, text};
use carillon_model::text::*;
use carillon_model::{ChannelArn, IdentityArn, Key, MessageKey};
use carillon_store::{self as store};

impl World {
    /// The sub-channel that someone sits in, the first of several; nothing in an ordinary channel.
    pub(crate) fn place_of(&mut self, channel: &ChannelArn, who: &IdentityArn) -> Option<SubChannelId> {
        let (channel, who) = (channel.clone(), who.clone());
        let read = self.service.store().read(move |tx| {
            let standing = store::standing::find(tx, &who, &channel)?.unwrap();
            let Some(channel) = standing.channel else { return Ok(None) };
            let places = store::membership::list_seats_in(tx, channel.key, standing.identity.key)?;
            Ok::<_, store::Error>(places.first().map(|seat| seat.place).filter(|place| *place != channel.key))
        });
        futures(read).unwrap().map(|place: Key| text(&place.to_string()))
    }

    /// What the store holds.
    pub(crate) fn stored<T: Send + 'static>(
        &mut self,
        read: impl Fn(&mut store::Tx) -> store::Result<T> + Send + 'static,
    ) -> T {
        futures(self.service.store().read(read)).unwrap()
    }

    /// How many rows each table has, in the order of their names.
    pub(crate) fn row_counts(&mut self) -> Vec<(String, i64)> {
        futures(self.service.store().read(store::testing::row_counts)).unwrap()
    }

    /// All rows of all tables, as texts.
    pub(crate) fn dump(&mut self) -> Vec<String> {
        self.stored(store::testing::dump)
    }

    /// Everything that the store holds of a message and of its channel's events, as text.
    pub(crate) fn stored_texts(&mut self, channel: &ChannelArn, id: &MessageId) -> String {
        let (channel, key) = (channel.clone(), MessageKey::from_hex(id.as_str()).unwrap());
        let anyone = channel.app_instance().user("ana");
        let texts = self.service.store().read(move |tx| {
            let standing = store::standing::find(tx, &anyone, &channel)?.unwrap();
            let place = standing.channel.unwrap().key;
            let mut texts = store::message::find_push_notification(tx, place, key)?.unwrap_or_default();
            for event in store::outbox::list(tx, place, 0, 100)? {
                texts += &event.payload;
            }
            Ok::<_, store::Error>(texts)
        });
        futures(texts).unwrap()
    }
}
