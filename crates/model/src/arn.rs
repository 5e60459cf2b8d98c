//! The ARNs of the service: `arn:aws:chime:REGION:ACCOUNT:app-instance/ID` and what lives below it.
//!
//! Identifiers may hold `:` (`us-east-1:7b0c…` is a legal user id), so an ARN is split at most five times
//! at `:`, then at `/`. A value of one of these types is well formed and of the right kind; whether the thing
//! exists, and whether it is of this region and account, is for others to say.

use std::fmt;

use crate::key::Key;
use crate::shape::{Described, Shape};
use crate::text::Violation;

/// Least length of an ARN.
pub const ARN_LENGTH_MIN: u64 = 5;
/// Greatest length of an ARN.
pub const ARN_LENGTH_MAX: u64 = 1600;
/// The published pattern of an ARN.
pub const ARN_PATTERN: &str =
    r"arn:[a-z0-9-\.]{1,63}:[a-z0-9-\.]{0,63}:[a-z0-9-\.]{0,63}:[a-z0-9-\.]{0,63}:[^/].{0,1023}";

/// The region and account that this server is, as the start of all its ARNs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    region: String,
    account: String,
    prefix: String,
}

impl Home {
    /// The home in this region and account.
    pub fn new(region: &str, account: &str) -> Self {
        let prefix = format!("arn:aws:chime:{region}:{account}:app-instance/");
        Self { region: region.to_owned(), account: account.to_owned(), prefix }
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The account.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The ARN of the app instance with this key.
    pub fn app_instance(&self, key: Key) -> AppInstanceArn {
        AppInstanceArn(format!("{}{}", self.prefix, key.uuid()))
    }

    /// Whether an ARN belongs here.
    pub fn owns(&self, arn: &str) -> bool {
        arn.starts_with(&self.prefix)
    }
}

/// The kinds of things below an app instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Bot,
    Channel,
    ChannelFlow,
}

/// Where the parts of a well-formed ARN of ours begin.
struct Parts {
    instance_end: usize,
    child: Option<(Kind, usize)>,
}

fn split(text: &str) -> Result<Parts, Violation> {
    const MALFORMED: Violation = Violation(std::borrow::Cow::Borrowed("must be an ARN"));
    let length = text.len() as u64;
    if !(ARN_LENGTH_MIN..=ARN_LENGTH_MAX).contains(&length) {
        return Err(MALFORMED);
    }
    let mut parts = text.splitn(6, ':');
    let plain = |part: &str| {
        part.len() <= 63 && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
    };
    let head =
        parts.next() == Some("arn") && parts.next().is_some_and(|part| !part.is_empty() && plain(part));
    let (service, region, account) = (parts.next(), parts.next(), parts.next());
    let (Some("chime"), Some(region), Some(account), Some(resource), true) =
        (service, region, account, parts.next(), head)
    else {
        return Err(MALFORMED);
    };
    if !plain(region) || !plain(account) || resource.contains('\n') {
        return Err(MALFORMED);
    }
    let below = resource.strip_prefix("app-instance/").ok_or(MALFORMED)?;
    let (instance, child) = below.split_once('/').map_or((below, None), |(id, child)| (id, Some(child)));
    if instance.is_empty() {
        return Err(MALFORMED);
    }
    let instance_end = text.len() - child.map_or(0, |child| child.len() + 1);
    let child = child.map(|child| split_child(child, text.len()).ok_or(MALFORMED)).transpose()?;
    Ok(Parts { instance_end, child })
}

fn split_child(child: &str, end: usize) -> Option<(Kind, usize)> {
    let (kind, id) = child.split_once('/')?;
    let kind = match kind {
        "user" => Kind::User,
        "bot" => Kind::Bot,
        "channel" => Kind::Channel,
        "channel-flow" => Kind::ChannelFlow,
        _ => return None,
    };
    (!id.is_empty() && !id.contains('/')).then(|| (kind, end - id.len()))
}

macro_rules! arn_type {
    ($name:ident) => {
        impl $name {
            /// The ARN.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl Described for $name {
            fn shape() -> Shape {
                Shape::Text {
                    min: Some(ARN_LENGTH_MIN),
                    max: Some(ARN_LENGTH_MAX),
                    pattern: Some(ARN_PATTERN),
                }
            }
        }
        crate::parsed_from_text!($name);
    };
}

