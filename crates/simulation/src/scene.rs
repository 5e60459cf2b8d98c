//! What there is when a history begins: an app instance, five people, three channels, one of them with a flow, and a
//! stream. It is made once, by a node like any other, and copied for each history.

use std::path::Path;
use std::str::FromStr;

use carillon_model::text::*;
use carillon_model::{AppInstanceArn, ChannelArn, IdentityArn, Key};
use carillon_service::error::Error;
use carillon_service::operations::identity::create_app_instance::CreateAppInstance;
use carillon_service::operations::identity::create_app_instance_user::CreateAppInstanceUser;
use carillon_service::operations::messaging::associate_channel_flow::AssociateChannelFlow;
use carillon_service::operations::messaging::create_channel::CreateChannel;
use carillon_service::operations::messaging::create_channel_flow::CreateChannelFlow;
use carillon_service::operations::messaging::create_channel_membership::CreateChannelMembership;
use carillon_service::operations::messaging::put_messaging_streaming_configurations as streaming;
use carillon_service::shapes::{
    LambdaConfiguration, Processor, ProcessorConfiguration, StreamingConfiguration,
};
use carillon_store::{self as store, Tx};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::ground::{Ground, NODES};
use crate::node::{ACCOUNT, Node, REGION, copy_store};

pub(crate) const USERS: usize = 5;
pub(crate) const CHANNELS: usize = 3;
/// The channel whose messages pass a processor.
pub(crate) const WITH_FLOW: usize = 1;
/// Those who belong to all channels when it begins; the first moderates them and never leaves.
pub(crate) const MEMBERS: usize = 3;
/// The file of the store, and that of the names.
pub(crate) const STORE: &str = "scene";
const NAMES: &str = "names";
/// The app instance of every history is made from this.
const SEED: u64 = 7;

/// Who and what there is.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) instance: AppInstanceArn,
    pub(crate) users: Vec<(IdentityArn, Key)>,
    pub(crate) channels: Vec<(ChannelArn, Key)>,
}

/// A text of any checked type.
pub(crate) fn text<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("the words of a simulation are right")
}

impl Scene {
    /// Makes it in this folder.
    pub(crate) fn make(folder: &Path) {
        let (made, file) = (folder.join("made"), folder.join(STORE));
        let ground = Ground { store: made.clone(), ..Ground::default() };
        let mut node = Node::start(NODES - 1, &ground, 0, &mut StdRng::seed_from_u64(SEED));
        let service = node.service.clone();
        let scene = node.finish(async move { make(&service).await });
        let scene = scene.expect("what the scene needs may be made");
        node.rest();
        node.checkpoint();
        copy_store(&made, &file);
        node.kill(NODES - 1);
        let named = |all: &[(String, Key)]| -> Value {
            all.iter().map(|(arn, key)| json!([arn, key.to_string()])).collect()
        };
        let users: Vec<_> = scene.users.iter().map(|(arn, key)| (arn.as_str().to_owned(), *key)).collect();
        let channels: Vec<_> =
            scene.channels.iter().map(|(arn, key)| (arn.as_str().to_owned(), *key)).collect();
        let (users, channels) = (named(&users), named(&channels));
        let written = json!({ "instance": scene.instance.as_str(), "users": users, "channels": channels });
        std::fs::write(folder.join(NAMES), written.to_string()).expect("the folder can be written");
    }

    /// The one that was made in this folder.
    pub(crate) fn find(folder: &Path) -> Self {
        let names = std::fs::read_to_string(folder.join(NAMES)).expect("the scene was made");
        let names: Value = serde_json::from_str(&names).expect("it was written as JSON");
        Self {
            instance: text(names["instance"].as_str().unwrap_or_default()),
            users: read_names(&names["users"]),
            channels: read_names(&names["channels"]),
        }
    }

    pub(crate) fn user(&self, number: usize) -> &IdentityArn {
        &self.users[number].0
    }

    pub(crate) fn channel(&self, number: usize) -> &ChannelArn {
        &self.channels[number].0
    }

    /// Which user has this ARN.
    pub(crate) fn user_of(&self, arn: &str) -> Option<usize> {
        self.users.iter().position(|(user, _)| user.as_str() == arn)
    }

    /// Which channel has this key.
    pub(crate) fn channel_of(&self, key: Key) -> Option<usize> {
        self.channels.iter().position(|(_, channel)| *channel == key)
    }
}

