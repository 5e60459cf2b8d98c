//! What goes out together: statements whose answers nobody waits for before the next question.
//!
//! A statement costs the server much the same whether it adds one row or a hundred, so rows that are appended by one
//! text go out in one statement, at the place of the first of them. None of them passes anything that might concern it:
//! a change of other rows, a mark.

use std::sync::Arc;

use tokio_postgres::Client;

use super::merged::columns;
use super::statement::{Deferred, Outcome, Prepared, lists};
use crate::engine::Value;

/// Statements that wait to be sent.
#[derive(Default)]
pub(super) struct Flight {
    steps: Vec<Step>,
    /// Nothing is moved to before this step.
    fence: usize,
}

enum Step {
    Said(Deferred),
    /// An `UPDATE` of one row by its key, of which the last stands.
    Row {
        sql: &'static str,
        prepared: Prepared,
        values: Vec<Value<'static>>,
    },
    Rows(Added),
}

/// Rows that are added by one text.
struct Added {
    sql: &'static str,
    /// For one row, and for several, of which each brings so many values; those behind are alike.
    one: Prepared,
    all: (Prepared, usize),
    rows: Vec<Vec<Value<'static>>>,
}

impl Flight {
    /// Adds a statement, which may move past nothing.
    pub(super) fn say(&mut self, said: Deferred) {
        self.steps.push(Step::Said(said));
        self.fence = self.steps.len();
    }

    /// Adds one that supposes something of rows that nothing appends.
    pub(super) fn suppose(&mut self, said: Deferred) {
        self.steps.push(Step::Said(said));
    }

    /// Adds an `UPDATE` of the row whose key is the first value.
    pub(super) fn overwrite(&mut self, sql: &'static str, prepared: Prepared, values: Vec<Value<'static>>) {
        let key = values.first().cloned();
        let mut later = self.steps[self.fence..].iter_mut().rev();
        let earlier = later.find_map(|step| match step {
            Step::Row { sql: of, values, .. } if *of == sql && values.first() == key.as_ref() => Some(values),
            _ => None,
        });
        match earlier {
            Some(earlier) => *earlier = values,
            None => self.steps.push(Step::Row { sql, prepared, values }),
        }
    }

    /// Adds a statement on a row, which goes out with others of its text. Where it locks the row, nothing that is added
    /// from then on goes out before it: that may be what the lock is for.
    pub(super) fn join(
        &mut self,
        (sql, locks): (&'static str, bool),
        one: Prepared,
        (all, own): (Prepared, usize),
        row: Vec<Value<'static>>,
    ) {
        let mut later = self.steps[self.fence..].iter_mut().rev();
        let begun = later.find_map(|step| match step {
            Step::Rows(rows) if rows.sql == sql && rows.rows[0][own..] == row[own..] => Some(&mut rows.rows),
            _ => None,
        });
        if let Some(rows) = begun {
            return rows.push(row);
        }
        if locks {
            self.fence = self.steps.len();
        }
        self.steps.push(Step::Rows(Added { sql, one, all: (all, own), rows: vec![row] }));
    }

    /// Forgets all of it.
    pub(super) fn clear(&mut self) {
        (self.steps, self.fence) = (Vec::new(), 0);
    }

    /// What is to be sent, in its order.
    pub(super) fn take(&mut self, client: &Arc<Client>) -> Vec<Deferred> {
        self.fence = 0;
        let said = |step| -> Deferred {
            let client = client.clone();
            match step {
                Step::Said(said) => said,
                Step::Row { prepared, values, .. } => {
                    Box::pin(async move { prepared.execute(&client, &values).await })
                }
                Step::Rows(rows) => Box::pin(async move { rows.send(&client).await }),
            }
        };
        std::mem::take(&mut self.steps).into_iter().map(said).collect()
    }
}

impl Added {
    async fn send(mut self, client: &Client) -> Outcome<u64> {
        if let ([_, _, ..], (Prepared::Named(all), own)) = (&self.rows[..], &self.all) {
            let alike = self.rows[0].split_off(*own);
            return client.execute(all, &lists(&columns(*own, self.rows), &alike)).await;
        }
        for row in &self.rows {
            self.one.clone().execute(client, row).await?;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: &str = "UPDATE y SET a = a WHERE key = $1 AND TRUE";
    const INSERT: &str = "INSERT INTO x (a, b) VALUES ($1, $2)";

    #[test]
    fn rows_gather_until_something_may_concern_them() {
        let said = || -> Deferred { Box::pin(std::future::ready(Ok(0))) };
        let text = Prepared::Text(INSERT);
        let append = |flight: &mut Flight, key, alike| {
            flight.join(
                (INSERT, false),
                text.clone(),
                (text.clone(), 1),
                vec![Value::Int(key), Value::Int(alike)],
            );
        };
        let overwrite = |flight: &mut Flight, key, value| {
            flight.overwrite(INSERT, text.clone(), vec![Value::Int(key), Value::Int(value)]);
        };
        let shown = |flight: &Flight| -> Vec<Vec<i64>> {
            let number = |value: &Value<'_>| if let Value::Int(number) = value { *number } else { 0 };
            let of = |step: &Step| match step {
                Step::Said(_) => Vec::new(),
                Step::Row { values, .. } => values.iter().map(number).collect(),
                Step::Rows(added) => added.rows.iter().map(|row| number(&row[0])).collect(),
            };
            flight.steps.iter().map(of).collect()
        };
        let mut flight = Flight::default();
        flight.suppose(said());
        append(&mut flight, 1, 0);
        overwrite(&mut flight, 8, 1);
        flight.suppose(said());
        append(&mut flight, 2, 0);
        overwrite(&mut flight, 9, 1);
        overwrite(&mut flight, 8, 2);
        append(&mut flight, 3, 1);
        assert_eq!(shown(&flight), [&[][..], &[1, 2], &[8, 2], &[], &[9, 1], &[3]]);
        flight.say(said());
        append(&mut flight, 4, 0);
        overwrite(&mut flight, 8, 3);
        assert_eq!(shown(&flight)[6..], [&[][..], &[4], &[8, 3]]);
        // What was claimed before the last question is locked; what is claimed now is not, until it is.
        let claim = |flight: &mut Flight, key| {
            flight.join((CLAIM, true), text.clone(), (text.clone(), 1), vec![Value::Int(key)]);
        };
        let mut flight = Flight::default();
        append(&mut flight, 1, 0);
        claim(&mut flight, 6);
        append(&mut flight, 2, 0);
        claim(&mut flight, 7);
        append(&mut flight, 3, 0);
        assert_eq!(shown(&flight), [&[1][..], &[6, 7], &[2, 3]]);
    }
}
