//! What an error of PostgreSQL means for the transaction and for the connection.

use std::error::Error as _;

use tokio_postgres::error::{Severity, SqlState};

use crate::Error;

/// What became of a connection or a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection is gone, or of no use: it was cut, the server goes down, or takes no writes any more.
    Lost,
    /// The server does not know a statement as it was prepared: the schema has changed since, or a pooler gave it to
    /// another connection.
    Forgotten,
    /// The transaction met another one.
    Met,
    /// It waited for a lock, or took longer than it may.
    Slow,
    /// Anything else.
    Other,
}

pub(super) fn fault(error: &tokio_postgres::Error) -> Fault {
    let Some(of_server) = error.as_db_error() else {
        let is_io = error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
        return if error.is_closed() || is_io { Fault::Lost } else { Fault::Other };
    };
    let code = of_server.code();
    let is_fatal = matches!(of_server.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
    // What begins so is said of the connection, or of a server that goes down.
    let is_of_connection = ["08", "57P"].iter().any(|class| code.code().starts_with(class));
    if is_fatal || is_of_connection || *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        return Fault::Lost;
    }
    let forgotten = [
        SqlState::FEATURE_NOT_SUPPORTED, // "cached plan must not change result type"
        SqlState::INVALID_SQL_STATEMENT_NAME,
        SqlState::DUPLICATE_PSTATEMENT,
    ];
    let met = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::DIVISION_BY_ZERO, // What was to be changed is not as was supposed: `demanding`.
    ];
    let slow = [SqlState::LOCK_NOT_AVAILABLE, SqlState::QUERY_CANCELED];
    if forgotten.contains(code) {
        Fault::Forgotten
    } else if met.contains(code) {
        Fault::Met
    } else if slow.contains(code) {
        Fault::Slow
    } else {
        Fault::Other
    }
}

/// What whoever wanted the transaction is told.
pub(super) fn classify(error: &tokio_postgres::Error, sql: &str) -> Error {
    match fault(error) {
        // A new connection is tried, and tells whether the server can be reached.
        Fault::Lost | Fault::Forgotten | Fault::Met => Error::Retry,
        Fault::Slow => Error::Busy,
        Fault::Other => Error::broken(format!("PostgreSQL: {} in: {sql}", reason(error))),
    }
}

/// The error in words, with its cause.
pub(super) fn reason(error: &tokio_postgres::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
