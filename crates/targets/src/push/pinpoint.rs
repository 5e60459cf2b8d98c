//! Pinpoint's `SendMessages`, for whoever still has a push application there: what AWS itself calls.

use std::sync::Arc;

use carillon_model::Timestamp;
use carillon_model::channel_flow::Reason;
use carillon_model::endpoint::Endpoint;
use carillon_model::text::EndpointType;
use serde::Deserialize;
use serde_json::{Value, json};

use super::outcome::{Cause, Undelivered};
use super::{CALL_TIMEOUT, Notification};
use crate::aws::{Aws, Call, Service};
use crate::wire::Refusal;

/// A push application at AWS.
pub struct Pinpoint {
    aws: Arc<Aws>,
    region: String,
    path: String,
}

/// What is said of one address.
#[derive(Deserialize)]
struct Delivery {
    #[serde(rename = "DeliveryStatus")]
    status: String,
    #[serde(rename = "StatusCode", default)]
    code: u16,
    #[serde(rename = "StatusMessage", default)]
    message: String,
}

impl Pinpoint {
    /// The application of a region with this id.
    pub fn new(aws: Arc<Aws>, region: &str, id: &str) -> Self {
        Self { aws, region: region.to_owned(), path: format!("/v1/apps/{id}/messages") }
    }

    pub(super) async fn send(
        &self,
        endpoint: &Endpoint,
        notification: &Notification<'_>,
        now: Timestamp,
    ) -> Result<(), Undelivered> {
        let (address, message) = message(endpoint, notification);
        let call = Call {
            service: Service::PINPOINT,
            region: Some(&self.region),
            path: &self.path,
            headers: &[("content-type", "application/json")],
            body: message.to_string(),
            timeout: CALL_TIMEOUT,
        };
        let answer = self.aws.call(call, now).await.map_err(|refusal| refused(&refusal))?;
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let delivery = Delivery::deserialize(&said["Result"][address]);
        outcome(&delivery.map_err(|_| Undelivered::new(Cause::Outage, "the answer is not Pinpoint's"))?)
    }
}

/// The address, and what is sent to it.
fn message<'a>(endpoint: &'a Endpoint, notification: &Notification<'_>) -> (&'a str, Value) {
    let voip = endpoint.voip_device_token.as_ref().filter(|_| notification.voip);
    let (channel, kind) = match (endpoint.kind, voip.is_some()) {
        (EndpointType::Gcm, _) => ("GCM", "GCMMessage"),
        (EndpointType::Apns, false) => ("APNS", "APNSMessage"),
        (EndpointType::Apns, true) => ("APNS_VOIP", "APNSMessage"),
        (EndpointType::ApnsSandbox, false) => ("APNS_SANDBOX", "APNSMessage"),
        (EndpointType::ApnsSandbox, true) => ("APNS_VOIP_SANDBOX", "APNSMessage"),
    };
    let address = voip.unwrap_or(&endpoint.device_token).as_str();
    let content = json!({
        "Action": "OPEN_APP", "Title": notification.title, "Body": notification.body,
        "Priority": if kind == "GCMMessage" { "high" } else { "10" }, "Data": notification.ids(),
    });
    let message = json!({
        "Addresses": { address: { "ChannelType": channel } },
        "MessageConfiguration": { kind: content },
    });
    (address, message)
}

fn outcome(delivery: &Delivery) -> Result<(), Undelivered> {
    let cause = match (delivery.status.as_str(), delivery.code) {
        ("SUCCESSFUL" | "DUPLICATE", _) => return Ok(()),
        ("PERMANENT_FAILURE", 404 | 410) => Cause::DeadToken,
        ("PERMANENT_FAILURE" | "OPT_OUT", _) => Cause::Refused,
        ("THROTTLED", _) => Cause::Throttled,
        _ => Cause::Outage,
    };
    let words = format!("{}: {}", delivery.status, delivery.message);
    Err(Undelivered::new(cause, &words))
}

fn refused(refusal: &Refusal) -> Undelivered {
    let cause = match refusal.failure.reason {
        Reason::NotFound => Cause::DeadApplication,
        Reason::NotPermitted => Cause::Credentials,
        Reason::Throttled => Cause::Throttled,
        _ if refusal.failure.permanent => Cause::Refused,
        _ => Cause::Outage,
    };
    let words = format!("{} {} {}", refusal.failure.reason, refusal.code, refusal.message);
    Undelivered::new(cause, words.trim_end())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOTIFICATION, endpoint};
    use super::*;

    #[test]
    fn each_type_of_endpoint_has_its_channel() {
        let call = Notification { voip: true, ..NOTIFICATION };
        for (kind, notification, token, channel) in [
            (EndpointType::Apns, &NOTIFICATION, "alert", "APNS"),
            (EndpointType::Apns, &call, "call", "APNS_VOIP"),
            (EndpointType::ApnsSandbox, &NOTIFICATION, "alert", "APNS_SANDBOX"),
            (EndpointType::ApnsSandbox, &call, "call", "APNS_VOIP_SANDBOX"),
        ] {
            let (endpoint, due) = (endpoint(kind, "alert", Some("call")), json!({ "ChannelType": channel }));
            let (address, message) = message(&endpoint, notification);
            assert_eq!((address, &message["Addresses"][token]), (token, &due));
            assert_eq!(message["MessageConfiguration"]["APNSMessage"]["Title"], "Lobby");
        }
        let android = endpoint(EndpointType::Gcm, "android", None);
        let (address, message) = message(&android, &call);
        assert_eq!((address, &message["Addresses"][address]["ChannelType"]), ("android", &json!("GCM")));
        let data = &message["MessageConfiguration"]["GCMMessage"]["Data"];
        assert_eq!(data, &json!({ "chime.message_id": "0a6f", "chime.channel_arn": "arn:lobby" }));
    }

    #[test]
    fn what_pinpoint_says_of_an_address_is_understood() {
        let cause = |status: &str, code| {
            let delivery = Delivery { status: status.to_owned(), code, message: String::new() };
            outcome(&delivery).err().map(|undelivered| undelivered.cause)
        };
        assert_eq!(cause("SUCCESSFUL", 200), None);
        assert_eq!(cause("DUPLICATE", 200), None);
        assert_eq!(cause("PERMANENT_FAILURE", 410), Some(Cause::DeadToken));
        assert_eq!(cause("PERMANENT_FAILURE", 400), Some(Cause::Refused));
        assert_eq!(cause("OPT_OUT", 200), Some(Cause::Refused));
        assert_eq!(cause("THROTTLED", 429), Some(Cause::Throttled));
        assert_eq!(cause("UNKNOWN_FAILURE", 500), Some(Cause::Outage));
    }
}
