//! Texts, choices and numbers with limits, one type for each shape of the interface that a request can break.
//!
//! To add one: a line in a `text!`, `choice!` or `number!` block; the conformance test compares its
//! limits with `spec/api.json`. Lengths count characters as the interface does, except where the quota is
//! published in bytes, which the word `bytes` says.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

/// Why a value is not one of its type, in words that follow the member's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub Cow<'static, str>);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

impl Violation {
    /// A violation in these words.
    pub fn new(words: impl Into<Cow<'static, str>>) -> Self {
        Self(words.into())
    }
}

/// What a length counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Unicode scalar values, as the interface's model counts.
    Chars,
    /// Bytes of UTF-8, where the published quota is in bytes.
    Bytes,
}

/// The limits of a text.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What the bounds count.
    pub unit: Unit,
    /// Least length.
    pub min: u64,
    /// Greatest length, as published.
    pub max: Option<u64>,
    /// Greatest length that a setting may allow instead: whoever takes such a text looks at the setting.
    pub ceiling: Option<u64>,
    /// The published pattern, for the conformance test.
    pub pattern: Option<&'static str>,
}

impl Limits {
    fn check(&self, value: &str, matches: impl FnOnce(&str) -> bool) -> Result<(), Violation> {
        let most = self.ceiling.or(self.max);
        let (length, unit) = match self.unit {
            // Counting characters costs a pass; most texts are so short that their bytes decide.
            Unit::Chars if most.is_none_or(|most| value.len() as u64 <= most) && self.min <= 1 => {
                (value.len() as u64, "characters")
            }
            Unit::Chars => (value.chars().count() as u64, "characters"),
            Unit::Bytes => (value.len() as u64, "bytes"),
        };
        if length < self.min {
            return Err(Violation(format!("must have at least {} {unit}, not {length}", self.min).into()));
        }
        if let Some(max) = most.filter(|max| *max < length) {
            return Err(Violation(format!("must have at most {max} {unit}, not {length}").into()));
        }
        if !matches(value) {
            let pattern = self.pattern.unwrap_or_default();
            return Err(Violation(format!("must match the pattern {pattern}").into()));
        }
        Ok(())
    }
}

/// Compiles a published pattern; it always describes the whole value.
#[doc(hidden)]
pub fn whole(pattern: &str) -> Regex {
    let pattern = uncaptured(pattern);
    Regex::new(&format!(r"\A(?:{pattern})\z")).expect("the patterns of the interface compile")
}

/// The same pattern, of whose groups nobody asks what they matched: to be ready for that takes hundreds of kilobytes.
fn uncaptured(pattern: &str) -> String {
    let (mut plain, mut in_class) = (String::with_capacity(pattern.len()), false);
    let mut rest = pattern.chars().peekable();
    while let Some(next) = rest.next() {
        plain.push(next);
        match next {
            '\\' => plain.extend(rest.next()),
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class && rest.peek() != Some(&'?') => plain.push_str("?:"),
            _ => {}
        }
    }
    plain
}

