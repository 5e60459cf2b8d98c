//! The project's own commands, in plain Rust with no dependency: `cargo xtask <command>`.
//!
//! A person and CI run the same words. Each command is a module of this name; to add one, write the module and a
//! line in [`COMMANDS`].
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "commands talk to the person who started them"
)]

mod ci;
mod console;
mod dist;
mod fmt;
mod fuzz;
mod lint;
mod peers;
mod postgres;
mod repository;
mod setup;
mod shell;
mod simulate;
mod soak;
mod test;
mod tidy;

use std::env;
use std::fmt::Write as _;
use std::process::ExitCode;

use repository::Repository;
use shell::{Failure, Result};

struct Command {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&Repository, &[String]) -> Result<()>,
}

const COMMANDS: [Command; 13] = [
    Command {
        name: "test",
        arguments: "[FILTER]",
        about: "all tests, on SQLite and on a PostgreSQL started for them; or those whose name holds FILTER",
        run: test::run,
    },
    Command {
        name: "ci",
        arguments: "",
        about: "everything that CI runs, with the minutes of each step",
        run: ci::run,
    },
    Command { name: "fmt", arguments: "[--check]", about: "formats the Rust code", run: fmt::run },
    Command {
        name: "lint",
        arguments: "",
        about: "clippy over everything, warnings are errors",
        run: lint::run,
    },
    Command {
        name: "tidy",
        arguments: "",
        about: "the rules of the house that no compiler knows",
        run: tidy::run,
    },
    Command {
        name: "console",
        arguments: "[--check]",
        about: "builds the console into console/dist; --check compares",
        run: console::run,
    },
    Command {
        name: "postgres",
        arguments: "",
        about: "a PostgreSQL for running single tests by hand, until its input ends",
        run: postgres::run,
    },
    Command {
        name: "fuzz",
        arguments: "[--seconds N] [TARGET] …",
        about: "throws altered inputs at everything that takes bytes from outside; what breaks is kept in target/fuzz",
        run: fuzz::run,
    },
    Command {
        name: "peers",
        arguments: "[--only NAME] …",
        about: "Carillon beside its peers, in turns, into target/peers; bench/peers/README.md says more",
        run: peers::run,
    },
    Command {
        name: "soak",
        arguments: "--minutes N [--setting NAME]",
        about: "a mixed day under faults, on SQLite, on PostgreSQL and on three nodes, or on one of those",
        run: soak::run,
    },
    Command {
        name: "simulate",
        arguments: "[--seeds N] [--seed S] …",
        about: "whole histories of three nodes from numbers, and the number of one that breaks a promise",
        run: simulate::run,
    },
    Command {
        name: "dist",
        arguments: "",
        about: "the packages that are handed out, all from one build, into target/packages",
        run: dist::run,
    },
    Command {
        name: "setup",
        arguments: "",
        about: "installs what the black-box tests need, into .tools and two node_modules",
        run: setup::run,
    },
];

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<()> {
    let Some((name, arguments)) = words.split_first() else {
        print!("{}", usage());
        return Ok(());
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print!("{}", usage());
        return Ok(());
    }
    let command = COMMANDS
        .iter()
        .find(|command| command.name == name)
        .ok_or_else(|| Failure::new(format!("no command is called {name:?}")).hint(usage()))?;
    (command.run)(&Repository::find()?, arguments)
}

fn usage() -> String {
    let mut text = "usage: cargo xtask COMMAND\n\n".to_owned();
    for command in &COMMANDS {
        let words = format!("{} {}", command.name, command.arguments);
        writeln!(text, "  {words:<16} {}", command.about).expect("a String takes every write");
    }
    text
}
