//! Percent-encoding as signatures want it: RFC 3986's unreserved characters bare, all else `%XX` in capitals.
//!
//! It works on bytes, so that no text a client sends can fail to be encoded. It does not know where a text
//! stood.

use data_encoding::HEXLOWER;

const DIGITS_UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Whether a byte stands for itself; a table, because this is asked of every byte of every path and query.
const UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

fn push_byte(byte: u8, out: &mut Vec<u8>) {
    if UNRESERVED[usize::from(byte)] {
        out.push(byte);
    } else {
        let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
        out.extend_from_slice(&[b'%', DIGITS_UPPER[high], DIGITS_UPPER[low]]);
    }
}

/// Appends `text` encoded.
pub(super) fn push_encoded(text: &str, out: &mut Vec<u8>) {
    // Whole runs of bytes that stand for themselves are copied at once; they are most of every path.
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let run = rest.iter().position(|byte| !UNRESERVED[usize::from(*byte)]).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..run]);
        rest = &rest[run..];
        if let [byte, after @ ..] = rest {
            push_byte(*byte, out);
            rest = after;
        }
    }
}

/// Appends a part of a query decoded once and encoded again.
pub(super) fn push_recoded(text: &str, out: &mut Vec<u8>) {
    decode_each(text.as_bytes(), |byte| push_byte(byte, out));
}

/// A part of a query decoded; none when it is not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    decode_each(text.as_bytes(), |byte| bytes.push(byte));
    String::from_utf8(bytes).ok()
}

/// The names and values of a query or a form, decoded as a signature reads them; nothing where they are not UTF-8.
pub fn parse_query(query: &str) -> Option<Vec<(String, String)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let decoded = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(name)?, decode(value)?))
    });
    decoded.collect()
}

/// A bare `+` is a space: SDKs write `%20` and `%2B`, so only a form encoder sends one, and it means a space.
/// A `%` that begins no escape stands for itself.
fn decode_each(text: &[u8], mut take: impl FnMut(u8)) {
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        take(match (first, after) {
            (b'%', [high, low, beyond @ ..]) if let (Some(high), Some(low)) = (digit(*high), digit(*low)) => {
                rest = beyond;
                high << 4 | low
            }
            (b'+', _) => b' ',
            (byte, _) => *byte,
        });
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// A digest as the digits that stand for it.
pub(super) fn hex(bytes: &[u8]) -> [u8; 64] {
    let mut out = [0; 64];
    HEXLOWER.encode_mut(bytes, &mut out);
    out
}

/// 64 lower-case digits as 32 bytes; capitals are refused, since no client writes a signature in them.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut out = [0; 32];
    HEXLOWER.decode_mut(digits, &mut out).ok()?;
    Some(out)
}
