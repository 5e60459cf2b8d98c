//! What operators are told of notifications that failed.

use std::collections::BTreeMap;

use carillon_service::front::push::{Device, Notice};
use carillon_targets::push::{Cause, Undelivered};
use serde_json::{Value, json};

/// Devices that one event names. The rest of a page has others.
const DEVICES_MAX: usize = 100;

/// What failed, in events of one application and one reason each.
pub(super) fn details(notice: &Notice, failed: &[(Device, Undelivered)]) -> Vec<Value> {
    let mut groups: BTreeMap<(&str, String), Vec<Value>> = BTreeMap::new();
    for (Device { user, endpoint }, undelivered) in failed {
        let key = (endpoint.resource.as_str(), reason(undelivered));
        let device = json!({ "appInstanceUserArn": user.as_str(), "endpointId": endpoint.key.uuid() });
        groups.entry(key).or_default().push(device);
    }
    let detail = |((resource, reason), devices): (&(&str, String), &[Value])| {
        json!({
            "eventType": "PushNotificationFailure",
            "appInstanceArn": notice.channel_arn.app_instance().as_str(),
            "channelArn": notice.channel_arn.as_str(),
            "messageId": notice.message_id,
            "resourceArn": resource,
            "endpoints": devices,
            "failureReason": reason,
        })
    };
    let events =
        groups.iter().flat_map(|(key, devices)| devices.chunks(DEVICES_MAX).map(move |some| (key, some)));
    events.map(detail).collect()
}

/// What the original would say, and what the service said.
fn reason(undelivered: &Undelivered) -> String {
    let meaning = match undelivered.cause {
        Cause::DeadToken => "The device is gone",
        Cause::DeadApplication => "The push application is gone",
        Cause::Unmapped => "The push application has no keys for the endpoint",
        Cause::Credentials => "The push service does not accept the keys of the push application",
        Cause::TooLarge => "The notification is too large",
        Cause::Refused => "The push service refuses the notification",
        Cause::Throttled => "The push service asks for fewer notifications",
        Cause::Outage => "The push service could not be reached",
    };
    format!("{meaning}: {}", undelivered.words)
}
