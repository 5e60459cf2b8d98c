//! Bots, whose programs a test plays, and what operators are told.

use carillon_model::IdentityArn;
use carillon_model::bot::{Intent, Reply, Saying};
use carillon_store::outgoing::{self, Line, Outgoing, Place};
use carillon_store::{Lane, Tx};

use super::requests::bot_request;
use super::{World, futures};
use crate::chat::bots::{self, Question};
use crate::chat::operator;
use crate::error::{Error, Result};
use crate::front::bots::{Outcome, Said};
use crate::operations::identity::create_app_instance_bot::CreateAppInstanceBot;
use crate::shapes::LexConfiguration;

/// A question that waits for its program.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) question: Question,
    queue: String,
    place: Place,
}

impl Waiting {
    /// The name of the bot.
    pub(crate) fn bot(&self) -> &IdentityArn {
        &self.question.bot
    }
}

impl World {
    /// A bot whose program is configured so.
    pub(crate) fn bot_with(&mut self, change: impl Fn(&mut LexConfiguration)) -> IdentityArn {
        let request = bot_request(self, "Belle");
        let mut create = CreateAppInstanceBot { client_request_token: self.token(), ..request };
        change(&mut create.configuration.lex);
        self.call(&create).unwrap().app_instance_bot_arn
    }

    /// The questions that wait, in their order.
    pub(crate) fn questions(&mut self) -> Vec<Waiting> {
        let waiting = |(line, row): (Line, Outgoing)| Waiting {
            question: serde_json::from_str(&row.body).unwrap(),
            queue: line.queue,
            place: row.place,
        };
        let mut all: Vec<Waiting> = self.outgoing(bots::QUEUE).into_iter().map(waiting).collect();
        all.sort_by_key(|one| (one.place, one.queue.clone()));
        all
    }

    /// What a program sees beside a question.
    pub(crate) fn conversation(&self, waiting: &Waiting, limit: usize) -> Vec<Said> {
        futures(self.service.conversation(&waiting.question, limit)).unwrap()
    }

    /// Lets a program end a question; an error where somebody else did.
    pub(crate) fn try_answer(&mut self, waiting: &Waiting, outcome: Outcome) -> Result<()> {
        let (lane, settle) = self.service.settle_question(waiting.question.clone(), outcome);
        let Waiting { queue, place, .. } = waiting.clone();
        let end = move |tx: &mut Tx| {
            outgoing::delete(tx, &queue, place)?;
            settle(tx)
        };
        futures(self.service.store().write(lane, end))
    }

    /// Lets a program answer in these words.
    pub(crate) fn answer(&mut self, waiting: &Waiting, words: &str) {
        let intent = Intent { name: Some("BookRoom".to_owned()), state: Some("InProgress".to_owned()) };
        let messages = vec![Saying::plain(words.to_owned())];
        let reply = Reply { messages, intent: Some(intent), session: Some("c1b5".to_owned()) };
        self.try_answer(waiting, Outcome::Reply(reply)).unwrap();
    }

    /// The events that operators are to be told of, which are gone then.
    pub(crate) fn operator_events(&mut self) -> Vec<serde_json::Value> {
        let rows = self.outgoing(operator::QUEUE);
        for (line, row) in &rows {
            let (queue, place) = (line.queue.clone(), row.place);
            let delete = move |tx: &mut Tx| Ok::<_, Error>(outgoing::delete(tx, &queue, place)?);
            futures(self.service.store().write(Lane::Outgoing(place.shard()), delete)).unwrap();
        }
        rows.iter().map(|(_, row)| serde_json::from_str(&row.body).unwrap()).collect()
    }

    /// What is to leave the server in the queues of a kind.
    fn outgoing(&mut self, kind: &'static str) -> Vec<(Line, Outgoing)> {
        let read = move |tx: &mut Tx| {
            let mut found = Vec::new();
            for line in outgoing::list_lines(tx)? {
                if line.queue.split(' ').next() == Some(kind) {
                    let rows = outgoing::list(tx, &line, Place::FIRST, 1_000)?;
                    found.extend(rows.into_iter().map(|row| (line.clone(), row)));
                }
            }
            Ok::<_, Error>(found)
        };
        futures(self.service.store().read(read)).unwrap()
    }
}
