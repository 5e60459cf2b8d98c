//! Events for operators: each row is one, in its envelope.

use std::sync::Arc;
use std::time::Duration;

use carillon_service::Clock;
use carillon_service::chat::operator::QUEUE;
use carillon_store::outgoing::Outgoing as Row;
use carillon_targets::events::{self as targets, Sent};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::{Consumer, Manner, Verdict};

/// How long an event is tried.
const PATIENCE: Duration = Duration::from_hours(24);
/// Events that are logged at once.
const LOGGED_MAX: usize = 100;

/// The consumer of events.
pub(crate) struct Events {
    clock: Arc<dyn Clock>,
    /// Where they go, if not into the log.
    elsewhere: Option<targets::Events>,
}

impl Events {
    /// Sends them there, or writes them into the log.
    pub(crate) fn new(clock: Arc<dyn Clock>, elsewhere: Option<targets::Events>) -> Self {
        Self { clock, elsewhere }
    }
}

fn log(row: &Row) {
    let event: serde_json::Value = serde_json::from_str(&row.body).unwrap_or_default();
    let detail_type = event["detail-type"].as_str().unwrap_or_default();
    tracing::warn!(target: "carillon::operator", detail_type, detail = %event["detail"]);
}

impl Consumer for Events {
    fn kind(&self) -> &'static str {
        QUEUE
    }

    fn manner(&self) -> Manner {
        let rows_max = self.elsewhere.as_ref().map_or(LOGGED_MAX, targets::Events::len_max);
        Manner { rows_max, bytes_max: usize::MAX, calls_max: 1 }
    }

    fn report(&self) -> Option<&'static str> {
        None
    }

    fn patience(&self, _: &Row) -> Duration {
        PATIENCE
    }

    fn hand_over<'a>(&'a self, _: &'a str, rows: &'a [Row]) -> BoxFuture<'a, Vec<Verdict>> {
        async move {
            let Some(elsewhere) = &self.elsewhere else {
                rows.iter().for_each(log);
                return rows.iter().map(|_| Verdict::Done).collect();
            };
            let events: Vec<_> = rows.iter().map(|row| (row.at, row.body.as_str())).collect();
            let verdict = |sent| match sent {
                Sent::Taken => Verdict::Done,
                Sent::Later(refusal) => Verdict::Again(refusal.failure, None),
                Sent::Never(refusal) => Verdict::GiveUp(refusal.message),
            };
            elsewhere.send(&events, self.clock.real()).await.into_iter().map(verdict).collect()
        }
        .boxed()
    }
}
