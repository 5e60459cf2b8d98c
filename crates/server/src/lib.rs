//! What stands around the service: configuration, sockets, clock and wiring. It knows no operation and no SQL; the
//! commands that start it are the binary's.

pub mod answer;
mod audit;
mod buckets;
mod certificate;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod credentials;
pub mod data_dir;
pub mod doctor;
pub mod error;
mod exchange;
mod flows;
mod household;
pub mod http;
mod jobs;
pub mod key_sets;
pub mod log;
pub mod master_key;
mod metrics;
pub mod moving;
mod outgoing;
mod private_file;
pub mod process;
pub mod progress;
pub mod request;
mod rest;
pub mod stop;
mod store_clock;
mod supervised;
mod tenure;
pub mod tls;
mod traces;
mod watch;
mod web_push;
pub mod wire;
