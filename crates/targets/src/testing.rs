//! What only tests and fuzzing ask of this crate: how answers of programs are read, without a call.

use carillon_model::bot::Reply;
use reqwest::header::HeaderMap;

use crate::bots::{chat, lex};
use crate::wire::Refusal;

/// What Lex answers to a message.
pub fn of_lex(body: &[u8]) -> Result<Reply, Refusal> {
    lex::read_answer(body)
}

/// What Lex answers to a welcome.
pub fn of_lex_welcome(headers: &HeaderMap) -> Result<Reply, Refusal> {
    lex::read_welcome(headers)
}

/// What a model of language answers.
pub fn of_chat(body: &[u8]) -> Result<Reply, Refusal> {
    chat::read_answer(body)
}

/// What a service says of its refusal.
pub fn refusal(status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
    Refusal::read(status, headers, body)
}
