//! Pages of what somebody has in channels, where some of these were deleted and are not destroyed yet.
//!
//! A page is chosen before anything is joined, and not by whether a channel is deleted: an engine that knows little of
//! its tables, as PostgreSQL after an import, takes that to be rare, and goes through all channels there are.

use carillon_model::Timestamp;

use crate::Result;

/// A row, where it stands, and when its channel was deleted.
pub(crate) type Placed<T, K> = (T, K, Option<Timestamp>);

/// Up to `limit` rows after `after` whose channels are there, in their order, of those that `some` finds: the next so
/// many after a place, in any order, as a join leaves them.
pub(crate) fn there<T, K: Copy + Ord>(
    limit: i64,
    mut after: K,
    mut some: impl FnMut(K, i64) -> Result<Vec<Placed<T, K>>>,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    loop {
        let left = limit - i64::try_from(found.len()).unwrap_or(i64::MAX);
        let mut rows = some(after, left)?;
        rows.sort_by_key(|(_, place, _)| *place);
        let is_full = i64::try_from(rows.len()) == Ok(left);
        let last = rows.last().map(|(_, place, _)| *place);
        found.extend(rows.into_iter().filter(|(.., deleted_at)| deleted_at.is_none()).map(|(row, ..)| row));
        match last {
            Some(last) if is_full && i64::try_from(found.len()).unwrap_or(i64::MAX) < limit => after = last,
            _ => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_goes_on_over_what_was_deleted_and_ends_where_nothing_follows() {
        let deleted = |number: i64| (number % 3 != 0).then(|| Timestamp::from_ms(number));
        let page = |limit, after| {
            let some = |after: i64, most| {
                let numbers: Vec<_> = (after + 1..=20).take(usize::try_from(most).unwrap()).collect();
                Ok(numbers.into_iter().rev().map(|number| (number, number, deleted(number))).collect())
            };
            there(limit, after, some).unwrap()
        };
        assert_eq!(page(4, 0), [3, 6, 9, 12]);
        assert_eq!(page(4, 12), [15, 18]);
        assert_eq!(page(0, 0), [0; 0]);
        assert_eq!(page(4, 20), [0; 0]);
    }
}
