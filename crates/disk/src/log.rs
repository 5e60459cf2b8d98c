//! The log's own checksums, by <https://sqlite.org/fileformat2.html#the_write_ahead_log>: each frame has that of all
//! that was written before it, so any one can be checked by what the frame before it says.
//!
//! After a crash SQLite reads the log up to the first frame that is not right, and takes that for where the power was
//! cut. A bit that was flipped would take all that follows with it, which was acknowledged. Two things tell them apart:
//! a transaction that is cut off has none behind it, since the next begins only once it is on the disk; and one bit
//! that explains a checksum is a flip, or would have been written so. That bit is put right, if there is but one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::PAGE_BYTES;
use crate::page::TAIL_BYTES;

const HEADER_BYTES: usize = 32;
const HEAD_BYTES: usize = 24;
const FRAME_BYTES: usize = HEAD_BYTES + PAGE_BYTES;
/// Where the header has its salts, and its checksum; the same in the head of a frame.
const HEADER_SALTS: usize = 16;
const HEADER_SUM: usize = 24;
const SALTS: usize = 8;
const SUM: usize = 16;
const SALT_BYTES: usize = 8;
/// How many pages the file has after the transaction; zero in all frames of it but the last.
const COMMIT: usize = 4;
/// How a log begins; the last bit says in which order the bytes of a word are summed.
const MAGIC: u32 = 0x377f_0682;
/// Bits that are put right at one start. A disk that flips more is none.
const BITS_MAX: u64 = 64;

/// How often a log is looked at again that somebody else writes meanwhile.
const MOVES_MAX: u32 = 100;

/// What was done to a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mended {
    /// So many bits were put right.
    Bits(u64),
    /// This frame, counted from one, is broken beyond that, and what was acknowledged stands behind it. Zero is the
    /// header.
    Lost(u64),
}

/// Two running sums of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sums(u32, u32);

/// In which order the bytes of a word are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    const NATIVE: Self = if cfg!(target_endian = "big") { Self::Big } else { Self::Little };

    fn other(self) -> Self {
        if self == Self::Little { Self::Big } else { Self::Little }
    }

    fn word(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// The byte of a word that has a bit of it.
    fn byte_of(self, bit: usize) -> usize {
        match self {
            Self::Little => bit / 8,
            Self::Big => 3 - bit / 8,
        }
    }
}

impl Sums {
    /// As they stand at this place of a header or a head.
    fn at(bytes: &[u8]) -> Self {
        Self(Order::Big.word(four(bytes, 0)), Order::Big.word(four(bytes, 4)))
    }

    fn add(mut self, order: Order, bytes: &[u8]) -> Self {
        for pair in bytes.chunks_exact(8) {
            self.0 = self.0.wrapping_add(order.word(four(pair, 0))).wrapping_add(self.1);
            self.1 = self.1.wrapping_add(order.word(four(pair, 4))).wrapping_add(self.0);
        }
        self
    }

    /// What a frame after these has.
    fn of_frame(self, order: Order, head: &[u8], page: &[u8]) -> Self {
        self.add(order, &head[..SALTS]).add(order, page)
    }

    fn is_one_bit_from(self, other: Self) -> bool {
        (self.0 ^ other.0).count_ones() + (self.1 ^ other.1).count_ones() == 1
    }
}

