//! A closed loop: each connection sends the next message as soon as the last was acknowledged.

use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Result;
use crate::peer::Sender;

/// How long the loop is tried before, to warm the server and to learn how many messages a round needs.
const TRIAL: Duration = Duration::from_secs(1);
/// How much faster than its trial a round may be before senders make requests while they are measured.
const MARGIN: f64 = 1.6;
/// The most messages that are made for a round: some 300 MB.
const MESSAGES_MAX: f64 = 400_000.0;

/// What a round brought.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Round {
    /// Messages that were acknowledged.
    pub(crate) acknowledged: usize,
    /// How long it took.
    pub(crate) seconds: f64,
    /// How long half of the messages took at most, in milliseconds.
    pub(crate) p50_ms: f64,
    /// And 99 of a hundred.
    pub(crate) p99_ms: f64,
}

impl Round {
    /// Acknowledged messages a second.
    #[expect(clippy::cast_precision_loss, reason = "a round has far fewer than 2^52 messages")]
    pub(crate) fn per_second(&self) -> f64 {
        self.acknowledged as f64 / self.seconds.max(f64::EPSILON)
    }
}

/// Tries the loop, and makes what the round will need.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "bounded"
)]
pub(crate) async fn warm<S: Sender>(senders: &mut Vec<S>, lasting: Duration) -> Result<()> {
    let trial = run(senders, TRIAL).await?;
    let wanted = (trial.per_second() * lasting.as_secs_f64() * MARGIN).min(MESSAGES_MAX);
    let each = (wanted / senders.len().max(1) as f64).ceil() as usize;
    // By all processors, as quickly as may be: the server stands idle meanwhile.
    std::thread::scope(|scope| {
        let shares =
            senders.len().div_ceil(std::thread::available_parallelism().map_or(1, Into::into)).max(1);
        for some in senders.chunks_mut(shares) {
            scope.spawn(move || some.iter_mut().for_each(|sender| sender.ready(each)));
        }
    });
    Ok(())
}

/// Runs the loop for some time.
pub(crate) async fn run<S: Sender>(senders: &mut Vec<S>, lasting: Duration) -> Result<Round> {
    let (start, mut running) = (Instant::now(), JoinSet::new());
    let deadline = start + lasting;
    for mut sender in senders.drain(..) {
        running.spawn(async move {
            let mut took_us = Vec::new();
            loop {
                let sent = Instant::now();
                if deadline <= sent {
                    return Ok::<_, crate::Error>((sender, took_us));
                }
                sender.send().await?;
                took_us.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
        });
    }
    let mut took_us = Vec::new();
    while let Some(ended) = running.join_next().await {
        let (sender, took) = ended??;
        senders.push(sender);
        took_us.extend(took);
    }
    let seconds = start.elapsed().as_secs_f64();
    took_us.sort_unstable();
    let (p50_ms, p99_ms) = (quantile_ms(&took_us, 0.5), quantile_ms(&took_us, 0.99));
    Ok(Round { acknowledged: took_us.len(), seconds, p50_ms, p99_ms })
}

/// What this part of the times is no longer than.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "bounded"
)]
fn quantile_ms(sorted_us: &[u32], part: f64) -> f64 {
    let place = (part * sorted_us.len() as f64).ceil() as usize;
    sorted_us.get(place.saturating_sub(1)).map_or(0.0, |us| f64::from(*us) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(usize);

    impl Sender for Counting {
        fn ready(&mut self, count: usize) {
            self.0 = count;
        }
        async fn send(&mut self) -> Result<()> {
            tokio::task::yield_now().await;
            Ok(())
        }
    }

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let us: Vec<u32> = (1..=200).map(|ms| ms * 1_000).collect();
        assert_eq!([0.5, 0.99].map(|part| quantile_ms(&us, part).to_string()), ["100", "198"]);
        assert!(quantile_ms(&[], 0.5) < f64::EPSILON);
    }

    #[tokio::test]
    async fn every_sender_is_given_back_after_a_round() {
        let mut senders = vec![Counting(0), Counting(0), Counting(0)];
        let round = run(&mut senders, Duration::from_millis(20)).await.unwrap();
        assert!(senders.len() == 3 && 3 <= round.acknowledged && round.p50_ms <= round.p99_ms);
    }
}
