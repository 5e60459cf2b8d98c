//! The engine fails at every statement and at every commit of every operation: what is stored is then as before or as
//! after, the answer says which, and nobody was told of what does not stand.
//!
//! Every operation is tried on the engine in this process, and some on the other; at each step one fault, at each
//! commit all of them. `CARILLON_ALL_FAULTS=1` tries all faults at all steps on both:
//!
//! `CARILLON_ALL_FAULTS=1 cargo test -p carillon-service --lib faults -- --nocapture`

use std::collections::BTreeMap;
use std::sync::LazyLock;

use carillon_store::testing::{Fault, Faults, Step};
use regex::Regex;

use super::valid::valid;
use super::*;
use crate::constraints::Built;
use crate::operation::Effect;

/// The operations are tried in so many tests, side by side.
const PARTS: usize = 4;
/// Those that are tried across a network, if not all are.
const ACROSS: [&str; 7] = [
    "ChannelFlowCallback",
    "CreateChannel",
    "CreateChannelMembership",
    "DeleteAppInstanceUser",
    "ListChannels",
    "SendChannelMessage",
    "UpdateChannelMessage",
];
/// After a statement that is lost, an answer nobody got is the same.
const AT_STATEMENTS: [Fault; 3] = [Fault::Fails, Fault::Again, Fault::Lost];
/// In turns, if not all are tried: what is run again is done, and the next one needs another scene.
const IN_TURNS: [Fault; 5] = [Fault::Fails, Fault::Lost, Fault::Fails, Fault::Lost, Fault::Again];
const AT_COMMITS: [Fault; 4] = [Fault::Fails, Fault::Again, Fault::Lost, Fault::AnswerLost];

#[derive(Default)]
struct Tried {
    operations: usize,
    steps: usize,
    faults: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

/// What a request leaves: rows that are gone and rows that came, and what was told.
#[derive(Debug, Default, PartialEq)]
struct Left {
    rows: Vec<String>,
    told: Vec<&'static str>,
}

/// An operation, ready to be asked for.
struct Ready {
    request: Built,
    before: Vec<String>,
}

fn is_thorough() -> bool {
    std::env::var_os("CARILLON_ALL_FAULTS").is_some()
}

fn run(part: usize, is_across_a_network: bool) {
    let mut tried = Tried::default();
    for (number, route) in crate::front::route::all().into_iter().enumerate() {
        let is_in = is_thorough() || !is_across_a_network || ACROSS.contains(&route.name);
        if is_in && number % PARTS == part {
            World::failing(is_across_a_network, |world, faults| {
                world.set_quotas(|quotas| quotas.app_instances_max = 10_000);
                Trial { world, faults, route: &route, number, scenes: 0, tried: &mut tried }.run();
            });
            tried.operations += 1;
        }
    }
    let Tried { operations, steps, faults, wrong } = tried;
    let place = if is_across_a_network { "across a network" } else { "in this process" };
    let all: usize = faults.values().sum();
    println!("faults {place}: {operations} operations of {steps} steps, {all} tried, {} wrong", wrong.len());
    println!("faults {place}: {faults:?}");
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(steps <= all, "a step was left out");
}

#[test]
fn an_operation_is_done_or_not_done_whatever_fails_in_the_first_part() {
    run(0, false);
    run(0, true);
}

#[test]
fn an_operation_is_done_or_not_done_whatever_fails_in_the_second_part() {
    run(1, false);
    run(1, true);
}

#[test]
fn an_operation_is_done_or_not_done_whatever_fails_in_the_third_part() {
    run(2, false);
    run(2, true);
}

#[test]
fn an_operation_is_done_or_not_done_whatever_fails_in_the_fourth_part() {
    run(3, false);
    run(3, true);
}

/// The trial of one operation.
struct Trial<'a> {
    world: &'a mut World,
    faults: &'a Faults,
    route: &'a Route,
    number: usize,
    scenes: u64,
    tried: &'a mut Tried,
}

