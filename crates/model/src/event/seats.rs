//! Who sits where, and is therefore told: the one reading of what an event says of its audience and its changes.

use std::collections::BTreeMap;

use super::{Audience, Change, Event};
use crate::key::Key;

/// One of the things that an event does, for whoever follows events, or goes back in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// It changes who sits where.
    Change(&'a Change),
    /// It tells those who sit there now, and those it names.
    Tell(&'a Audience),
}

impl Event {
    /// What it does, in this order: whoever leaves is told as one who is named, not as one who belongs, and whoever
    /// joins is told of what follows.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = Step<'_>> {
        let leaves = |change: &&Change| matches!(change, Change::Left { .. });
        let before = self.changes.iter().filter(leaves);
        let after = self.changes.iter().filter(move |change| !leaves(change));
        before.map(Step::Change).chain([Step::Tell(&self.audience)]).chain(after.map(Step::Change))
    }
}

/// Those whom an event with this audience and these changes names, or moves.
pub fn named(audience: &Audience, changes: &[Change]) -> impl Iterator<Item = Key> {
    let moved = changes.iter().filter_map(|change| match *change {
        Change::Joined { member, .. } | Change::Left { member, .. } => Some(member),
        Change::Gone { user } => Some(user),
        Change::Ended { .. } => None,
    });
    audience.users.iter().copied().chain(moved)
}

/// Who sits where, as hidden members or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seats(BTreeMap<(Key, Key), bool>);

impl Seats {
    /// Someone sits in a place.
    pub fn sit(&mut self, place: Key, user: Key, hidden: bool) {
        self.0.insert((place, user), hidden);
    }

    /// Every place with everyone who sits there.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Key)> {
        self.0.keys().copied()
    }

    /// Follows an event; answers whom it tells, each once.
    pub fn follow(&mut self, event: &Event) -> Vec<Key> {
        let mut told = Vec::new();
        for step in event.steps() {
            match step {
                Step::Tell(audience) => told = self.told(audience),
                Step::Change(change) => self.change(*change),
            }
        }
        told
    }

    /// Goes back to before an event that these seats follow; answers whom it told. What was no more after it is not
    /// brought back, but for those who left.
    pub fn go_back(&mut self, event: &Event) -> Vec<Key> {
        let mut told = Vec::new();
        for step in event.steps().rev() {
            match step {
                Step::Tell(audience) => told = self.told(audience),
                Step::Change(Change::Joined { member, sub_channel, .. }) => {
                    self.0.remove(&(*sub_channel, *member));
                }
                Step::Change(Change::Left { member, sub_channel, hidden }) => {
                    self.sit(*sub_channel, *member, *hidden);
                }
                Step::Change(Change::Ended { .. } | Change::Gone { .. }) => {}
            }
        }
        told
    }

    fn told(&self, audience: &Audience) -> Vec<Key> {
        let in_place = |place: &Key| self.0.range((*place, Key([0; 16]))..=(*place, Key([0xff; 16])));
        let sitting = audience.sub_channels.iter().flat_map(in_place);
        let members =
            sitting.filter(|(_, hidden)| audience.tells_members(**hidden)).map(|((_, user), _)| *user);
        let mut told: Vec<Key> = members.chain(audience.users.iter().copied()).collect();
        told.sort();
        told.dedup();
        told
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Joined { member, sub_channel, hidden } => self.sit(sub_channel, member, hidden),
            Change::Left { member, sub_channel, .. } => {
                self.0.remove(&(sub_channel, member));
            }
            Change::Ended { sub_channel } => self.0.retain(|(place, _), _| *place != sub_channel),
            Change::Gone { user } => self.0.retain(|(_, who), _| *who != user),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventMessageType, EventType};
    use crate::timestamp::Timestamp;

    const LOBBY: Key = Key([1; 16]);
    const ANA: Key = Key([2; 16]);
    const BOB: Key = Key([3; 16]);
    const CY: Key = Key([4; 16]);

    fn event(audience: Audience, changes: &[Change]) -> Event {
        Event {
            channel: LOBBY,
            sequence: 1,
            at: Timestamp::from_ms(0),
            kind: EventType::UpdateChannel,
            message_type: EventMessageType::System,
            audience,
            changes: changes.to_vec(),
            message: None,
            reason: None,
            payload: String::new(),
        }
    }

    #[test]
    fn those_who_sit_are_told_and_a_way_back_leads_where_it_came_from() {
        let mut seats = Seats::default();
        seats.sit(LOBBY, ANA, true);
        let joins = |member| Change::Joined { member, sub_channel: LOBBY, hidden: false };
        let leaves = Change::Left { member: BOB, sub_channel: LOBBY, hidden: false };
        let moves = Change::Left { member: CY, sub_channel: LOBBY, hidden: false };
        let ends = Change::Ended { sub_channel: LOBBY };
        let open = |user| Audience::open_members_and(LOBBY, user);
        let history = [
            (event(open(BOB), &[joins(BOB)]), vec![BOB]),
            (event(Audience::members(LOBBY), &[]), vec![ANA, BOB]),
            (event(open(CY), &[joins(CY), leaves]), vec![CY]),
            (event(Audience::only([BOB]), &[]), vec![BOB]),
            (event(Audience::members(LOBBY), &[]), vec![ANA, CY]),
            (event(Audience::only([CY]), &[moves, joins(BOB)]), vec![CY]),
            (event(Audience::members(LOBBY), &[]), vec![ANA, BOB]),
        ];
        let mut before = Vec::new();
        for (event, told) in &history {
            before.push(seats.clone());
            assert_eq!(&seats.follow(event), told);
        }
        for ((event, told), before) in history.iter().zip(&before).rev() {
            assert_eq!((&seats.go_back(event), &seats), (told, before));
        }
        seats.follow(&event(Audience::members(LOBBY), &[ends]));
        assert_eq!(seats, Seats::default());
    }
}
