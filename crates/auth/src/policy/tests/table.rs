//! The tables: every rule of the language as rows that a person can read.
//!
//! To add a rule, add rows; the evaluator and the naive one are both held to them.

use super::naive::Naive;
use super::*;

/// The rows that issue and documentation promise; a table that shrinks is noticed.
const ROWS_MIN: usize = 370;

#[test]
fn every_row_is_decided_as_written() {
    let mut rows = 0;
    let mut wrong = Vec::new();
    for (line, row) in decision_rows().into_iter().chain(condition_rows()) {
        rows += 1;
        let policies: Vec<Policy> = row.documents.iter().map(|text| parse(line, text)).collect();
        let policies: Vec<&Policy> = policies.iter().collect();
        let found = row.given.decide(&policies, &row.action, &row.resource);
        if word(&found) != row.expected {
            wrong.push(format!("{line}: {} instead of {}", word(&found), row.expected));
        }
        let naive = Naive::new(&row.documents).decide(&row.given, &row.action, &row.resource);
        if naive != row.expected {
            wrong.push(format!("{line}: {naive} instead of {}, by the naive evaluator", row.expected));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ROWS_MIN <= rows, "only {rows} rows");
}

#[test]
fn every_malformed_document_says_where_and_what() {
    let table = include_str!("malformed.txt");
    let mut rows = 0;
    for line in table.lines().skip_while(|line| !line.starts_with('=')) {
        let Some((place, rest)) = line.split_once(" | ") else { continue };
        let (problem, text) = rest.split_once('|').unwrap();
        let malformed = Policy::parse(&completed(text.trim())).expect_err(line);
        assert_eq!(malformed.place(), if place == "-" { "" } else { place }, "{line}");
        assert!(malformed.problem().contains(problem.trim()), "{line}: {malformed}");
        rows += 1;
    }
    assert!(60 <= rows, "only {rows} rows");
}

/// The elements of a row stand beside, or instead of, those of a good statement.
fn completed(text: &str) -> String {
    if text.contains("Statement") || !text.starts_with('{') {
        return text.to_owned();
    }
    let good = [("Effect", "\"Allow\""), ("Action", "\"chime:Connect\""), ("Resource", "\"*\"")];
    let missing = good.iter().filter(|(name, _)| !text.contains(&format!("\"{name}\":")));
    let missing: Vec<String> = missing.map(|(name, value)| format!("\"{name}\": {value}")).collect();
    let statement = format!("{{{}, {}", missing.join(", "), &text[1..]);
    format!(r#"{{"Version": "2012-10-17", "Statement": [{statement}]}}"#)
}

fn parse(line: usize, text: &str) -> Policy {
    Policy::parse(text).unwrap_or_else(|malformed| panic!("{line}: {malformed}"))
}

pub(super) struct Row {
    pub(super) documents: Vec<String>,
    pub(super) given: Given,
    pub(super) action: String,
    pub(super) resource: String,
    pub(super) expected: String,
}

/// The rows of `decisions.txt`, with their line numbers.
pub(super) fn decision_rows() -> Vec<(usize, Row)> {
    let mut rows = Vec::new();
    let (mut documents, mut given, mut rows_began) = (Vec::new(), Given::default(), true);
    for (line, text) in body(include_str!("decisions.txt")) {
        if text.starts_with(['{', '[']) {
            if std::mem::take(&mut rows_began) {
                documents.clear();
                given = Given::default();
            }
            documents.push(document(text));
        } else if let Some(context) = text.strip_prefix("with ") {
            given = Given::read(context);
        } else {
            let mut parts = text.splitn(3, ' ').map(|part| part.replace("APP", APP));
            let mut part = || parts.next().unwrap();
            let (expected, action, resource) = (part(), part(), part());
            let (documents, given) = (documents.clone(), given.clone());
            rows.push((line, Row { documents, given, action, resource, expected }));
            rows_began = true;
        }
    }
    rows
}

/// The rows of `conditions.txt`, as decisions.
pub(super) fn condition_rows() -> Vec<(usize, Row)> {
    let mut rows = Vec::new();
    let (mut documents, mut effect) = (Vec::new(), "Allow");
    for (line, text) in body(include_str!("conditions.txt")) {
        let condition = text.strip_prefix("deny ").unwrap_or(text);
        if condition.starts_with('{') {
            effect = if condition == text { "Allow" } else { "Deny" };
            documents = vec![document(&format!(
                r#"{{"Effect": "{effect}", "Action": "*", "Resource": "*", "Condition": {condition}}}"#
            ))];
            continue;
        }
        let (answer, given) = text.split_once(' ').unwrap_or((text, ""));
        let expected = match (answer, effect) {
            ("yes", "Allow") => "allow",
            ("yes", _) => "deny",
            ("no", _) => "none",
            _ => panic!("{line}: neither yes nor no"),
        };
        rows.push((
            line,
            Row {
                documents: documents.clone(),
                given: Given::read(given),
                action: "chime:Connect".to_owned(),
                resource: format!("{APP}/user/ana"),
                expected: expected.to_owned(),
            },
        ));
    }
    rows
}

/// The lines below a table's introduction that are neither titles nor empty.
fn body(table: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = (1..).zip(table.lines()).skip_while(|(_, line)| !line.starts_with('='));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('='))
}
