//! Pages: where one begins is sealed, so that clients can neither read it nor make one up.
//!
//! A token holds the last key of the page before. It is bound to the operation, the caller and the filters: one
//! of another list, of another caller, or altered by a bit, is refused.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_model::text::{MaxResults, NextToken};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::error::{Error, Result};
use crate::operation::Operation;

/// What a page has when the request does not say.
const RESULTS_DEFAULT: i64 = 50;

/// The key that tokens are sealed with.
pub struct Seal(LessSafeKey);

impl Seal {
    /// The seal of everyone who knows this secret: nodes that share it take each other's tokens.
    pub fn new(secret: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM_SIV, secret).expect("the key has the algorithm's length");
        Self(LessSafeKey::new(key))
    }

    fn seal(&self, nonce: [u8; NONCE_LEN], context: &[u8], mut text: Vec<u8>) -> String {
        let sealed = Nonce::assume_unique_for_key(nonce);
        self.0.seal_in_place_append_tag(sealed, Aad::from(context), &mut text).expect("a token is short");
        let mut token = nonce.to_vec();
        token.append(&mut text);
        URL_SAFE_NO_PAD.encode(token)
    }

    fn open(&self, context: &[u8], token: &str) -> Option<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        self.0.open_in_place(nonce, Aad::from(context), text).ok().map(|text| text.to_vec())
    }
}

/// One page of a list.
pub struct Page<'a> {
    call: &'a Call,
    context: Vec<u8>,
    limit: usize,
}

impl<'a> Page<'a> {
    /// The page that a request asks for.
    pub fn new(operation: &impl Operation, call: &'a Call, max_results: Option<MaxResults>) -> Self {
        let limit = max_results.map_or(RESULTS_DEFAULT, MaxResults::get);
        let bearer = operation.bearer().map_or("", |bearer| bearer.as_str());
        let mut context = format!("{}\n{}\n{bearer}\n", call.operation, call.principal).into_bytes();
        context.extend(operation.canonical());
        Self { call, context, limit: usize::try_from(limit).unwrap_or_default() }
    }

    /// Where it begins: after this.
    pub fn after<C: DeserializeOwned>(&self, token: Option<&NextToken>) -> Result<Option<C>> {
        let Some(token) = token else { return Ok(None) };
        let opened = self.call.surroundings.seal.open(&self.context, token.as_str());
        let cursor = opened.and_then(|text| serde_json::from_slice(&text).ok());
        cursor.map(Some).ok_or_else(|| Error::bad_request("NextToken: is not of this list and this caller"))
    }

    /// How many rows to read: one more than the page holds, to learn whether another follows.
    pub fn reach(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or_default() + 1
    }

    /// The token that leads to what comes after this.
    pub fn token(&self, cursor: &impl Serialize) -> NextToken {
        let text = serde_json::to_vec(cursor).expect("keys and texts always serialize");
        NextToken::stored(self.call.surroundings.seal.seal(self.call.random(), &self.context, text))
    }

    /// Cuts the rows to the page; the token leads to what comes after the last of them.
    pub fn cut<T, C: Serialize>(
        &self,
        mut rows: Vec<T>,
        cursor: impl Fn(&T) -> C,
    ) -> (Vec<T>, Option<NextToken>) {
        let more = self.limit < rows.len();
        rows.truncate(self.limit);
        let token = rows.last().filter(|_| more).map(|last| self.token(&cursor(last)));
        (rows, token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_only_where_it_was_sealed_and_unaltered() {
        let seal = Seal::new(&[7; 32]);
        let token = seal.seal([1; 12], b"ListChannels", b"\"lobby\"".to_vec());
        assert_eq!(seal.open(b"ListChannels", &token), Some(b"\"lobby\"".to_vec()));
        assert_eq!(seal.open(b"ListChannelMessages", &token), None);
        assert_eq!(Seal::new(&[8; 32]).open(b"ListChannels", &token), None);
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(seal.open(b"ListChannels", &String::from_utf8(bytes).unwrap()), None, "byte {at}");
        }
        assert_eq!(seal.open(b"ListChannels", ""), None);
        assert_eq!(seal.open(b"ListChannels", "é"), None);
    }
}
