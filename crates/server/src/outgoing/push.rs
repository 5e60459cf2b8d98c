//! Push notifications. The row of a message is walked through, page by page of its members' devices, which are called
//! side by side; what must be tried again becomes a row of that device, in the queue of its target. So one device, or
//! one push service, that is slow or away holds up no other for longer than a call takes.

mod counts;
mod report;

use std::sync::Arc;
use std::time::Duration;

use carillon_model::channel_flow::{Failure, Reason, Unasked};
use carillon_model::text::EndpointStatusReason;
use carillon_model::{Key, Timestamp};
use carillon_service::error::{Error, ErrorCode};
use carillon_service::front::push::{self, Device, Notice, Page, QUEUE};
use carillon_service::{Clock, Service};
use carillon_store::outgoing::{self, Outgoing as Row};
use carillon_store::{Lane, Tx};
use carillon_targets::push::{CALL_TIMEOUT, Cause, Notification, Push, Undelivered, Way};
use carillon_targets::{Gates, Slot};
use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream;
use rand::rngs::StdRng;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::{Change, Consumer, Manner, Verdict};
pub(crate) use counts::{Counts, Measured};

/// How long an alert is tried,
const PATIENCE: Duration = Duration::from_hours(1);
/// and a call.
const VOIP_PATIENCE: Duration = Duration::from_secs(30);
/// Rows of one line that are worked on at once, each of another channel or device.
const LINE_CALLS_MAX: usize = 8;
/// Pages that one node walks through at once,
const PAGES_MAX: usize = 4;
/// and calls of one page at once.
const PAGE_CALLS_MAX: usize = 64;
/// Calls of one target at once, of one node: what its pages may need, and the same for what is tried again.
pub(crate) const TARGET_CALLS_MAX: usize = 2 * PAGES_MAX * PAGE_CALLS_MAX;
/// What the event of a failure is called.
const DETAIL_TYPE: &str = "Chime Messaging Push Notification Failure";
/// A target that is left alone for a while.
const BUSY: Failure = Failure { reason: Reason::Throttled, permanent: false };
/// How often it is looked whether a target has a place free.
const PLACE_EVERY: Duration = Duration::from_millis(20);
/// How long a device that could not be reached rests, unless its service says how long.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// The consumer of push notifications.
pub(crate) struct Pushes {
    service: Arc<Service>,
    clock: Arc<dyn Clock>,
    push: Arc<Push>,
    gates: Gates,
    pages: Semaphore,
    counts: Arc<Counts>,
}

/// What became of one device.
enum Fate {
    /// Its service took the notification, or it gets none of this kind.
    Done,
    /// It is to be tried again, through this target; without a failure it was not tried at all.
    Again(String, Option<Undelivered>),
    /// It is not.
    Failed(Undelivered),
}

impl Pushes {
    /// Notifies by these applications.
    pub(crate) fn new(
        (service, clock): (Arc<Service>, Arc<dyn Clock>),
        push: Arc<Push>,
        random: StdRng,
        counts: Arc<Counts>,
    ) -> Self {
        let gates = Gates::new(TARGET_CALLS_MAX, random);
        Self { service, clock, push, gates, pages: Semaphore::new(PAGES_MAX), counts }
    }

    /// Walks through the next page of a message's devices.
    async fn walk(&self, row: &Row) -> Verdict {
        let Ok(_permit) = self.pages.acquire().await else { return Verdict::NotMade };
        let page = match self.service.list_devices(&row.body).await {
            Ok(page) => page,
            Err(error) => return unread(&error),
        };
        let Page { notice, devices, rest } = page;
        let calls = devices.into_iter().map(|device| async {
            let fate = self.notify(&notice, &device).await;
            (device, fate)
        });
        let fates: Vec<(Device, Fate)> = stream::iter(calls).buffer_unordered(PAGE_CALLS_MAX).collect().await;
        let (mut again, mut failed) = (Vec::new(), Vec::new());
        for (device, fate) in fates {
            match fate {
                Fate::Done => {}
                Fate::Again(target, undelivered) => {
                    let due_at = self.due_at(undelivered.as_ref());
                    again.push((format!("{QUEUE} {target}"), push::again(&notice, &device, row, due_at)));
                }
                Fate::Failed(undelivered) => failed.push((device, undelivered)),
            }
        }
        let change = self.note((row.place.channel, &notice), failed, again).await;
        let lane = Lane::Outgoing(row.place.shard());
        match rest {
            Some(rest) => Verdict::Step(lane, rest, change),
            None => Verdict::DoneWith(lane, change),
        }
    }

