//! Rows: their columns, declared once.
//!
//! [`row!`] takes the columns of a table as they are read and written, and makes of them what a statement says of
//! them, the values of an `INSERT`, and the function that reads one. A new column is a line in a migration, a field,
//! and a word in the declaration.
//!
//! Columns are read in the order in which the statement names them.

use carillon_model::arn::{AppInstanceArn, Home};

use crate::Result;
use crate::engine::{Answer, FromColumn, ToValue, Value};

/// A row that is being read.
pub(crate) struct Row<'a> {
    answer: Answer<'a>,
    next: usize,
}

impl<'a> Row<'a> {
    pub(crate) fn new(answer: Answer<'a>) -> Self {
        Self { answer, next: 0 }
    }

    /// What stands in the next column, or in the next few.
    pub(crate) fn read<T: FromRow>(&mut self) -> Result<T> {
        T::from_row(self)
    }
}

/// Reads a row of which nothing else is made.
pub(crate) fn read<T: FromRow>(row: &mut Row<'_>) -> Result<T> {
    row.read()
}

/// Reads a row of any app instance, whose key stands before it.
pub(crate) fn read_of<T>(
    row: &mut Row<'_>,
    home: &Home,
    read: impl FnOnce(&mut Row<'_>, &AppInstanceArn) -> Result<T>,
) -> Result<T> {
    let instance = home.app_instance(row.read()?);
    read(row, &instance)
}

/// What is read from one column or several.
pub(crate) trait FromRow: Sized {
    fn from_row(row: &mut Row<'_>) -> Result<Self>;
}

impl<T: FromColumn> FromRow for T {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let at = row.next;
        row.next += 1;
        row.answer.get(at)
    }
}

impl<A: FromRow, B: FromRow> FromRow for (A, B) {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok((row.read()?, row.read()?))
    }
}

impl<A: FromRow, B: FromRow, C: FromRow> FromRow for (A, B, C) {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok((row.read()?, row.read()?, row.read()?))
    }
}

/// What is written into one column or several.
pub(crate) trait ToColumns {
    fn add_to<'a>(&'a self, values: &mut Vec<Value<'a>>);
}

impl<T: ToValue> ToColumns for T {
    fn add_to<'a>(&'a self, values: &mut Vec<Value<'a>>) {
        values.push(self.to_value());
    }
}

/// A pair that is there, or is not.
impl<A: FromColumn, B: FromColumn> FromRow for Option<(A, B)> {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let (one, other): (Option<A>, Option<B>) = row.read()?;
        Ok(one.zip(other))
    }
}

impl<A: ToValue, B: ToValue> ToColumns for Option<(A, B)> {
    fn add_to<'a>(&'a self, values: &mut Vec<Value<'a>>) {
        values.push(self.as_ref().map_or(Value::Null, |(one, _)| one.to_value()));
        values.push(self.as_ref().map_or(Value::Null, |(_, other)| other.to_value()));
    }
}

