//! A port, before anybody answers there.

use std::io;
use std::net::{SocketAddr, TcpListener};

use crate::error::{Error, Result};

/// How many connections wait to be accepted, as far as the system allows: where a burst of strangers fills the queue,
/// others wait seconds until their system tries again.
const BACKLOG: i32 = 4_096;

/// A port that is ours, and does not answer yet.
pub struct Port {
    /// Where it is.
    pub address: SocketAddr,
    pub(super) listener: TcpListener,
}

/// Takes a port.
pub fn bind(address: SocketAddr) -> Result<Port> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        // Listening again only lengthens the queue, which the standard library makes 128.
        rustix::net::listen(&listener, BACKLOG)?;
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
