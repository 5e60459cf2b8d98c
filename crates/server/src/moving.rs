//! Moving in and out: `carillon export`, `carillon import`. The store says what of it is moved ([`store::moving`]);
//! here is the archive that it travels in, and who may be working on a store meanwhile.
//!
//! [`store::moving`]: carillon_store::moving

mod archive;
mod export;
mod import;
mod progress;
mod secrets;
mod service;

use std::path::Path;

pub use export::{Export, run as export};
pub use import::run as import;
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

/// A number for people.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if 0 < at && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
