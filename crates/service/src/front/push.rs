//! Who is notified: the members of a channel, page by page, as far as their preferences, their endpoints and the kind
//! of the notification let them be.

use carillon_model::Timestamp;
use carillon_model::arn::IdentityArn;
use carillon_model::channel::Preferences;
use carillon_model::endpoint::Endpoint;
use carillon_model::filter::Rule;
use carillon_model::message::Attributes;
use carillon_model::text::{AllowMessages, AllowNotifications, EndpointStatus, EndpointStatusReason};
use carillon_store::outgoing::{Outgoing, Place};
use carillon_store::preferences::Notifiable;
use carillon_store::{self as store, LIST_LEN_MAX, Lane, Tx};

use crate::chat::push::{FanOut, Single};
pub use crate::chat::push::{Notice, QUEUE};
use crate::error::{Error, Result};
use crate::front::service::Service;

/// Members that are looked at in one transaction,
const MEMBERS_MAX: usize = 2_000;
/// and devices that it ends after: of the last members there may be as many more as a user may have.
const DEVICES_MAX: usize = 500;

/// A device that is to be notified.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Whose it is.
    pub user: IdentityArn,
    /// The device.
    pub endpoint: Endpoint,
}

/// Some of the devices that are to be notified of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What they are told.
    pub notice: Notice,
    /// The devices.
    pub devices: Vec<Device>,
    /// What the row is to say from here on, unless these were the last.
    pub rest: Option<String>,
}

/// A device that is to be tried again, if it still is to be notified, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Again {
    /// What it is told.
    pub notice: Notice,
    /// The device.
    pub device: Option<Device>,
    /// Not before this.
    pub due_at: Timestamp,
}

/// The row of a device that is to be tried again by itself. Devices go out in no order among each other, so it stands
/// under the device; the number is the message's, and the channel's key keeps those of two channels apart.
pub fn again(notice: &Notice, device: &Device, message: &Outgoing, due_at: Timestamp) -> Outgoing {
    let Place { channel, sequence, .. } = message.place;
    let single = Single {
        notice: notice.clone(),
        user: device.user.clone(),
        owner: device.endpoint.owner,
        endpoint: device.endpoint.key,
        due_at,
    };
    let part = i64::from_be_bytes(*channel.0.first_chunk().expect("a key has 16 bytes"));
    let place = Place { channel: device.endpoint.key, sequence, part };
    Outgoing { place, at: message.at, body: written(&single) }
}

/// Whether a row is of a call: it is worth something now, or not at all.
pub fn is_voip(row: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Row {
        notice: Notice,
    }
    serde_json::from_str::<Row>(row).is_ok_and(|row| row.notice.voip)
}

impl Service {
    /// The next devices that are to be notified of a message.
    pub async fn list_devices(&self, row: &str) -> Result<Page> {
        let fan_out: FanOut = read(row)?;
        let list = move |tx: &mut Tx| {
            let mut fan_out = fan_out.clone();
            let mut devices = Vec::new();
            let mut is_over = false;
            for _ in 0..MEMBERS_MAX / LIST_LEN_MAX {
                let members = list_members(tx, &fan_out)?;
                is_over = fan_out.target.is_some() || members.len() < LIST_LEN_MAX;
                fan_out.after = members.last().map(|last| last.member.key).or(fan_out.after);
                devices.extend(devices_of(tx, members, fan_out.attributes.as_ref())?);
                if is_over || DEVICES_MAX <= devices.len() {
                    break;
                }
            }
            let rest = (!is_over).then(|| written(&fan_out));
            Ok::<_, Error>(Page { notice: fan_out.notice, devices, rest })
        };
        self.store().read(list).await
    }

