//! Moving in and out: `carillon export`, `carillon import`. The store says what of it is moved ([`store::moving`]);
//! here is the archive that it travels in, and who may be working on a store meanwhile.
//!
//! [`store::moving`]: carillon_store::moving

mod archive;
mod export;
mod import;
pub(crate) mod person;
mod secrets;
mod service;
#[doc(hidden)]
pub mod testing;

use std::path::Path;

pub use export::{Export, run as export};
pub use import::run as import;
pub use person::{Person, run as export_person};
pub use service::{FromService, run as from_service};

/// Where an archive is.
#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    /// The standard input or output.
    Standard,
    /// A file.
    File(&'a Path),
}

impl<'a> Place<'a> {
    fn of(path: &'a Path) -> Self {
        if path == Path::new("-") { Self::Standard } else { Self::File(path) }
    }
}
