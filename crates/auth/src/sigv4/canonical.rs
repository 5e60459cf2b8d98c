//! The canonical request: what a signature really covers, written into one buffer.
//!
//! It knows neither keys nor time, and is the only place that writes a request for hashing: verification and
//! signing both go through it.

use aws_lc_rs::digest::{SHA256, digest};

use super::encoding::{hex, push_encoded};
use super::query::Query;
use super::{Refusal, SignedRequest};

/// Whose encoding of the query is taken to be the signed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueryReading {
    /// Decoded and encoded again: what every SDK signs.
    Recoded,
    /// As sent, sorted: what clients sign that encode in a way of their own.
    Raw,
}

/// Whether the client signed `Host` as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostReading {
    AsSent,
    /// Several clients lower-case it for the signature only.
    LowerCase,
}

/// A request with the parts that its canonical forms have in common.
pub(super) struct Canonical<'a> {
    request: &'a SignedRequest<'a>,
    query: &'a Query<'a>,
    signed_headers: &'a str,
    body_hash: [u8; 64],
    buffer: Vec<u8>,
}

impl<'a> Canonical<'a> {
    pub(super) fn new(request: &'a SignedRequest<'a>, query: &'a Query<'a>, signed_headers: &'a str) -> Self {
        let body_hash = hex(digest(&SHA256, request.body).as_ref());
        // Enough for most requests: an encoded ARN grows by a quarter when it is encoded again.
        let room = 512 + request.path.len() * 2 + request.query.len() * 2 + signed_headers.len() * 8;
        Self { request, query, signed_headers, body_hash, buffer: Vec::with_capacity(room) }
    }

    /// The hash of the canonical request, in the digits that stand in the string to sign.
    pub(super) fn hash(&mut self, query: QueryReading, host: HostReading) -> Result<[u8; 64], Refusal> {
        let mut out = std::mem::take(&mut self.buffer);
        out.clear();
        out.extend_from_slice(self.request.method.as_bytes());
        out.push(b'\n');
        push_path(self.request.path, &mut out);
        out.push(b'\n');
        match query {
            QueryReading::Recoded => self.query.push_canonical(&mut out),
            QueryReading::Raw => self.query.push_raw(&mut out),
        }
        out.push(b'\n');
        for name in self.signed_headers.split(';') {
            self.push_header(name, host, &mut out)?;
        }
        out.push(b'\n');
        out.extend_from_slice(self.signed_headers.as_bytes());
        out.push(b'\n');
        out.extend_from_slice(&self.body_hash);
        let hash = hex(digest(&SHA256, &out).as_ref());
        self.buffer = out;
        Ok(hash)
    }

    fn push_header(&self, name: &str, host: HostReading, out: &mut Vec<u8>) -> Result<(), Refusal> {
        out.extend_from_slice(name.as_bytes());
        let values_start = out.len();
        for value in self.request.values(name) {
            out.push(if out.len() == values_start { b':' } else { b',' });
            push_squeezed(value, out);
        }
        if out.len() == values_start {
            return Err(Refusal::not_received(name));
        }
        if name == "host" && host == HostReading::LowerCase {
            out[values_start..].make_ascii_lowercase();
        }
        out.push(b'\n');
        Ok(())
    }
}

/// Appends the canonical path: the path as sent, without empty and dot segments, encoded once more.
///
/// Signers normalize the text they send, before any decoding, so an encoded ARN stays one segment and its
/// `%2F` becomes `%252F`; a `:` left bare becomes `%3A`.
fn push_path(path: &str, out: &mut Vec<u8>) {
    let start = out.len();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                let parent = out[start..].iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                out.truncate(start + parent);
            }
            _ => {
                out.push(b'/');
                push_encoded(segment, out);
            }
        }
    }
    if out.len() == start || path.ends_with('/') {
        out.push(b'/');
    }
}

/// Appends a header's value without white space around it, and with runs of it as one space.
fn push_squeezed(value: &str, out: &mut Vec<u8>) {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    for (index, word) in value.as_bytes().split(is_space).filter(|word| !word.is_empty()).enumerate() {
        if index != 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> String {
        let mut out = b"before/".to_vec();
        push_path(text, &mut out);
        String::from_utf8(out).unwrap().split_off("before/".len())
    }

    #[test]
    fn the_path_is_normalized_and_encoded_once_more() {
        for (sent, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/..", "/"),
            ("/../..//x", "/x"),
            ("/a/b/..", "/a"),
            ("/a/./b//c/", "/a/b/c/"),
            ("/channels/arn%3Aaws%3Achime%2Fchannel", "/channels/arn%253Aaws%253Achime%252Fchannel"),
            ("/channels/arn:aws:chime", "/channels/arn%3Aaws%3Achime"),
            ("/a/%2E%2E/b", "/a/%252E%252E/b"),
            ("/-._~é $", "/-._~%C3%A9%20%24"),
        ] {
            assert_eq!(path(sent), canonical, "{sent}");
        }
    }

    #[test]
    fn the_query_is_sorted_by_encoded_name_and_then_value() {
        for (sent, canonical) in [
            ("", ""),
            ("b&a=2&a=1&&a=", "a=&a=1&a=2&b="),
            ("a-b=1&a=2", "a=2&a-b=1"),
            ("t=a+b%20c%2B%zz%", "t=a%20b%20c%2B%25zz%25"),
            ("x=a=b&X-Amz-Signature=1&X%2dAmz-Signature=2", "x=a%3Db"),
            ("u=!'()*%7e%c3%a9", "u=%21%27%28%29%2A~%C3%A9"),
        ] {
            let mut out = Vec::new();
            Query::parse(sent).unwrap().push_canonical(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), canonical, "{sent}");
        }
    }

    #[test]
    fn white_space_of_a_header_value_is_squeezed() {
        for (sent, canonical) in [("  a \t b  ", "a b"), ("", ""), (" ", ""), ("\"a   b\"", "\"a b\"")] {
            let mut out = Vec::new();
            push_squeezed(sent, &mut out);
            assert_eq!(out, canonical.as_bytes());
        }
    }
}