    /// The one device that is to be tried again, if it still is to be notified.
    pub async fn find_device(&self, row: &str) -> Result<Again> {
        let Single { notice, user, owner, endpoint, due_at } = read(row)?;
        let find = move |tx: &mut Tx| Ok::<_, Error>(store::endpoint::find(tx, owner, endpoint)?);
        let found = self.store().read(find).await?.filter(|endpoint| {
            endpoint.status == EndpointStatus::Active && endpoint.allow_messages == AllowMessages::All
        });
        Ok(Again { notice, device: found.map(|endpoint| Device { user, endpoint }), due_at })
    }

    /// Says of devices of one app instance that they can no longer be reached, and why.
    pub async fn deactivate(&self, gone: Vec<(Device, EndpointStatusReason)>) -> Result<()> {
        let Some((first, _)) = gone.first() else { return Ok(()) };
        let (lane, now) = (Lane::instance(&first.user.app_instance()), self.surroundings().clock.now());
        let deactivate = move |tx: &mut Tx| {
            for (Device { endpoint, .. }, reason) in &gone {
                store::endpoint::deactivate(tx, (endpoint.owner, endpoint.key), *reason, now)?;
            }
            Ok::<_, Error>(())
        };
        self.store().write(lane, deactivate).await
    }
}

/// The next members whom a message may be for.
fn list_members(tx: &mut Tx, fan_out: &FanOut) -> Result<Vec<Notifiable>> {
    let (instance, place) = (fan_out.notice.channel_arn.app_instance(), (fan_out.channel, fan_out.place));
    let limit = i64::try_from(LIST_LEN_MAX).unwrap_or(i64::MAX);
    Ok(match fan_out.target {
        Some(target) => {
            store::preferences::find_notifiable(tx, &instance, place, target)?.into_iter().collect()
        }
        None => store::preferences::list(tx, &instance, place, fan_out.after, limit)?,
    })
}

/// The devices of those who want to be notified.
fn devices_of(tx: &mut Tx, members: Vec<Notifiable>, attributes: Option<&Attributes>) -> Result<Vec<Device>> {
    let mut willing: Vec<_> =
        members.into_iter().filter(|one| is_willing(one.preferences.as_ref(), attributes)).collect();
    willing.sort_by_key(|one| one.member.key);
    let owners: Vec<_> = willing.iter().map(|one| one.member.key).collect();
    let endpoints = store::endpoint::list_reachable(tx, &owners)?;
    let device = |endpoint: Endpoint| {
        let at = willing.binary_search_by_key(&endpoint.owner, |one| one.member.key).ok()?;
        Some(Device { user: willing[at].member.arn.clone(), endpoint })
    };
    Ok(endpoints.into_iter().filter_map(device).collect())
}

/// Whether a member wants to be notified of a message with these attributes. Who never said does.
fn is_willing(preferences: Option<&Preferences>, attributes: Option<&Attributes>) -> bool {
    let Some(preferences) = preferences else { return true };
    match (preferences.allow_notifications, &preferences.filter_rule) {
        (AllowNotifications::All, _) => true,
        (AllowNotifications::Filtered, Some(rule)) => {
            let none = Attributes::new();
            Rule::read(rule).is_ok_and(|rule| rule.passes(attributes.unwrap_or(&none)))
        }
        (AllowNotifications::None | AllowNotifications::Filtered, _) => false,
    }
}

fn read<'a, T: serde::Deserialize<'a>>(row: &'a str) -> Result<T> {
    serde_json::from_str(row)
        .map_err(|error| store::Error::broken(format!("a push that waits: {error}")).into())
}

fn written(row: &impl serde::Serialize) -> String {
    serde_json::to_string(row).expect("texts always serialize")
}

#[cfg(test)]
mod tests {
    use carillon_model::text::{ChannelMode, ChannelPrivacy, PushNotificationType};
    use carillon_store::outgoing::{Line, list};

    use super::*;
    use crate::operations::identity::register_app_instance_user_endpoint::RegisterAppInstanceUserEndpoint;
    use crate::operations::messaging::send_channel_message::SendChannelMessage;
    use crate::shapes::PushNotificationConfiguration;
    use crate::testing::*;

