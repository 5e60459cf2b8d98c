//! How far a long work is: a bar on a terminal, and lines without one.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::grouped;

/// How many rows there are between two lines, where nobody sees a bar.
const LINE_EVERY: u64 = 100_000;
/// How often a bar moves that does not know how much there is.
const TICK_EVERY: Duration = Duration::from_millis(100);

/// The progress of one work.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    of: &'static str,
    count: u64,
    all: u64,
}

impl Progress {
    /// Of a work that ends after so many rows, if anybody knows.
    pub(super) fn new(all: Option<u64>) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let (bar, template) = match all {
                Some(all) => (ProgressBar::new(all), "{wide_bar} {human_pos} of {human_len}  {msg}  {eta}"),
                None => (ProgressBar::no_length(), "{spinner} {human_pos}  {msg}  {elapsed}"),
            };
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.enable_steady_tick(TICK_EVERY);
            let style = ProgressStyle::with_template(template);
            bar.with_style(style.expect("the template is one"))
        });
        Self { bar, of: "", count: 0, all: 0 }
    }

    /// So many more rows, of a table.
    pub(super) fn add(&mut self, of: &'static str, count: u64) {
        if of != self.of {
            self.say();
            (self.of, self.count) = (of, 0);
            if let Some(bar) = &self.bar {
                bar.set_message(of);
            }
        }
        let before = self.count;
        self.count += count;
        self.all += count;
        match &self.bar {
            Some(bar) => bar.inc(count),
            None if before / LINE_EVERY < self.count / LINE_EVERY => self.say(),
            None => {}
        }
    }

    /// It is done; answers how many rows there were.
    pub(super) fn end(self) -> u64 {
        self.say();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.all
    }

    fn say(&self) {
        if self.bar.is_none() && 0 < self.count {
            tell(&format!("{}: {}", self.of, grouped(self.count)));
        }
    }
}

/// Says something to whoever runs the command.
pub(super) fn tell(line: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(stderr(), "{line}");
}
