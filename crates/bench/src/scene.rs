//! What a measurement plays in: an app instance, a sender, a member, and the channel of both.

use std::net::SocketAddr;

use carillon_model::text::*;
use carillon_model::{AppInstanceArn, ChannelArn, IdentityArn};
use carillon_service::operation::Operation;
use carillon_service::operations::identity::create_app_instance::CreateAppInstance;
use carillon_service::operations::identity::create_app_instance_user::CreateAppInstanceUser;
use carillon_service::operations::messaging::create_channel::CreateChannel;
use carillon_service::operations::messaging::send_channel_message::SendChannelMessage;

use super::client::Connection;
use carillon_server::clock;
use carillon_server::credentials::RootKey;
use carillon_server::error::{Error, Result};
use carillon_server::request::Author;

/// The region of every measurement.
pub(crate) const REGION: &str = "us-east-1";
/// The account of every measurement.
pub(crate) const ACCOUNT: &str = "000000000000";
/// How long a message is: about what people write.
const CONTENT_LENGTH: usize = 100;

/// Who sends what where.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    /// The channel.
    pub(crate) channel: ChannelArn,
    /// Who sends.
    pub(crate) sender: IdentityArn,
    /// Who listens.
    pub(crate) member: IdentityArn,
    /// Tells the messages of this scene from those of any other.
    name: String,
}

/// Whatever answers an operation: a server, or the service itself.
pub(crate) trait Answering {
    /// Creates the app instance.
    async fn create_app_instance(&mut self, create: CreateAppInstance) -> Result<AppInstanceArn>;
    /// Creates a user.
    async fn create_user(&mut self, create: CreateAppInstanceUser) -> Result<IdentityArn>;
    /// Creates the channel.
    async fn create_channel(&mut self, create: CreateChannel) -> Result<ChannelArn>;
}

impl Scene {
    /// Sets the scene, in an app instance of its own.
    pub(crate) async fn set(name: String, answering: &mut impl Answering) -> Result<Self> {
        let create = CreateAppInstance {
            name: text("bench"),
            metadata: None,
            client_request_token: text(&name),
            tags: None,
        };
        let app_instance_arn = answering.create_app_instance(create).await?;
        let user = |id: &str| CreateAppInstanceUser {
            app_instance_arn: app_instance_arn.clone(),
            app_instance_user_id: text(id),
            name: text(id),
            metadata: None,
            client_request_token: text(&format!("{name}-{id}")),
            tags: None,
            expiration_settings: None,
        };
        let sender = answering.create_user(user("ana")).await?;
        let member = answering.create_user(user("bob")).await?;
        let create = CreateChannel {
            name: text("bench"),
            ..create_channel(&sender, &name, std::slice::from_ref(&member))
        };
        let channel = answering.create_channel(create).await?;
        Ok(Self { channel, sender, member, name })
    }

    /// The same people, elsewhere.
    pub(crate) fn in_channel(&self, channel: &ChannelArn) -> Self {
        Self { channel: channel.clone(), ..self.clone() }
    }

    /// The message with this number.
    pub(crate) fn message(&self, number: usize) -> SendChannelMessage {
        let name = &self.name;
        SendChannelMessage {
            channel_arn: self.channel.clone(),
            content: text(&format!("{:.<CONTENT_LENGTH$}", content_start(number))),
            kind: ChannelMessageType::Standard,
            persistence: ChannelMessagePersistenceType::Persistent,
            metadata: None,
            client_request_token: text(&format!("{name}-{number}")),
            chime_bearer: self.sender.clone(),
            push_notification: None,
            message_attributes: None,
            sub_channel_id: None,
            content_type: None,
            target: None,
        }
    }
}

/// Makes a channel of these members, whose name makes it once.
pub(crate) fn create_channel(creator: &IdentityArn, name: &str, members: &[IdentityArn]) -> CreateChannel {
    CreateChannel {
        app_instance_arn: creator.app_instance(),
        name: text(name),
        mode: None,
        privacy: None,
        metadata: None,
        client_request_token: text(name),
        tags: None,
        chime_bearer: creator.clone(),
        channel_id: None,
        member_arns: Some(members.to_vec()).filter(|members| !members.is_empty()),
        moderator_arns: None,
        elastic_channel_configuration: None,
        expiration_settings: None,
    }
}

