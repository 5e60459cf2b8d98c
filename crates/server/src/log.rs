//! Logs: to stderr, for people or for machines. What is logged, and where, is for everyone else to decide.
//!
//! A log for people has one line for each event too: what a client wrote may stand in it, and must not be able to
//! write a line of its own.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write, stderr};

use tracing::Subscriber;
use tracing::subscriber::set_global_default;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use crate::config::{LogFormat, Settings};
use crate::error::{Error, Result};
use crate::traces;

/// Begins to log, and to trace where somebody collects that.
pub fn start(settings: &Settings) -> Result<()> {
    let filter = EnvFilter::try_new(&settings.log)
        .map_err(|error| Error::usage(format!("log is {}, which is not a filter: {error}", settings.log)))?;
    let filter = traces::left_out_of(filter);
    let started = match traces::collector()? {
        // One filter for all: what it leaves out costs nothing.
        None => set_global_default(registry().with(filter).with(lines(settings.log_format))),
        Some(spans) => {
            set_global_default(registry().with(spans).with(lines(settings.log_format).with_filter(filter)))
        }
    };
    started.map_err(|error| Error::failure(format!("logs cannot be written: {error}")))
}

/// The lines of a log.
fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt::layer().with_ansi(colour);
    match format {
        LogFormat::Text => lines.with_writer(|| OneLine(stderr())).boxed(),
        LogFormat::Json => lines.with_writer(stderr).json().boxed(),
    }
}

/// Takes the text of one event at a time, and escapes what would break its line.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        if line.chars().any(breaks) {
            self.0.write_all((escaped(line) + end).as_bytes())?;
        } else {
            self.0.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What some reader takes for the end of a line, or for a command. The escapes of colours are our own: those of others
/// are escaped where an event is made.
fn breaks(letter: char) -> bool {
    letter.is_control() && letter != '\u{1b}' || matches!(letter, '\u{2028}' | '\u{2029}')
}

fn escaped(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len() + 16);
    for letter in line.chars() {
        if breaks(letter) {
            write!(escaped, "{}", letter.escape_default()).expect("a text takes what is written to it");
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_stands_in_it() {
        let write = |event: &str| {
            let mut written = OneLine(Vec::new());
            written.write_all(event.as_bytes()).unwrap();
            String::from_utf8(written.0).unwrap()
        };
        assert_eq!(write("INFO a: \u{e9}\n"), "INFO a: \u{e9}\n");
        let forged = "DEBUG no action A\n2026-01-15 INFO signed in\r\u{85}\u{2028}x\n";
        assert_eq!(write(forged), "DEBUG no action A\\n2026-01-15 INFO signed in\\r\\u{85}\\u{2028}x\n");
        assert_eq!(write(&write(forged)), write(forged));
    }
}
