//! The search for messages by what they say.
//!
//! What a text says is its units (`units`): words, and single letters where a script has no blanks. A query asks
//! for units in a row (`query`), and whether a message has them is decided by its own text, folded again when it is
//! looked at. The index only says which messages are worth a look: for each place it keeps runs (`run`) of
//! messages, with a keyed hash of each of their terms (`terms`). It may lag behind, or not be there at all: what it
//! has not taken in yet is looked at, message by message, so that it decides what a search costs and never what it
//! finds.
//!
//! `indexing` takes messages in, beside the requests; `finding` looks for them.

pub(crate) mod finding;
pub(crate) mod indexing;
mod merging;
pub(crate) mod query;
mod run;
mod settings;
pub(crate) mod terms;
pub(crate) mod units;

pub use settings::{Progress, Search, Searched};
