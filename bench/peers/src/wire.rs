//! The least of each protocol that a client needs: what an ordinary client does beside would be measured as if the
//! server did it.

pub(crate) mod aws;
pub(crate) mod http;
pub(crate) mod nats;
pub(crate) mod websocket;
pub(crate) mod xmpp;
