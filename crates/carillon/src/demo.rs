//! The demo of `dev`: an app instance, two users and a channel, made once, through the service as any client
//! would make them.

use std::sync::Arc;

use carillon_model::arn::Home;
use carillon_model::text::*;
use carillon_model::{AppInstanceArn, ChannelArn, IdentityArn};
use carillon_service::operation::Operation;
use carillon_service::operations::identity::create_app_instance::CreateAppInstance;
use carillon_service::operations::identity::create_app_instance_user::CreateAppInstanceUser;
use carillon_service::operations::messaging::create_channel::CreateChannel;
use carillon_service::{Clock, Service};
use carillon_store::{self as store, Error as StoreError, Lane};
use serde::{Deserialize, Serialize};

use carillon_server::credentials::RootKey;
use carillon_server::error::{Error, Result};
use carillon_server::request::Author;

/// The host that the demo's requests name; they never leave the process.
const HOST: &str = "localhost";

/// What the demo is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Demo {
    /// The app instance.
    pub(crate) app_instance: AppInstanceArn,
    /// A user.
    pub(crate) ana: IdentityArn,
    /// Another.
    pub(crate) bob: IdentityArn,
    /// The channel of both.
    pub(crate) channel: ChannelArn,
}

struct Maker<'a> {
    service: &'a Arc<Service>,
    clock: &'a dyn Clock,
    author: Author<'a>,
}

impl Demo {
    /// The demo, made if it was not made before.
    pub(crate) async fn open(
        service: &Arc<Service>,
        clock: &dyn Clock,
        root: &RootKey,
        home: &Home,
    ) -> Result<Self> {
        // ARNs carry region and account; with others, it is another demo.
        let setting = format!("demo {} {}", home.region(), home.account());
        let name = setting.clone();
        let found = service.store().read(move |tx| store::setting::find(tx, &name)).await;
        let found: Option<String> = found.map_err(|error| unkept(&error))?;
        if let Some(demo) = found.and_then(|text| serde_json::from_str(&text).ok()) {
            return Ok(demo);
        }
        let author = Author { key: root, region: home.region(), host: HOST };
        let demo = Maker { service, clock, author }.make().await?;
        let text = serde_json::to_string(&demo).expect("ARNs always serialize");
        let kept =
            service.store().write(Lane::Account, move |tx| store::setting::set(tx, &setting, &text)).await;
        kept.map_err(|error| unkept(&error))?;
        Ok(demo)
    }
}

fn unkept(error: &StoreError) -> Error {
    Error::failure(format!("the demo cannot be remembered: {error}"))
}

impl Maker<'_> {
    /// The tokens are fixed, so that a start that was cut short is taken up where it ended.
    async fn make(&self) -> Result<Demo> {
        let create = CreateAppInstance {
            name: text("Demo"),
            metadata: None,
            client_request_token: text("carillon-demo"),
            tags: None,
        };
        let app_instance = self.call(&create).await?.app_instance_arn;
        let ana = self.user(&app_instance, "ana", "Ana").await?;
        let bob = self.user(&app_instance, "bob", "Bob").await?;
        let create = CreateChannel {
            app_instance_arn: app_instance.clone(),
            name: text("Lobby"),
            mode: Some(ChannelMode::Unrestricted),
            privacy: Some(ChannelPrivacy::Public),
            metadata: None,
            client_request_token: text("carillon-demo-lobby"),
            tags: None,
            chime_bearer: ana.clone(),
            channel_id: Some(text("lobby")),
            member_arns: Some(vec![bob.clone()]),
            moderator_arns: None,
            elastic_channel_configuration: None,
            expiration_settings: None,
        };
        let channel = self.call(&create).await?.channel_arn;
        Ok(Demo { app_instance, ana, bob, channel })
    }

    async fn user(&self, app_instance: &AppInstanceArn, id: &str, name: &str) -> Result<IdentityArn> {
        let create = CreateAppInstanceUser {
            app_instance_arn: app_instance.clone(),
            app_instance_user_id: text(id),
            name: text(name),
            metadata: None,
            client_request_token: text(&format!("carillon-demo-{id}")),
            tags: None,
            expiration_settings: None,
        };
        Ok(self.call(&create).await?.app_instance_user_arn)
    }

    async fn call<O: Operation>(&self, operation: &O) -> Result<O::Response> {
        let request = self.author.sign(&operation.encode(), self.clock.real());
        let response = self.service.handle(request).await;
        let body = response.body();
        let answer = if response.status().is_success() { serde_json::from_slice(body).ok() } else { None };
        answer.ok_or_else(|| {
            let words = String::from_utf8_lossy(body);
            Error::failure(format!("the demo cannot be made: {} refused: {words}", O::NAME))
                .hint("serve starts without a demo.")
        })
    }
}

/// A text that is known to keep its limits.
fn text<T: TryFrom<String, Error: std::fmt::Debug>>(text: &str) -> T {
    T::try_from(text.to_owned()).expect("the demo's own texts keep the limits")
}
