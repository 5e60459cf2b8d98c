//! A listener: a port, with or without TLS, and the time-outs of its connections. What is answered there is the
//! router's affair.

use std::future::ready;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::middleware::map_response;
use axum::response::Response;
use axum::{Extension, Router};
use axum_server::Handle;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use carillon_service::dispatch::SecureTransport;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use tokio::task::JoinHandle;

use super::letters::Letters;
use crate::error::{Error, Result};

/// How long a connection may take for the head of a request, or be idle before the next.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A listener that answers.
pub struct Listening {
    handle: Handle<SocketAddr>,
    task: JoinHandle<io::Result<()>>,
}

impl Listening {
    /// Takes no more connections, and waits until what is in flight is answered or the time is over.
    pub async fn stop(self, within: Duration) {
        self.handle.graceful_shutdown(Some(within));
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a listener ended badly"),
            Err(error) => tracing::warn!(%error, "a listener ended badly"),
        }
    }
}

/// A port that is ours, and does not answer yet.
pub struct Port {
    /// Where it is.
    pub address: SocketAddr,
    listener: TcpListener,
}

/// Takes a port.
pub fn bind(address: SocketAddr) -> Result<Port> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        // Port 0 has become another.
        Ok(Port { address: listener.local_addr()?, listener })
    });
    bound.map_err(|error| {
        let sentence = match error.kind() {
            io::ErrorKind::AddrInUse => format!("the port of {address} is in use"),
            _ => format!("cannot listen on {address}: {error}"),
        };
        Error::failure(sentence).hint("Stop what uses it, or choose another with --http and --https.")
    })
}

/// Answers what comes to a port.
pub fn serve(port: Port, tls: Option<Arc<ServerConfig>>, router: Router) -> Result<Listening> {
    let started = axum_server::from_tcp(port.listener);
    let mut server = started.map_err(|error| Error::failure(format!("cannot listen: {error}")))?;
    // HTTP/1.1 only, also in clear text: browsers open sockets on nothing else.
    *server.http_builder() = Builder::new(TokioExecutor::new()).http1_only();
    // Title case also for what hyper answers by itself; see `letters` for the names it does not fit.
    let mut http1 = server.http_builder().http1();
    http1.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).title_case_headers(true);
    let letters = Letters::learn();
    let router = router.layer(map_response(move |answer: Response| ready(letters.spell(answer))));
    let handle = Handle::new();
    let server = server
        .handle(handle.clone())
        .first_request_timeout(HEAD_TIMEOUT)
        .accept_error_handler(|client, error| {
            if let Some(client) = client {
                tracing::debug!(%client, %error, "a connection did not come about");
            } else {
                tracing::warn!(%error, "cannot accept connections");
            }
        })
        // An event that waits for the answer to the one before it is late.
        .acceptor(NoDelayAcceptor::new());
    let router = router.layer(Extension(SecureTransport(tls.is_some())));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let task = match tls {
        None => tokio::spawn(server.serve(service)),
        Some(config) => {
            let config = RustlsConfig::from_config(config);
            let acceptor = RustlsAcceptor::new(config).handshake_timeout(HANDSHAKE_TIMEOUT);
            tokio::spawn(server.map(|plain| acceptor.acceptor(plain)).serve(service))
        }
    };
    Ok(Listening { handle, task })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named() {
        let held = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let error = bind(held.address).err().unwrap().to_string();
        assert_eq!(error, format!("the port of {} is in use", held.address));
    }
}