    /// Tries one device again.
    async fn try_again(&self, row: &Row) -> Verdict {
        let again = match self.service.find_device(&row.body).await {
            Ok(again) => again,
            Err(error) => return unread(&error),
        };
        let Some(device) = again.device else { return Verdict::Done };
        // What may not be tried yet is said as a failure, so that the target's queue rests, and is not gone through
        // again and again.
        let early_ms = again.due_at.ms() - self.clock.now().ms();
        if 0 < early_ms {
            return Verdict::Again(BUSY, Some(Duration::from_millis(early_ms.unsigned_abs())));
        }
        match self.notify(&again.notice, &device).await {
            Fate::Done => Verdict::Done,
            Fate::Again(_, None) => Verdict::Again(BUSY, None),
            Fate::Again(_, Some(undelivered)) => {
                Verdict::Again(undelivered.failure(), undelivered.retry_after)
            }
            Fate::Failed(undelivered) => {
                let change = self
                    .note((row.place.channel, &again.notice), vec![(device, undelivered)], Vec::new())
                    .await;
                Verdict::DoneWith(Lane::Outgoing(row.place.shard()), change)
            }
        }
    }

    /// Hands a notification to the service of one device.
    async fn notify(&self, notice: &Notice, device: &Device) -> Fate {
        let target = match self.push.way(&device.endpoint, notice.voip) {
            Way::Through(target) => target,
            Way::Skip => return Fate::Done,
            Way::None(undelivered) => {
                self.counts.count("", "failed");
                return Fate::Failed(undelivered);
            }
        };
        let Some(slot) = self.slot(&target).await else { return Fate::Again(target, None) };
        let notification = Notification {
            title: &notice.title,
            body: &notice.body,
            voip: notice.voip,
            message_id: &notice.message_id,
            channel_arn: notice.channel_arn.as_str(),
        };
        let result = self.push.send(&device.endpoint, &notification, self.clock.real()).await;
        slot.leave(result.as_ref().map_or_else(|undelivered| Err(undelivered.failure()), |()| Ok(())));
        let (fate, word) = match result {
            Ok(()) => (Fate::Done, "taken"),
            Err(undelivered) if undelivered.may_pass() => {
                (Fate::Again(target.clone(), Some(undelivered)), "again")
            }
            Err(undelivered) => (Fate::Failed(undelivered), "failed"),
        };
        self.counts.count(&target, word);
        fate
    }

    /// The right to call a target, unless it is left alone, or has no place free for as long as a call may take.
    async fn slot(&self, target: &str) -> Option<Slot> {
        let until = Instant::now() + CALL_TIMEOUT;
        loop {
            match self.gates.slots(target, 1) {
                Ok(mut slots) => return slots.pop(),
                Err(Unasked::Full) if Instant::now() < until => {
                    sleep(PLACE_EVERY).await;
                }
                Err(_) => return None,
            }
        }
    }

    fn due_at(&self, undelivered: Option<&Undelivered>) -> Timestamp {
        let after = undelivered.and_then(|undelivered| undelivered.retry_after).unwrap_or(AGAIN_AFTER);
        self.clock.now().plus_ms(i64::try_from(after.as_millis()).unwrap_or(i64::MAX))
    }

    /// Says of devices that are gone that they are, and answers what else is to be written with the row's end: what
    /// operators are told among it.
    async fn note(
        &self,
        (channel, notice): (Key, &Notice),
        failed: Vec<(Device, Undelivered)>,
        again: Vec<(String, Row)>,
    ) -> Change {
        let details = report::details(notice, &failed).into_iter();
        let told: Vec<_> =
            details.map(|detail| self.service.tell_operators(channel, DETAIL_TYPE, detail)).collect();
        let gone = failed.into_iter().filter_map(|(device, undelivered)| {
            let reason = match undelivered.cause {
                Cause::DeadToken => EndpointStatusReason::InvalidDeviceToken,
                Cause::DeadApplication => EndpointStatusReason::InvalidPinpointArn,
                _ => return None,
            };
            self.push.deactivates(device.endpoint.resource.as_str()).then_some((device, reason))
        });
        if let Err(error) = self.service.deactivate(gone.collect()).await {
            tracing::warn!(%error, "devices that are gone could not be noted; the next notification finds them again");
        }
        Arc::new(move |tx: &mut Tx| {
            told.iter().try_for_each(|tell| tell(tx))?;
            again.iter().try_for_each(|(queue, row)| Ok(outgoing::insert(tx, queue, row)?))
        })
    }
}

/// A row that cannot be read is given up, if it is the row's fault.
fn unread(error: &Error) -> Verdict {
    match error.code {
        ErrorCode::ServiceFailure => Verdict::GiveUp(error.to_string()),
        _ => Verdict::NotMade,
    }
}

impl Consumer for Pushes {
    fn kind(&self) -> &'static str {
        QUEUE
    }

    fn manner(&self) -> Manner {
        Manner { rows_max: 1, bytes_max: usize::MAX, calls_max: LINE_CALLS_MAX }
    }

    fn report(&self) -> Option<&'static str> {
        Some(DETAIL_TYPE)
    }

    fn patience(&self, row: &Row) -> Duration {
        if push::is_voip(&row.body) { VOIP_PATIENCE } else { PATIENCE }
    }

    fn hand_over<'a>(&'a self, target: &'a str, rows: &'a [Row]) -> BoxFuture<'a, Vec<Verdict>> {
        async move {
            let mut verdicts = Vec::with_capacity(rows.len());
            for row in rows {
                verdicts.push(if target.is_empty() {
                    self.walk(row).await
                } else {
                    self.try_again(row).await
                });
            }
            verdicts
        }
        .boxed()
    }
}
