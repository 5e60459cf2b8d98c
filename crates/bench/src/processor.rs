//! A processor behind HTTP, in this process: it takes each call with 202, and calls back with the message as it is.
//! And one that takes connections and says nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

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
const CALLS_MAX: usize = 4_096;
/// Connections on which is called back.
const CONNECTIONS: usize = 16;
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
    calls: Arc<Mutex<mpsc::Receiver<Call>>>,
    answering: JoinSet<Result<()>>,
    _listening: Listening,
}

impl Processor {
    /// Takes calls.
    pub(crate) fn listen() -> Result<Self> {
        let (queue, calls) = mpsc::channel(CALLS_MAX);
        let (port, router) = (bind(ANY_PORT)?, Router::new().route("/", post(take)).with_state(queue));
        let address = port.address;
        let listening = serve(port, None, router)?;
        let calls = Arc::new(Mutex::new(calls));
        Ok(Self { address, calls, answering: JoinSet::new(), _listening: listening })
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

async fn take(State(queue): State<mpsc::Sender<Call>>, body: Bytes) -> StatusCode {
    let Ok(call) = serde_json::from_slice(&body) else { return StatusCode::BAD_REQUEST };
    // Full: the caller tries again.
    queue.try_send(call).map_or(StatusCode::SERVICE_UNAVAILABLE, |()| StatusCode::ACCEPTED)
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
