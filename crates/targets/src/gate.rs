//! One target's gate: so many calls at once, and while the target keeps failing no more than one now and then, to see
//! whether it is back.
//!
//! It is a state machine and nothing else: time and chance are given, it waits for nobody and calls nobody. Whoever
//! is not let through keeps what he has and comes again; that is no call, and no failure.

use std::time::Duration;

use carillon_model::channel_flow::{Failure, Reason, Unasked};

/// Failures in a row that close the gate.
const FAILURES_MAX: u32 = 5;
/// How long a closed gate lets nobody through, at first; each probe doubles that,
const PROBE_AFTER_MIN: Duration = Duration::from_millis(100);
/// up to this. It is short, because what waits may be a great deal, and one call a second costs nobody anything.
const PROBE_AFTER_MAX: Duration = Duration::from_secs(1);

/// How a call ended: it was taken, or failed.
type Ended = Result<(), Failure>;

/// What is known of a target. Times are counted from wherever its owner likes.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The most calls at once.
    calls_max: usize,
    /// Calls under way.
    calls: usize,
    /// How often it closed or opened: what was begun before says nothing of the time after.
    turn: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Open {
        /// Failures since a call was taken.
        failures: u32,
    },
    Closed {
        reason: Reason,
        /// When the next may pass, to see.
        next: Duration,
        /// How many did.
        probes: u32,
    },
}

/// The right to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pass {
    turn: u64,
    /// When the next may pass, had this one not.
    next: Option<Duration>,
}

impl Gate {
    pub(crate) fn new(calls_max: usize) -> Self {
        Self { calls_max, calls: 0, turn: 0, state: State::Open { failures: 0 } }
    }

    /// Asks for the right to one call; each is to be given back by `leave` or `forgo`. `chance` is random.
    pub(crate) fn enter(&mut self, now: Duration, chance: u16) -> Result<Pass, Unasked> {
        let turn = self.turn;
        let pass = match &mut self.state {
            State::Open { .. } if self.calls_max <= self.calls => return Err(Unasked::Full),
            State::Open { .. } => Pass { turn, next: None },
            State::Closed { reason, next, .. } if now < *next => return Err(Unasked::Closed(*reason)),
            // It does not wait for the one before: that may be held by the dead until it times out.
            State::Closed { next, probes, .. } => {
                let pass = Pass { turn, next: Some(*next) };
                *probes = probes.saturating_add(1);
                *next = now + probe_after(*probes, chance);
                pass
            }
        };
        self.calls += 1;
        Ok(pass)
    }

    /// The call ended. What was taken opens the gate at once; what is wrong with the call itself says nothing of the
    /// target, but that it answers.
    pub(crate) fn leave(&mut self, pass: Pass, ended: Ended, now: Duration, chance: u16) {
        self.calls -= 1;
        let transient = ended.err().filter(|failure| !failure.permanent);
        match (&mut self.state, transient) {
            (State::Open { failures }, None) => *failures = 0,
            (State::Closed { .. }, None) => self.turn_to(State::Open { failures: 0 }),
            (State::Open { failures }, Some(Failure { reason, .. })) if pass.turn == self.turn => {
                *failures += 1;
                if FAILURES_MAX <= *failures {
                    self.turn_to(State::Closed { reason, next: now + probe_after(0, chance), probes: 0 });
                }
            }
            (State::Closed { reason, .. }, Some(failure)) => *reason = failure.reason,
            (State::Open { .. }, Some(_)) => {}
        }
    }

    /// The call was not made.
    pub(crate) fn forgo(&mut self, pass: Pass) {
        self.calls -= 1;
        if let (State::Closed { next, probes, .. }, Some(before)) = (&mut self.state, pass.next)
            && pass.turn == self.turn
        {
            (*next, *probes) = (before, probes.saturating_sub(1));
        }
    }

    /// When the next may pass, if nobody may until then.
    pub(crate) fn closed_until(&self) -> Option<Duration> {
        match self.state {
            State::Open { .. } => None,
            State::Closed { next, .. } => Some(next),
        }
    }

    /// Calls under way.
    pub(crate) fn calls(&self) -> usize {
        self.calls
    }

    fn turn_to(&mut self, state: State) {
        (self.state, self.turn) = (state, self.turn + 1);
    }
}

