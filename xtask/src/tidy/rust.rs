//! Rules for Rust.

use std::path::Path;

use super::Finding;
use super::source::Source;

const LINE_CHARACTERS_MAX: usize = 120;
const ENGINES: [&str; 2] = ["sqlite", "postgres"];
/// The crates in which no engine is named, but for the file that says on which engines a test runs.
const ENGINE_FREE: [&str; 4] = ["crates/service", "crates/delivery", "crates/model", "crates/auth"];
const ENGINE_FREE_BUT_FOR: &str = "testing.rs";

pub(super) fn module_file(path: &Path) -> Option<Finding> {
    let is_module = path.file_name().is_some_and(|name| name == "mod.rs");
    is_module.then(|| Finding::new(0, "name the file after the module, beside its folder"))
}

pub(super) fn long_lines(text: &str) -> Vec<Finding> {
    find(text.lines(), |line| LINE_CHARACTERS_MAX < line.chars().count(), "longer than 120 characters")
}

pub(super) fn ignored_tests(source: &Source) -> Vec<Finding> {
    find(&source.bare, |line| line.contains("#[ignore"), "an ignored test: repair it or delete it")
}

/// A public limit needs a sentence on where it comes from.
pub(super) fn undocumented_limits(text: &str) -> Vec<Finding> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let limits = (0..lines.len()).filter(|&at| is_limit(lines[at]) && !is_documented(&lines[..at]));
    limits.map(|at| Finding::new(at + 1, "an undocumented limit")).collect()
}

fn is_limit(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("pub") else { return false };
    // Past `(crate)` and its like.
    let rest = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest);
    let Some((name, _)) = rest.split_once(':') else { return false };
    match name.split_whitespace().collect::<Vec<_>>()[..] {
        ["const", name] => ["_MAX", "_MS"].iter().any(|unit| name.ends_with(unit)),
        [field] => field.ends_with("_max"),
        _ => false,
    }
}

fn is_documented(above: &[&str]) -> bool {
    above.iter().rev().find(|line| !line.starts_with("#[")).is_some_and(|line| line.starts_with("///"))
}

pub(super) fn sql(path: &Path, source: &Source) -> Vec<Finding> {
    // The tests of `disk` have SQLite write something.
    let may = ["crates/store", "crates/disk"].iter().any(|folder| path.starts_with(folder));
    if !path.starts_with("crates") || may {
        return Vec::new();
    }
    find(&source.code, |line| line.split('"').skip(1).any(is_sql), "SQL outside of crates/store")
}

fn is_sql(text: &str) -> bool {
    let text = text.trim_start();
    ["SELECT ", "INSERT INTO ", "DELETE FROM "].iter().any(|start| text.starts_with(start))
        || (text.starts_with("UPDATE ") && text.contains(" SET"))
}

pub(super) fn engine_names(path: &Path, source: &Source) -> Vec<Finding> {
    let is_free = ENGINE_FREE.iter().any(|folder| path.starts_with(folder));
    if !is_free || path.file_name().is_some_and(|name| name == ENGINE_FREE_BUT_FOR) {
        return Vec::new();
    }
    let names_engine = |line: &str| ENGINES.iter().any(|engine| line.to_lowercase().contains(engine));
    find(&source.code, names_engine, "names an engine")
}

fn find<L: AsRef<str>>(
    lines: impl IntoIterator<Item = L>,
    is_broken: impl Fn(&str) -> bool,
    rule: &str,
) -> Vec<Finding> {
    let lines = (1..).zip(lines);
    lines.filter(|(_, line)| is_broken(line.as_ref())).map(|(line, _)| Finding::new(line, rule)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(findings: Vec<Finding>) -> Vec<usize> {
        findings.into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn sql_is_found_outside_the_store_only() {
        let source = Source::parse(
            "tx.query(\"SELECT 1\");\nlet a = \"\n  UPDATE x SET y\";\nlet b = \"SELECT\";\n// \"DELETE FROM x\"\n",
        );
        assert_eq!(lines_of(sql(Path::new("crates/service/src/a.rs"), &source)), [1]);
        assert!(sql(Path::new("crates/store/src/a.rs"), &source).is_empty());
        let raw = Source::parse("r#\"INSERT INTO x\"#; \"UPDATE channel SET a = $1\"; \"UPDATE_CHANNEL\"");
        assert_eq!(lines_of(sql(Path::new("crates/server/src/a.rs"), &raw)), [1]);
    }

    #[test]
    fn engines_may_be_named_in_comments_and_in_testing() {
        let source =
            Source::parse("//! On SQLite …\nuse store::Postgres;\nlet a = \"sqlite:\"; // PostgreSQL\n");
        assert_eq!(lines_of(engine_names(Path::new("crates/auth/src/a.rs"), &source)), [2, 3]);
        assert!(engine_names(Path::new("crates/service/src/testing.rs"), &source).is_empty());
        assert!(engine_names(Path::new("crates/server/src/a.rs"), &source).is_empty());
    }

    #[test]
    fn a_limit_needs_a_sentence_above_it() {
        let text = "/// From the model.\n#[x]\npub const A_MAX: u8 = 1;\npub(crate) const B_MS: u64 = 1;\n\
                    const C_MAX: u8 = 1;\npub d_max: usize,\npub const E: u8 = 1;\npub fn f(g_max: u8) {}\n";
        assert_eq!(lines_of(undocumented_limits(text)), [4, 6]);
    }

    #[test]
    fn ignored_tests_long_lines_and_module_files_are_found() {
        let source = Source::parse("#[ignore = \"slow\"]\n// #[ignore]\nlet a = \"#[ignore]\";");
        assert_eq!(lines_of(ignored_tests(&source)), [1]);
        assert_eq!(lines_of(long_lines(&format!("{}\n{}", "é".repeat(120), "é".repeat(121)))), [2]);
        assert!(module_file(Path::new("crates/a/src/b/mod.rs")).is_some());
        assert!(module_file(Path::new("crates/a/src/b.rs")).is_none());
    }
}
