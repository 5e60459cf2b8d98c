//! The sum of a page, in the last of its bytes: what marks it as one, and a CRC-32 of the page's number and of all that
//! is before it. The number is in it because a disk may also answer with a page from elsewhere.
//!
//! SQLite sees zeros there, and so do the log and whoever else opens the file and adds pages. A page with zeros is one
//! that somebody else wrote, and nobody knows better.

use crate::PAGE_BYTES;

/// Bytes at the end of each page that SQLite leaves free.
pub(crate) const TAIL_BYTES: usize = 8;
const MARK: [u8; 4] = *b"Crln";
const TAIL: usize = PAGE_BYTES - TAIL_BYTES;
/// Where the first page of a file says how many bytes are free at the end of each.
const FREE_AT: usize = 20;
/// How a file of SQLite begins.
const MAGIC: &[u8] = b"SQLite format 3\0";

fn sum(number: u64, page: &[u8; PAGE_BYTES]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&page[..TAIL]);
    hasher.finalize().to_le_bytes()
}

/// Puts the sum where it belongs.
pub(crate) fn seal(number: u64, page: &mut [u8; PAGE_BYTES]) {
    let sum = sum(number, page);
    page[TAIL..TAIL + MARK.len()].copy_from_slice(&MARK);
    page[TAIL + MARK.len()..].copy_from_slice(&sum);
}

/// Whether a page is as it was written, as far as can be known.
pub(crate) fn is_whole(number: u64, page: &[u8; PAGE_BYTES]) -> bool {
    let (mark, stored) = page[TAIL..].split_at(MARK.len());
    if mark == MARK { stored == sum(number, page) } else { page[TAIL..] == [0; TAIL_BYTES] }
}

/// Takes the sum away.
pub(crate) fn clear(page: &mut [u8; PAGE_BYTES]) {
    page[TAIL..].fill(0);
}

/// Whether a file with this first page has sums. Two places say so, of which one may be broken.
pub(crate) fn is_summed(first: &[u8; PAGE_BYTES]) -> bool {
    says_so(first) || first[TAIL..].starts_with(&MARK)
}

/// Whether the header says so.
pub(crate) fn says_so(first: &[u8; PAGE_BYTES]) -> bool {
    first.starts_with(MAGIC) && usize::from(first[FREE_AT]) == TAIL_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_page_is_in_its_sum() {
        let mut page = [0; PAGE_BYTES];
        for (at, byte) in page.iter_mut().enumerate() {
            *byte = u8::try_from(at * 31 % 251).unwrap();
        }
        seal(7, &mut page);
        assert!(is_whole(7, &page));
        assert!(!is_whole(8, &page), "it is another page's");
        for bit in 0..PAGE_BYTES * 8 {
            page[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_whole(7, &page), "bit {bit}");
            page[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn what_others_wrote_is_taken_as_it_is() {
        let mut page = [3; PAGE_BYTES];
        assert!(!is_whole(1, &page));
        clear(&mut page);
        assert!(is_whole(1, &page) && is_whole(2, &page));
    }

    #[test]
    fn one_bit_of_the_first_page_does_not_take_the_sums_away() {
        let mut page = [0; PAGE_BYTES];
        page[..MAGIC.len()].copy_from_slice(MAGIC);
        assert!(!is_summed(&page));
        page[FREE_AT] = 8;
        seal(1, &mut page);
        for bit in 0..PAGE_BYTES * 8 {
            page[bit / 8] ^= 1 << (bit % 8);
            assert!(is_summed(&page), "bit {bit}");
            page[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