/// The ARN of an app instance.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppInstanceArn(String);

arn_type!(AppInstanceArn);

impl TryFrom<String> for AppInstanceArn {
    type Error = Violation;
    fn try_from(text: String) -> Result<Self, Violation> {
        match split(&text)? {
            Parts { child: None, .. } => Ok(Self(text)),
            Parts { .. } => Err(Violation::new("must be the ARN of an app instance")),
        }
    }
}

impl AppInstanceArn {
    /// The key, where the id is one that a server makes.
    pub fn key(&self) -> Option<Key> {
        Key::from_uuid(self.0.rsplit('/').next().unwrap_or_default())
    }

    /// The ARN of the user with this id.
    pub fn user(&self, id: &str) -> IdentityArn {
        self.identity(IdentityKind::User, id)
    }

    /// The ARN of the user or bot with this id.
    pub fn identity(&self, kind: IdentityKind, id: &str) -> IdentityArn {
        let text = format!("{}/{}/{id}", self.0, kind.segment());
        IdentityArn { id_start: text.len() - id.len(), kind, instance_end: self.0.len(), text }
    }

    /// The ARN of the channel flow with this id.
    pub fn channel_flow(&self, id: &str) -> ChannelFlowArn {
        let text = format!("{}/channel-flow/{id}", self.0);
        ChannelFlowArn { id_start: text.len() - id.len(), instance_end: self.0.len(), text }
    }

    /// The ARN of the channel with this id.
    pub fn channel(&self, id: &str) -> ChannelArn {
        let text = format!("{}/channel/{id}", self.0);
        ChannelArn { id_start: text.len() - id.len(), instance_end: self.0.len(), text }
    }
}

/// Whether an identity is a person's or a program's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentityKind {
    /// An app instance user.
    User,
    /// An app instance bot.
    Bot,
}

impl IdentityKind {
    /// How an ARN spells it.
    pub fn segment(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Bot => "bot",
        }
    }

    /// The kind that an ARN spells so.
    pub fn from_segment(text: &str) -> Option<Self> {
        [Self::User, Self::Bot].into_iter().find(|kind| kind.segment() == text)
    }
}

/// The ARN of a user or of a bot: whoever can bear a request and belong to a channel.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityArn {
    text: String,
    instance_end: usize,
    id_start: usize,
    kind: IdentityKind,
}

impl TryFrom<String> for IdentityArn {
    type Error = Violation;
    fn try_from(text: String) -> Result<Self, Violation> {
        let Parts { instance_end, child } = split(&text)?;
        let (kind, id_start) = match child {
            Some((Kind::User, at)) => (IdentityKind::User, at),
            Some((Kind::Bot, at)) => (IdentityKind::Bot, at),
            _ => return Err(Violation::new("must be the ARN of an app instance user or bot")),
        };
        Ok(Self { text, instance_end, id_start, kind })
    }
}

impl IdentityArn {
    /// Whether it names a user or a bot.
    pub fn kind(&self) -> IdentityKind {
        self.kind
    }
}

/// The ARN of a channel.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelArn {
    text: String,
    instance_end: usize,
    id_start: usize,
}

impl TryFrom<String> for ChannelArn {
    type Error = Violation;
    fn try_from(text: String) -> Result<Self, Violation> {
        match split(&text)? {
            Parts { instance_end, child: Some((Kind::Channel, id_start)) } => {
                Ok(Self { text, instance_end, id_start })
            }
            Parts { .. } => Err(Violation::new("must be the ARN of a channel")),
        }
    }
}

/// The ARN of a channel flow.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelFlowArn {
    text: String,
    instance_end: usize,
    id_start: usize,
}

impl TryFrom<String> for ChannelFlowArn {
    type Error = Violation;
    fn try_from(text: String) -> Result<Self, Violation> {
        match split(&text)? {
            Parts { instance_end, child: Some((Kind::ChannelFlow, id_start)) } => {
                Ok(Self { text, instance_end, id_start })
            }
            Parts { .. } => Err(Violation::new("must be the ARN of a channel flow")),
        }
    }
}

/// The ARN of anything that can have tags.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceArn(String);

arn_type!(ResourceArn);

