//! How the server goes about a statement.

use tokio_postgres::{Client, SimpleQueryMessage};

use super::statement::Outcome;

/// The plan of a statement, line by line; none where the server cannot explain one without its values, as before
/// version 16.
pub(super) async fn plan(client: &Client, sql: &str) -> Outcome<Vec<String>> {
    let version = lines(client, "SHOW server_version_num").await?;
    if version.first().is_some_and(|version| "160000" <= version.as_str()) {
        lines(client, &format!("EXPLAIN (GENERIC_PLAN, COSTS OFF) {sql}")).await
    } else {
        Ok(Vec::new())
    }
}

async fn lines(client: &Client, sql: &str) -> Outcome<Vec<String>> {
    let line = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    Ok(client.simple_query(sql).await?.iter().filter_map(line).collect())
}
