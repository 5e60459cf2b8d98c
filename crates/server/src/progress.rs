//! How far long work has come: a bar on a terminal, now and then a line without one. It is for people, on stderr.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, ProgressBar, ProgressStyle};

/// How often a line is written, where nobody sees a bar.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// How often a bar moves by itself.
const TICK_EVERY: Duration = Duration::from_millis(100);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Whatever the work is called after.
    Each,
}

/// The progress of one work. The bar goes away with it.
pub struct Progress {
    what: &'static str,
    unit: Unit,
    bar: Option<ProgressBar>,
    done: u64,
    /// Where it ends, if anybody knows.
    all: Option<u64>,
    /// What else there is to say.
    words: String,
    said_at: Instant,
}

#[expect(clippy::disallowed_methods, reason = "a person who waits is told something now and then")]
impl Progress {
    /// Nothing is done yet.
    pub fn begin(what: &'static str, unit: Unit) -> Self {
        let bar = stderr().is_terminal().then(ProgressBar::no_length);
        if let Some(bar) = &bar {
            bar.enable_steady_tick(TICK_EVERY);
        }
        let (words, said_at) = (String::new(), Instant::now());
        let progress = Self { what, unit, bar, done: 0, all: None, words, said_at };
        progress.draw();
        progress
    }

    /// So much is done, of all that there is, if that is known.
    pub fn set(&mut self, done: u64, all: impl Into<Option<u64>>) {
        let (before, all) = (self.all, all.into());
        (self.done, self.all) = (done, all);
        if all != before {
            self.draw();
        }
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if LINE_EVERY <= self.said_at.elapsed() => self.say(),
            None => {}
        }
    }

    /// One more is done, of so many.
    pub fn step(&mut self, all: u64) {
        self.set(self.done + 1, all);
    }

    /// It goes on with something else, which is counted anew.
    pub fn go_on_with(&mut self, what: &'static str) {
        if what != self.what {
            (self.what, self.done, self.all) = (what, 0, None);
            self.draw();
        }
    }

    /// What else there is to say.
    pub fn note(&mut self, words: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(words.clone());
        }
        self.words = words;
    }

    fn draw(&self) {
        let Some(bar) = &self.bar else { return };
        let count = match (self.unit, self.all.is_some()) {
            (Unit::Bytes, true) => "{bytes}/{total_bytes} {eta}",
            (Unit::Bytes, false) => "{bytes} {elapsed}",
            (Unit::Each, true) => "{human_pos}/{human_len} {eta}",
            (Unit::Each, false) => "{human_pos} {elapsed}",
        };
        let shape = if self.all.is_some() { "{wide_bar}" } else { "{spinner}" };
        let template = format!("{{prefix:>11}} {shape} {count}  {{msg}}");
        bar.set_style(ProgressStyle::with_template(&template).expect("the template is sound"));
        bar.set_prefix(self.what);
        if let Some(all) = self.all {
            bar.set_length(all);
        }
    }

    fn say(&mut self) {
        self.said_at = Instant::now();
        tell(&line(self.what, self.unit, (self.done, self.all), &self.words));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Says something to whoever runs the command.
pub fn tell(line: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(stderr(), "{line}");
}

fn line(what: &str, unit: Unit, (done, all): (u64, Option<u64>), words: &str) -> String {
    let number = |number: u64| match unit {
        Unit::Bytes => BinaryBytes(number).to_string(),
        Unit::Each => grouped(number),
    };
    let of = all.map_or_else(String::new, |all| format!(" of {}", number(all)));
    let words = if words.is_empty() { String::new() } else { format!(", {words}") };
    format!("{what}: {}{of}{words}", number(done))
}

/// A number for people.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if 0 < at && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_line_says_how_far_it_is() {
        assert_eq!(
            line("copying", Unit::Bytes, (1024, Some(2 * 1024 * 1024)), ""),
            "copying: 1.00 KiB of 2.00 MiB"
        );
        assert_eq!(line("message", Unit::Each, (1_200, None), ""), "message: 1,200");
        assert_eq!(line("channels", Unit::Each, (1, Some(9)), "7 calls"), "channels: 1 of 9, 7 calls");
    }
}