impl Trial<'_> {
    fn run(mut self) {
        let mut ready = self.ready();
        self.faults.arm(None);
        let (status, answer) = ready.request.send(self.world);
        let steps = self.faults.disarm();
        assert!(status < 300, "{}: {answer}", self.route.name);
        let whole = self.left(&ready);
        let is_read = self.route.effect == Effect::Read;
        assert!(!is_read || whole == Left::default(), "{} changed {whole:?}", self.route.name);
        self.tried.steps += steps.len();
        if !is_read {
            ready = self.ready();
        }
        for (number, step) in (1..).zip(&steps) {
            for fault in self.faults_at(number, *step) {
                if self.try_fault(&ready, &whole, (number, *step, fault)) {
                    ready = self.ready();
                }
            }
        }
        // After all of that the store does what it is asked.
        let (status, answer) = ready.request.send(self.world);
        let left = self.left(&ready);
        if 300 <= status || left != whole {
            self.wrong(&format!("at the end: {status} {answer}: {left:?}, not {whole:?}"));
        }
    }

    /// Those of a step; each statement has one of its own, unless all are asked for.
    fn faults_at(&self, number: usize, step: Step) -> Vec<Fault> {
        match step {
            Step::Commit => AT_COMMITS.to_vec(),
            Step::Statement if is_thorough() => AT_STATEMENTS.to_vec(),
            Step::Statement => vec![IN_TURNS[(number + self.number) % IN_TURNS.len()]],
        }
    }

    /// All that an operation needs, in an app instance of its own, so that its counts are those of any other time.
    fn ready(&mut self) -> Ready {
        self.scenes += 1;
        self.world.use_new_instance();
        let cast = Cast::new(self.world);
        cast.tokens.set(self.scenes * 1_000);
        let request = valid(self.world, &cast, self.route);
        self.world.take_events();
        Ready { request, before: self.world.dump() }
    }

    /// What was left since it was made ready, in words that are the same for all app instances.
    fn left(&mut self, ready: &Ready) -> Left {
        let after = self.world.dump();
        let gone = ready.before.iter().filter(|row| after.binary_search(row).is_err());
        let came = after.iter().filter(|row| ready.before.binary_search(row).is_err());
        let gone = gone.map(|row| format!("- {}", plain(row)));
        let mut rows: Vec<String> = gone.chain(came.map(|row| format!("+ {}", plain(row)))).collect();
        rows.sort_unstable();
        Left { rows, told: self.world.take_events() }
    }

    /// Tries one fault; true where it changed something, and the next one needs another scene.
    fn try_fault(
        &mut self,
        ready: &Ready,
        whole: &Left,
        (number, step, fault): (usize, Step, Fault),
    ) -> bool {
        *self.tried.faults.entry(format!("{step:?} {fault:?}")).or_default() += 1;
        self.faults.arm(Some((number, fault)));
        let (status, answer) = ready.request.send(self.world);
        let steps = self.faults.disarm();
        let left = self.left(ready);
        let doubts = self.world.take_doubts();
        let is_struck = number <= steps.len();
        let is_lost = matches!(fault, Fault::Lost | Fault::AnswerLost);
        let is_doubt = is_struck && is_lost && steps[number - 1] == Step::Commit;
        let is_untouched = left.rows.is_empty();
        let is_right = if status < 300 {
            left == *whole && doubts.is_empty()
        } else {
            // A doubt is told as one, and as nothing else.
            let expected = if is_lost || fault == Fault::Again { 503 } else { 500 };
            let stands = is_doubt && fault == Fault::AnswerLost && left.rows == whole.rows;
            let may_doubt = if is_doubt { doubts == whole.told } else { doubts.is_empty() };
            is_struck && status == expected && (is_untouched || stands) && left.told.is_empty() && may_doubt
        };
        if !is_right {
            let what = format!("{fault:?} at {step:?} {number} of {}", steps.len());
            self.wrong(&format!("{what}: {status} {answer}: {left:?}, {doubts:?}, not {whole:?}"));
        }
        // Whoever was not answered asks again, and has it once.
        if is_doubt && 300 <= status && self.has_token() {
            let (status, answer) = ready.request.send(self.world);
            let again = self.left(ready);
            if 300 <= status || again.rows != whole.rows {
                self.wrong(&format!(
                    "{fault:?} at {number}, again: {status} {answer}: {again:?}, not {whole:?}"
                ));
            }
            return true;
        }
        !is_untouched
    }

    fn has_token(&self) -> bool {
        (self.route.members)().iter().any(|member| member.name == "ClientRequestToken")
    }

    fn wrong(&mut self, words: &str) {
        self.tried.wrong.push(format!("{}: {words}", self.route.name));
    }
}

/// A row without what differs from one app instance to the next: keys, digests, ids and tokens.
fn plain(row: &str) -> String {
    static KEYS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("x[0-9a-f]{16,}|[0-9a-f-]{32,}|try-[0-9]+").unwrap());
    KEYS.replace_all(row, "#").into_owned()
}
