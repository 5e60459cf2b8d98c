//! Running other programs, and the one error of these commands.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::process::{Command, Stdio};

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// What went wrong, and what the reader may do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// For `map_err`: says what was being done when the system refused.
    pub(crate) fn while_doing(what: impl Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::new(format!("cannot {what}: {error}"))
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}

/// Runs to the end with the terminal's own input and output; any exit but 0 is a failure.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    match run_for_code(command)? {
        Some(0) => Ok(()),
        code => Err(Failure::new(format!("`{}` {}", show(command), ended(code)))),
    }
}

/// As [`run`], for a program whose exit codes mean something; `None` when a signal ended it.
pub(crate) fn run_for_code(command: &mut Command) -> Result<Option<i32>> {
    eprintln!("$ {}", show(command));
    Ok(command.status().map_err(Failure::while_doing(format!("start `{}`", show(command))))?.code())
}

/// Runs silently; what it printed is the answer, or part of the failure.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(Failure::while_doing(format!("start `{}`", show(command))))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Err(Failure::new(format!("`{}` {}\n{}", show(command), ended(output.status.code()), said.trim())))
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn ended(code: Option<i32>) -> String {
    code.map_or_else(|| "was ended by a signal".to_owned(), |code| format!("exited with {code}"))
}
