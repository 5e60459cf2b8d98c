//! Pages: where one begins is sealed, so that clients can neither read it nor make one up.
//!
//! A token holds the last key of the page before. It is bound to the operation, the caller and the filters: one
//! of another list, of another caller, or altered by a bit, is refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_auth::Sealer;
use carillon_auth::seal::NONCE_BYTES;
use carillon_model::text::{MaxResults, NextToken};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::call::Call;
use crate::error::{Error, Result};
use crate::operation::Paged;

/// What a page has when the request does not say.
const RESULTS_DEFAULT: i64 = 50;

/// The most bytes of texts of messages on a page; one that is longer goes alone. Fifty messages of the published size
/// have a quarter of it.
pub(crate) const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// How many of the first rows have so many bytes together; one at least.
pub(crate) fn fitting<T>(rows: &[T], most: usize, bytes: impl Fn(&T) -> usize) -> usize {
    let mut all = 0;
    let fits = |row: &&T| {
        all += bytes(row);
        all <= most
    };
    rows.iter().take_while(fits).count().max(1)
}

/// What tokens are sealed for.
pub(crate) const PURPOSE: &str = "page tokens";

fn seal(sealer: &Sealer, nonce: [u8; NONCE_BYTES], context: &[u8], text: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(sealer.seal(nonce, context, text))
}

fn open(sealer: &Sealer, context: &[u8], token: &str) -> Option<Zeroizing<Vec<u8>>> {
    sealer.open(context, &URL_SAFE_NO_PAD.decode(token).ok()?)
}

/// One page of a list.
pub struct Page<'a> {
    call: &'a Call,
    context: Vec<u8>,
    limit: usize,
}

impl<'a> Page<'a> {
    /// The page that a request asks for, and where it begins: after this.
    pub fn of<C: DeserializeOwned>(operation: &impl Paged, call: &'a Call) -> Result<(Self, Option<C>)> {
        let (max_results, token) = operation.page();
        let limit = max_results.map_or(RESULTS_DEFAULT, MaxResults::get);
        let bearer = operation.bearer().map_or("", |bearer| bearer.as_str());
        let mut context = format!("{}\n{}\n{bearer}\n", call.operation, call.principal).into_bytes();
        context.extend(operation.canonical());
        let page = Self { call, context, limit: usize::try_from(limit).unwrap_or_default() };
        let after = token.map(|token| page.open(token)).transpose()?;
        Ok((page, after))
    }

    fn open<C: DeserializeOwned>(&self, token: &NextToken) -> Result<C> {
        let opened = open(&self.call.surroundings.page_tokens, &self.context, token.as_str());
        let cursor = opened.and_then(|text| serde_json::from_slice(&text).ok());
        cursor.ok_or_else(|| Error::bad_request("NextToken: is not of this list and this caller"))
    }

    /// How many rows it holds.
    pub fn size(&self) -> usize {
        self.limit
    }

    /// How many rows to read: one more than the page holds, to learn whether another follows.
    pub fn reach(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or_default() + 1
    }

    /// The token that leads to what comes after this.
    pub fn token(&self, cursor: &impl Serialize) -> NextToken {
        let text = serde_json::to_vec(cursor).expect("keys and texts always serialize");
        NextToken::stored(seal(&self.call.surroundings.page_tokens, self.call.random(), &self.context, &text))
    }

    /// Cuts the rows to the page, and further where they are so long that fewer fill it.
    pub fn cut_by<T, C: Serialize>(
        &self,
        mut rows: Vec<T>,
        bytes: impl Fn(&T) -> usize,
        cursor: impl Fn(&T) -> C,
    ) -> (Vec<T>, Option<NextToken>) {
        let fitting = fitting(&rows, PAGE_BYTES_MAX, bytes);
        let more = self.limit.min(fitting) < rows.len();
        rows.truncate(self.limit.min(fitting));
        let token = rows.last().filter(|_| more).map(|last| self.token(&cursor(last)));
        (rows, token)
    }

    /// Cuts the rows to the page; the token leads to what comes after the last of them.
    pub fn cut<T, C: Serialize>(
        &self,
        rows: Vec<T>,
        cursor: impl Fn(&T) -> C,
    ) -> (Vec<T>, Option<NextToken>) {
        self.cut_by(rows, |_| 0, cursor)
    }
}

#[cfg(test)]
mod tests {
    use carillon_auth::KeyRing;

    use super::*;

    #[test]
    fn a_token_opens_only_where_it_was_sealed_and_unaltered() {
        let sealer = KeyRing::of(&[7; 32]).sealer(PURPOSE);
        let token = seal(&sealer, [1; NONCE_BYTES], b"ListChannels", b"\"lobby\"");
        let opened = |context: &[u8], token: &str| open(&sealer, context, token).map(|text| text.to_vec());
        assert_eq!(opened(b"ListChannels", &token), Some(b"\"lobby\"".to_vec()));
        assert_eq!(opened(b"ListChannelMessages", &token), None);
        assert!(open(&KeyRing::of(&[8; 32]).sealer(PURPOSE), b"ListChannels", &token).is_none());
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(opened(b"ListChannels", &String::from_utf8(bytes).unwrap()), None, "byte {at}");
        }
        assert_eq!(opened(b"ListChannels", ""), None);
        assert_eq!(opened(b"ListChannels", "é"), None);
    }
}
