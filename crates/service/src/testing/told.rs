//! Who is told of what: an oracle that knows the events alone, as a bus does.

use super::{World, futures};
use crate::front::receipts::{Moved, Told};
use carillon_model::Key;
use carillon_model::event::{Event, EventType};
use carillon_store::{self as store};

impl World {
    /// Who is told of what, by the events alone: the sub-channel and the id of each.
    pub(crate) fn subscriptions(&mut self) -> Vec<(Key, String)> {
        self.take_full_events();
        let (all, instance) = (self.told.clone(), self.instance.clone());
        let named = self.service.store().read(move |tx| {
            let name = |tx: &mut store::Tx, user: Key| {
                Ok::<_, store::Error>(store::identity::get(tx, &instance, user)?.unwrap().arn.id().to_owned())
            };
            all.iter().map(|(place, user)| Ok((place, name(tx, user)?))).collect()
        });
        let mut named: Vec<_> = futures::<Result<_, store::Error>>(named).unwrap();
        named.sort();
        named
    }

    /// What was emitted since the last call, whole.
    pub(crate) fn take_full_events(&mut self) -> Vec<Event> {
        let events = std::mem::take(&mut *self.events.lock().unwrap());
        for event in &events {
            self.told.follow(event);
        }
        events
    }

    /// What was emitted since the last call, by type.
    pub(crate) fn take_events(&mut self) -> Vec<&'static str> {
        self.take_full_events().iter().map(|event| event.kind.as_str()).collect()
    }

    /// What may have been emitted since the last call, or not, by type.
    pub(crate) fn take_doubts(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut *self.doubts.lock().unwrap()).iter().map(|event| event.kind.as_str()).collect()
    }

    /// The read markers that moved since the last call, by channel, each once.
    pub(crate) fn take_moved(&mut self) -> Vec<Moved> {
        let mut all: Vec<Moved> = Vec::new();
        for one in std::mem::take(&mut *self.moved.lock().unwrap()) {
            match all.iter_mut().find(|moved| moved.channel == one.channel) {
                Some(moved) if moved.members.contains(&one.member) => {}
                Some(moved) => moved.members.push(one.member),
                None => all.push(Moved { channel: one.channel, arn: one.arn, members: vec![one.member] }),
            }
        }
        all
    }

    /// What members are told of them.
    pub(crate) fn told_of(&mut self, moved: Vec<Moved>) -> Vec<Option<Told>> {
        futures(self.service.tell_read_markers(moved)).unwrap()
    }

    /// Who was told of each event since the last call, by their ids.
    pub(crate) fn told(&mut self) -> Vec<Vec<String>> {
        self.told_what().into_iter().map(|(_, who)| who).collect()
    }

    /// What was emitted since the last call, and whom it told.
    pub(crate) fn tell(&mut self) -> Vec<(Event, Vec<Key>)> {
        let events = std::mem::take(&mut *self.events.lock().unwrap());
        events.into_iter().map(|event| (event.clone(), self.told.follow(&event))).collect()
    }

    /// What was told since the last call, and to whom, by their ids.
    pub(crate) fn told_what(&mut self) -> Vec<(&'static str, Vec<String>)> {
        let (kinds, told): (Vec<_>, Vec<_>) =
            self.tell().into_iter().map(|(event, told)| (event.kind, told)).unzip();
        let instance = self.instance.clone();
        let names = self.service.store().read(move |tx| {
            let mut all = Vec::new();
            for keys in &told {
                let mut ids = Vec::new();
                for key in keys {
                    ids.push(store::identity::get(tx, &instance, *key)?.unwrap().arn.id().to_owned());
                }
                ids.sort();
                all.push(ids);
            }
            Ok::<_, store::Error>(all)
        });
        let told = kinds.into_iter().zip(futures(names).unwrap());
        // Only streams learn of these, and no user.
        let silent = [EventType::CreateSubChannel, EventType::DeleteSubChannel];
        told.filter(|(kind, _)| !silent.contains(kind)).map(|(kind, who)| (kind.as_str(), who)).collect()
    }
}
