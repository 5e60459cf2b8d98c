//! Questions that go out together, and whose answer is whose.

use std::sync::PoisonError;

use tokio_postgres::Statement;

use super::merged::{columns, which};
use super::session::{Rows, Session};
use super::statement::Prepared;
use crate::engine::{Answer, Query};
use crate::{Error, Result, Row};

/// What was asked in one statement: the places of the questions that its rows answer.
pub(super) struct Asked {
    sql: &'static str,
    places: Vec<usize>,
    rows: Rows,
}

/// Questions with their places, those of one text together.
pub(super) fn by_text(queries: &[Query]) -> Vec<(&'static str, Vec<(usize, &Query)>)> {
    let mut alike: Vec<(&'static str, Vec<(usize, &Query)>)> = Vec::new();
    for (at, query) in queries.iter().enumerate() {
        match alike.iter_mut().find(|(sql, _)| *sql == query.sql) {
            Some((_, queries)) => queries.push((at, query)),
            None => alike.push((query.sql, vec![(at, query)])),
        }
    }
    alike
}

/// Asks a question with the next one.
pub(super) fn alone(
    session: &mut Session,
    prepared: Prepared,
    sql: &'static str,
    (at, query): (usize, &Query),
) -> Asked {
    let asked = Asked { sql, places: vec![at], rows: Rows::default() };
    session.ask(prepared, query.values.clone(), asked.rows.clone());
    asked
}

/// The same of several in one statement, of which each brings so many values.
pub(super) fn together(
    session: &mut Session,
    (statement, own): (Statement, usize),
    sql: &'static str,
    alike: Vec<(usize, &Query)>,
) -> Asked {
    let (places, values): (Vec<_>, Vec<_>) =
        alike.into_iter().map(|(at, query)| (at, query.values.clone())).unzip();
    let asked = Asked { sql, places, rows: Rows::default() };
    session.ask_lists(statement, columns(own, values), asked.rows.clone());
    asked
}

impl Asked {
    /// Shows each row with the place of its question.
    pub(super) fn show(self, each: &mut dyn FnMut(usize, &mut Row<'_>) -> Result<()>) -> Result<()> {
        let Self { sql, places, rows } = self;
        for row in std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner)) {
            let place = if places.len() == 1 { Some(0) } else { which(&row) };
            let at = place.and_then(|place| places.get(place));
            let at = at.ok_or_else(|| Error::broken(format!("an answer to no question: {sql}")))?;
            each(*at, &mut Row::new(Answer::Postgres(&row))).map_err(|error| error.context(sql))?;
        }
        Ok(())
    }
}