fn four(bytes: &[u8], at: usize) -> [u8; 4] {
    [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
}

fn offset(frame: u64) -> u64 {
    HEADER_BYTES as u64 + frame * FRAME_BYTES as u64
}

/// The frame, counted from zero, whose page is these bytes of a log.
pub(crate) fn frame_of(at: u64, count: usize) -> Option<u64> {
    let past = at.checked_sub((HEADER_BYTES + HEAD_BYTES) as u64)?;
    (count == PAGE_BYTES && past % FRAME_BYTES as u64 == 0).then_some(past / FRAME_BYTES as u64)
}

/// Whether the page of a frame is as it was written. `read` fills a buffer from a place of the log.
pub(crate) fn is_whole(frame: u64, page: &[u8], mut read: impl FnMut(u64, &mut [u8]) -> bool) -> bool {
    let (mut before, mut head) = ([0; 8], [0; HEAD_BYTES]);
    let before_at = if frame == 0 { HEADER_SUM as u64 } else { offset(frame - 1) + SUM as u64 };
    if !read(before_at, &mut before) || !read(offset(frame), &mut head) {
        return false;
    }
    let (before, stored) = (Sums::at(&before), Sums::at(&head[SUM..]));
    let is_by = |order| before.of_frame(order, &head, page) == stored;
    is_by(Order::NATIVE) || is_by(Order::NATIVE.other())
}

/// Puts right what bits of a log were flipped, before SQLite opens it. One that is not there is whole; one that this
/// user may not write, SQLite will not open either.
pub(crate) fn mend(path: &Path) -> io::Result<Mended> {
    use io::ErrorKind::{NotFound, PermissionDenied};
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if matches!(error.kind(), NotFound | PermissionDenied) => return Ok(Mended::Bits(0)),
        opened => opened?,
    };
    let (mut bits, mut moves) = (0, 0);
    loop {
        let (before, found) = (header_of(&file)?, look(&file));
        // A server that has it open may have begun it anew meanwhile, or emptied it, or written what was half there.
        let is_steady = match &found {
            Ok(Found::Nothing) => true,
            Ok(found) => look(&file).is_ok_and(|again| again == *found),
            Err(error) => error.kind() != io::ErrorKind::UnexpectedEof,
        };
        if (!is_steady || header_of(&file)? != before) && moves < MOVES_MAX {
            moves += 1;
            continue;
        }
        match found? {
            Found::Nothing => return Ok(Mended::Bits(bits)),
            Found::Lost(frame) => return Ok(Mended::Lost(frame)),
            Found::Bit(frame, _) if bits == BITS_MAX => return Ok(Mended::Lost(frame)),
            Found::Bit(frame, bit) => {
                bits += 1;
                let (at, mut byte) = (bit / 8, [0]);
                file.read_exact_at(&mut byte, at)?;
                byte[0] ^= 1 << (bit % 8);
                file.write_all_at(&byte, at)?;
                file.sync_data()?;
                tracing::warn!(path = %path.display(), frame, "a bit of the log was flipped, and is put right");
            }
        }
    }
}

/// The header, or what there is of it.
fn header_of(file: &File) -> io::Result<(usize, [u8; HEADER_BYTES])> {
    let mut header = [0; HEADER_BYTES];
    Ok((file.read_at(&mut header, 0)?, header))
}

/// What is wrong with a log, as far as SQLite would not find the same.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// In this frame, this bit of the file.
    Bit(u64, u64),
    Lost(u64),
}

fn look(file: &File) -> io::Result<Found> {
    let bytes = file.metadata()?.len();
    let mut header = [0; HEADER_BYTES];
    if bytes < HEADER_BYTES as u64 {
        return Ok(Found::Nothing);
    }
    file.read_exact_at(&mut header, 0)?;
    if header == [0; HEADER_BYTES] {
        return Ok(Found::Nothing);
    }
    let Some((order, sums)) = read_header(&header) else {
        return Ok(match flipped_in_header(file, header)?[..] {
            [bit] => Found::Bit(0, bit as u64),
            _ => Found::Lost(0),
        });
    };
    if u32::from_be_bytes(four(&header, 8)) as usize != PAGE_BYTES {
        return Ok(Found::Nothing);
    }
    let count = (bytes - HEADER_BYTES as u64) / FRAME_BYTES as u64;
    let salts = &header[HEADER_SALTS..HEADER_SALTS + SALT_BYTES];
    let (mut sums, mut bytes) = (sums, [0; FRAME_BYTES]);
    for frame in 0..count {
        file.read_exact_at(&mut bytes, offset(frame))?;
        let (head, page) = bytes.split_at(HEAD_BYTES);
        let (computed, stored) = (sums.of_frame(order, head, page), Sums::at(&head[SUM..]));
        if computed == stored && head[SALTS..SUM] == *salts && head[..COMMIT] != [0; COMMIT] {
            sums = computed;
            continue;
        }
        match flipped(order, sums, salts, &bytes)[..] {
            [] => {}
            [bit] => return Ok(Found::Bit(frame + 1, offset(frame) * 8 + bit)),
            // One was flipped, and nobody can tell which.
            _ => return Ok(Found::Lost(frame + 1)),
        }
        let is_lost = is_followed(file, order, salts, frame, count)?;
        return Ok(if is_lost { Found::Lost(frame + 1) } else { Found::Nothing });
    }
    Ok(Found::Nothing)
}

/// The order and the sums of a header that is right.
fn read_header(header: &[u8; HEADER_BYTES]) -> Option<(Order, Sums)> {
    let magic = u32::from_be_bytes(four(header, 0));
    let order = if magic & 1 == 0 { Order::Little } else { Order::Big };
    let sums = Sums(0, 0).add(order, &header[..HEADER_SUM]);
    (magic & !1 == MAGIC && sums == Sums::at(&header[HEADER_SUM..])).then_some((order, sums))
}

