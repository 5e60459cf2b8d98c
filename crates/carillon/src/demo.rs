//! The demo of `dev`: an app instance, two users, a bot that is an echo, a channel of the three, and one with a flow
//! that does what messages say; made once, through the service as any client would make them.

use std::sync::Arc;

use carillon_model::arn::Home;
use carillon_model::text::*;
use carillon_model::{AppInstanceArn, ChannelArn, IdentityArn};
use carillon_service::operation::Operation;
use carillon_service::operations::identity::create_app_instance::CreateAppInstance;
use carillon_service::operations::identity::create_app_instance_bot::CreateAppInstanceBot;
use carillon_service::operations::identity::create_app_instance_user::CreateAppInstanceUser;
use carillon_service::operations::messaging::associate_channel_flow::AssociateChannelFlow;
use carillon_service::operations::messaging::create_channel::CreateChannel;
use carillon_service::operations::messaging::create_channel_flow::CreateChannelFlow;
use carillon_service::shapes::{
    Configuration, InvokedBy, LambdaConfiguration, LexConfiguration, Processor, ProcessorConfiguration,
};
use carillon_service::{Clock, Service};
use carillon_store::{self as store, Error as StoreError, Lane};
use serde::{Deserialize, Serialize};
use serde_json::json;

use carillon_server::config::bots::demo_alias;
use carillon_server::config::flows::demo_function;
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
    /// The channel of both, and of a bot that repeats what it is told.
    pub(crate) channel: ChannelArn,
    /// The bot.
    #[serde(default)]
    pub(crate) bot: Option<IdentityArn>,
    /// A channel of the two people whose messages pass a processor that does what they say.
    #[serde(default)]
    pub(crate) rehearsal: Option<ChannelArn>,
}

struct Maker<'a> {
    service: &'a Arc<Service>,
    clock: &'a dyn Clock,
    author: Author<'a>,
}

impl Demo {
    /// What the console shows of it.
    pub(crate) fn shown(&self) -> serde_json::Value {
        let channels: Vec<_> = [&self.channel].into_iter().chain(&self.rehearsal).collect();
        json!({ "Channels": channels, "Users": [self.ana, self.bob] })
    }

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
        let author = Author::new(root, home.region(), HOST);
        let demo = Maker { service, clock, author }.make(home).await?;
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
    async fn make(&self, home: &Home) -> Result<Demo> {
        let create = CreateAppInstance {
            name: text("Demo"),
            metadata: None,
            client_request_token: text("carillon-demo"),
            tags: None,
        };
        let app_instance = self.call(&create).await?.app_instance_arn;
        let ana = self.user(&app_instance, "ana", "Ana").await?;
        let bob = self.user(&app_instance, "bob", "Bob").await?;
        let bot = self.bot(&app_instance, home).await?;
        let members = [bob.clone()].into_iter().chain(bot.clone()).collect();
        let channel = self.channel("Lobby", &ana, members).await?;
        let rehearsal = self.rehearsal(&app_instance, home, (&ana, &bob)).await?;
        Ok(Demo { app_instance, ana, bob, channel, bot, rehearsal })
    }

    /// A public channel that somebody makes for others.
    async fn channel(&self, name: &str, ana: &IdentityArn, members: Vec<IdentityArn>) -> Result<ChannelArn> {
        let id = name.to_lowercase();
        let create = CreateChannel {
            app_instance_arn: ana.app_instance(),
            name: text(name),
            mode: Some(ChannelMode::Unrestricted),
            privacy: Some(ChannelPrivacy::Public),
            metadata: None,
            client_request_token: text(&format!("carillon-demo-{id}")),
            tags: None,
            chime_bearer: ana.clone(),
            channel_id: Some(text(&id)),
            member_arns: Some(members),
            moderator_arns: None,
            elastic_channel_configuration: None,
            expiration_settings: None,
        };
        Ok(self.call(&create).await?.channel_arn)
    }

    /// A channel in which every fate of a message can be tried; none where no function of AWS could be called so.
    async fn rehearsal(
        &self,
        app_instance: &AppInstanceArn,
        home: &Home,
        (ana, bob): (&IdentityArn, &IdentityArn),
    ) -> Result<Option<ChannelArn>> {
        let Some(function) = demo_function(home) else { return Ok(None) };
        let lambda = LambdaConfiguration { resource_arn: function, invocation_type: InvocationType::Async };
        let processor = Processor {
            name: text("Rehearsal"),
            configuration: ProcessorConfiguration { lambda },
            execution_order: 1.try_into().expect("there may be a first"),
            fallback_action: FallbackAction::Abort,
        };
        let create = CreateChannelFlow {
            app_instance_arn: app_instance.clone(),
            processors: vec![processor],
            name: text("Rehearsal"),
            tags: None,
            client_request_token: text("carillon-demo-flow"),
        };
        let channel_flow_arn = self.call(&create).await?.channel_flow_arn;
        let channel_arn = self.channel("Rehearsal", ana, vec![bob.clone()]).await?;
        let chime_bearer = ana.clone();
        let associate = AssociateChannelFlow { channel_arn, channel_flow_arn, chime_bearer };
        self.call(&associate).await?;
        Ok(Some(associate.channel_arn))
    }

    /// A bot whose program is an echo; none where no alias at Lex could be called so.
    async fn bot(&self, app_instance: &AppInstanceArn, home: &Home) -> Result<Option<IdentityArn>> {
        let Some(alias) = demo_alias(home) else { return Ok(None) };
        let invoked_by =
            InvokedBy { standard_messages: StandardMessages::All, targeted_messages: TargetedMessages::All };
        let lex = LexConfiguration {
            responds_to: None,
            invoked_by: Some(invoked_by),
            lex_bot_alias_arn: alias,
            locale_id: text("en_US"),
            welcome_intent: Some(text("Welcome")),
        };
        let create = CreateAppInstanceBot {
            app_instance_arn: app_instance.clone(),
            name: Some(text("Echo")),
            metadata: None,
            client_request_token: text("carillon-demo-echo"),
            tags: None,
            configuration: Configuration { lex },
        };
        Ok(Some(self.call(&create).await?.app_instance_bot_arn))
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
