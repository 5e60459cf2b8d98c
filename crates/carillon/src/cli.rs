//! The command line: which commands there are. What each does is in its own file under `commands/`.

use clap::{Parser, Subcommand};

use crate::commands::{backup, check, dev, doctor, erase, export, iam, import, restore, serve};
use carillon_bench::{part, sends, sockets};
use carillon_server::config::Written;
use carillon_server::error::ExitStatus;

/// A self-hosted server for applications written for Amazon Chime SDK Messaging.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Without a command: the options of `dev`.
    #[command(flatten)]
    written: Written,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run with nothing configured, and a demo to try (this is what happens without a command).
    Dev(Written),
    /// Run the server: nothing demo, nothing printed but logs.
    Serve(Written),
    /// Read the configuration, look at everything that it names, and report.
    Check(Written),
    /// Look for what goes wrong in practice, beside a running server too, and say what to do about it.
    Doctor(Box<doctor::Options>),
    /// Write one consistent archive of the store and the data folder, beside a running server too.
    Backup(Box<backup::Options>),
    /// Put a backup into an empty data folder.
    Restore(Box<restore::Options>),
    /// Manage users, access keys, roles and policies, on the store itself.
    Iam(Box<iam::Options>),
    /// Write all that the store holds into an archive, or what is one person's into a file, beside a running server.
    Export(Box<export::Options>),
    /// Put an archive of `export` into a store, which no server serves meanwhile.
    Import(Box<import::Options>),
    /// Erase what is one person's, beside a running server too, and report what went.
    Erase(Box<erase::Options>),
    /// Measure this machine: durable sends a second, beside what its store and its HTTP could do at most.
    Bench(sends::Options),
    /// Measure this machine: what open sockets cost, beside a bare broadcast by the same library.
    BenchSockets(sockets::Options),
    /// One side of a measurement, started by `bench`.
    #[command(hide = true)]
    BenchPart(part::Options),
}

/// Runs what the command line asks for.
pub(crate) fn run() -> ExitStatus {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // It fails only where there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Success };
        }
    };
    let outcome = match cli.command {
        None => dev::run(cli.written),
        Some(Command::Dev(written)) => dev::run(written),
        Some(Command::Serve(written)) => serve::run(written),
        Some(Command::Check(written)) => check::run(written),
        Some(Command::Doctor(options)) => doctor::run(*options),
        Some(Command::Backup(options)) => backup::run(*options),
        Some(Command::Restore(options)) => restore::run(*options),
        Some(Command::Iam(options)) => iam::run(*options),
        Some(Command::Export(options)) => export::run(*options),
        Some(Command::Import(options)) => import::run(*options),
        Some(Command::Erase(options)) => erase::run(*options),
        Some(Command::Bench(options)) => sends::run(&options),
        Some(Command::BenchSockets(options)) => sockets::run(&options),
        Some(Command::BenchPart(options)) => part::run(&options),
    };
    outcome.unwrap_or_else(|error| {
        error.report();
        error.status
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_declaration_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_without_a_command_are_those_of_dev() {
        let cli = Cli::try_parse_from(["carillon", "--http", "off"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.written.http.as_deref(), Some("off"));
        assert!(Cli::try_parse_from(["carillon", "serve", "--colour", "red"]).is_err());
    }

    #[test]
    fn the_test_clock_is_a_bare_flag() {
        let cli = Cli::try_parse_from(["carillon", "serve", "--test-clock", "--http", "off"]).unwrap();
        let Some(Command::Serve(written)) = cli.command else { panic!("{cli:?}") };
        assert_eq!((written.test_clock, written.http.as_deref()), (Some(true), Some("off")));
    }
}
