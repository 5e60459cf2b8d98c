//! What came by sockets: what happened, in its order, once, to those whom it is for, whole.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fact, Known, Violation, broken};
use crate::scene::CHANNELS;
use crate::socket::Socket;

impl Known<'_> {
    pub(super) fn check_sockets(&self) -> Result<(), Violation> {
        for (user, sockets) in self.sockets() {
            for socket in sockets {
                self.check_audience(user, socket)?;
                self.check_order(socket)?;
            }
            for chain in chains(sockets) {
                self.check_whole(user, chain)?;
            }
        }
        Ok(())
    }

    fn fact(&self, channel: carillon_model::Key, sequence: i64) -> Option<&Fact> {
        let facts = &self.facts[self.scene.channel_of(channel)?];
        facts.iter().find(|fact| fact.event.sequence == sequence)
    }

    /// Per channel one order for everybody, and each event once.
    fn check_order(&self, socket: &Socket) -> Result<(), Violation> {
        let mut latest = BTreeMap::new();
        for one in &socket.came {
            let before = latest.insert(one.channel, one.sequence);
            if before.is_some_and(|before| one.sequence <= before) {
                let words = format!("user {} was told {one:?} after {before:?}", socket.user);
                return broken("per channel one order for everybody, each event once", words);
            }
            let fact = self.fact(one.channel, one.sequence);
            if fact.is_none_or(|fact| fact.event.kind.as_str() != one.kind) {
                return broken("what is told has happened", format!("{one:?} is not stored"));
            }
        }
        Ok(())
    }

    /// Nobody sees what their role does not admit at that moment.
    fn check_audience(&self, user: usize, socket: &Socket) -> Result<(), Violation> {
        for one in &socket.came {
            let Some(fact) = self.fact(one.channel, one.sequence) else { continue };
            let belongs = fact.before.contains(&user) || fact.after.contains(&user);
            let is_own = fact.sender() == Some(self.scene.user(user).as_str());
            let is_of_flow = one.kind.ends_with("CHANNEL_MESSAGE") && !fact.is_for_members();
            if !(if is_of_flow { is_own } else { belongs }) {
                let words = format!("user {user} was told {one:?}, and does not belong");
                return broken("nobody sees what their role does not admit", words);
            }
        }
        Ok(())
    }

    /// Sockets are whole or closed, and whoever resumes is shown what was missed.
    fn check_whole(&self, user: usize, chain: &[Socket]) -> Result<(), Violation> {
        let Some(begun) = chain.first().and_then(|first| first.established) else { return Ok(()) };
        let came: BTreeSet<_> =
            chain.iter().flat_map(|socket| &socket.came).map(|one| (one.channel, one.sequence)).collect();
        let is_open = chain.last().is_some_and(|last| last.end.is_none() && last.established.is_some());
        for channel in 0..CHANNELS {
            let key = self.scene.channels[channel].1;
            let reached = came.iter().filter(|(of, _)| *of == key).map(|(_, number)| *number).max();
            let is_due = |fact: &&Fact| {
                let later = fact.committed.is_some_and(|step| begun < step);
                let number = fact.event.sequence;
                fact.is_for_members()
                    && fact.before.contains(&user)
                    && later
                    && (is_open || reached.is_some_and(|reached| number <= reached))
            };
            for fact in self.facts[channel].iter().filter(is_due) {
                if !came.contains(&(key, fact.event.sequence)) {
                    let words = format!(
                        "user {user} was not told {} of channel {channel}, and {}",
                        fact.event.sequence,
                        if is_open { "the socket is open" } else { "was told later ones" },
                    );
                    let promise = if chain.len() == 1 {
                        "sockets are whole or closed"
                    } else {
                        "whoever resumes misses nothing"
                    };
                    return broken(promise, words);
                }
            }
        }
        Ok(())
    }
}

/// Sockets of which each resumed where the one before it ended; what did not come to be established is left out, and a
/// client that was told to read anew what it shows begins anew.
fn chains(sockets: &[Socket]) -> Vec<&[Socket]> {
    let is_begin = |socket: &Socket| socket.resumes.is_none() || socket.reloads;
    let mut begins: Vec<usize> =
        sockets.iter().enumerate().filter(|(_, socket)| is_begin(socket)).map(|(at, _)| at).collect();
    begins.push(sockets.len());
    begins.windows(2).map(|pair| &sockets[pair[0]..pair[1]]).collect()
}
