//! What the service writes into the audit log, and when.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use carillon_auth::parse_query;
use carillon_model::Timestamp;
use http::request::Parts;

use crate::error::{Error, ErrorCode, Result};
use crate::front::audit::{
    Draft, EXCHANGE, Line, Record, Resources, access_key_id, is_arn, member_of, text_header,
};
use crate::front::router;
use crate::front::service::Service;
use crate::operation::{BEARER_HEADER, Effect};

/// What a request asks for that does not say so by its method and path: an action, and the role that it is for.
type Asked<'a> = Option<(&'a str, Option<&'a str>)>;

/// The longest text that a record takes over from a request that nobody signed: no ARN of this server is as long.
const UNSIGNED_TEXT_LENGTH_MAX: usize = 512;

impl Service {
    /// A place for a line, before what it is about is done. An error says that there was none in time: then nothing may
    /// be done.
    pub async fn line(&self) -> Result<Line> {
        let Some(ledger) = self.ledger() else { return Ok(Line(None)) };
        let unavailable = "The audit log takes no lines at this moment. Try again.";
        let place = ledger.place().await;
        place.map(|place| Line(Some(place))).ok_or(Error::new(ErrorCode::ServiceUnavailable, unavailable))
    }

    /// The same, for a request. A read needs none unless it is refused.
    pub(crate) async fn line_for(&self, effect: Effect) -> Result<Line> {
        if effect == Effect::Read {
            return Ok(Line(None));
        }
        self.line().await.inspect_err(|_| self.missed())
    }

    /// The line of a request that this principal signed.
    pub(crate) fn draft(
        &self,
        parts: &Parts,
        request_id: &str,
        principal: impl FnOnce() -> Option<String>,
    ) -> Draft {
        match self.ledger() {
            Some(_) => Draft::new(parts, request_id, self.surroundings().clock.real(), principal()),
            None => Draft::none(),
        }
    }

    /// The line of what somebody does at the console of the server, as root.
    pub(crate) fn draft_of_root(&self, request_id: &str) -> Draft {
        let now = self.surroundings().clock.real();
        let record = || Record::of_root("", Resources::default(), self.home(), (now, request_id));
        self.ledger().map_or_else(Draft::none, |_| Draft::of_root(record()))
    }

    /// Says what was answered. An error says that there was no place for it, and then the answer may not be given.
    pub(crate) async fn record(&self, line: Line, draft: Draft, result: &str, status: u16) -> Result<()> {
        let Some(record) = draft.close(result, status) else { return Ok(()) };
        let line = if line.0.is_some() { line } else { self.line_for(Effect::Write).await? };
        line.say(|| record);
        Ok(())
    }

    /// Counts a request that nobody is proven to have signed, and records it as far as there is room: what it asked for
    /// is given where that is not the method and the path.
    pub(crate) fn turned_away(
        &self,
        parts: &Parts,
        request_id: &str,
        outcome: (&str, u16),
        asked: Asked<'_>,
    ) {
        self.count_unsigned(|now| Record::of_unsigned(parts, request_id, now, (outcome, asked)));
    }

    /// Likewise, an exchange of credentials for a token that is worth nothing.
    pub fn exchange_refused(&self, request_id: &str, address: Option<IpAddr>, result: &str, status: u16) {
        self.count_unsigned(|now| {
            let from = (request_id, address);
            Record::of_exchange(from, EXCHANGE, Resources::default(), (now, (result, status)))
        });
    }

    fn count_unsigned(&self, record: impl FnOnce(Timestamp) -> Record) {
        self.turned_away_count().fetch_add(1, Ordering::Relaxed);
        if let Some(ledger) = self.ledger().filter(|ledger| ledger.takes_unsigned()) {
            ledger.take_unsigned(record(self.surroundings().clock.real()));
        }
    }

    fn missed(&self) {
        if let Some(ledger) = self.ledger() {
            ledger.missed();
        }
    }
}

impl Record {
    /// Of a request that nobody is proven to have signed. Nothing in it is believed, so little of it is taken over.
    pub(crate) fn of_unsigned(
        parts: &Parts,
        request_id: &str,
        now: Timestamp,
        ((result, status), asked): ((&str, u16), Asked<'_>),
    ) -> Self {
        let query = parts.uri.query().and_then(parse_query).unwrap_or_default();
        let found = router::find(&parts.method, parts.uri.path(), &query);
        let is_short = |text: &&str| is_arn(text) && text.len() <= UNSIGNED_TEXT_LENGTH_MAX;
        let labels = found.iter().flat_map(|found| &found.labels);
        let named = labels.filter(|(_, text)| is_short(&text.as_str()));
        let user = query.iter().find(|(name, _)| name == "userArn" && parts.uri.path() == "/connect");
        let user = user.map(|(_, text)| text.as_str()).filter(is_short);
        let bearer = user.or_else(|| text_header(&parts.headers, BEARER_HEADER).filter(is_short));
        let action = found.as_ref().map(|found| format!("chime:{}", found.route.name));
        let resources = named.map(|(label, text)| (member_of(label), text.clone().into()));
        let (asked, role) = asked.unzip();
        let role = role.flatten().filter(is_short).map(|role| ("RoleArn".to_owned(), role.into()));
        let action = asked.map(str::to_owned).or(action);
        Self {
            access_key_id: access_key_id(&parts.headers, &query),
            bearer: bearer.map(str::to_owned),
            action: action.or_else(|| (parts.uri.path() == "/connect").then(|| "chime:Connect".to_owned())),
            resources: resources
                .chain(user.map(|user| ("userArn".to_owned(), user.into())))
                .chain(role)
                .collect(),
            result: result.to_owned(),
            status,
            ..Self::begin(parts, request_id, now)
        }
    }
}
