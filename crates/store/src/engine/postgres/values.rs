//! Values on their way in and out. PostgreSQL's text cannot hold U+0000, which people may write; it is escaped here, so
//! that no SQL has to know.

use std::borrow::Cow;

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type};

use super::super::{Column, Value};
use crate::{Error, Result};

/// Stands for U+0000, and before itself: U+001A followed by `0` or `1`.
const ESCAPE: char = '\u{1a}';

fn escaped(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte == 0 || byte == 0x1a) {
        text.replace(ESCAPE, "\u{1a}1").replace('\0', "\u{1a}0").into()
    } else {
        text.into()
    }
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if text.contains(ESCAPE) {
        text.replace("\u{1a}0", "\0").replace("\u{1a}1", "\u{1a}").into()
    } else {
        text.into()
    }
}

type Encoded = std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>>;

/// The type to tell the server of a value in a statement that it does not know from before; of nothing, it finds out.
pub(super) fn type_of(value: &Value<'_>) -> Type {
    match value {
        Value::Null => Type::UNKNOWN,
        Value::Int(_) => Type::INT8,
        Value::Text(_) => Type::TEXT,
        Value::Bytes(_) => Type::BYTEA,
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Encoded {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(number) => number.to_sql(kind, out),
            Value::Text(text) => escaped(text).as_ref().to_sql(kind, out),
            Value::Bytes(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA, Type::UNKNOWN].contains(kind)
    }

    tokio_postgres::types::to_sql_checked!();
}

pub(in crate::engine) fn column<T>(
    row: &tokio_postgres::Row,
    at: usize,
    read: impl FnOnce(Column<'_>) -> Option<T>,
) -> Result<T> {
    let bad = |error: tokio_postgres::Error| Error::broken(error.to_string());
    let kind = row.columns()[at].type_();
    let value = if *kind == Type::INT8 {
        read(row.try_get::<_, Option<i64>>(at).map_err(bad)?.map_or(Column::Null, Column::Int))
    } else if *kind == Type::BYTEA {
        read(row.try_get::<_, Option<&[u8]>>(at).map_err(bad)?.map_or(Column::Null, Column::Bytes))
    } else {
        match row.try_get::<_, Option<&str>>(at).map_err(bad)? {
            None => read(Column::Null),
            Some(text) => read(Column::Text(&unescaped(text))),
        }
    };
    value.ok_or_else(|| Error::broken("holds what it never should"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_survives_the_escape() {
        for text in ["", "plain", "\0", "\u{1a}", "\u{1a}0", "a\0\u{1a}1\0b"] {
            assert_eq!(unescaped(&escaped(text)), text);
            assert!(!escaped(text).contains('\0'));
        }
    }
}