    fn notification(kind: Option<PushNotificationType>) -> PushNotificationConfiguration {
        PushNotificationConfiguration { title: Some(text("Lobby")), body: Some(text("Hi")), kind }
    }

    /// What waits to be pushed.
    fn waiting(service: &Service) -> Vec<Outgoing> {
        let read = |tx: &mut Tx| {
            let line = |shard| Line { shard, queue: QUEUE.to_owned() };
            let rows = (0..store::outgoing::SHARDS).map(|shard| list(tx, &line(shard), Place::FIRST, 100));
            Ok::<_, Error>(rows.collect::<store::Result<Vec<_>>>()?.concat())
        };
        futures(service.store().read(read)).unwrap()
    }

    /// The devices of all pages of a row, and how many pages there are.
    fn walked(service: &Service, row: &Outgoing) -> (Vec<Device>, usize) {
        let (mut devices, mut pages, mut rest) = (Vec::new(), 0, Some(row.body.clone()));
        while let Some(body) = rest {
            let page = futures(service.list_devices(&body)).unwrap();
            devices.extend(page.devices);
            (pages, rest) = (pages + 1, page.rest);
        }
        (devices, pages)
    }

    #[engine_test]
    fn a_message_leaves_one_row_and_its_pages_have_each_device_once(world: &mut World) {
        let ([service, _], ana) = (world.nodes(), world.user("ana"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        for number in 0..LIST_LEN_MAX + 20 {
            let member = world.user(&format!("m{number}"));
            world.join(&channel, &ana, &member);
            for device in 0..6 {
                let request = endpoint_request(&member, &format!("d{number}-{device}"));
                world.call(&RegisterAppInstanceUserEndpoint { ..request }).unwrap();
            }
        }
        assert_eq!(waiting(&service), []);
        world.send(&channel, &ana, "without a notification");
        assert_eq!(waiting(&service), []);
        let send = SendChannelMessage {
            push_notification: Some(notification(None)),
            client_request_token: text("push"),
            ..message_request(&channel, &ana, "with one")
        };
        world.call(&send).unwrap();
        world.call(&send).unwrap();
        let rows = waiting(&service);
        assert_eq!(rows.len(), 1, "also when it is repeated");
        let (devices, pages) = walked(&service, &rows[0]);
        let mut keys: Vec<_> = devices.iter().map(|device| device.endpoint.key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!((devices.len(), keys.len(), pages), (720, 720, 2));
        assert!(!is_voip(&rows[0].body));
    }

    #[engine_test]
    fn a_device_that_is_tried_again_is_its_own_row_and_forgotten_once_it_is_gone(world: &mut World) {
        let ([service, _], ana, bob) = (world.nodes(), world.user("ana"), world.user("bob"));
        let channel = world.channel_of(&ana, ChannelMode::Restricted, ChannelPrivacy::Private);
        world.join(&channel, &ana, &bob);
        world.call(&endpoint_request(&bob, "token")).unwrap();
        let push_notification = Some(notification(Some(PushNotificationType::Voip)));
        world
            .call(&SendChannelMessage { push_notification, ..message_request(&channel, &ana, "Ring") })
            .unwrap();
        let row = waiting(&service).remove(0);
        assert!(is_voip(&row.body));
        let page = futures(service.list_devices(&row.body)).unwrap();
        let [device] = &page.devices[..] else { panic!("{page:?}") };
        let single = again(&page.notice, device, &row, world.now().plus_ms(500));
        assert!(is_voip(&single.body) && single.place.channel == device.endpoint.key && single.at == row.at);
        let found = futures(service.find_device(&single.body)).unwrap();
        assert_eq!((found.device.as_ref(), found.due_at), (Some(device), world.now().plus_ms(500)));
        let gone = vec![(device.clone(), EndpointStatusReason::InvalidDeviceToken)];
        futures(service.deactivate(gone)).unwrap();
        assert_eq!(futures(service.find_device(&single.body)).unwrap().device, None);
        assert_eq!(walked(&service, &row).0, []);
    }
}
