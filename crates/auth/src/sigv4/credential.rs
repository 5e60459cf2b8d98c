//! The credential of a signature: whose key, and the scope (day, region, service) that the key was derived
//! for.
//!
//! It does not know the key's secret, nor whether anybody has such a key.

use super::time::SignedAt;
use super::{Expectation, Refusal, TERMINATOR};

/// `AKIDEXAMPLE/20260115/us-east-1/chime/aws4_request`, taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credential<'a> {
    /// The whole of it.
    pub(super) text: &'a str,
    pub(super) access_key_id: &'a str,
    /// All but the access key id, as it stands in the string to sign.
    pub(super) scope: &'a str,
    pub(super) day: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

impl<'a> Credential<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Refusal> {
        let mut parts = text.split('/');
        let five = [parts.next(), parts.next(), parts.next(), parts.next(), parts.next()];
        let ([Some(access_key_id), Some(day), Some(region), Some(service), Some(terminator)], None) =
            (five, parts.next())
        else {
            return Err(Refusal::incomplete(
                "Credential must have exactly 5 slash-delimited elements: keyid/date/region/service/aws4_request.",
            ));
        };
        if access_key_id.is_empty() {
            return Err(Refusal::incomplete("Credential must begin with an access key id."));
        }
        if terminator != TERMINATOR {
            return Err(Refusal::invalid(
                "Credential should be scoped with a valid terminator: 'aws4_request'.",
            ));
        }
        Ok(Self { text, access_key_id, scope: &text[access_key_id.len() + 1..], day, region, service })
    }

    /// Refuses a key that was derived for another day, region or service.
    pub(super) fn check(&self, signed_at: &SignedAt, expectation: &Expectation) -> Result<(), Refusal> {
        if self.region != expectation.region {
            let region = expectation.region;
            return Err(Refusal::invalid(format!("Credential should be scoped to region '{region}'.")));
        }
        if !expectation.services.contains(&self.service) {
            let services = expectation.services.join("' or '");
            return Err(Refusal::invalid(format!("Credential should be scoped to service '{services}'.")));
        }
        if self.day != signed_at.day() {
            let (day, date) = (signed_at.day(), signed_at.text());
            return Err(Refusal::invalid(format!(
                "Date in Credential scope does not match the date of the request: it should be '{day}', from '{date}'."
            )));
        }
        Ok(())
    }
}
