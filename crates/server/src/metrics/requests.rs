//! How long requests took, by what they asked for and how they were answered.
//!
//! Both are names that stand in the program, so there are as many as it has. A pair is found without a lock, and made
//! when it comes for the first time.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use carillon_meter::Times;
use carillon_service::front::request::Answered;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use tokio::time::Instant;

use super::Page;

/// Whoever asked went away before there was an answer. What was accepted by then is done all the same.
const LEFT: Answered = Answered { operation: Answered::NONE, code: "ClientLeft" };

/// All requests so far.
#[derive(Debug, Default)]
pub(crate) struct Requests(ArcSwap<HashMap<Answered, Arc<Times>>>);

/// A request that is being answered. One that is dropped before it is has lost whoever asked.
pub(crate) struct Underway {
    requests: Arc<Requests>,
    begun: Instant,
    answered: Answered,
}

impl Requests {
    fn of(&self, answered: Answered) -> Arc<Times> {
        if let Some(known) = self.0.load().get(&answered) {
            return known.clone();
        }
        let new = Arc::<Times>::default();
        self.0.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.entry(answered).or_insert_with(|| new.clone());
            known
        });
        self.0.load().get(&answered).cloned().unwrap_or(new)
    }

    /// A request begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Underway {
        Underway { requests: self.clone(), begun: Instant::now(), answered: LEFT }
    }
}

impl Underway {
    /// It was answered so.
    pub(crate) fn end(mut self, answered: Answered) {
        self.answered = answered;
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.requests.of(self.answered).observe(self.begun.elapsed());
    }
}

/// As a collector.
impl Collector for Requests {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let known = self.0.load();
        let mut all: Vec<_> = known.iter().collect();
        all.sort_by_key(|(answered, _)| (answered.operation, answered.code));
        let rows =
            all.into_iter().map(|(answered, times)| ([answered.operation, answered.code], times.read()));
        let help = "How long requests took, by operation and the code of their answer";
        Page::new(encoder).histograms(("carillon_request_seconds", help), ["operation", "code"], rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_once_however_it_ends() {
        let requests = Arc::<Requests>::default();
        let sent = Answered { operation: "SendChannelMessage", code: Answered::OK };
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let requests = requests.clone();
                std::thread::spawn(move || (0..100).for_each(|_| requests.begin().end(sent)))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        drop(requests.begin());
        assert_eq!(requests.of(sent).read().count(), 400);
        assert_eq!(requests.of(LEFT).read().count(), 1);
    }
}
