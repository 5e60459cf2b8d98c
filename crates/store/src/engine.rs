//! What an engine must do, and the values that pass between it and the SQL.
//!
//! A [`Driver`] is one connection. It knows statements and transactions, and classifies errors; it knows no
//! table. To write a statement for both engines: `$1` parameters, the three column types `TEXT`, `BIGINT` and
//! `BYTEA`, `CAST` around a parameter that stands alone, no function that only one engine has.

#[cfg(debug_assertions)]
mod plan;
pub(crate) mod postgres;
pub(crate) mod sqlite;

use carillon_model::{Key, MessageKey, Timestamp};

use crate::Result;

/// One connection to an engine.
pub(crate) trait Driver {
    /// Runs a statement and shows each row.
    fn query(&mut self, sql: &'static str, values: &[Value<'_>], each: &mut EachRow<'_>) -> Result<()>;
    /// Runs a statement and counts the rows that it changed.
    fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64>;
    /// Runs a statement whose count nobody asks for. An engine across a network sends it together with the
    /// next statement; its failure then shows there, and at the latest at the commit.
    fn defer(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<()>;
    /// Runs statements in this order, all in one go where the engine is across a network; answers with the number of
    /// rows that each changed.
    fn execute_all(&mut self, changes: &[Change]) -> Result<Vec<u64>>;
    /// Begins a transaction.
    fn begin(&mut self, kind: Kind) -> Result<()>;
    /// Makes everything since `begin` durable; after an error nothing of it is.
    fn commit(&mut self) -> Result<Commit>;
    /// Forgets everything since `begin`; a connection that cannot even do that is opened anew.
    fn rollback(&mut self);
    /// Marks the point that `rollback_to_mark` goes back to.
    fn mark(&mut self) -> Result<()>;
    /// Forgets everything since `mark`; the mark stays.
    fn rollback_to_mark(&mut self) -> Result<()>;
    /// Takes the mark away.
    fn unmark(&mut self) -> Result<()>;
    /// Runs the statements of a migration, rewriting the column types.
    fn define(&mut self, ddl: &str) -> Result<()>;
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    /// It is durable.
    Stands,
    /// The connection was lost while it was under way: it may be durable, or not.
    Unknown,
}

/// What is shown each row.
pub(crate) type EachRow<'a> = dyn FnMut(&Row<'_>) -> Result<()> + 'a;

/// What a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Reads one snapshot.
    Read,
    /// Reads and writes.
    Write,
    /// Reads and writes what others may be writing, and gives way to them.
    Job,
}

/// A value on its way into a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// A value that outlives the call, for a statement that waits.
#[derive(Debug, Clone)]
pub(crate) enum Owned {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&Value<'_>> for Owned {
    fn from(value: &Value<'_>) -> Self {
        match *value {
            Value::Null => Self::Null,
            Value::Int(number) => Self::Int(number),
            Value::Text(text) => Self::Text(text.to_owned()),
            Value::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
        }
    }
}

impl Owned {
    pub(crate) fn as_value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => Value::Int(*number),
            Self::Text(text) => Value::Text(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
        }
    }
}

/// A statement that is made later, on a row that lanes share.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) sql: &'static str,
    pub(crate) values: Vec<Owned>,
    /// Whether it must find its row as it supposes.
    pub(crate) must: bool,
}

/// A value on its way out of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// One row of an answer.
pub(crate) enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

impl Row<'_> {
    /// The column at this place, counted from zero.
    pub(crate) fn get<T: FromColumn>(&self, at: usize) -> Result<T> {
        match self {
            Self::Sqlite(row) => sqlite::column(row, at, T::from_column),
            Self::Postgres(row) => postgres::column(row, at, T::from_column),
        }
        .map_err(|error| error.context(format!("column {at}")))
    }
}

/// A type that a column can be read as.
pub(crate) trait FromColumn: Sized {
    fn from_column(column: Column<'_>) -> Option<Self>;
}

impl FromColumn for i64 {
    fn from_column(column: Column<'_>) -> Option<Self> {
        if let Column::Int(number) = column { Some(number) } else { None }
    }
}

impl FromColumn for String {
    fn from_column(column: Column<'_>) -> Option<Self> {
        if let Column::Text(text) = column { Some(text.to_owned()) } else { None }
    }
}

impl FromColumn for Vec<u8> {
    fn from_column(column: Column<'_>) -> Option<Self> {
        if let Column::Bytes(bytes) = column { Some(bytes.to_vec()) } else { None }
    }
}

impl FromColumn for Key {
    fn from_column(column: Column<'_>) -> Option<Self> {
        if let Column::Bytes(bytes) = column { Some(Self(bytes.try_into().ok()?)) } else { None }
    }
}

impl FromColumn for MessageKey {
    fn from_column(column: Column<'_>) -> Option<Self> {
        if let Column::Bytes(bytes) = column { Some(Self(bytes.try_into().ok()?)) } else { None }
    }
}

impl FromColumn for Timestamp {
    fn from_column(column: Column<'_>) -> Option<Self> {
        i64::from_column(column).map(Self::from_ms)
    }
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn from_column(column: Column<'_>) -> Option<Self> {
        if matches!(column, Column::Null) { Some(None) } else { T::from_column(column).map(Some) }
    }
}

/// A type that a statement can be given.
pub(crate) trait ToValue {
    fn to_value(&self) -> Value<'_>;
}

impl ToValue for i64 {
    fn to_value(&self) -> Value<'_> {
        Value::Int(*self)
    }
}

