//! Which trace a call continues. Whoever traces says it; what a trace is, is not known here.

use std::sync::OnceLock;

use reqwest::header::HeaderName;

/// The header that tells it, as the W3C has it.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("traceparent");

static SAYS: OnceLock<fn() -> Option<String>> = OnceLock::new();

/// From here on this is asked which trace we are in.
pub fn continued_by(says: fn() -> Option<String>) {
    let _ = SAYS.set(says); // There is one who traces.
}

/// Which trace we are in, if somebody traces.
pub(crate) fn parent() -> Option<String> {
    SAYS.get()?()
}