/// The bits of a header, the other value of one of which makes it right, and the first frame one that follows it.
fn flipped_in_header(file: &File, header: [u8; HEADER_BYTES]) -> io::Result<Vec<usize>> {
    let mut first = [0; FRAME_BYTES];
    if file.metadata()?.len() < offset(1) {
        return Ok(Vec::new());
    }
    file.read_exact_at(&mut first, offset(0))?;
    let (head, page) = first.split_at(HEAD_BYTES);
    let is_right = |bit: &usize| {
        let mut other = header;
        other[bit / 8] ^= 1 << (bit % 8);
        read_header(&other).is_some_and(|(order, sums)| {
            sums.of_frame(order, head, page) == Sums::at(&head[SUM..])
                && other[HEADER_SALTS..HEADER_SUM] == head[SALTS..SUM]
        })
    };
    Ok((0..HEADER_BYTES * 8).filter(is_right).collect())
}

/// The bits of a frame, the other value of one of which makes it right.
fn flipped(order: Order, before: Sums, salts: &[u8], frame: &[u8; FRAME_BYTES]) -> Vec<u64> {
    let (head, page) = frame.split_at(HEAD_BYTES);
    let (computed, stored) = (before.of_frame(order, head, page), Sums::at(&head[SUM..]));
    let other_salts: u32 =
        head[SALTS..SUM].iter().zip(salts).map(|(one, other)| (one ^ other).count_ones()).sum();
    // A bit of the salts, which are in no sum.
    if computed == stored && other_salts == 1 {
        return bits_between(&head[SALTS..SUM], salts, SALTS);
    }
    if other_salts != 0 {
        return Vec::new();
    }
    let missing = Sums(stored.0.wrapping_sub(computed.0), stored.1.wrapping_sub(computed.1));
    let mut bits = bits_of_words(order, missing, frame);
    // Or one of the checksum itself.
    if computed.is_one_bit_from(stored) {
        let right = [computed.0.to_be_bytes(), computed.1.to_be_bytes()].concat();
        bits.extend(bits_between(&head[SUM..], &right, SUM));
    }
    bits
}

/// The bits that differ, of bytes that begin at a place.
fn bits_between(bytes: &[u8], right: &[u8], place: usize) -> Vec<u64> {
    let differing = bytes.iter().zip(right).enumerate().filter(|(_, (byte, right))| byte != right);
    let bit = |(at, (byte, right)): (usize, (&u8, &u8))| {
        ((place + at) * 8) as u64 + u64::from((byte ^ right).trailing_zeros())
    };
    differing.map(bit).collect()
}

/// The bits of what is summed that make this difference. A word counts the more often, the earlier it stands: by how
/// much is known from the end on. Of the nine highest bits of a word little of that is left, so there it may be one of
/// several. Where the last bytes are all zero, they are none that SQLite uses.
fn bits_of_words(order: Order, missing: Sums, frame: &[u8; FRAME_BYTES]) -> Vec<u64> {
    let mut bits = Vec::new();
    // What a one in the first and in the second word of a pair adds to both sums.
    let mut weights = [Sums(1, 1), Sums(0, 1)];
    let pairs = (SALTS + PAGE_BYTES) / 8;
    let is_unused = frame[FRAME_BYTES - TAIL_BYTES..] == [0; TAIL_BYTES];
    for pair in (0..pairs).rev() {
        for (word, weight) in weights.iter().enumerate() {
            let at = pair * 8 + word * 4;
            let at = if at < SALTS { at } else { at - SALTS + HEAD_BYTES };
            let value = order.word(four(frame, at));
            if is_unused && FRAME_BYTES - TAIL_BYTES <= at {
                continue;
            }
            for bit in 0..32 {
                let one: u32 = 1 << bit;
                let change = if value & one == 0 { one } else { one.wrapping_neg() };
                if missing == Sums(weight.0.wrapping_mul(change), weight.1.wrapping_mul(change)) {
                    bits.push((at + order.byte_of(bit)) as u64 * 8 + bit as u64 % 8);
                }
            }
        }
        weights = weights.map(|Sums(one, other)| {
            let first = one.wrapping_add(other);
            Sums(first, first.wrapping_add(other))
        });
    }
    bits
}

/// Whether a transaction begins behind one that ends at this frame or later: then that was on the disk.
fn is_followed(file: &File, order: Order, salts: &[u8], from: u64, count: u64) -> io::Result<bool> {
    let mut bytes = [0; FRAME_BYTES];
    for frame in from..count.saturating_sub(1) {
        let mut head = [0; HEAD_BYTES];
        file.read_exact_at(&mut head, offset(frame))?;
        if head[SALTS..SUM] != *salts || head[COMMIT..SALTS] == [0; SALTS - COMMIT] {
            continue;
        }
        file.read_exact_at(&mut bytes, offset(frame + 1))?;
        let (next, page) = bytes.split_at(HEAD_BYTES);
        // What is left of an earlier one that was undone does not follow this one.
        let follows = Sums::at(&head[SUM..]).of_frame(order, next, page) == Sums::at(&next[SUM..]);
        if follows && next[SALTS..SUM] == *salts {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
