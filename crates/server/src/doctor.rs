//! `carillon doctor`: what goes wrong in practice, beside a running server and without one.
//!
//! A check is a value: its name, and the function that looks. Each answers with what it found; nothing wrong is a
//! finding, too. A check changes nothing that it looks at, and waits for nobody for longer than `PATIENCE`. To add
//! one: the function in the file of its group, its line in that file's `CHECKS`, its row in `docs/guide/doctor.md`,
//! and a fault in `tests/test_doctor.py` that it finds.

mod access;
mod doors;
mod files;
mod machine;
mod outside;
mod scene;
mod store;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::config::Settings;
use crate::error::Result;
use scene::Scene;

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It is as it should be.
    Ok,
    /// Something will be in the way some day, or is in somebody's.
    Warning,
    /// It does not work, or will soon not work, or is open to others.
    Serious,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub finding: String,
    /// What to do about it; empty where there is nothing to do.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Serious => "SERIOUS",
        };
        write!(f, "{word:7}  {}: {}", self.check, self.finding)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, ". {}", self.remedy) }
    }
}

/// A finding of a check, which knows its own name.
struct Found(Severity, String, &'static str);

fn ok(finding: impl Into<String>) -> Found {
    Found(Severity::Ok, finding.into(), "")
}

fn warning(finding: impl Into<String>, remedy: &'static str) -> Found {
    Found(Severity::Warning, finding.into(), remedy)
}

fn serious(finding: impl Into<String>, remedy: &'static str) -> Found {
    Found(Severity::Serious, finding.into(), remedy)
}

/// What is looked at, and by which function.
struct Check {
    name: &'static str,
    look: fn(&Scene<'_>) -> Vec<Found>,
}

/// All checks, in the order in which they are made: what others rest on first.
const GROUPS: [&[Check]; 6] =
    [files::CHECKS, machine::CHECKS, store::CHECKS, doors::CHECKS, access::CHECKS, outside::CHECKS];

/// Makes all checks, and tells of each what it found.
pub fn examine(settings: &Settings, mut tell: impl FnMut(Finding)) -> Result<()> {
    let scene = Scene::of(settings)?;
    for check in GROUPS.into_iter().flatten() {
        for Found(severity, finding, remedy) in (check.look)(&scene) {
            tell(Finding { check: check.name, severity, finding, remedy: remedy.to_owned() });
        }
    }
    scene.end();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_check_has_a_name_of_its_own_and_a_row_in_the_guide() {
        let guide = include_str!("../../../docs/guide/doctor.md");
        let names: Vec<&str> = GROUPS.into_iter().flatten().map(|check| check.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for name in names {
            assert!(guide.contains(&format!("| `{name}` |")), "{name}");
        }
    }

    #[test]
    fn a_finding_is_a_line_with_its_remedy() {
        let found = |severity, remedy: &str| {
            Finding { check: "disk", severity, finding: "is full".to_owned(), remedy: remedy.to_owned() }
                .to_string()
        };
        assert_eq!(found(Severity::Serious, "Make room."), "SERIOUS  disk: is full. Make room.");
        assert_eq!(found(Severity::Ok, ""), "ok       disk: is full");
    }
}