/// What is written into a row.
pub(crate) trait Written {
    /// The values of an `INSERT`: these, and then those of the columns that are declared.
    fn values<'a>(&'a self, first: &[Value<'a>]) -> Vec<Value<'a>>;
}

/// Declares the columns of a row, as the fields that hold them; a field of another name, or of several columns, names
/// them. Fields behind the `;` are made of
/// these, and of what else is read or known.
///
/// ```text
/// row! { ($) fruit_columns:
///     fn fruit(row, basket: &Basket) -> Fruit { key, name, ripe: (ripe_from, ripe_until); basket: basket.clone() }
/// }
/// fruit_columns!()      // "key, name, ripe_from, ripe_until"
/// fruit_columns!(f)     // "f.key, f.name, f.ripe_from, f.ripe_until"
/// fruit_columns!(INSERT INTO fruit (basket, ..))
///                       // "INSERT INTO fruit (basket, key, …) VALUES ($1, $2, …)", with
/// fruit.values(values![basket.key])
/// fruit(row, &basket)?  // reads one
/// ```
///
/// The `$` is given, because a macro cannot spell it in a macro that it makes.
macro_rules! row {
    (($d:tt) $columns:ident:
     $(#[$doc:meta])* $vis:vis fn $read:ident($row:ident $(, $given:ident: $of:ty)*) -> $type:ident {
        $($field:ident $(: ($($column:ident),+))?),+ $(; $($other:ident: $value:expr),+)? $(,)?
    }) => {
        macro_rules! $columns {
            (INSERT INTO $d table:ident ($d ($d more:ident,)* ..)) => {
                concat!(
                    "INSERT INTO ", stringify!($d table),
                    " (", $d (stringify!($d more), ", ",)* $columns!(), ") VALUES (",
                    $crate::row::parameters!($d ($d more)* $($field $(($($column)+))?)+), ")"
                )
            };
            ($d ($d alias:ident)?) => {
                $crate::row::columns!([$d ($d alias)?] $($field $(($($column)+))?)+)
            };
        }

        $(#[$doc])*
        $vis fn $read($row: &mut $crate::Row<'_> $(, $given: $of)*) -> $crate::Result<$type> {
            $(let $field = $row.read()?;)+
            Ok($type { $($field,)+ $($($other: $value),+)? })
        }

        impl $crate::row::Written for $type {
            fn values<'a>(&'a self, first: &[$crate::engine::Value<'a>]) -> Vec<$crate::engine::Value<'a>> {
                let mut values = Vec::with_capacity(32);
                values.extend_from_slice(first);
                $($crate::row::ToColumns::add_to(&self.$field, &mut values);)+
                values
            }
        }
    };
}

/// A statement's text, of texts and of declared columns: `sql!("SELECT " fruit_columns!(f) " FROM fruit f")`.
macro_rules! sql {
    ($($text:literal)* $($columns:ident!$of:tt $($more:literal)*)*) => {
        concat!($($text,)* $($columns!$of, $($more,)*)*)
    };
}

/// Names of columns, of an alias where one is given.
macro_rules! columns {
    ([$($alias:ident)?] $field:ident ($($column:ident)+) $($rest:tt)*) => {
        $crate::row::columns!([$($alias)?] $($column)+ $($rest)*)
    };
    ([] $column:ident) => { stringify!($column) };
    ([$alias:ident] $column:ident) => { concat!(stringify!($alias), ".", stringify!($column)) };
    ([$($alias:ident)?] $column:ident $($rest:tt)+) => {
        concat!($crate::row::columns!([$($alias)?] $column), ", ", $crate::row::columns!([$($alias)?] $($rest)+))
    };
}

/// As many parameters, from `$1` on, as there are columns.
macro_rules! parameters {
    ([$($number:literal)+] $field:ident ($($column:ident)+) $($rest:tt)*) => {
        $crate::row::parameters!([$($number)+] $($column)+ $($rest)*)
    };
    ([$number:literal $($more:literal)*] $column:ident) => { concat!("$", $number) };
    ([$number:literal $($more:literal)+] $column:ident $($rest:tt)+) => {
        concat!("$", $number, ", ", $crate::row::parameters!([$($more)+] $($rest)+))
    };
    ($first:ident $($rest:tt)+) => {
        $crate::row::parameters!(
            [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32] $first $($rest)+
        )
    };
}

pub(crate) use {columns, parameters, row, sql};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values;

    struct Fruit {
        key: i64,
        name: String,
        ripe: Option<(i64, i64)>,
        is_sweet: bool,
    }

    row! { ($) fruit_columns:
        fn _fruit(row, sweetest: i64) -> Fruit { key, name, ripe: (ripe_from, ripe_until); is_sweet: sweetest == 1 }
    }

    #[test]
    fn a_declaration_says_what_is_read_and_what_is_written() {
        assert_eq!(fruit_columns!(), "key, name, ripe_from, ripe_until");
        assert_eq!(fruit_columns!(f), "f.key, f.name, f.ripe_from, f.ripe_until");
        let insert =
            "INSERT INTO fruit (basket, key, name, ripe_from, ripe_until) VALUES ($1, $2, $3, $4, $5)";
        assert_eq!(fruit_columns!(INSERT INTO fruit (basket, ..)), insert);
        let fruit = Fruit { key: 1, name: "pear".to_owned(), ripe: None, is_sweet: true };
        assert!(fruit.is_sweet);
        let values = fruit.values(values![7_i64]);
        assert!(matches!(
            &values[..],
            [Value::Int(7), Value::Int(1), Value::Text(_), Value::Null, Value::Null]
        ));
    }
}