/// The characters of XML 1.0. The published pattern of names means them, but reads `\u10000` as four digits
/// and a zero, and would refuse every character above U+FFFF.
pub fn is_xml_text(value: &str) -> bool {
    value.chars().all(|c| {
        matches!(c, '\t' | '\n' | '\r' | '\u{85}' | '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{d7ff}')
            || matches!(c, '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
    })
}

/// The same as the pattern `[-_a-zA-Z0-9]*`, of what nearly every request has: a loop is quicker than to be ready for
/// any pattern.
fn is_plain_id(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// The same as the pattern `.*`, whose dot is anything but the end of a line.
fn is_one_line(value: &str) -> bool {
    !value.as_bytes().contains(&b'\n')
}

#[doc(hidden)]
pub fn checked(
    limits: &Limits,
    value: &str,
    pattern: &LazyLock<Option<Regex>>,
    own: Option<fn(&str) -> bool>,
) -> Result<(), Violation> {
    limits.check(value, |value| match (own, pattern.as_ref()) {
        (Some(own), _) => own(value),
        (None, Some(pattern)) => pattern.is_match(value),
        (None, None) => true,
    })
}

/// Serde and parsing for a type that is one checked `String`.
#[macro_export]
#[doc(hidden)]
macro_rules! parsed_from_text {
    ($name:ident) => {
        impl std::str::FromStr for $name {
            type Err = $crate::text::Violation;
            fn from_str(value: &str) -> Result<Self, Self::Err> {
                Self::try_from(value.to_owned())
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::try_from(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Declares text types: `Name: chars 1 to 64, "pattern";`; `up 128` where a setting may allow so much.
#[macro_export]
macro_rules! text {
    ($(
        $(#[$doc:meta])*
        $name:ident: $unit:ident $min:literal $(to $max:literal)? $(up $ceiling:literal)? $(, $pattern:literal)?
        $(, by $own:path)?;
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The limits, as published.
            pub const LIMITS: $crate::text::Limits = $crate::text::Limits {
                unit: $crate::text!(@unit $unit),
                min: $min,
                max: $crate::text!(@option $($max)?),
                ceiling: $crate::text!(@option $($ceiling)?),
                pattern: $crate::text!(@option $($pattern)?),
            };
            /// A text that was checked when it was stored.
            pub fn stored(text: String) -> Self {
                Self(text)
            }
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
            /// The text, given away.
            pub fn into_string(self) -> String {
                self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = $crate::text::Violation;
            fn try_from(value: String) -> Result<Self, Self::Error> {
                static PATTERN: std::sync::LazyLock<Option<regex::Regex>> =
                    std::sync::LazyLock::new(|| match $name::LIMITS.pattern {
                        None | Some("[\\s\\S]*") => None,
                        Some(pattern) => Some($crate::text::whole(pattern)),
                    });
                $crate::text::checked(&Self::LIMITS, &value, &PATTERN, $crate::text!(@own $($own)?))?;
                Ok(Self(value))
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::fmt::Debug for $name {
            // What people write may be secret; a log that prints a request shows only how long it was.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({} bytes)"), self.0.len())
            }
        }
        impl $crate::shape::Described for $name {
            fn shape() -> $crate::shape::Shape {
                let limits = Self::LIMITS;
                $crate::shape::Shape::Text { min: Some(limits.min), max: limits.max, pattern: limits.pattern }
            }
        }
        $crate::parsed_from_text!($name);
    )*};
    (@unit chars) => { $crate::text::Unit::Chars };
    (@unit bytes) => { $crate::text::Unit::Bytes };
    (@option) => { None };
    (@option $value:literal) => { Some($value) };
    (@own) => { None };
    (@own $own:path) => { Some($own as fn(&str) -> bool) };
}

/// Declares enumerations: `Name { Variant = "WIRE", … }`.
#[macro_export]
macro_rules! choice {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $wire:literal),+ $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value's wire form, in the interface's order.
            pub const WIRE: &'static [&'static str] = &[$($wire),+];
            /// The wire form.
            pub fn as_str(&self) -> &'static str {
                match self { $(Self::$variant => $wire),+ }
            }
        }
        impl TryFrom<String> for $name {
            type Error = $crate::text::Violation;
            fn try_from(value: String) -> Result<Self, Self::Error> {
                match value.as_str() {
                    $($wire => Ok(Self::$variant),)+
                    _ => Err($crate::text::Violation::new(concat!("must be one of" $(, " ", $wire)+))),
                }
            }
        }
        impl $crate::shape::Described for $name {
            fn shape() -> $crate::shape::Shape {
                $crate::shape::Shape::Choice(Self::WIRE)
            }
        }
        $crate::parsed_from_text!($name);
    )*};
}

/// Declares whole numbers with bounds: `Name: 1 to 50;`.
#[macro_export]
macro_rules! number {
    ($($(#[$doc:meta])* $name:ident: $min:literal $(to $max:literal)?;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// The least value.
            pub const MIN: i64 = $min;
            /// The greatest value, where one is published.
            pub const MAX: Option<i64> = $crate::text!(@option $($max)?);
            /// The number.
            pub fn get(self) -> i64 {
                self.0
            }
        }
        impl TryFrom<i64> for $name {
            type Error = $crate::text::Violation;
            fn try_from(value: i64) -> Result<Self, Self::Error> {
                if value < Self::MIN || Self::MAX.is_some_and(|max| max < value) {
                    let most = Self::MAX.map_or(String::new(), |max| format!(" and at most {max}"));
                    return Err($crate::text::Violation::new(format!(
                        "must be at least {}{most}, not {value}", Self::MIN
                    )));
                }
                Ok(Self(value))
            }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::text::Violation;
            fn from_str(value: &str) -> Result<Self, Self::Err> {
                let number: i64 =
                    value.parse().map_err(|_| $crate::text::Violation::new("must be a whole number"))?;
                Self::try_from(number)
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}", self.0)
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_i64(self.0)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::try_from(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
        impl $crate::shape::Described for $name {
            fn shape() -> $crate::shape::Shape {
                $crate::shape::Shape::Integer { min: Some(Self::MIN), max: Self::MAX }
            }
        }
    )*};
}

text! {
    /// Makes a repeated request have one effect.
    ClientRequestToken: chars 2 to 64, "[-_a-zA-Z0-9]*", by is_plain_id;
    /// An identifier that the caller chose for a channel.
    ChannelId: chars 1 to 64, r"[A-Za-z0-9]([A-Za-z0-9\:\-\_\.\@]{0,62}[A-Za-z0-9])?";
    /// An identifier that the caller chose for a user.
    UserId: chars 1 to 64, r"[A-Za-z0-9]([A-Za-z0-9\:\-\_\.\@]{0,62}[A-Za-z0-9])?";
    /// The name of a channel, a flow, a processor or an app instance.
    NonEmptyResourceName: chars 1 to 256,
        r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]*", by is_xml_text;
    /// A name that may be empty: what an `Identity` shows, and a bot's.
    ResourceName: chars 0 to 256,
        r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]*", by is_xml_text;
    /// The display name of a user.
    UserName: chars 1 to 100, r".*\S.*";
    /// Opaque text of the application, 1 KB.
    Metadata: bytes 0 to 1024, ".*", by is_one_line;
    /// The same on a message, where a setting may allow more.
    MessageMetadata: bytes 0 to 1024 up 65536, ".*", by is_one_line;
    /// The content of a new message; its limit depends on the message's type.
    NonEmptyContent: chars 1, r"[\s\S]*";
    /// The content of a stored message.
    Content: bytes 0 to 4096 up 65536, r"[\s\S]*";
    /// What the content is, a media type by custom.
    ContentType: chars 0 to 45, r"[\s\S]*";
    /// The identifier of a message in a request; see [`crate::key::MessageKey`] for those that exist.
    MessageId: chars 1 to 128, "[-_a-zA-Z0-9]*", by is_plain_id;
    /// The identifier of one sub-channel of an elastic channel.
    SubChannelId: chars 1 to 128, "[-_a-zA-Z0-9]*", by is_plain_id;
    /// Which messages a member is notified of; [`crate::filter`] knows its grammar.
    FilterRule: chars 1, r"[\s\S]*";
    /// One value that a search compares with.
    SearchFieldValue: chars 1 to 512, r"[\s\S]*";
    /// Why one entry of a batch failed.
    ErrorMessage: chars 0;
    /// The key of a message attribute.
    MessageAttributeName: chars 1 to 64, r"[\s\S]*";
    /// One value of a message attribute.
    MessageAttributeStringValue: chars 1 to 512, r"[\s\S]*";
    /// The title of a push notification.
    PushNotificationTitle: chars 1 to 50, ".*";
    /// The text of a push notification.
    PushNotificationBody: chars 1 to 150, r"[\s\S]*";
    /// Why a message has its status.
    StatusDetail: chars 0 to 256, r"[\s\S]*";
    /// Host and port of the sockets.
    UrlType: chars 0 to 4096;
    /// What a search for messages asks for.
    SearchQuery: chars 1 to 500, r"[\s\S]*";
    /// Where a page begins; opaque to clients.
    NextToken: chars 0 to 2048, ".*", by is_one_line;
    /// The name of one call of a processor, which its callback repeats.
    CallbackIdType: chars 32 to 64;
    /// The function that a processor is.
    LambdaFunctionArn: chars 15 to 2048,
        r"arn:aws:lambda:[a-z]{2}-[a-z]+-\d{1}:\d{12}:function:[a-zA-Z0-9\-_\.]+(:(\$LATEST|[a-zA-Z0-9\-_]+))?";
    /// The program that speaks for a bot.
    LexBotAliasArn: chars 15 to 2048,
        r"arn:aws:lex:[a-z]{2}-[a-z]+-\d{1}:\d{12}:bot-alias/[A-Z0-9]{10}/[A-Z0-9]{10}";
    /// What a bot says when it joins a channel.
    LexIntentName: chars 1 to 100, r"^([A-Za-z]_?)+$";
    /// A language.
    LocaleId: chars 0;
    /// The name of a device.
    EndpointName: chars 0 to 1600, ".*";
    /// The identifier of an endpoint in a request.
    EndpointId: chars 0 to 64, ".*";
    /// What a push service knows a device by.
    DeviceToken: chars 1 to 1600, ".*";
    /// The ARN of a user, where the interface asks for any text.
    LooseUserArn: chars 0 to 1600, ".*";
    /// The ARN of something that is not ours, as a stream.
    AnyArn: chars 5 to 1600,
        r"arn:[a-z0-9-\.]{1,63}:[a-z0-9-\.]{0,63}:[a-z0-9-\.]{0,63}:[a-z0-9-\.]{0,63}:[^/].{0,1023}";
    /// The key of a tag.
    TagKey: chars 1 to 128;
    /// The value of a tag.
    TagValue: chars 1 to 256;
}

choice! {
    /// Who may add members to a channel.
    ChannelMode {
        /// Members may.
        Unrestricted = "UNRESTRICTED",
        /// Only moderators and administrators may.
        Restricted = "RESTRICTED",
    }
    /// Who may find and read a channel.
    ChannelPrivacy {
        /// Everyone of the app instance.
        Public = "PUBLIC",
        /// Its members, moderators and administrators.
        Private = "PRIVATE",
    }
    /// How a member belongs to a channel.
    ChannelMembershipType {
        /// Seen by all, may write.
        Default = "DEFAULT",
        /// Seen by moderators only, may read only.
        Hidden = "HIDDEN",
    }
    /// What a message is.
    ChannelMessageType {
        /// What people read.
        Standard = "STANDARD",
        /// A small signal between clients, such as typing.
        Control = "CONTROL",
    }
    /// Whether a message is kept.
    ChannelMessagePersistenceType {
        /// Stored.
        Persistent = "PERSISTENT",
        /// Delivered to whoever is connected, then forgotten.
        NonPersistent = "NON_PERSISTENT",
    }
    /// How far a message has come.
    ChannelMessageStatus {
        /// Delivered to the channel.
        Sent = "SENT",
        /// In a channel flow.
        Pending = "PENDING",
        /// A processor could not be reached.
        Failed = "FAILED",
        /// A processor refused it.
        Denied = "DENIED",
    }
    /// What a member is notified of.
    AllowNotifications {
        /// Every message.
        All = "ALL",
        /// No message.
        None = "NONE",
        /// The messages that a rule lets through.
        Filtered = "FILTERED",
    }
    /// What a search looks at.
    SearchFieldKey {
        /// Who belongs to the channel.
        Members = "MEMBERS",
    }
    /// How a search compares.
    SearchFieldOperator {
        /// These and nobody else.
        Equals = "EQUALS",
        /// These, and perhaps others.
        Includes = "INCLUDES",
    }
    /// Why one entry of a batch failed: the codes of every interface of the family, of which ours uses nine.
    BatchErrorCode {
        /// The entry breaks a constraint.
        BadRequest = "BadRequest",
        /// It is there already.
        Conflict = "Conflict",
        /// It may not be.
        Forbidden = "Forbidden",
        /// It names nothing.
        NotFound = "NotFound",
        /// Not used.
        PreconditionFailed = "PreconditionFailed",
        /// A quota is full.
        ResourceLimitExceeded = "ResourceLimitExceeded",
        /// Our fault.
        ServiceFailure = "ServiceFailure",
        /// Not used.
        AccessDenied = "AccessDenied",
        /// Too much at once.
        ServiceUnavailable = "ServiceUnavailable",
        /// A rate is exceeded.
        Throttled = "Throttled",
        /// Not used.
        Throttling = "Throttling",
        /// No usable bearer.
        Unauthorized = "Unauthorized",
        /// Not used.
        Unprocessable = "Unprocessable",
        /// Not used.
        VoiceConnectorGroupAssociationsExist = "VoiceConnectorGroupAssociationsExist",
        /// Not used.
        PhoneNumberAssociationsExist = "PhoneNumberAssociationsExist",
    }
    /// What happens to a message when a processor cannot be reached.
    FallbackAction {
        /// It goes on to the next, or to the channel.
        Continue = "CONTINUE",
        /// It fails.
        Abort = "ABORT",
    }
    /// How a processor is called.
    InvocationType {
        /// It answers later, through a callback.
        Async = "ASYNC",
    }
    /// What is streamed.
    MessagingDataType {
        /// What happens to channels and memberships.
        Channel = "Channel",
        /// What happens to messages.
        ChannelMessage = "ChannelMessage",
    }
    /// How a push notification arrives.
    PushNotificationType {
        /// As a notification.
        Default = "DEFAULT",
        /// As a call.
        Voip = "VOIP",
    }
    /// The order of a list of messages.
    SortOrder {
        /// Oldest first.
        Ascending = "ASCENDING",
        /// Newest first.
        Descending = "DESCENDING",
    }
    /// When the days until expiration begin.
    ExpirationCriterion {
        /// At creation.
        CreatedTimestamp = "CREATED_TIMESTAMP",
        /// At the last message.
        LastMessageTimestamp = "LAST_MESSAGE_TIMESTAMP",
    }
    /// When a user's days until expiration begin: the identity interface knows only creation.
    UserExpirationCriterion {
        /// At creation.
        CreatedTimestamp = "CREATED_TIMESTAMP",
    }
    /// Which messages to everyone a bot answers.
    StandardMessages {
        /// Every one while it is alone with one member, else those that mention it.
        Auto = "AUTO",
        /// Every one.
        All = "ALL",
        /// Those that mention it.
        Mentions = "MENTIONS",
        /// None.
        None = "NONE",
    }
    /// Which messages to a bot alone it answers.
    TargetedMessages {
        /// Every one.
        All = "ALL",
        /// None.
        None = "NONE",
    }
    /// Which messages a bot answers, in older words.
    RespondsTo {
        /// Every one to everyone.
        StandardMessages = "STANDARD_MESSAGES",
    }
    /// What kind of push service reaches a device.
    EndpointType {
        /// Apple's.
        Apns = "APNS",
        /// Apple's, for applications under development.
        ApnsSandbox = "APNS_SANDBOX",
        /// Google's.
        Gcm = "GCM",
    }
    /// Whether a user wants to be notified on a device.
    AllowMessages {
        /// Of every message.
        All = "ALL",
        /// Of none.
        None = "NONE",
    }
    /// Whether a device can be reached.
    EndpointStatus {
        /// It can.
        Active = "ACTIVE",
        /// It cannot, and never will under this registration.
        Inactive = "INACTIVE",
    }
    /// Why a device cannot be reached.
    EndpointStatusReason {
        /// The push service does not know it, or it is somebody else's now.
        InvalidDeviceToken = "INVALID_DEVICE_TOKEN",
        /// The push application is gone.
        InvalidPinpointArn = "INVALID_PINPOINT_ARN",
    }
    /// The networks that the session endpoint should be reachable on.
    NetworkType {
        /// IPv4.
        Ipv4Only = "IPV4_ONLY",
        /// IPv4 and IPv6.
        DualStack = "DUAL_STACK",
    }
}

number! {
    /// The length of a page.
    MaxResults: 1 to 50;
    /// The place of a processor among those of its flow.
    ChannelFlowExecutionOrder: 1 to 3;
    /// Days until expiration.
    ExpirationDays: 1 to 5475;
    /// Days that messages are kept.
    RetentionDays: 1 to 5475;
    /// The most sub-channels of an elastic channel.
    MaximumSubChannels: 2;
    /// How many regular members fill a sub-channel.
    TargetMembershipsPerSubChannel: 2;
    /// Below this share of the target a sub-channel is dissolved.
    MinimumMembershipPercentage: 1 to 40;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_without_captures_matches_the_same() {
        assert_eq!(uncaptured(r"a(b(c)?)+"), r"a(?:b(?:c)?)+");
        assert_eq!(uncaptured(r"\((?:a)[(\](]"), r"\((?:a)[(\](]");
    }

    #[test]
    fn a_text_is_measured_in_characters_or_in_bytes() {
        let name = "é".repeat(256);
        assert!(NonEmptyResourceName::try_from(name.clone()).is_ok());
        assert!(NonEmptyResourceName::try_from(name + "é").is_err());
        assert!(Metadata::try_from("é".repeat(512)).is_ok());
        let refused = Metadata::try_from("é".repeat(513)).unwrap_err();
        assert_eq!(refused.to_string(), "must have at most 1024 bytes, not 1026");
    }

    #[test]
    fn a_text_matches_its_pattern_as_a_whole() {
        assert!("a.b@c:d".parse::<UserId>().is_ok());
        for bad in ["-a", "a-", "a/b", "", "a\n"] {
            assert!(bad.parse::<UserId>().is_err(), "{bad:?}");
        }
        assert!("two\nlines".parse::<Metadata>().is_err());
        assert!(" \t".parse::<UserName>().is_err());
        assert!("🛎 bells".parse::<NonEmptyResourceName>().is_ok());
        assert!("\u{0}".parse::<NonEmptyResourceName>().is_err());
    }

    #[test]
    fn a_choice_names_what_it_would_have_taken() {
        let refused = "SENDING".parse::<ChannelMessageStatus>().unwrap_err();
        assert_eq!(refused.to_string(), "must be one of SENT PENDING FAILED DENIED");
        assert_eq!("SENT".parse(), Ok(ChannelMessageStatus::Sent));
    }

    #[test]
    fn a_number_names_its_bounds() {
        assert_eq!("50".parse::<MaxResults>().map(MaxResults::get), Ok(50));
        let refused = "51".parse::<MaxResults>().unwrap_err();
        assert_eq!(refused.to_string(), "must be at least 1 and at most 50, not 51");
        assert!("".parse::<MaxResults>().is_err());
    }

    #[test]
    fn what_people_write_is_not_printed_by_debug() {
        let content: Content = "a secret".parse().unwrap();
        assert_eq!(format!("{content:?}"), "Content(8 bytes)");
    }
}
