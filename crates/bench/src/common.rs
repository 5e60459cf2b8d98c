//! What every measurement needs: a runtime, a word on how far it is, and what is said of a build that is not to be
//! measured.

use std::io::Write as _;
use std::path::Path;

use rand::SeedableRng as _;
use rand::rngs::{StdRng, SysRng};
use serde::Serialize;

use carillon_server::credentials::RootKey;
use carillon_server::error::{Error, Result};

/// What a table begins with where its figures mean nothing.
pub(crate) const NOT_OPTIMIZED: &str =
    "THIS BUILD IS NOT OPTIMIZED: build with --release before reading any figure.\n";

/// The runtime of a measurement.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failure(format!("the runtime cannot start: {error}")))
}

/// A key of its own for a server that is measured.
pub(crate) fn root_key() -> Result<RootKey> {
    let random = StdRng::try_from_rng(&mut SysRng);
    let mut random =
        random.map_err(|error| Error::failure(format!("the system has no randomness: {error}")))?;
    Ok(RootKey::random(&mut random))
}

/// The address of the store of a server that is measured in this folder.
pub(crate) fn address_in(store: &str, folder: &Path) -> String {
    let file = || format!("sqlite:{}", folder.join("server").join("carillon.db").display());
    if store == "sqlite" { file() } else { store.to_owned() }
}

/// How many times as much.
pub(crate) fn ratio(of: f64, to: f64) -> f64 {
    of / to.max(f64::EPSILON)
}

/// The one in the middle.
pub(crate) fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// Writes what was found: the tables to stdout, and where a file is named, all of it as JSON to that.
pub(crate) fn write_found(found: &impl Serialize, tables: String, json: Option<&Path>) -> Result<()> {
    let (mut text, figures) = (tables, figures(found)?);
    if cfg!(debug_assertions) {
        text.insert_str(0, NOT_OPTIMIZED);
    }
    // Where stdout is closed nobody wants to know.
    let _ = std::io::stdout().write_all(text.as_bytes());
    let Some(file) = json else { return Ok(()) };
    std::fs::write(file, figures)
        .map_err(|error| Error::failure(format!("{} cannot be written: {error}", file.display())))
}

/// What was found on each store, as JSON.
pub(crate) fn figures(stores: &impl Serialize) -> Result<String> {
    let figures = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "optimized": !cfg!(debug_assertions),
        "processors": processors(),
        "stores": stores,
    });
    let text = serde_json::to_string_pretty(&figures);
    text.map(|text| text + "\n").map_err(|error| Error::failure(format!("no JSON: {error}")))
}

/// How many processors server and load share.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Says on stderr how far it is.
pub(crate) fn say(words: std::fmt::Arguments<'_>) {
    // Where stderr is closed nobody waits.
    let _ = writeln!(std::io::stderr(), "{words}");
}
