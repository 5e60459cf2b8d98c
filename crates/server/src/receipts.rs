//! Read markers that moved, gathered for a while before the members of their channel are told: at most one frame a
//! second and channel, and the more members there are, the fewer (`service::front::receipts` says how many).
//!
//! What does not fit is told later, and what would have to wait for too long is not told at all: the markers themselves
//! are in the store, and `ListChannelReadMarkers` shows them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use carillon_delivery::Hub;
use carillon_model::{ChannelArn, Key};
use carillon_service::Service;
use carillon_service::error::Result;
use carillon_service::front::receipts::{CHANNELS_MAX, Moved, Told};
use carillon_store::read_marker;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::metrics::Page;

/// How often what was gathered is told.
pub(crate) const TELL_EVERY: Duration = Duration::from_secs(1);
/// Markers of a channel that wait to be told. Those that move meanwhile are not told.
const WAITING_MAX: usize = 1_000;
/// Channels of which markers wait. Those of others are not told.
const WAITING_CHANNELS_MAX: usize = 10_000;

/// What waits to be told.
#[derive(Default)]
pub(crate) struct Receipts {
    channels: Mutex<BTreeMap<Key, Waiting>>,
    /// Markers that were told.
    told: AtomicU64,
    /// Markers that were not, though their channel may share them.
    left_out: AtomicU64,
}

struct Waiting {
    arn: ChannelArn,
    /// Whose markers moved, each once, the first that moved first.
    members: VecDeque<Key>,
    /// For how many rounds the channel is left alone.
    rest: u32,
}

impl Receipts {
    /// Takes up what a commit moved.
    pub(crate) fn note(&self, moved: Vec<read_marker::Moved>) {
        if moved.is_empty() {
            return;
        }
        let mut channels = self.lock();
        for read_marker::Moved { channel, arn, member } in moved {
            if WAITING_CHANNELS_MAX <= channels.len() && !channels.contains_key(&channel) {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let waiting =
                channels.entry(channel).or_insert_with(|| Waiting { arn, members: VecDeque::new(), rest: 0 });
            if waiting.members.contains(&member) {
                continue;
            }
            if WAITING_MAX <= waiting.members.len() {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            waiting.members.push_back(member);
        }
    }

    /// What is to be told in this round, and forgets channels of which nothing is, or that nobody hears.
    fn due(&self, is_heard: impl Fn(Key) -> bool) -> Vec<Moved> {
        let mut due = Vec::new();
        self.lock().retain(|channel, waiting| {
            waiting.rest = waiting.rest.saturating_sub(1);
            if 0 < waiting.rest {
                return true;
            }
            if waiting.members.is_empty() || !is_heard(*channel) {
                return false;
            }
            let members = waiting.members.iter().copied().collect();
            due.push(Moved { channel: *channel, arn: waiting.arn.clone(), members });
            true
        });
        due
    }

    /// Forgets what was told; all of it, where the channel does not share its markers.
    fn answered(&self, channel: Key, told: Option<&Told>) {
        let mut channels = self.lock();
        let Some(told) = told else {
            channels.remove(&channel);
            return;
        };
        if let Some(waiting) = channels.get_mut(&channel) {
            waiting.members.drain(..told.taken.min(waiting.members.len()));
            waiting.rest = told.rest_seconds;
        }
        if told.markers.is_some() {
            self.told.fetch_add(told.taken as u64, Ordering::Relaxed);
        }
    }

    /// Tells what is due.
    pub(crate) async fn tell(&self, service: &Service, hub: &Hub) -> Result<()> {
        let due = self.due(|channel| hub.may_be_heard(channel));
        for some in due.chunks(CHANNELS_MAX) {
            let told = service.tell_read_markers(some.to_vec()).await?;
            for (moved, told) in some.iter().zip(told) {
                self.answered(moved.channel, told.as_ref());
                if let Some(markers) = told.and_then(|told| told.markers) {
                    hub.tell_read_markers(&markers);
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Waiting>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is measured of them.
pub(crate) struct Measured(pub(crate) Arc<Receipts>);

impl fmt::Debug for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Measured(…)")
    }
}

impl Collector for Measured {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::result::Result<(), fmt::Error> {
        let help = "Read markers that moved, by whether the members of their channel were told by an event";
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let rows = [(["told"], read(&self.0.told)), (["left_out"], read(&self.0.left_out))];
        Page::new(encoder).counters(("carillon_read_markers", help), ["result"], rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: Key = Key([1; 16]);

    fn moved(channel: Key, member: u16) -> read_marker::Moved {
        let mut key = [0; 16];
        key[..2].copy_from_slice(&member.to_be_bytes());
        let arn = "arn:aws:chime:us-east-1:111122223333:app-instance/8d1e2f30-aaaa-4bbb-8ccc-000000000001/channel/c";
        read_marker::Moved { channel, arn: arn.parse().unwrap(), member: Key(key) }
    }

    fn told(taken: usize, rest_seconds: u32) -> Told {
        Told { markers: None, taken, rest_seconds }
    }

    #[test]
    fn a_channel_is_told_of_each_marker_once_and_rests_then() {
        let receipts = Receipts::default();
        receipts.note(vec![moved(CHANNEL, 1), moved(CHANNEL, 2), moved(CHANNEL, 1), moved(CHANNEL, 3)]);
        let due = receipts.due(|_| true);
        assert_eq!((due.len(), due[0].members.len()), (1, 3));
        receipts.note(vec![moved(CHANNEL, 4)]);
        receipts.answered(CHANNEL, Some(&told(2, 2)));
        assert!(receipts.due(|_| true).is_empty(), "it rests for a round");
        let due = receipts.due(|_| true);
        assert_eq!(due[0].members, [moved(CHANNEL, 3).member, moved(CHANNEL, 4).member]);
        receipts.answered(CHANNEL, Some(&told(2, 1)));
        assert!(receipts.due(|_| true).is_empty() && receipts.lock().is_empty());
    }

    #[test]
    fn what_nobody_hears_or_nobody_shares_is_forgotten() {
        let receipts = Receipts::default();
        receipts.note(vec![moved(CHANNEL, 1)]);
        assert!(receipts.due(|_| false).is_empty() && receipts.lock().is_empty());
        receipts.note(vec![moved(CHANNEL, 1)]);
        assert_eq!(receipts.due(|_| true).len(), 1);
        receipts.answered(CHANNEL, None);
        assert!(receipts.lock().is_empty());
    }

    #[test]
    fn no_more_wait_than_may() {
        let receipts = Receipts::default();
        let all = u16::try_from(WAITING_MAX).unwrap() + 5;
        receipts.note((0..all).map(|member| moved(CHANNEL, member)).collect());
        assert_eq!(receipts.due(|_| true)[0].members.len(), WAITING_MAX);
        assert_eq!(receipts.left_out.load(Ordering::Relaxed), 5);
        let channel = |number: u64| {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&number.to_be_bytes());
            Key(key)
        };
        receipts.note((0..20_000).map(|number| moved(channel(number), 1)).collect());
        assert_eq!(receipts.lock().len(), WAITING_CHANNELS_MAX);
    }
}
