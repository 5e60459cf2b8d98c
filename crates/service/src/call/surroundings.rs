//! What every call may ask of the service that it is made of.

use std::collections::BTreeSet;
use std::sync::Arc;

use carillon_auth::Sealer;
use carillon_model::arn::Home;

use crate::clock::Clock;
use crate::functions::Functions;
use crate::patience::Patience;
use crate::processors::Processors;
use crate::quotas::Quotas;
use crate::search::Search;

/// What calls have in common.
pub(crate) struct Surroundings {
    /// Region and account.
    pub(crate) home: Home,
    /// The clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// Seals the tokens of pages.
    pub(crate) page_tokens: Sealer,
    /// How much of each thing there may be.
    pub(crate) quotas: Quotas,
    /// Where messages can be searched.
    pub(crate) search: Search,
    /// The processors that are built in.
    pub(crate) processors: Processors,
    /// How long the others are tried.
    pub(crate) patience: Patience,
    /// The functions that flows may call.
    pub(crate) functions: Functions,
    /// The bots, by their aliases, that answer what is said to everyone only where they are meant.
    pub(crate) shy_bots: BTreeSet<String>,
    /// Host and port where clients open sockets.
    pub(crate) public_host: String,
}
