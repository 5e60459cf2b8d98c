//! A query taken apart once: for its `X-Amz-…` parameters, and to be written again in canonical order.
//!
//! It does not know which form a request was signed in, only that `X-Amz-Signature` never covers itself.

use std::ops::Range;

use super::Refusal;
use super::encoding::{decode, push_recoded};
use super::limits::QUERY_PARAMETERS_MAX;

/// The one parameter that is not signed.
pub(super) const SIGNATURE: &str = "X-Amz-Signature";

/// The parameters of a query, in canonical order.
pub(super) struct Query<'a> {
    /// All names and values, each decoded once and encoded again, one after the other.
    recoded: Vec<u8>,
    parameters: Vec<Parameter<'a>>,
}

struct Parameter<'a> {
    name: Range<usize>,
    value: Range<usize>,
    raw_name: &'a str,
    raw_value: &'a str,
}

impl<'a> Query<'a> {
    /// A parameter without `=` has an empty value; nothing between two `&` is no parameter.
    pub(super) fn parse(text: &'a str) -> Result<Self, Refusal> {
        let mut query = Self { recoded: Vec::new(), parameters: Vec::new() };
        if text.is_empty() {
            return Ok(query);
        }
        query.recoded.reserve(text.len() * 2);
        for part in text.split('&').filter(|part| !part.is_empty()) {
            if query.parameters.len() == QUERY_PARAMETERS_MAX {
                return Err(Refusal::incomplete(format!(
                    "A query may have at most {QUERY_PARAMETERS_MAX} parameters."
                )));
            }
            let (raw_name, raw_value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (query.push(raw_name), query.push(raw_value));
            query.parameters.push(Parameter { name, value, raw_name, raw_value });
        }
        let recoded = &query.recoded;
        query.parameters.sort_unstable_by(|a, b| {
            let key = |p: &Parameter| (&recoded[p.name.clone()], &recoded[p.value.clone()]);
            key(a).cmp(&key(b))
        });
        Ok(query)
    }

    fn push(&mut self, raw: &str) -> Range<usize> {
        let start = self.recoded.len();
        push_recoded(raw, &mut self.recoded);
        start..self.recoded.len()
    }

    fn named<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b Parameter<'a>> + 'b {
        self.parameters.iter().filter(move |p| &self.recoded[p.name.clone()] == name.as_bytes())
    }

    /// Whether a parameter is there. The name must be of unreserved characters, as those of all signature
    /// parameters are.
    pub(super) fn has(&self, name: &str) -> bool {
        self.named(name).next().is_some()
    }

    /// The decoded value of a parameter that may stand at most once.
    pub(super) fn find(&self, name: &str) -> Result<Option<String>, Refusal> {
        let mut found = self.named(name);
        let Some(parameter) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(Refusal::incomplete(format!("Query parameter '{name}' may be given only once.")));
        }
        match decode(parameter.raw_value) {
            Some(value) => Ok(Some(value)),
            None => Err(Refusal::incomplete(format!("Query parameter '{name}' must be UTF-8."))),
        }
    }

    /// Appends the canonical query: sorted by encoded name, then by encoded value.
    pub(super) fn push_canonical(&self, out: &mut Vec<u8>) {
        let signed = self.parameters.iter().filter_map(|p| {
            let name = &self.recoded[p.name.clone()];
            (name != SIGNATURE.as_bytes()).then(|| (name, &self.recoded[p.value.clone()]))
        });
        push_joined(signed, out);
    }

    /// Appends the query with the client's own encoding, for clients that sign the text they send.
    pub(super) fn push_raw(&self, out: &mut Vec<u8>) {
        let mut signed: Vec<_> = (self.parameters.iter())
            .map(|p| (p.raw_name.as_bytes(), p.raw_value.as_bytes()))
            .filter(|(name, _)| *name != SIGNATURE.as_bytes())
            .collect();
        signed.sort_unstable();
        push_joined(signed.into_iter(), out);
    }
}

fn push_joined<'b>(parameters: impl Iterator<Item = (&'b [u8], &'b [u8])>, out: &mut Vec<u8>) {
    for (index, (name, value)) in parameters.enumerate() {
        if index != 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
}
