//! What the verifier is willing to look at: every list and text of a request that it walks has a bound.
//!
//! The bounds stand well above what any SDK sends; they exist so that a hostile request costs little.

/// Names in `SignedHeaders`; SDKs sign about ten.
pub const SIGNED_HEADERS_MAX: usize = 64;
/// Headers of a request; each signed name is looked for among them.
pub const HEADERS_MAX: usize = 128;
/// Bytes of one signed header or of `Authorization`; a session token is the longest, at a few thousand.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Parameters of a query.
pub const QUERY_PARAMETERS_MAX: usize = 128;
/// Bytes of the path and of the query text, each.
pub const TARGET_BYTES_MAX: usize = 16 * 1024;
/// The longest life of a presigned request: seven days, as AWS has it.
pub const EXPIRES_S_MAX: u32 = 604_800;
/// How far a client's clock may differ, on either side: five minutes, as AWS has it.
pub const SKEW_MS_MAX: i64 = 5 * 60 * 1000;
/// Signing keys kept; one is used per access key, day and service.
pub const KEYS_MAX: u64 = 10_000;
