//! Channels that a request does not name: those that the caller's policies let it see.
//!
//! A row that policies take away is as if it were not there, so others are read in its place: a page is never shorter
//! for it, and nothing tells how many are hidden.

use carillon_access::Sieve;
use carillon_model::ChannelArn;
use carillon_store as store;
use carillon_store::Tx;

use super::Call;
use crate::error::Result;

/// How many rows are read in one go where policies may take some of them away.
const ROWS_LEN: usize = 1_000;
/// After how many rows it is given up to look for more, for one page: as many as the memberships that a user may have,
/// unless an operator allows more.
const ROWS_MAX: usize = 20_000;

impl Call {
    /// The call, whose policies may tell some channels that it may show from others.
    pub(crate) fn sieved_by(self, sieve: Option<Sieve>) -> Self {
        Self { sieve, ..self }
    }

    /// Rows after `after`, each of a channel, as `list` reads them: those that policies let the caller see, up to
    /// `enough` of them. Also after which it was given up to look for more.
    pub(crate) fn admitted<T, C>(
        &self,
        tx: &mut Tx,
        (after, enough): (C, i64),
        mut list: impl FnMut(&mut Tx, &C, i64) -> store::Result<Vec<T>>,
        of: impl Fn(&T) -> (C, ChannelArn),
    ) -> Result<(Vec<T>, Option<C>)> {
        let Some(sieve) = &self.sieve else { return Ok((list(tx, &after, enough)?, None)) };
        let enough = usize::try_from(enough).unwrap_or_default();
        let next = |after: &C, limit| -> Result<_> {
            let rows = list(tx, after, i64::try_from(limit).unwrap_or(i64::MAX))?;
            let (cursors, arns): (Vec<C>, Vec<ChannelArn>) = rows.iter().map(&of).unzip();
            let names: Vec<&str> = arns.iter().map(ChannelArn::as_str).collect();
            let admits = sieve.admits(tx, &names)?;
            let rows = rows.into_iter().zip(admits).map(|(row, admits)| admits.then_some(row));
            Ok(rows.zip(cursors).collect())
        };
        read_on((after, enough), (ROWS_LEN.max(enough), ROWS_MAX), next)
    }
}

/// Rows, each with where it stands, until there are enough of those that are left of them, or no more, or too many
/// were looked at.
fn read_on<T, C>(
    (mut after, enough): (C, usize),
    (rows_len, rows_max): (usize, usize),
    mut next: impl FnMut(&C, usize) -> Result<Vec<(Option<T>, C)>>,
) -> Result<(Vec<T>, Option<C>)> {
    let (mut admitted, mut looked_at) = (Vec::new(), 0);
    loop {
        let mut last = None;
        let rows = next(&after, rows_len)?;
        looked_at += rows.len();
        let is_all = rows.len() < rows_len;
        for (row, at) in rows {
            admitted.extend(row);
            if admitted.len() == enough {
                return Ok((admitted, None));
            }
            last = Some(at);
        }
        match last {
            Some(last) if !is_all && looked_at < rows_max => after = last,
            last => return Ok((admitted, last.filter(|_| !is_all))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of numbers of which some are taken away, as long as a page is, up to a bound of what is looked at.
    #[test]
    fn what_is_taken_away_leaves_no_holes() {
        for bits in 0..1_u32 << 12 {
            let rows: Vec<u32> = (1..=12).collect();
            let is_left = |row: u32| bits & 1 << (row - 1) != 0;
            let all: Vec<u32> = rows.iter().copied().filter(|row| is_left(*row)).collect();
            for (enough, rows_len, rows_max) in
                [(1, 1, 100), (3, 3, 100), (3, 5, 100), (20, 20, 100), (2, 4, 8)]
            {
                let (mut after, mut found) = (0, Vec::new());
                loop {
                    let mut looked_at = 0;
                    let (page, given_up_at) =
                        read_on((after, enough), (rows_len, rows_max), |after, limit| {
                            let rows = rows.iter().copied().filter(|row| after < row).take(limit);
                            let rows: Vec<_> = rows.map(|row| (is_left(row).then_some(row), row)).collect();
                            looked_at += rows.len();
                            Ok(rows)
                        })
                        .unwrap();
                    assert!(looked_at < rows_max + rows_len);
                    found.extend_from_slice(&page);
                    match (given_up_at, page.last()) {
                        (Some(at), _) => {
                            assert!(page.len() < enough && rows_max <= looked_at, "{page:?} of {bits:b}");
                            after = at;
                        }
                        (None, Some(last)) if page.len() == enough => after = *last,
                        (None, _) => break,
                    }
                }
                assert_eq!(found, all, "{bits:b}");
            }
        }
    }
}