impl ToValue for bool {
    fn to_value(&self) -> Value<'_> {
        Value::Int(i64::from(*self))
    }
}

impl ToValue for Timestamp {
    fn to_value(&self) -> Value<'_> {
        Value::Int(self.ms())
    }
}

impl ToValue for Key {
    fn to_value(&self) -> Value<'_> {
        Value::Bytes(&self.0)
    }
}

impl ToValue for MessageKey {
    fn to_value(&self) -> Value<'_> {
        Value::Bytes(&self.0)
    }
}

/// A digest.
impl ToValue for [u8; 32] {
    fn to_value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl FromColumn for [u8; 32] {
    fn from_column(column: Column<'_>) -> Option<Self> {
        if let Column::Bytes(bytes) = column { bytes.try_into().ok() } else { None }
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl ToValue for [u8] {
    fn to_value(&self) -> Value<'_> {
        Value::Bytes(self)
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value<'_> {
        (**self).to_value()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

/// Texts, choices and numbers of the model go in and out as their wire forms.
macro_rules! stored_as_text {
    ($($name:ident),* $(,)?) => {$(
        impl ToValue for carillon_model::text::$name {
            fn to_value(&self) -> Value<'_> {
                Value::Text(self.as_str())
            }
        }
        impl FromColumn for carillon_model::text::$name {
            fn from_column(column: Column<'_>) -> Option<Self> {
                String::from_column(column).map(Self::stored)
            }
        }
    )*};
}

macro_rules! stored_as_choice {
    ($($($path:ident)::+),* $(,)?) => {$(
        impl ToValue for carillon_model::$($path)::+ {
            fn to_value(&self) -> Value<'_> {
                Value::Text(self.as_str())
            }
        }
        impl FromColumn for carillon_model::$($path)::+ {
            fn from_column(column: Column<'_>) -> Option<Self> {
                if let Column::Text(text) = column { text.parse().ok() } else { None }
            }
        }
    )*};
}

macro_rules! stored_as_number {
    ($($name:ident),* $(,)?) => {$(
        impl ToValue for carillon_model::text::$name {
            fn to_value(&self) -> Value<'_> {
                Value::Int(self.get())
            }
        }
        impl FromColumn for carillon_model::text::$name {
            fn from_column(column: Column<'_>) -> Option<Self> {
                i64::from_column(column).and_then(|number| Self::try_from(number).ok())
            }
        }
    )*};
}

stored_as_text!(
    Content,
    ContentType,
    DeviceToken,
    EndpointName,
    FilterRule,
    Metadata,
    NonEmptyResourceName,
    ResourceName,
    StatusDetail,
    TagKey,
    TagValue,
    UserName,
    ClientRequestToken,
    AnyArn,
);
stored_as_choice!(
    text::AllowMessages,
    text::AllowNotifications,
    text::ChannelMode,
    text::ChannelPrivacy,
    text::ChannelMembershipType,
    text::ChannelMessageType,
    text::ChannelMessagePersistenceType,
    text::ChannelMessageStatus,
    text::EndpointStatus,
    text::EndpointStatusReason,
    text::EndpointType,
    text::ExpirationCriterion,
    text::UserExpirationCriterion,
    text::MessagingDataType,
    channel_flow::FlowOperation,
    channel_flow::FlowPhase,
    event::EventType,
    event::EventMessageType,
    event::EventReason,
);
stored_as_number!(
    ExpirationDays,
    RetentionDays,
    MaximumSubChannels,
    TargetMembershipsPerSubChannel,
    MinimumMembershipPercentage,
);

impl ToValue for carillon_model::arn::IdentityKind {
    fn to_value(&self) -> Value<'_> {
        Value::Text(self.segment())
    }
}

impl FromColumn for carillon_model::arn::IdentityKind {
    fn from_column(column: Column<'_>) -> Option<Self> {
        if let Column::Text(text) = column { Self::from_segment(text) } else { None }
    }
}

/// The values of a statement, in the order of its parameters.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        &[$($crate::engine::ToValue::to_value(&$value)),*]
    };
}
pub(crate) use values;

/// The most values of a list in a statement. A statement's text is one of two: for one value, and for this many,
/// where a shorter list repeats its last.
pub(crate) const MANY: usize = 100;

/// The parameters of a list of `count` values, from `$first` on.
pub(crate) fn parameters(first: usize, count: usize) -> String {
    let names: Vec<String> = (first..first + count).map(|number| format!("${number}")).collect();
    names.join(", ")
}

/// Adds a list of at least one value and at most [`MANY`] to those of a statement, and chooses its text.
pub(crate) fn several<'a>(
    one: &'static str,
    all: &'static str,
    values: &mut Vec<Value<'a>>,
    list: impl ExactSizeIterator<Item = Value<'a>>,
) -> &'static str {
    let count = list.len();
    debug_assert!((1..=MANY).contains(&count), "a statement takes 1 to {MANY} values, not {count}");
    values.extend(list);
    if count == 1 {
        return one;
    }
    let filler = values[values.len() - 1];
    values.extend(std::iter::repeat_n(filler, MANY.saturating_sub(count)));
    all
}
