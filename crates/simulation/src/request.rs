//! What clients ask, signed as an SDK signs it.

use bytes::Bytes;
use carillon_auth::{Secret, SignedRequest, Signer, presign, sign};
use carillon_model::Timestamp;
use carillon_model::text::*;
use carillon_service::operation::{Operation, Outgoing};
use carillon_service::operations::messaging::channel_flow_callback::ChannelFlowCallback;
use carillon_service::operations::messaging::create_channel_membership::CreateChannelMembership;
use carillon_service::operations::messaging::delete_channel_membership::DeleteChannelMembership;
use carillon_service::operations::messaging::get_channel_message_status::GetChannelMessageStatus;
use carillon_service::operations::messaging::list_channel_messages::ListChannelMessages;
use carillon_service::operations::messaging::redact_channel_message::RedactChannelMessage;
use carillon_service::operations::messaging::send_channel_message::SendChannelMessage;
use carillon_service::operations::messaging::update_channel_message::UpdateChannelMessage;
use carillon_service::shapes::ChannelMessageCallback;
use http::Request;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::node::{ACCESS_KEY, REGION, SECRET};
use crate::scene::{Scene, text};

const HOST: &str = "carillon.example.test";
/// For how long a presigned request for a socket is good.
const CONNECT_SECONDS: u32 = 30;

/// What somebody asks. Channels and people are known by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Send { channel: usize, content: String },
    Update { channel: usize, message: String, content: String },
    Redact { channel: usize, message: String },
    Status { channel: usize, message: String },
    List { channel: usize },
    Join { channel: usize, member: usize },
    Leave { channel: usize, member: usize },
    CallBack { channel: usize, message: String, callback: String, denies: bool },
}

impl Asked {
    /// The channel that it is about.
    pub(crate) fn channel(&self) -> usize {
        match self {
            Self::Send { channel, .. }
            | Self::Update { channel, .. }
            | Self::Redact { channel, .. }
            | Self::Status { channel, .. }
            | Self::List { channel }
            | Self::Join { channel, .. }
            | Self::Leave { channel, .. }
            | Self::CallBack { channel, .. } => *channel,
        }
    }

    /// The request, of this user, with this token.
    fn encode(&self, scene: &Scene, by: usize, token: &str) -> Outgoing {
        let (channel_arn, chime_bearer) = (scene.channel(self.channel()).clone(), scene.user(by).clone());
        match self {
            Self::Send { content, .. } => SendChannelMessage {
                channel_arn,
                content: text(content),
                kind: ChannelMessageType::Standard,
                persistence: ChannelMessagePersistenceType::Persistent,
                metadata: None,
                client_request_token: text(token),
                chime_bearer,
                push_notification: None,
                message_attributes: None,
                sub_channel_id: None,
                content_type: None,
                target: None,
            }
            .encode(),
            Self::Update { message, content, .. } => UpdateChannelMessage {
                channel_arn,
                message_id: text(message),
                content: text(content),
                metadata: None,
                chime_bearer,
                sub_channel_id: None,
                content_type: None,
            }
            .encode(),
            Self::Redact { message, .. } => {
                let message_id = text(message);
                RedactChannelMessage { channel_arn, message_id, chime_bearer, sub_channel_id: None }.encode()
            }
            Self::Status { message, .. } => {
                let message_id = text(message);
                GetChannelMessageStatus { channel_arn, message_id, chime_bearer, sub_channel_id: None }
                    .encode()
            }
            Self::List { .. } => ListChannelMessages {
                channel_arn,
                sort_order: None,
                not_before: None,
                not_after: None,
                max_results: None,
                next_token: None,
                chime_bearer,
                sub_channel_id: None,
            }
            .encode(),
            Self::Join { member, .. } => CreateChannelMembership {
                channel_arn,
                member_arn: scene.user(*member).clone(),
                kind: ChannelMembershipType::Default,
                sub_channel_id: None,
                chime_bearer,
            }
            .encode(),
            Self::Leave { member, .. } => {
                let member_arn = scene.user(*member).clone();
                DeleteChannelMembership { channel_arn, member_arn, sub_channel_id: None, chime_bearer }
                    .encode()
            }
            Self::CallBack { message, callback, denies, .. } => ChannelFlowCallback {
                callback_id: text(callback),
                channel_arn,
                delete_resource: Some(*denies),
                channel_message: as_it_is(message),
            }
            .encode(),
        }
    }

    /// The request, signed at this time.
    pub(crate) fn sign(&self, scene: &Scene, by: usize, token: &str, at: Timestamp) -> Request<Bytes> {
        let outgoing = self.encode(scene, by, token);
        let (path, query, body) = (outgoing.path.as_str(), outgoing.query.as_str(), outgoing.body());
        let date: String =
            at.iso().to_string().split('.').next().unwrap_or_default().replace(['-', ':'], "") + "Z";
        let mut all = vec![("host", HOST), ("x-amz-date", date.as_str())];
        all.extend(outgoing.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let secret = Secret::new(SECRET.to_owned());
        let method = outgoing.method.as_str();
        let request = SignedRequest { method, path, query, headers: &all, body: &body };
        let authorization = sign(&request, &signer(&secret), at.ms()).expect("it can be signed");
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let mut request =
            Request::builder().method(method).uri(target).header("authorization", authorization);
        for (name, value) in all {
            request = request.header(name, value);
        }
        request.body(body.into()).expect("a request of ours is one")
    }
}

/// What a processor says of a message that it leaves as it is.
fn as_it_is(message: &str) -> ChannelMessageCallback {
    ChannelMessageCallback {
        message_id: text(message),
        content: None,
        metadata: None,
        push_notification: None,
        message_attributes: None,
        sub_channel_id: None,
        content_type: None,
    }
}

fn signer(secret: &Secret) -> Signer<'_> {
    Signer { access_key_id: ACCESS_KEY, secret, session_token: None, region: REGION, service: "chime" }
}

/// A request for a socket.
pub(crate) fn connect(scene: &Scene, user: usize, resume_from: Option<&str>, at: Timestamp) -> Request<()> {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut query = format!("sessionId=client-{user}&userArn={}", encode(scene.user(user).as_str()));
    query.extend(resume_from.map(|id| format!("&resume-from={}", encode(id))));
    let headers = [("host", HOST)];
    let request =
        SignedRequest { method: "GET", path: "/connect", query: &query, headers: &headers, body: b"" };
    let secret = Secret::new(SECRET.to_owned());
    let query = presign(&request, &signer(&secret), at.ms(), CONNECT_SECONDS).expect("it can be signed");
    let request = Request::get(format!("/connect?{query}")).header("host", HOST);
    request.body(()).expect("a request of ours is one")
}
