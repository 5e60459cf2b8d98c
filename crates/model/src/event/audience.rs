//! Who is told of an event, and as what.

use serde::{Deserialize, Serialize};

use crate::key::Key;

/// Who is told of an event: the members of these sub-channels, and these users. Of an elastic channel's record, those
/// who are named see how it is split, and nobody else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// Sub-channels whose members are told; of an ordinary channel, the channel itself.
    pub sub_channels: Vec<Key>,
    /// Whether hidden members are left out.
    pub but_hidden: bool,
    /// Users who are told whether or not they belong.
    pub users: Vec<Key>,
}

impl Audience {
    /// All members of a sub-channel.
    pub fn members(sub_channel: Key) -> Self {
        Self { sub_channels: vec![sub_channel], ..Self::default() }
    }

    /// All members of all sub-channels of a channel, hidden or not.
    pub fn channel(sub_channels: &[Key]) -> Self {
        Self { sub_channels: sub_channels.to_vec(), ..Self::default() }
    }

    /// The members of a sub-channel who are not hidden, and one user more.
    pub fn open_members_and(sub_channel: Key, user: Key) -> Self {
        Self { sub_channels: vec![sub_channel], but_hidden: true, users: vec![user] }
    }

    /// These users too.
    pub fn include(&mut self, users: &[Key]) {
        self.users.extend(users);
        self.users.sort();
        self.users.dedup();
    }

    /// Only these users.
    pub fn only(users: impl IntoIterator<Item = Key>) -> Self {
        let mut audience = Self::default();
        audience.include(&users.into_iter().collect::<Vec<Key>>());
        audience
    }

    /// Whether those who belong are told, hidden or not.
    pub fn tells_members(&self, hidden: bool) -> bool {
        !(self.but_hidden && hidden)
    }

    /// Whether it names a user, who is then told once, wherever they belong.
    pub fn names(&self, user: Key) -> bool {
        self.users.contains(&user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_of_users_names_each_once() {
        let (a, b) = (Key([1; 16]), Key([2; 16]));
        assert_eq!(Audience::only([b, a, b]).users, [a, b]);
        let text = serde_json::to_string(&Audience::members(a)).unwrap();
        assert_eq!(serde_json::from_str::<Audience>(&text).unwrap(), Audience::members(a));
    }
}