fn read_names<T: FromStr<Err: std::fmt::Debug>>(names: &Value) -> Vec<(T, Key)> {
    let word = |name: &Value, at: usize| name[at].as_str().unwrap_or_default().to_owned();
    let read =
        |name: &Value| (text(&word(name, 0)), Key::from_hex(&word(name, 1)).expect("a key was written"));
    names.as_array().into_iter().flatten().map(read).collect()
}

async fn make(service: &carillon_service::Service) -> Result<Scene, Error> {
    let token = || text::<ClientRequestToken>("scene");
    let create =
        CreateAppInstance { name: text("Bells"), metadata: None, client_request_token: token(), tags: None };
    let instance = service.execute(create).await?.app_instance_arn;
    let mut users = Vec::new();
    for number in 0..USERS {
        let create = CreateAppInstanceUser {
            app_instance_arn: instance.clone(),
            app_instance_user_id: text(&format!("user-{number}")),
            name: text(&format!("User {number}")),
            metadata: None,
            client_request_token: text(&format!("user-{number}")),
            tags: None,
            expiration_settings: None,
        };
        users.push(service.execute(create).await?.app_instance_user_arn);
    }
    let stream = StreamingConfiguration {
        data_type: MessagingDataType::ChannelMessage,
        resource_arn: text(&format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/chime-messaging-out")),
    };
    let app_instance_arn = instance.clone();
    let streaming_configurations = vec![stream];
    let put = streaming::PutMessagingStreamingConfigurations { app_instance_arn, streaming_configurations };
    service.execute(put).await?;
    let mut channels = Vec::new();
    for number in 0..CHANNELS {
        channels.push(make_channel(service, &instance, &users, number).await?);
    }
    let flow = CreateChannelFlow {
        app_instance_arn: instance.clone(),
        processors: vec![processor()],
        name: text("Moderation"),
        tags: None,
        client_request_token: token(),
    };
    let channel_flow_arn = service.execute(flow).await?.channel_flow_arn;
    let (channel_arn, chime_bearer) = (channels[WITH_FLOW].clone(), users[0].clone());
    service.execute(AssociateChannelFlow { channel_arn, channel_flow_arn, chime_bearer }).await?;
    let find = move |tx: &mut Tx| {
        let mut scene = Scene { instance: instance.clone(), users: Vec::new(), channels: Vec::new() };
        for arn in &users {
            let found = store::identity::find(tx, arn)?.map(|found| (arn.clone(), found.identity.key));
            scene.users.extend(found);
        }
        for arn in &channels {
            let found = store::channel::find_by_arn(tx, arn)?.map(|found| (arn.clone(), found.key));
            scene.channels.extend(found);
        }
        Ok::<_, Error>(scene)
    };
    service.store().read(find).await
}

async fn make_channel(
    service: &carillon_service::Service,
    instance: &AppInstanceArn,
    users: &[IdentityArn],
    number: usize,
) -> Result<ChannelArn, Error> {
    let create = CreateChannel {
        app_instance_arn: instance.clone(),
        name: text("Room"),
        mode: Some(ChannelMode::Restricted),
        privacy: Some(ChannelPrivacy::Private),
        metadata: None,
        client_request_token: text(&format!("room-{number}")),
        tags: None,
        chime_bearer: users[0].clone(),
        channel_id: Some(text(&format!("room-{number}"))),
        member_arns: None,
        moderator_arns: None,
        elastic_channel_configuration: None,
        expiration_settings: None,
    };
    let channel_arn = service.execute(create).await?.channel_arn;
    for member in &users[1..MEMBERS] {
        let add = CreateChannelMembership {
            channel_arn: channel_arn.clone(),
            member_arn: member.clone(),
            kind: ChannelMembershipType::Default,
            sub_channel_id: None,
            chime_bearer: users[0].clone(),
        };
        service.execute(add).await?;
    }
    Ok(channel_arn)
}

fn processor() -> Processor {
    let lambda = LambdaConfiguration {
        resource_arn: text(&format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:moderate")),
        invocation_type: InvocationType::Async,
    };
    Processor {
        name: text("Moderate"),
        configuration: ProcessorConfiguration { lambda },
        execution_order: 1.try_into().expect("there may be a first"),
        fallback_action: FallbackAction::Abort,
    }
}
