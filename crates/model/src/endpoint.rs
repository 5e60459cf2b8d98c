//! Endpoints: the devices that a user is notified on.

use crate::key::Key;
use crate::text::{
    AllowMessages, AnyArn, DeviceToken, EndpointName, EndpointStatus, EndpointStatusReason, EndpointType,
};
use crate::timestamp::Timestamp;

/// A device of a user.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Its key, which its `EndpointId` spells.
    pub key: Key,
    /// The user.
    pub owner: Key,
    /// A digest of what it is reached by; two endpoints of one device have the same.
    pub device: [u8; 32],
    /// Its name.
    pub name: Option<EndpointName>,
    /// What kind of push service reaches it.
    pub kind: EndpointType,
    /// The push application that it belongs to.
    pub resource: AnyArn,
    /// What the push service knows it by.
    pub device_token: DeviceToken,
    /// What the push service knows it by for calls.
    pub voip_device_token: Option<DeviceToken>,
    /// Whether its user wants to be notified there.
    pub allow_messages: AllowMessages,
    /// Whether it can be reached.
    pub status: EndpointStatus,
    /// Why it cannot.
    pub status_reason: Option<EndpointStatusReason>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}
