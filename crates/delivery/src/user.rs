//! A user: their sessions here, and what is known of those elsewhere.

use std::sync::Arc;
use std::time::Duration;

use carillon_model::Key;
use carillon_model::session::Close;

use crate::news::{Present, Roll};
use crate::session::Session;

/// Of two sessions of one name on two nodes that began within this time, their clocks decide which is the later; of
/// others, that it was heard of later.
const SAME_TIME: Duration = Duration::from_secs(2);

/// The sessions of a user.
#[derive(Default)]
pub(crate) struct User {
    /// Those here, the oldest first.
    pub(crate) sessions: Vec<Arc<Session>>,
    /// Those elsewhere, by node.
    elsewhere: Vec<(Key, Vec<Present>)>,
}

impl User {
    /// One more, which replaces that of the same name; of too many, the oldest end.
    pub(crate) fn enter(&mut self, here: Key, session: Arc<Session>) {
        for other in self.open().filter(|other| other.client == session.client) {
            other.end(Close::REPLACED);
        }
        self.sessions.push(session);
        self.end_oldest(here);
    }

    /// One less.
    pub(crate) fn leave(&mut self, session: &Session) {
        self.sessions.retain(|other| other.number != session.number);
    }

    /// Those here that do not end yet.
    pub(crate) fn present(&self) -> impl Iterator<Item = Present> {
        self.open().map(|session| session.present())
    }

    /// Another node says what it has.
    pub(crate) fn compare(&mut self, here: Key, roll: Roll) {
        let before = self.elsewhere.iter().position(|(node, _)| *node == roll.node);
        let before = before.map(|at| self.elsewhere.swap_remove(at).1).unwrap_or_default();
        for other in roll.sessions.iter().filter(|other| !before.contains(other)) {
            let is_later = |session: &Arc<Session>| {
                SAME_TIME <= session.entered_at.elapsed()
                    || (session.admitted_ms, here) < (other.admitted_ms, roll.node)
            };
            let same = self.open().filter(|session| *session.client == *other.client);
            same.filter(|session| is_later(session)).for_each(|session| session.end(Close::REPLACED));
        }
        if !roll.sessions.is_empty() {
            self.elsewhere.push((roll.node, roll.sessions));
        }
        self.end_oldest(here);
    }

    /// Of all, as many of the oldest end as there are too many; each node ends its own.
    fn end_oldest(&self, here: Key) {
        let Some(most) = self.open().map(|session| session.sessions_max).min() else { return };
        let own = self.open().map(|session| (session.admitted_ms, here, session.number));
        let others = self.elsewhere.iter().flat_map(|(node, sessions)| {
            sessions.iter().map(|other| (other.admitted_ms, *node, other.number))
        });
        let mut all: Vec<_> = own.chain(others).collect();
        all.sort_unstable();
        for (_, node, number) in all.iter().take(all.len().saturating_sub(most)) {
            let ended = self.open().find(|session| *node == here && session.number == *number);
            if let Some(session) = ended {
                session.end(Close::REPLACED);
            }
        }
    }

    /// A node is no more.
    pub(crate) fn forget_node(&mut self, node: Key) {
        self.elsewhere.retain(|(other, _)| *other != node);
    }

    fn open(&self) -> impl Iterator<Item = &Arc<Session>> + Clone {
        self.sessions.iter().filter(|session| session.is_ending().is_none())
    }
}

#[cfg(test)]
mod tests {
    use carillon_model::Timestamp;
    use carillon_model::session::Entrance;

    use super::*;

    const HERE: Key = Key([1; 16]);
    const THERE: Key = Key([2; 16]);
    const USER: Key = Key([3; 16]);

    fn session(number: u64, client: &str, admitted_ms: i64) -> Arc<Session> {
        let entrance = Entrance {
            user: USER,
            client: client.to_owned(),
            admitted_at: Timestamp::from_ms(admitted_ms),
            sessions_max: 3,
            begins_in: Duration::ZERO,
            frames_max: 1,
        };
        Session::new(number, entrance)
    }

    fn roll(sessions: &[&Arc<Session>]) -> Roll {
        let sessions = sessions.iter().map(|session| session.present()).collect();
        Roll { node: THERE, user: USER, sessions, asks: true }
    }

    #[tokio::test(start_paused = true)]
    async fn of_one_name_the_later_one_stays_whatever_the_clocks_say() {
        let (mut user, phone) = (User::default(), session(0, "phone", 5_000));
        user.enter(HERE, phone.clone());
        user.compare(HERE, roll(&[&session(7, "laptop", 9_000), &session(8, "phone", 4_500)]));
        assert_eq!(phone.is_ending(), None, "it began at the same time, and later");
        tokio::time::advance(SAME_TIME).await;
        user.compare(HERE, roll(&[&session(8, "phone", 4_500)]));
        assert_eq!(phone.is_ending(), None, "that is no news");
        user.compare(HERE, roll(&[&session(9, "phone", 4_000)]));
        assert_eq!(phone.is_ending(), Some(Close::REPLACED));
        assert_eq!(user.present().count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn of_too_many_on_all_nodes_the_oldest_end() {
        let mut user = User::default();
        let here: Vec<_> = [(0, "a", 10), (1, "b", 30)].map(|(n, name, at)| session(n, name, at)).into();
        for one in &here {
            user.enter(HERE, one.clone());
        }
        let there: Vec<_> = [(0, "c", 5), (1, "d", 20)].map(|(n, name, at)| session(n, name, at)).into();
        user.compare(HERE, roll(&[&there[0]]));
        user.compare(HERE, roll(&[&there[0], &there[1]]));
        assert!(here.iter().all(|one| one.is_ending().is_none()), "the other node ends its own");
        user.compare(HERE, roll(&[&there[1], &session(2, "e", 40)]));
        assert_eq!(here[0].is_ending(), Some(Close::REPLACED));
        assert_eq!(here[1].is_ending(), None);
        user.forget_node(THERE);
        let newest = [(5, "f", 50), (6, "g", 60), (7, "h", 70)].map(|(n, name, at)| session(n, name, at));
        for one in newest {
            user.enter(HERE, one);
        }
        assert_eq!(here[1].is_ending(), Some(Close::REPLACED));
    }
}
