//! Giving way: work that nobody waits for rests for three times as long as it has taken, so that what people wait for
//! has most of the disk and of the processor.

use std::thread;
use std::time::{Duration, Instant};

/// Steps that are too quick to be measured give way, too.
const REST_MIN: Duration = Duration::from_millis(2);
/// How many times as long as the work the rest is.
const REST_TIMES: u32 = 3;

/// Work in steps.
#[derive(Debug)]
pub(crate) struct Way {
    /// When the step began.
    since: Instant,
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long others are given way to depends on how long they were not"
)]
impl Way {
    /// The first step begins.
    pub(crate) fn begin() -> Self {
        Self { since: Instant::now() }
    }

    /// A step is done; the next begins when this returns.
    pub(crate) fn give(&mut self) {
        thread::sleep((self.since.elapsed() * REST_TIMES).max(REST_MIN));
        self.since = Instant::now();
    }
}
