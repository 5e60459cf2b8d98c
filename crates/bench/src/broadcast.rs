//! The ceiling of fan-out, in a child process of its own: the same library under the same listener, with nothing
//! between a request and the sockets. Whoever connects listens; what is posted is told to all.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::{any, get, post};
use carillon_model::event::session_established;
use futures_util::SinkExt as _;
use http::StatusCode;
use tokio::sync::mpsc;

use carillon_server::answer::json;
use carillon_server::clock;
use carillon_server::error::Result;
use carillon_server::http::{bind, serve};
use carillon_server::tls::Development;

/// Frames that wait for one socket.
const QUEUE_LEN_MAX: usize = 1024;
/// What a socket reads at once: the default costs 128 KiB.
const READ_BUFFER_BYTES: usize = 256;
/// What a socket may have waiting to be written.
const WRITE_BUFFER_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Default)]
struct Sockets(Mutex<Vec<mpsc::Sender<Utf8Bytes>>>);

/// Broadcasts until killed.
pub(crate) async fn broadcast(http: SocketAddr, https: SocketAddr, folder: &Path) -> Result<()> {
    let router = Router::new()
        .route("/_carillon/health/ready", get(|| async { json(StatusCode::OK, &serde_json::json!({})) }))
        .route("/connect", any(connect))
        .route("/tell", post(tell))
        .with_state(Arc::new(Sockets::default()));
    let tls = Development::in_folder(folder).open("localhost", clock::real())?;
    let _plain = serve(bind(http)?, None, router.clone())?;
    let _secure = serve(bind(https)?, Some(tls), router)?;
    std::future::pending().await
}

async fn connect(State(sockets): State<Arc<Sockets>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .on_upgrade(move |socket| listen(socket, sockets))
}

async fn listen(mut socket: WebSocket, sockets: Arc<Sockets>) {
    let (queue, mut frames) = mpsc::channel(QUEUE_LEN_MAX);
    sockets.0.lock().unwrap_or_else(PoisonError::into_inner).push(queue);
    drop(sockets);
    let _ = socket.send(Message::Text(session_established(None).into())).await;
    loop {
        tokio::select! {
            frame = frames.recv() => {
                let Some(frame) = frame else { return };
                let sent = async {
                    socket.feed(Message::Text(frame)).await?;
                    while let Ok(frame) = frames.try_recv() {
                        socket.feed(Message::Text(frame)).await?;
                    }
                    socket.flush().await
                };
                if sent.await.is_err() {
                    return;
                }
            }
            received = socket.recv() => if !matches!(received, Some(Ok(_))) { return },
        }
    }
}

async fn tell(State(sockets): State<Arc<Sockets>>, body: Bytes) -> StatusCode {
    let Ok(frame) = Utf8Bytes::try_from(body) else { return StatusCode::BAD_REQUEST };
    let sockets = sockets.0.lock().unwrap_or_else(PoisonError::into_inner);
    for queue in sockets.iter() {
        // One that does not read is not waited for here either.
        let _ = queue.try_send(frame.clone());
    }
    StatusCode::CREATED
}
