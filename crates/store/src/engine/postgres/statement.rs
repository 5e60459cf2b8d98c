//! Statements, as they are sent, and what is sent with them.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{LazyLock, Mutex, PoisonError};

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use super::values::type_of;
use crate::engine::Value;

pub(super) type Outcome<T> = std::result::Result<T, tokio_postgres::Error>;
pub(super) type Deferred = Pin<Box<dyn Future<Output = Outcome<u64>> + Send>>;

/// A statement that fails where it changes nothing: its count need not be waited for before the commit.
pub(super) fn demanding(sql: &'static str) -> &'static str {
    static MADE: LazyLock<Mutex<HashMap<usize, &'static str>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.entry(sql.as_ptr() as usize).or_insert_with(|| {
        format!("WITH changed AS ({sql} RETURNING 1) SELECT 1 / COUNT(*) FROM changed").leak()
    })
}

/// A statement as it is sent.
#[derive(Clone)]
pub(super) enum Prepared {
    /// The server knows it.
    Named(Statement),
    /// It is told each time.
    Text(&'static str),
}

impl Prepared {
    pub(super) async fn query(self, client: &Client, values: &[Value<'_>]) -> Outcome<Vec<Row>> {
        match self {
            Self::Named(statement) => client.query(&statement, &parameters(values)).await,
            Self::Text(sql) => client.query_typed(sql, &typed(values)).await,
        }
    }

    pub(super) async fn execute(self, client: &Client, values: &[Value<'_>]) -> Outcome<u64> {
        match self {
            Self::Named(statement) => client.execute(&statement, &parameters(values)).await,
            Self::Text(sql) => client.execute_typed(sql, &typed(values)).await,
        }
    }
}

fn parameters<'a>(values: &'a [Value<'_>]) -> Vec<&'a (dyn ToSql + Sync)> {
    values.iter().map(|value| value as _).collect()
}

/// Lists in the place of values, and single values behind them.
pub(super) fn lists<'a>(
    lists: &'a [Vec<Value<'static>>],
    alike: &'a [Value<'static>],
) -> Vec<&'a (dyn ToSql + Sync)> {
    lists.iter().map(|list| list as _).chain(alike.iter().map(|value| value as _)).collect()
}

fn typed<'a>(values: &'a [Value<'_>]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    values.iter().map(|value| (value as _, type_of(value))).collect()
}
