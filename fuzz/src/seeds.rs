//! What the altering begins with: files that people wrote, and what follows from the declarations.

use std::path::Path;

use data_encoding::HEXLOWER;

use crate::targets::{self, Target};

/// The seeds of a target, always in the same order.
pub fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target.name);
    let files = folder.read_dir().map(|files| files.filter_map(Result::ok).collect::<Vec<_>>());
    let mut paths: Vec<_> = files.unwrap_or_default().iter().map(std::fs::DirEntry::path).collect();
    paths.sort_unstable();
    let mut seeds: Vec<Vec<u8>> = paths.iter().filter_map(|path| read(path)).collect();
    if target.name == targets::operations::NAME {
        seeds.extend(targets::operations::samples());
    }
    seeds
}

/// What a file holds; where its name ends in `.hex`, as digits.
fn read(path: &Path) -> Option<Vec<u8>> {
    let bytes = std::fs::read(path).ok()?;
    let is_digits = path.extension().is_some_and(|extension| extension == "hex");
    if is_digits { HEXLOWER.decode(bytes.trim_ascii()).ok() } else { Some(bytes) }
}
