//! The values that pass between an engine and the SQL.

use std::borrow::Cow;

use carillon_model::{Key, MessageKey, Timestamp};

/// A value on its way into a statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
}

impl Value<'_> {
    /// The same, for a statement that waits.
    pub(crate) fn to_owned(&self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => Value::Int(*number),
            Self::Text(text) => Value::Text(text.to_string().into()),
            Self::Bytes(bytes) => Value::Bytes(bytes.to_vec().into()),
        }
    }
}

/// A value on its way out of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
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

impl FromColumn for bool {
    fn from_column(column: Column<'_>) -> Option<Self> {
        i64::from_column(column).map(|number| number != 0)
    }
}

impl FromColumn for usize {
    fn from_column(column: Column<'_>) -> Option<Self> {
        i64::from_column(column).and_then(|number| number.try_into().ok())
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

impl ToValue for usize {
    fn to_value(&self) -> Value<'_> {
        Value::Int(i64::try_from(*self).expect("what is counted in memory is far below this"))
    }
}

impl ToValue for Timestamp {
    fn to_value(&self) -> Value<'_> {
        Value::Int(self.ms())
    }
}

impl ToValue for Key {
    fn to_value(&self) -> Value<'_> {
        Value::Bytes((&self.0[..]).into())
    }
}

impl ToValue for MessageKey {
    fn to_value(&self) -> Value<'_> {
        Value::Bytes((&self.0[..]).into())
    }
}

/// A digest.
impl ToValue for [u8; 32] {
    fn to_value(&self) -> Value<'_> {
        Value::Bytes(self.into())
    }
}

impl FromColumn for [u8; 32] {
    fn from_column(column: Column<'_>) -> Option<Self> {
        if let Column::Bytes(bytes) = column { bytes.try_into().ok() } else { None }
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value<'_> {
        Value::Text(self.into())
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value<'_> {
        Value::Text(self.into())
    }
}

impl ToValue for [u8] {
    fn to_value(&self) -> Value<'_> {
        Value::Bytes(self.into())
    }
}

impl ToValue for Vec<u8> {
    fn to_value(&self) -> Value<'_> {
        Value::Bytes(self.into())
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
                Value::Text(self.as_str().into())
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
                Value::Text(self.as_str().into())
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

/// What no statement looks into goes in and out as JSON.
macro_rules! stored_as_json {
    ($($kind:ty),* $(,)?) => {$(
        impl ToValue for $kind {
            fn to_value(&self) -> Value<'_> {
                let json = serde_json::to_string(self);
                Value::Text(json.expect("texts, numbers and lists of them always serialize").into())
            }
        }
        impl FromColumn for $kind {
            fn from_column(column: Column<'_>) -> Option<Self> {
                if let Column::Text(text) = column { serde_json::from_str(text).ok() } else { None }
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
    MessageMetadata,
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

stored_as_json!(
    carillon_model::message::Attributes,
    carillon_model::bot::Lex,
    carillon_model::channel_flow::Revision,
    Vec<carillon_model::channel_flow::Processor>,
    Vec<Key>,
    Vec<String>,
    Vec<(String, String)>,
);

impl ToValue for carillon_model::arn::IdentityKind {
    fn to_value(&self) -> Value<'_> {
        Value::Text(self.segment().into())
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
