//! Push services: what a device is sent, and what became of it. One file for each wire.
//!
//! A push application is what an endpoint's `ResourceArn` names: the keys that an operator has for it. The module knows
//! one endpoint and one notification at a time. Who is notified, and what is done about a failure, is decided
//! elsewhere.

mod apns;
mod fcm;
mod jwt;
mod outcome;
mod pinpoint;
#[cfg(test)]
mod tests;
mod web_push;

use std::collections::HashMap;

use carillon_model::Timestamp;
use carillon_model::endpoint::Endpoint;
use carillon_model::text::EndpointType;
use serde_json::{Value, json};

pub use apns::{Apns, ApnsSettings};
pub use fcm::{Fcm, FcmSettings};
pub use outcome::{Cause, Undelivered};
pub use pinpoint::Pinpoint;
pub use web_push::{VapidKey, WebPush};

/// What all push services are called by.
pub const CALL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// What a device is to show, and what its application loads the message by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification<'a> {
    /// Its title.
    pub title: &'a str,
    /// Its text.
    pub body: &'a str,
    /// Whether it is a call: it is worth something now, or not at all.
    pub voip: bool,
    /// The id of the message.
    pub message_id: &'a str,
    /// The channel that it is in.
    pub channel_arn: &'a str,
}

impl Notification<'_> {
    /// What leads an application to the message.
    fn ids(&self) -> Value {
        json!({ "chime.message_id": self.message_id, "chime.channel_arn": self.channel_arn })
    }
}

/// The keys of one push application.
#[derive(Default)]
pub struct Application {
    /// For Apple's devices.
    pub apns: Option<Apns>,
    /// For Android's.
    pub fcm: Option<Fcm>,
    /// For browsers.
    pub web_push: Option<WebPush>,
    /// For all devices that have none of these.
    pub pinpoint: Option<Pinpoint>,
    /// Whether endpoints stay as they are whose device is said to be gone.
    pub keeps_dead: bool,
}

/// All push applications, by their ARNs.
#[derive(Default)]
pub struct Push {
    applications: HashMap<String, Application>,
}

/// Where an endpoint is reached.
#[derive(Debug, PartialEq, Eq)]
pub enum Way {
    /// Through this target, which has a gate of its own.
    Through(String),
    /// It gets no notification of this kind.
    Skip,
    /// Not at all, for this reason.
    None(Undelivered),
}

impl Push {
    /// These applications.
    pub fn new(applications: HashMap<String, Application>) -> Self {
        Self { applications }
    }

    /// The public key of an application that notifies browsers, as they want it to subscribe.
    pub fn web_push_key(&self, resource: &str) -> Option<&str> {
        Some(self.applications.get(resource)?.web_push.as_ref()?.public_key())
    }

    /// Whether endpoints of an application become INACTIVE when their device is gone.
    pub fn deactivates(&self, resource: &str) -> bool {
        self.applications.get(resource).is_none_or(|application| !application.keeps_dead)
    }

    /// Where an endpoint is reached.
    pub fn way(&self, endpoint: &Endpoint, voip: bool) -> Way {
        let resource = endpoint.resource.as_str();
        let is_gcm = endpoint.kind == EndpointType::Gcm;
        if voip && !is_gcm && endpoint.voip_device_token.is_none() {
            return Way::Skip;
        }
        let Some(application) = self.applications.get(resource) else {
            return Way::None(Undelivered::unmapped("the push application is not configured"));
        };
        let service = match endpoint.kind {
            EndpointType::Gcm if web_push::is_subscription(endpoint.device_token.as_str()) => {
                let Some(web_push) = &application.web_push else {
                    return Way::None(Undelivered::unmapped("the push application has no web_push"));
                };
                return match web_push.destination(endpoint.device_token.as_str()) {
                    // A push service is what its browser says it is: each has a gate, so that one that somebody made
                    // up closes none but its own.
                    Ok(destination) => Way::Through(format!("{resource} web_push {}", destination.origin())),
                    Err(refused) => Way::None(refused),
                };
            }
            EndpointType::Gcm => application.fcm.as_ref().map(|_| "fcm"),
            EndpointType::Apns => application.apns.as_ref().map(|_| "apns"),
            EndpointType::ApnsSandbox => application.apns.as_ref().map(|_| "apns_sandbox"),
        };
        match service.or(application.pinpoint.as_ref().map(|_| "pinpoint")) {
            Some(service) => Way::Through(format!("{resource} {service}")),
            None if is_gcm => Way::None(Undelivered::unmapped("the push application has no fcm")),
            None => Way::None(Undelivered::unmapped("the push application has no apns")),
        }
    }

    /// Hands a notification to the push service of an endpoint, at this real time.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        notification: &Notification<'_>,
        now: Timestamp,
    ) -> Result<(), Undelivered> {
        let unmapped = || Undelivered::unmapped("the push application is not configured");
        let application = self.applications.get(endpoint.resource.as_str()).ok_or_else(unmapped)?;
        let token = endpoint.device_token.as_str();
        let is_gcm = endpoint.kind == EndpointType::Gcm;
        if is_gcm && web_push::is_subscription(token) {
            let web_push = application.web_push.as_ref().ok_or_else(unmapped)?;
            return Box::pin(web_push.send(token, notification, now)).await;
        }
        // Boxed, because these are large, and many wait.
        let call = Box::pin(async {
            match (&application.fcm, &application.apns) {
                (Some(fcm), _) if is_gcm => fcm.send(token, notification, now).await,
                (_, Some(apns)) if !is_gcm => apns.send(endpoint, notification, now).await,
                _ => {
                    application
                        .pinpoint
                        .as_ref()
                        .ok_or_else(unmapped)?
                        .send(endpoint, notification, now)
                        .await
                }
            }
        });
        tokio::time::timeout(CALL_TIMEOUT, call).await.unwrap_or_else(|_| Err(Undelivered::timed_out()))
    }
}
