//! The targets. One for each thing that takes bytes from outside.

mod answers;
mod configuration;
mod front_door;
mod house;
pub(crate) mod operations;
mod policies;
mod sockets;
mod tokens;

/// Something that takes bytes from outside.
pub struct Target {
    /// Its name, which is also the folder of its seeds.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The words that inputs are made of, beside those of the seeds.
    pub words: &'static str,
    /// Whether it needs no service.
    pub is_quick: bool,
    /// Takes bytes, whatever they are.
    pub run: fn(&[u8]),
}

/// All of them.
pub static TARGETS: [Target; 14] = [
    front_door::REQUEST,
    front_door::QUERY_PROTOCOL,
    front_door::SOCKET_QUERY,
    front_door::TOKENS,
    operations::TARGET,
    policies::POLICY,
    policies::FILTER,
    tokens::JWT,
    tokens::JWKS,
    sockets::FRAMES,
    configuration::CONFIGURATION,
    configuration::ARCHIVE,
    answers::BOT,
    answers::REFUSAL,
];
