//! A processor behind HTTP, in this process: it takes each call with 202, and calls back with the message as it is.
//! And one that takes connections and says nothing.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use carillon_service::operations::messaging::channel_flow_callback::ChannelFlowCallback;
use carillon_service::shapes::ChannelMessageCallback;
use http::StatusCode;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinHandle, JoinSet};

use super::scene::{Remote, text};
use carillon_server::credentials::RootKey;
use carillon_server::error::{Error, Result};
use carillon_server::http::{Listening, bind, serve};

/// Calls that wait for their callback; whoever calls beyond it is refused, and calls again.
const CALLS_MAX: usize = 65_536;
/// Connections on which is called back.
const CONNECTIONS: usize = 32;
/// Connections that a silent processor holds.
const SILENT_MAX: usize = 1_024;

/// A port of the loopback that nobody has.
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The call, as far as the answer needs it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Call {
    callback_id: String,
    channel_message: Message,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "named as the wire names them")]
struct Message {
    message_id: String,
    channel_arn: String,
    content: Option<String>,
}

impl Call {
    /// Lets the message pass as it is.
    fn answer(&self) -> Result<ChannelFlowCallback> {
        let Message { message_id, channel_arn, content } = &self.channel_message;
        let channel_arn = channel_arn.parse();
        Ok(ChannelFlowCallback {
            callback_id: text(&self.callback_id),
            channel_arn: channel_arn.map_err(|_| Error::failure("a processor was told of no channel"))?,
            delete_resource: None,
            channel_message: ChannelMessageCallback {
                message_id: text(message_id),
                content: content.as_deref().map(text),
                metadata: None,
                push_notification: None,
                message_attributes: None,
                sub_channel_id: None,
                content_type: None,
            },
        })
    }
}

/// A processor that answers.
pub(crate) struct Processor {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    taking: Taking,
    calls: Arc<Mutex<mpsc::Receiver<Call>>>,
    answering: JoinSet<Result<()>>,
    listening: Option<Listening>,
}

/// How calls are taken.
#[derive(Clone)]
struct Taking {
    /// How long each takes.
    lasting: Duration,
    queue: mpsc::Sender<Call>,
    /// The messages of which it was told.
    told: Arc<std::sync::Mutex<HashSet<String>>>,
}

impl Processor {
    /// Takes calls.
    pub(crate) fn listen() -> Result<Self> {
        Self::listen_slowly(Duration::ZERO)
    }

    /// Takes calls, each for so long.
    pub(crate) fn listen_slowly(lasting: Duration) -> Result<Self> {
        let (queue, calls) = mpsc::channel(CALLS_MAX);
        let taking = Taking { lasting, queue, told: Arc::default() };
        let (calls, answering) = (Arc::new(Mutex::new(calls)), JoinSet::new());
        let mut processor = Self { address: ANY_PORT, taking, calls, answering, listening: None };
        processor.come_back()?;
        Ok(processor)
    }

    /// Listens where it did.
    pub(crate) fn come_back(&mut self) -> Result<()> {
        let port = bind(self.address)?;
        self.address = port.address;
        let router = Router::new().route("/", post(take)).with_state(self.taking.clone());
        self.listening = Some(serve(port, None, router)?);
        Ok(())
    }

    /// Listens no more; what it took it still answers.
    pub(crate) async fn go_away(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.stop(Duration::ZERO).await;
        }
    }

    /// Whether it was told of a message.
    pub(crate) fn was_told_of(&self, message_id: &str) -> bool {
        told(&self.taking).contains(message_id)
    }

    /// Calls a server back, from here on.
    pub(crate) fn call_back(&mut self, server: SocketAddr, root: &RootKey) {
        for _ in 0..CONNECTIONS {
            let (calls, root) = (self.calls.clone(), root.clone());
            self.answering.spawn(async move {
                let mut remote = Remote::open(server, &root).await?;
                loop {
                    let call = calls.lock().await.recv().await;
                    let Some(call) = call else { return Ok(()) };
                    remote.call(&call.answer()?).await?;
                }
            });
        }
    }

    /// That no callback was refused.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.answering.try_join_next() {
            None => Ok(()),
            Some(Ok(ended)) => ended,
            Some(Err(error)) => Err(Error::failure(format!("a processor ended badly: {error}"))),
        }
    }
}

fn told(taking: &Taking) -> std::sync::MutexGuard<'_, HashSet<String>> {
    taking.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn take(State(taking): State<Taking>, body: Bytes) -> StatusCode {
    let Ok(call) = serde_json::from_slice::<Call>(&body) else { return StatusCode::BAD_REQUEST };
    told(&taking).insert(call.channel_message.message_id.clone());
    tokio::time::sleep(taking.lasting).await;
    // Full: the caller tries again.
    taking.queue.try_send(call).map_or(StatusCode::SERVICE_UNAVAILABLE, |()| StatusCode::ACCEPTED)
}

/// A processor that takes connections, reads, and never answers.
pub(crate) struct Silent {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Silent {
    /// Takes connections.
    pub(crate) async fn listen() -> Result<Self> {
        let failed = |error: std::io::Error| Error::failure(format!("no port is free: {error}"));
        let listener = TcpListener::bind(ANY_PORT).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let task = tokio::spawn(async move {
            let mut held = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                while held.try_join_next().is_some() {}
                if SILENT_MAX <= held.len() {
                    continue;
                }
                held.spawn(async move {
                    let mut ignored = [0; 4_096];
                    while matches!(stream.read(&mut ignored).await, Ok(1..)) {}
                });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_answered_for_its_message_as_it_is() {
        let instance = "11111111-1111-4111-8111-111111111111";
        let channel =
            format!("arn:aws:chime:us-east-1:000000000000:app-instance/{instance}/channel/{instance}");
        let call = serde_json::json!({
            "EventType": "CHANNEL_MESSAGE_EVENT",
            "CallbackId": "a".repeat(64),
            "ChannelMessage": {"MessageId": "m", "ChannelArn": channel, "Content": "hi", "Type": "STANDARD"},
        });
        let call: Call = serde_json::from_value(call).unwrap();
        let answer = call.answer().unwrap();
        assert_eq!(answer.channel_arn.as_str(), channel);
        assert_eq!(answer.callback_id.as_str(), "a".repeat(64));
        assert_eq!(answer.channel_message.content.unwrap().as_str(), "hi");
        assert_eq!((answer.delete_resource, answer.channel_message.message_id.as_str()), (None, "m"));
    }
}
