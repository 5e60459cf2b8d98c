//! What a session begins with: where its user sits, and what it is shown before any event.

use std::sync::Arc;

use carillon_model::Key;
use carillon_model::event::reload_required;
use carillon_model::session::{Close, Seated, Shown};
use carillon_store::{self as store, Tx};
use futures_util::Stream;
use futures_util::stream::unfold;

use crate::error::{Error, ErrorCode, Result};
use crate::front::connect::{Connection, failed};
use crate::front::prefetch::Reader as Prefetch;
use crate::front::resume::{Next, Reader as Missed};
use crate::front::service::Service;

/// Channels that one leaves within a few seconds, before one connects.
const LEFT_MAX: i64 = 1_000;

impl Service {
    /// Where the store has a user sit, read once their session was entered: of one who was deleted before it says so,
    /// and what happens after is told by an event.
    pub async fn seated(self: Arc<Self>, user: Key) -> std::result::Result<Seated, Close> {
        let told = self.store().told();
        let read = move |tx: &mut Tx| {
            let exists = store::identity::exists(tx, user)?;
            let seats = store::membership::list_seats(tx, user)?;
            let left = store::outbox::list_left(tx, user, told, LEFT_MAX)?;
            Ok::<_, Error>(exists.then_some(Seated { told, seats, left }))
        };
        self.store().read(read).await.map_err(|error| failed(&error))?.ok_or(Close::GONE)
    }

    /// What a connection asked to be shown, each frame read when it is wanted; to miss nothing, the first must be asked
    /// for once the session is told of events. What it missed, or if it cannot be given that or did not ask for it,
    /// its channels.
    pub fn opening(
        self: &Arc<Self>,
        connection: &Connection,
    ) -> Option<impl Stream<Item = std::result::Result<Shown, Close>> + Send + use<>> {
        let (missed, prefetch) = (Missed::new(self, connection), Prefetch::new(self, connection));
        if missed.is_none() && prefetch.is_none() {
            return None;
        }
        let opening = Opening { service: self.clone(), missed, prefetch };
        Some(unfold(Some(opening), |opening| async move {
            let mut opening = opening?;
            match opening.next().await {
                Ok(shown) => shown.map(|shown| (Ok(shown), Some(opening))),
                Err(error) => Some((Err(failed(&error)), None)),
            }
        }))
    }
}

struct Opening {
    service: Arc<Service>,
    missed: Option<Missed>,
    prefetch: Option<Prefetch>,
}

impl Opening {
    async fn next(&mut self) -> Result<Option<Shown>> {
        if let Some(missed) = &mut self.missed {
            let next = match missed.next().await {
                // What cannot be read cannot be shown, however often the client comes back for it.
                Err(error) if error.code == ErrorCode::ServiceFailure => {
                    failed(&error);
                    Next::Reload
                }
                next => next?,
            };
            return match next {
                Next::Event(shown) => Ok(Some(shown)),
                Next::End => Ok(None),
                Next::Reload => {
                    self.missed = None;
                    Ok(Some(Shown { frame: reload_required(self.service.store().told()), event: None }))
                }
            };
        }
        let Some(prefetch) = &mut self.prefetch else { return Ok(None) };
        Ok(prefetch.next().await?.map(|frame| Shown { frame, event: None }))
    }
}