impl TryFrom<String> for ResourceArn {
    type Error = Violation;
    fn try_from(text: String) -> Result<Self, Violation> {
        split(&text).map(|_| Self(text))
    }
}

/// What the ARN of a resource names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// An app instance.
    AppInstance(AppInstanceArn),
    /// A user or a bot.
    Identity(IdentityArn),
    /// A channel.
    Channel(ChannelArn),
    /// A channel flow.
    ChannelFlow(ChannelFlowArn),
}

impl ResourceArn {
    /// What it names.
    pub fn resource(&self) -> Resource {
        let (text, parts) = (self.0.clone(), split(&self.0).expect("it was split when it was made"));
        let Parts { instance_end, child } = parts;
        match child {
            None => Resource::AppInstance(AppInstanceArn(text)),
            Some((Kind::User, id_start)) => {
                Resource::Identity(IdentityArn { text, instance_end, id_start, kind: IdentityKind::User })
            }
            Some((Kind::Bot, id_start)) => {
                Resource::Identity(IdentityArn { text, instance_end, id_start, kind: IdentityKind::Bot })
            }
            Some((Kind::Channel, id_start)) => Resource::Channel(ChannelArn { text, instance_end, id_start }),
            Some((Kind::ChannelFlow, id_start)) => {
                Resource::ChannelFlow(ChannelFlowArn { text, instance_end, id_start })
            }
        }
    }
}

macro_rules! child_arn {
    ($($name:ident),*) => {$(
        impl $name {
            /// The ARN.
            pub fn as_str(&self) -> &str {
                &self.text
            }
            /// The app instance that it belongs to.
            pub fn app_instance(&self) -> AppInstanceArn {
                AppInstanceArn(self.text[..self.instance_end].to_owned())
            }
            /// The key of that app instance, where its id is one that a server makes.
            pub fn app_instance_key(&self) -> Option<Key> {
                let instance = &self.text[..self.instance_end];
                Key::from_uuid(instance.rsplit('/').next().unwrap_or_default())
            }
            /// Its own id, the last part.
            pub fn id(&self) -> &str {
                &self.text[self.id_start..]
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl Described for $name {
            fn shape() -> Shape {
                AppInstanceArn::shape()
            }
        }
        crate::parsed_from_text!($name);
    )*};
}

child_arn!(IdentityArn, ChannelArn, ChannelFlowArn);

#[cfg(test)]
mod tests {
    use super::*;

    const INSTANCE: &str =
        "arn:aws:chime:us-east-1:111122223333:app-instance/8d1e2f30-aaaa-4bbb-8ccc-000000000001";

    #[test]
    fn an_arn_is_taken_apart_and_put_together() {
        let instance: AppInstanceArn = INSTANCE.parse().unwrap();
        let user: IdentityArn = format!("{INSTANCE}/user/us-east-1:7b0c").parse().unwrap();
        assert_eq!((user.id(), user.kind()), ("us-east-1:7b0c", IdentityKind::User));
        assert_eq!(user.app_instance(), instance);
        assert_eq!(user, instance.user("us-east-1:7b0c"));
        assert_eq!(instance.channel("lobby"), format!("{INSTANCE}/channel/lobby").parse().unwrap());
        let home = Home::new("us-east-1", "111122223333");
        assert_eq!(home.app_instance(instance.key().unwrap()), instance);
        assert!(home.owns(user.as_str()) && !Home::new("us-east-1", "1").owns(user.as_str()));
    }

    #[test]
    fn what_is_no_arn_of_its_kind_is_refused() {
        for bad in [
            "",
            "arn",
            "arn:aws:chime",
            "lobby",
            "arn:aws:s3:::app-instance/x",
            "arn:aws:chime:r:a:app-instance/",
        ] {
            assert!(bad.parse::<AppInstanceArn>().is_err(), "{bad}");
        }
        for bad in ["/channel/", "/channel", "/channel/a/b", "/room/a", "", "/user/ana"] {
            assert!(format!("{INSTANCE}{bad}").parse::<ChannelArn>().is_err(), "{bad}");
        }
        assert!(format!("{INSTANCE}/channel/lobby").parse::<IdentityArn>().is_err());
        assert!(INSTANCE.to_uppercase().parse::<AppInstanceArn>().is_err());
    }
}
