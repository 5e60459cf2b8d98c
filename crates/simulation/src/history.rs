//! What happened in a history, as those saw it who stand outside: what was asked and answered, what came by sockets.
//! Each line goes into a digest, by which two histories are compared to the letter.

use std::hash::{DefaultHasher, Hasher as _};

use serde_json::Value;

use crate::request::Asked;
use crate::socket::Socket;

/// Something that somebody asked, and all its tries.
#[derive(Debug)]
pub(crate) struct Op {
    /// Who asks.
    pub(crate) by: usize,
    pub(crate) asked: Asked,
    pub(crate) token: String,
    /// In which step it was first sent.
    pub(crate) begun: usize,
    /// In which step an answer came that ended it, with its status and body; none where nobody knows.
    pub(crate) end: Option<(usize, u16, Value)>,
    /// It will not be tried again.
    pub(crate) is_over: bool,
}

impl Op {
    /// The answer, where it was done, and in which step it came.
    pub(crate) fn done(&self) -> Option<(usize, &Value)> {
        let (step, status, body) = self.end.as_ref()?;
        (200..300).contains(status).then_some((*step, body))
    }
}

/// A history.
pub(crate) struct History {
    pub(crate) ops: Vec<Op>,
    /// All sockets of each user, in their order.
    pub(crate) sockets: Vec<Vec<Socket>>,
    /// What was counted: for people.
    pub(crate) counts: std::collections::BTreeMap<&'static str, u64>,
    digest: DefaultHasher,
    is_shown: bool,
}

impl History {
    pub(crate) fn new(users: usize, is_shown: bool) -> Self {
        Self {
            ops: Vec::new(),
            sockets: (0..users).map(|_| Vec::new()).collect(),
            counts: std::collections::BTreeMap::new(),
            digest: DefaultHasher::new(),
            is_shown,
        }
    }

    /// Notes something that happened.
    #[expect(clippy::print_stdout, reason = "whoever asks for one history wants to read it")]
    pub(crate) fn note(&mut self, step: usize, now_ms: i64, kind: &'static str, words: &str) {
        *self.counts.entry(kind).or_default() += 1;
        self.digest.write_usize(step);
        self.digest.write_i64(now_ms);
        self.digest.write(kind.as_bytes());
        self.digest.write(words.as_bytes());
        if self.is_shown {
            println!("{step:>5} {now_ms:>7} {kind}: {words}");
        }
    }

    /// A number that is another for another history.
    pub(crate) fn digest(&self) -> u64 {
        self.digest.finish()
    }
}