/// What comes before the number in a message.
const CONTENT_MARK: &str = "message number ";

fn content_start(number: usize) -> String {
    format!("{CONTENT_MARK}{number} ")
}

/// The number of the message that a frame carries, if it carries one.
pub(crate) fn number_in(frame: &[u8]) -> Option<usize> {
    number_at(frame, &mut 0)
}

/// The same, where the frame before had it at `seen_at`: frames of one channel are alike.
pub(crate) fn number_at(frame: &[u8], seen_at: &mut usize) -> Option<usize> {
    let mark = CONTENT_MARK.as_bytes();
    if !frame.get(*seen_at..).is_some_and(|rest| rest.starts_with(mark)) {
        *seen_at = frame.windows(mark.len()).position(|window| window == mark)?;
    }
    let digits = &frame[*seen_at + mark.len()..];
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

/// A server across a connection.
pub(crate) struct Remote<'a> {
    connection: Connection,
    root: &'a RootKey,
    host: String,
}

impl<'a> Remote<'a> {
    /// Connects to a server.
    pub(crate) async fn open(address: SocketAddr, root: &'a RootKey) -> Result<Self> {
        let connection = Connection::open(address).await.map_err(|error| lost(&error))?;
        Ok(Self { connection, root, host: address.to_string() })
    }

    /// Calls an operation; answers how long the answer was, too.
    pub(crate) async fn call<O: Operation>(&mut self, operation: &O) -> Result<(O::Response, usize)> {
        let author = Author::new(self.root, REGION, &self.host);
        let request = author.write(&operation.encode(), clock::real());
        let answer = self.connection.exchange(&request).await.map_err(|error| lost(&error))?;
        let body = if O::STATUS == 204 { b"{}" } else { answer.body };
        let response = serde_json::from_slice(body).ok().filter(|_| answer.status == O::STATUS);
        let response = response.ok_or_else(|| {
            let words = String::from_utf8_lossy(answer.body);
            Error::failure(format!("{} was answered with {}: {words}", O::NAME, answer.status))
        })?;
        Ok((response, answer.length))
    }
}

impl Answering for Remote<'_> {
    async fn create_app_instance(&mut self, create: CreateAppInstance) -> Result<AppInstanceArn> {
        Ok(self.call(&create).await?.0.app_instance_arn)
    }
    async fn create_user(&mut self, create: CreateAppInstanceUser) -> Result<IdentityArn> {
        Ok(self.call(&create).await?.0.app_instance_user_arn)
    }
    async fn create_channel(&mut self, create: CreateChannel) -> Result<ChannelArn> {
        Ok(self.call(&create).await?.0.channel_arn)
    }
}

/// The connection to a child ended.
pub(crate) fn lost(error: &std::io::Error) -> Error {
    Error::failure(format!("the connection to a child process was lost: {error}"))
}

/// A text that is known to be right.
pub(crate) fn text<T: TryFrom<String, Error: std::fmt::Debug>>(text: &str) -> T {
    T::try_from(text.to_owned()).expect("the texts of a measurement keep the limits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_known_again_by_its_number() {
        let content = format!("{:.<CONTENT_LENGTH$}", content_start(1_234));
        assert_eq!(content.len(), CONTENT_LENGTH);
        let frame = format!(r#"{{"Payload":"{{\"Content\":\"{content}\"}}"}}"#);
        assert_eq!(number_in(frame.as_bytes()), Some(1_234));
        assert_eq!(number_in(br#"{"Payload":"{}"}"#), None);
        let mut seen_at = 0;
        for longer in ["", " and a longer frame"] {
            let frame = format!("{longer}{frame}");
            assert_eq!(number_at(frame.as_bytes(), &mut seen_at), Some(1_234));
            assert_eq!(number_at(frame.as_bytes(), &mut seen_at), Some(1_234));
        }
    }
}
