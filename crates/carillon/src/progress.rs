//! How far long work has come: a bar on a terminal, now and then a line without one. It is for people, on stderr.

use std::io::{IsTerminal as _, Write as _, stderr};

use indicatif::{BinaryBytes, ProgressBar, ProgressStyle};

/// Parts of the work after each of which a line is written.
const LINES: u64 = 10;
/// Work of fewer bytes is over before anybody reads a line of it.
const LINE_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// Work that is measured in bytes.
pub(crate) struct Progress {
    what: &'static str,
    bar: Option<ProgressBar>,
    /// After how many parts a line was written.
    said: u64,
}

impl Progress {
    /// Nothing is done yet.
    pub(crate) fn begin(what: &'static str) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg:>11} {wide_bar} {bytes}/{total_bytes} {eta}");
            ProgressBar::new(0).with_style(style.expect("the template is sound")).with_message(what)
        });
        Self { what, bar, said: 0 }
    }

    /// So much of so much is done.
    pub(crate) fn set(&mut self, done: u64, all: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(all);
            bar.set_position(done);
            return;
        }
        let part = (done.min(all) * LINES).checked_div(all).unwrap_or_default();
        if LINE_BYTES_MIN <= all && self.said < part {
            self.said = part;
            let (what, percent, all) = (self.what, part * 100 / LINES, BinaryBytes(all));
            // Where stderr is closed nobody wants to know.
            let _ = writeln!(stderr(), "{what}: {percent} % of {all}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