/// How long nobody passes after so many probes: a random part of the second half is added to the first, so that the
/// nodes of a cluster do not come together.
fn probe_after(probes: u32, chance: u16) -> Duration {
    let longest = PROBE_AFTER_MIN.saturating_mul(1 << probes.min(16)).min(PROBE_AFTER_MAX);
    longest / 2 + longest / 2 * u32::from(chance) / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWN: Failure = Failure { reason: Reason::Refused, permanent: false };
    const WRONG: Failure = Failure { reason: Reason::NotFound, permanent: true };
    /// The longest wait of each turn.
    const LATE: u16 = u16::MAX;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn call(gate: &mut Gate, at: Duration, ended: Ended) -> Result<(), Unasked> {
        let pass = gate.enter(at, LATE)?;
        gate.leave(pass, ended, at, LATE);
        Ok(())
    }

    /// A gate that closed at zero.
    fn closed() -> Gate {
        let mut gate = Gate::new(2);
        for _ in 0..FAILURES_MAX {
            assert_eq!(gate.closed_until(), None);
            call(&mut gate, ms(0), Err(DOWN)).unwrap();
        }
        gate
    }

    #[test]
    fn so_many_pass_at_once_and_the_next_when_one_has_left() {
        let mut gate = Gate::new(2);
        let passes = [gate.enter(ms(0), 0).unwrap(), gate.enter(ms(0), 0).unwrap()];
        assert_eq!(gate.enter(ms(0), 0), Err(Unasked::Full));
        gate.leave(passes[0], Ok(()), ms(1), 0);
        let third = gate.enter(ms(1), 0).unwrap();
        gate.forgo(third);
        assert!(gate.enter(ms(1), 0).is_ok(), "a slot that was not used is free");
    }

    #[test]
    fn a_target_that_keeps_failing_is_left_alone_but_for_one_call_after_a_growing_while() {
        let mut gate = closed();
        let refused = Err(Unasked::Closed(Reason::Refused));
        let (mut now, mut waits) = (ms(0), Vec::new());
        for _ in 0..7 {
            let next = gate.closed_until().unwrap();
            waits.push(next.saturating_sub(now).as_millis());
            assert_eq!(call(&mut gate, next.saturating_sub(ms(1)), Ok(())), refused);
            now = next;
            call(&mut gate, now, Err(DOWN)).unwrap();
            assert_eq!(call(&mut gate, now, Ok(())), refused, "one, not two");
        }
        assert_eq!(waits, [100, 200, 400, 800, 1_000, 1_000, 1_000]);
        assert!(probe_after(9, 0) == PROBE_AFTER_MAX / 2 && probe_after(0, 0) == PROBE_AFTER_MIN / 2);
    }

    #[test]
    fn one_success_opens_for_all_at_once() {
        let mut gate = closed();
        let next = gate.closed_until().unwrap();
        call(&mut gate, next, Ok(())).unwrap();
        assert_eq!(gate.closed_until(), None);
        assert!(gate.enter(next, 0).is_ok() && gate.enter(next, 0).is_ok());
    }

    #[test]
    fn a_probe_that_hangs_does_not_keep_the_next_from_seeing() {
        let mut gate = closed();
        let hanging = gate.enter(gate.closed_until().unwrap(), LATE).unwrap();
        let next = gate.closed_until().unwrap();
        call(&mut gate, next, Ok(())).unwrap();
        assert_eq!(gate.closed_until(), None);
        for _ in 0..2 * FAILURES_MAX {
            let late = gate.enter(next, LATE).unwrap();
            gate.leave(late, Ok(()), next, LATE);
        }
        gate.leave(hanging, Err(DOWN), next, LATE);
        assert_eq!(gate.closed_until(), None, "it says nothing of the target that is back");
    }

    #[test]
    fn calls_of_before_neither_close_a_gate_that_opened_nor_make_it_wait_longer() {
        let mut gate = Gate::new(20);
        let old: Vec<Pass> = (0..20).map(|_| gate.enter(ms(0), LATE).unwrap()).collect();
        for pass in &old[..10] {
            gate.leave(*pass, Err(DOWN), ms(0), LATE);
        }
        let next = gate.closed_until().unwrap();
        assert_eq!(next, PROBE_AFTER_MIN, "ten failures at once are one closing");
        call(&mut gate, next, Ok(())).unwrap();
        for pass in &old[10..] {
            gate.leave(*pass, Err(DOWN), next, LATE);
        }
        assert_eq!(gate.closed_until(), None);
    }

    #[test]
    fn a_probe_that_was_not_needed_may_be_made_at_once() {
        let mut gate = closed();
        let next = gate.closed_until().unwrap();
        let pass = gate.enter(next, LATE).unwrap();
        gate.forgo(pass);
        assert_eq!(gate.closed_until(), Some(next));
    }

    #[test]
    fn what_is_wrong_with_a_call_does_not_close_the_gate() {
        let mut gate = Gate::new(1);
        for _ in 0..2 * FAILURES_MAX {
            call(&mut gate, ms(0), Err(WRONG)).unwrap();
        }
        assert_eq!(gate.closed_until(), None);
    }
}
