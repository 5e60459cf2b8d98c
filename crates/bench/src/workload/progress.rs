//! How far a measurement is: a line that changes on a terminal, one line at the beginning without one. It is for
//! people, on stderr.

use std::io::{IsTerminal as _, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use crate::common::say;

/// How often the line changes.
const CHANGE_EVERY: Duration = Duration::from_millis(200);

/// Something that takes its time, watched until this is dropped.
pub(crate) struct Progress(Option<(ProgressBar, JoinHandle<()>)>);

impl Progress {
    /// Watches what is counted, up to `all` where that is known.
    pub(crate) fn of(what: &str, count: &Arc<AtomicU64>, all: Option<u64>) -> Self {
        if !stderr().is_terminal() {
            say(format_args!("{what}"));
            return Self(None);
        }
        let (bar, template) = match all {
            Some(all) => (ProgressBar::new(all), "{msg} {wide_bar} {human_pos}/{human_len} {eta}"),
            None => (ProgressBar::new_spinner(), "{msg}: {human_pos} calls in {elapsed}"),
        };
        let style = ProgressStyle::with_template(template).expect("the template is sound");
        let bar = bar.with_style(style).with_message(what.to_owned());
        let (count, shown, first) = (count.clone(), bar.clone(), count.load(Ordering::Relaxed));
        let watching = tokio::spawn(async move {
            loop {
                shown.set_position(count.load(Ordering::Relaxed).saturating_sub(first));
                tokio::time::sleep(CHANGE_EVERY).await;
            }
        });
        Self(Some((bar, watching)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((bar, watching)) = self.0.take() {
            watching.abort();
            bar.finish_and_clear();
        }
    }
}
