//! A few histories in each run of the tests, and that a number leads to one history alone.

use std::process::{Command, Output};

fn simulate(words: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_carillon-simulation");
    Command::new(program).args(words).output().expect("it was built with this test")
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned()).concat()
}

#[test]
fn every_promise_is_kept() {
    let output = simulate(&["--seeds", "6", "--steps", "500"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_number_leads_to_one_history() {
    let [one, other] =
        ["5", "5"].map(|seed| simulate(&["--seeds", "1", "--seed", seed, "--steps", "500", "--show"]));
    assert!(one.status.success(), "{}", said(&one));
    assert!(one.stdout == other.stdout, "the same number led to two histories");
    assert!(one.stdout.len() > 10_000, "nothing happened: {}", said(&one));
}

#[test]
fn a_planted_fault_is_found() {
    for fault in ["forgets-tokens", "loses-records"] {
        let output = simulate(&["--seeds", "20", "--steps", "500", "--fault", fault]);
        assert!(!output.status.success(), "{fault} was not found");
    }
}
