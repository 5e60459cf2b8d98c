//! A page of rows, divided among calls.

use std::collections::HashSet;

use carillon_model::Key;
use carillon_store::outgoing::Outgoing as Row;

use super::Manner;

/// A page, divided.
#[derive(Debug, Default)]
pub(super) struct Divided {
    /// Waited for too long.
    pub(super) overdue: Vec<Row>,
    /// The rows of calls.
    pub(super) batches: Vec<Vec<Row>>,
    /// The last channel that was looked at.
    pub(super) last: Option<Key>,
    /// Whether the whole page was.
    pub(super) is_whole: bool,
}

/// Divides a page among so many calls. What of a channel does not fit into the call that has its first rows waits for
/// the next round.
pub(super) fn divide(
    page: Vec<Row>,
    (manner, free): (Manner, usize),
    is_overdue: impl Fn(&Row) -> bool,
    is_blocked: impl Fn(Key) -> bool,
) -> Divided {
    let mut divided = Divided { is_whole: true, ..Divided::default() };
    let (mut bytes, mut closed) = (0, HashSet::new());
    for row in page {
        let channel = row.place.channel;
        let is_begun = divided
            .batches
            .last()
            .is_some_and(|batch| batch.last().is_some_and(|last| last.place.channel == channel));
        if is_blocked(channel) || closed.contains(&channel) {
            divided.last = Some(channel);
            continue;
        }
        if !is_begun && is_overdue(&row) {
            divided.last = Some(channel);
            divided.overdue.push(row);
            continue;
        }
        let is_full = divided.batches.last().is_none_or(|batch| {
            manner.rows_max <= batch.len() || (manner.bytes_max < bytes + row.body.len() && !batch.is_empty())
        });
        if is_full {
            if is_begun {
                closed.insert(channel);
                continue;
            }
            if divided.batches.len() == free {
                divided.is_whole = false;
                break;
            }
            divided.batches.push(Vec::new());
            bytes = 0;
        }
        bytes += row.body.len();
        divided.last = Some(channel);
        if let Some(batch) = divided.batches.last_mut() {
            batch.push(row);
        }
    }
    divided
}

#[cfg(test)]
mod tests {
    use carillon_model::Timestamp;
    use carillon_store::outgoing::Place;

    use super::*;

    fn page(channels: &[u8]) -> Vec<Row> {
        let row = |(sequence, channel): (i64, &u8)| Row {
            place: Place { channel: Key([*channel; 16]), sequence, part: 0 },
            at: Timestamp::from_ms(sequence),
            body: "body".to_owned(),
        };
        (1..).zip(channels).map(row).collect()
    }

    fn shown(divided: &Divided) -> Vec<Vec<(u8, i64)>> {
        let show =
            |batch: &Vec<Row>| batch.iter().map(|row| (row.place.channel.0[0], row.place.sequence)).collect();
        divided.batches.iter().map(show).collect()
    }

    #[test]
    fn a_channel_is_in_one_call_and_what_does_not_fit_waits() {
        let manner = Manner { rows_max: 3, bytes_max: 1_000, calls_max: 2 };
        let divided = divide(page(&[1, 1, 2, 2, 3, 3, 4]), (manner, 2), |_| false, |_| false);
        assert_eq!(shown(&divided), [vec![(1, 1), (1, 2), (2, 3)], vec![(3, 5), (3, 6), (4, 7)]]);
        assert!(divided.is_whole && divided.last == Some(Key([4; 16])));
        let divided = divide(page(&[1, 1, 2, 2, 3, 3, 4]), (manner, 1), |_| false, |_| false);
        assert_eq!(shown(&divided), [[(1, 1), (1, 2), (2, 3)]]);
        assert!(!divided.is_whole && divided.last == Some(Key([2; 16])));
    }

    #[test]
    fn one_row_a_call_takes_the_first_of_each_channel() {
        let manner = Manner { rows_max: 1, bytes_max: 1_000, calls_max: 8 };
        let divided = divide(page(&[1, 1, 2, 3, 3]), (manner, 8), |_| false, |key| key == Key([2; 16]));
        assert_eq!(shown(&divided), [[(1, 1)], [(3, 4)]]);
    }

    #[test]
    fn bytes_are_bounded_and_one_that_is_larger_goes_alone() {
        let manner = Manner { rows_max: 9, bytes_max: 3, calls_max: 8 };
        let divided = divide(page(&[1, 1, 2]), (manner, 8), |_| false, |_| false);
        assert_eq!(shown(&divided), [[(1, 1)], [(2, 3)]]);
    }

    #[test]
    fn what_waited_for_too_long_is_given_up_from_a_channels_first_on() {
        let manner = Manner { rows_max: 9, bytes_max: 1_000, calls_max: 1 };
        let divided = divide(page(&[1, 1, 2]), (manner, 1), |row| row.at <= Timestamp::from_ms(1), |_| false);
        assert_eq!((divided.overdue.len(), shown(&divided)), (1, vec![vec![(1, 2), (2, 3)]]));
    }
}
