//! A model of language behind the interface that most of them speak: `POST {url}/chat/completions`.

use std::fmt;
use std::time::Duration;

use carillon_model::bot::{Reply, Saying};
use carillon_model::message::STANDARD_CONTENT_BYTES_MAX;
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Asked, Question, session};
use crate::wire::{self, Refusal};

/// What stands around the words in the content of the message that they become.
const AROUND: usize = r#"{"Messages":[{"Content":"","ContentType":"PlainText"}]}"#.len();

/// A model, and how it is to speak.
#[derive(Clone)]
pub struct Chat {
    url: Url,
    model: String,
    key: Option<String>,
    instructions: Option<String>,
    history_len: usize,
}

/// Who said what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Turn {
    role: &'static str,
    content: String,
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat")
            .field("url", &self.url.as_str())
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl Turn {
    /// The bot's own words.
    pub fn of_bot(content: String) -> Self {
        Self { role: "assistant", content }
    }

    /// Somebody else's.
    pub fn of_other(content: String) -> Self {
        Self { role: "user", content }
    }
}

impl Chat {
    /// Where it is.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// A model at this URL, below which its interface is.
    pub fn new(
        url: &str,
        model: String,
        key: Option<String>,
        instructions: Option<String>,
        history_len: usize,
    ) -> Result<Self, String> {
        let mut url = crate::native::parse_url(url)?;
        if model.is_empty() {
            return Err("the model is empty".to_owned());
        }
        let path = format!("{}/chat/completions", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Self { url, model, key, instructions, history_len })
    }

    pub(super) fn history_len(&self) -> usize {
        self.history_len
    }

    /// Asks the model.
    pub(super) async fn ask(
        &self,
        http: &Client,
        question: &Question<'_>,
        history: Vec<Turn>,
        timeout: Duration,
    ) -> Result<Reply, Refusal> {
        let instructions = self.instructions.iter().cloned();
        let welcome = match question.asked {
            Asked::Welcome(intent) => {
                Some(format!("You have just joined this conversation. Intent: {intent}."))
            }
            Asked::Answer { .. } => None,
        };
        let mut messages: Vec<Turn> =
            instructions.chain(welcome).map(|content| Turn { role: "system", content }).collect();
        messages.extend(history);
        let body = json!({ "model": self.model, "messages": messages }).to_string();
        let mut request = http.post(self.url.clone()).header("content-type", "application/json").body(body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let answer = wire::send(request, timeout).await?;
        Ok(Reply { session: Some(session(question)), ..read_answer(&answer.body)? })
    }
}

/// What a model's answer says.
pub(crate) fn read_answer(body: &[u8]) -> Result<Reply, Refusal> {
    let nonsense = |what: &str| Refusal::nonsense(&format!("the answer cannot be read: {what}"));
    let answer: Completion = serde_json::from_slice(body).map_err(|error| nonsense(&error.to_string()))?;
    let choice = answer.choices.into_iter().next().ok_or_else(|| nonsense("it has no choices"))?;
    let words = fitting(choice.message.content.unwrap_or_default());
    let messages = if words.is_empty() { Vec::new() } else { vec![Saying::plain(words)] };
    Ok(Reply { messages, intent: None, session: None })
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Spoken,
}

#[derive(Deserialize)]
struct Spoken {
    content: Option<String>,
}

/// As much of what a model says as a message can hold: it is one piece, and would be left out as a whole.
fn fitting(mut words: String) -> String {
    let length = |words: &str| AROUND + json!(words).to_string().len() - 2;
    let mut is_cut = false;
    while STANDARD_CONTENT_BYTES_MAX < length(&words) + if is_cut { '…'.len_utf8() } else { 0 } {
        is_cut = true;
        let over = (length(&words) + '…'.len_utf8()).saturating_sub(STANDARD_CONTENT_BYTES_MAX);
        // What is escaped is longer there than here: a sixth of it is never too much.
        let keep = words.len().saturating_sub((over / 6).max(1));
        let keep = words.floor_char_boundary(keep);
        words.truncate(keep);
    }
    if is_cut {
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_to_what_fits() {
        let content = |words: &str| {
            let said = fitting(words.to_owned());
            json!({ "Messages": [{ "Content": said, "ContentType": "PlainText" }] }).to_string()
        };
        let room = STANDARD_CONTENT_BYTES_MAX - AROUND;
        assert_eq!(content(&"x".repeat(room)).len(), STANDARD_CONTENT_BYTES_MAX);
        assert!(!content(&"x".repeat(room)).contains('…'));
        for words in ["x", "é", "\n", "\u{1}", "\"🛎"] {
            let cut = content(&words.repeat(5_000));
            assert!(cut.len() <= STANDARD_CONTENT_BYTES_MAX, "{words}: {}", cut.len());
            assert!(
                STANDARD_CONTENT_BYTES_MAX - 16 < cut.len() && cut.contains('…'),
                "{words}: {}",
                cut.len()
            );
        }
    }

    #[test]
    fn no_key_is_shown_and_the_path_is_below_the_url() {
        let chat = Chat::new("http://127.0.0.1:1/v1/", "m".into(), Some("hush".into()), None, 20).unwrap();
        assert_eq!(chat.url.as_str(), "http://127.0.0.1:1/v1/chat/completions");
        assert!(!format!("{chat:?}").contains("hush"));
    }
}
