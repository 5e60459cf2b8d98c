//! `[push."<ARN>"]`: what an operator says of a push application. The ARN is what endpoints name as their
//! `ResourceArn`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use carillon_targets::aws::Aws;
use carillon_targets::push::{
    Apns, ApnsSettings, Application, Fcm, FcmSettings, Pinpoint, Push, VapidKey, WebPush,
};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::outgoing::Clients;

/// A push application: the keys for its devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PushApplication {
    /// For endpoints of the types `APNS` and `APNS_SANDBOX`.
    apns: Option<WrittenApns>,
    /// For endpoints of the type `GCM`.
    fcm: Option<WrittenFcm>,
    /// For endpoints of the type `GCM` that are the subscriptions of browsers.
    pub(crate) web_push: Option<WrittenWebPush>,
    /// For all devices that have none of these: Pinpoint's `SendMessages`, with the usual credentials of AWS.
    pinpoint: bool,
    /// Whether endpoints whose device is gone become `INACTIVE` [default: true].
    deactivate: Option<bool>,
}

/// A key of a team of Apple's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrittenApns {
    /// The team.
    team_id: String,
    /// The key's id.
    key_id: String,
    /// Where the key is: the .p8 file that Apple gives out.
    key_file: PathBuf,
    /// The application's bundle id.
    topic: String,
    /// Where production is [default: <https://api.push.apple.com>].
    url: Option<String>,
    /// Where the sandbox is [default: <https://api.sandbox.push.apple.com>].
    sandbox_url: Option<String>,
}

/// A service account of Google's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrittenFcm {
    /// The project.
    project: String,
    /// Where the service account is: the JSON file that Google gives out.
    service_account_file: PathBuf,
    /// Where messages are sent [default: <https://fcm.googleapis.com>].
    url: Option<String>,
    /// Where tokens are given out [default: what the service account says].
    token_url: Option<String>,
}

/// Browsers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenWebPush {
    /// Whom push services may write to about us: `mailto:…` or `https://…`.
    subject: String,
    /// Origins of push services that are not public, or not of HTTPS [default: none].
    #[serde(default)]
    origins: Vec<String>,
}

/// The push applications, as they were written.
pub(crate) type Written = BTreeMap<String, PushApplication>;

/// Whether what was written means something. It is read as for use, with keys of browsers that are thrown away.
pub(crate) fn check(written: &Written) -> Result<()> {
    let key = |_: &str| VapidKey::generate().ok_or_else(|| Error::failure("no key can be made"));
    let keys = written.iter().filter(|(_, application)| application.web_push.is_some());
    let keys = keys.map(|(arn, _)| Ok((arn.clone(), key(arn)?))).collect::<Result<_>>()?;
    read(written, &keys, &Clients::new()?.aws).map(drop)
}

/// What it means, with the keys for browsers by the ARNs of their applications.
pub(crate) fn read(written: &Written, keys: &HashMap<String, Vec<u8>>, aws: &Arc<Aws>) -> Result<Push> {
    let mut applications = HashMap::new();
    for (arn, written) in written {
        let application = written.read(arn, keys.get(arn).map(Vec::as_slice), aws)?;
        applications.insert(arn.clone(), application);
    }
    Ok(Push::new(applications))
}

impl PushApplication {
    fn read(&self, arn: &str, key: Option<&[u8]>, aws: &Arc<Aws>) -> Result<Application> {
        let (region, id) = parse(arn).ok_or_else(|| {
            Error::usage(format!("push.\"{arn}\" is not the ARN of a push application"))
                .hint("It is what an endpoint's ResourceArn names: arn:aws:mobiletargeting:…:apps/…")
        })?;
        let refuse = |table: &str, why: String| Error::usage(format!("push.\"{arn}\".{table}: {why}"));
        let apns = self.apns.as_ref().map(|written| written.read().map_err(|why| refuse("apns", why)));
        let fcm = self.fcm.as_ref().map(|written| written.read().map_err(|why| refuse("fcm", why)));
        let web_push = self.web_push.as_ref().zip(key);
        let web_push = web_push.map(|(written, key)| {
            let read =
                VapidKey::read(key).and_then(|key| WebPush::new(&written.subject, &written.origins, key));
            read.map_err(|why| refuse("web_push", why))
        });
        Ok(Application {
            apns: apns.transpose()?,
            fcm: fcm.transpose()?,
            web_push: web_push.transpose()?,
            pinpoint: self.pinpoint.then(|| Pinpoint::new(aws.clone(), region, id)),
            keeps_dead: self.deactivate == Some(false),
        })
    }
}

/// The region and the id in the ARN of a push application.
fn parse(arn: &str) -> Option<(&str, &str)> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _, "mobiletargeting", region, _, application] = parts[..] else { return None };
    let id = application.strip_prefix("apps/").filter(|id| !id.is_empty() && !id.contains('/'))?;
    Some((region, id))
}

impl WrittenApns {
    fn read(&self) -> std::result::Result<Apns, String> {
        let key = read_file("key_file", &self.key_file)?;
        let settings = ApnsSettings {
            team_id: &self.team_id,
            key_id: &self.key_id,
            key: &key,
            topic: &self.topic,
            url: self.url.as_deref(),
            sandbox_url: self.sandbox_url.as_deref(),
        };
        Apns::new(&settings).map_err(|why| format!("{why} (key_file is {})", self.key_file.display()))
    }
}

impl WrittenFcm {
    fn read(&self) -> std::result::Result<Fcm, String> {
        let service_account = read_file("service_account_file", &self.service_account_file)?;
        let settings = FcmSettings {
            project: &self.project,
            service_account: &service_account,
            url: self.url.as_deref(),
            token_url: self.token_url.as_deref(),
        };
        let file = self.service_account_file.display();
        Fcm::new(&settings).map_err(|why| format!("{why} (service_account_file is {file})"))
    }
}

fn read_file(key: &str, path: &Path) -> std::result::Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{key} {} cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:mobiletargeting:us-east-1:000000000000:apps/1f";

    fn refused(arn: &str, text: &str) -> String {
        let application: PushApplication = toml::from_str(text).unwrap();
        check(&BTreeMap::from([(arn.to_owned(), application)])).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_said_of_the_file_that_it_is_wrong_in() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let apns = |key_file: &str, topic: &str| {
            format!("apns = {{ team_id = 'T', key_id = 'K', key_file = '{key_file}', topic = '{topic}' }}")
        };
        let fcm = |file: &str| format!("fcm = {{ project = 'chat', service_account_file = '{file}' }}");
        let no_key = file("apns.p8", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----");
        let no_account = file("fcm.json", r#"{"client_email":"push@example.com"}"#);
        for (text, due) in [
            (apns("/nowhere/apns.p8", "x"), "key_file /nowhere/apns.p8 cannot be read"),
            (apns(&no_key, "com.example"), no_key.as_str()),
            (apns(&no_key, ""), "topic is empty"),
            (fcm(&no_account), no_account.as_str()),
            (fcm(&no_account), "missing field `private_key`"),
            ("web_push = { subject = 'ops' }".to_owned(), "subject is \"ops\""),
        ] {
            let error = refused(ARN, &text);
            assert!(error.contains(due) && error.contains(ARN), "{error}, not {due}");
        }
        assert!(refused("arn:aws:sns:us-east-1:000000000000:apps/1f", "").contains("push application"));
        assert!(toml::from_str::<PushApplication>("apns = { topic = 'x' }").is_err());
        assert!(toml::from_str::<PushApplication>("apple = 1").is_err());
    }
}
