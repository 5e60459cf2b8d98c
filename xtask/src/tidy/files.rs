//! Rules for every file, whatever its language.

use std::path::Path;

use super::Finding;

const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Where text shows that it is none; git looks as far.
const BINARY_PROBE_BYTES_MAX: usize = 8000;
const CODE: [&str; 12] = ["rs", "py", "ts", "tsx", "js", "cjs", "mjs", "html", "css", "sh", "toml", "sql"];
// In halves, so that this file does not break its own rules.
const LEFTOVERS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
const LEFTOVER_MACRO: &str = concat!("to", "do!(");
const PLACES: [&str; 3] = [concat!("/wo", "rk"), concat!("/ro", "ot"), concat!("/ho", "me")];

pub(super) fn is_code(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| CODE.contains(&extension))
}

pub(super) fn size_and_kind(bytes: &[u8]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if FILE_BYTES_MAX < bytes.len() {
        findings.push(Finding::new(0, format!("{} bytes, more than {FILE_BYTES_MAX}", bytes.len())));
    }
    if bytes.iter().take(BINARY_PROBE_BYTES_MAX).any(|&byte| byte == 0) || str::from_utf8(bytes).is_err() {
        findings.push(Finding::new(0, "is binary"));
    }
    findings
}

pub(super) fn leftovers(text: &str) -> Vec<Finding> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let has_word = |line: &str| line.split(|c| !is_word(c)).any(|word| LEFTOVERS.contains(&word));
    let lines = (1..).zip(text.lines());
    lines
        .filter(|(_, line)| has_word(line) || line.contains(LEFTOVER_MACRO))
        .map(|(line, _)| Finding::new(line, "work left over: do it, or file an issue"))
        .collect()
}

/// Two versions of the same lines, of which nobody chose one.
pub(super) fn conflicts(text: &str) -> Vec<Finding> {
    let lines = (1..).zip(text.lines());
    lines
        .filter(|(_, line)| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> "))
        .map(|(line, _)| Finding::new(line, "a conflict that was not solved"))
        .collect()
}

/// Paths of the machine that somebody worked on.
pub(super) fn absolute_paths(text: &str) -> Vec<Finding> {
    let lines = (1..).zip(text.lines());
    let findings = lines.flat_map(|(line, text)| {
        let places = PLACES.iter().filter(move |place| names_place(text, place));
        places.map(move |place| Finding::new(line, format!("an absolute path: {place}")))
    });
    findings.collect()
}

/// Whether the place stands at the start of a path; within a longer path or a URL it is another one.
fn names_place(text: &str, place: &str) -> bool {
    text.match_indices(place).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + place.len()..].chars().next();
        let begins = before.is_none_or(|c| !(c.is_alphanumeric() || "_-./:>})*".contains(c)));
        begins && after.is_none_or(|c| !(c.is_alphanumeric() || "_-.".contains(c)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_whole_words() {
        let [word, other] = LEFTOVERS;
        assert_eq!(leftovers(&format!("x\n// {word}: y\n# {other}")).len(), 2);
        assert_eq!(leftovers(&format!("{LEFTOVER_MACRO})")).len(), 1);
        assert!(leftovers(&format!("{word}S {word}_LIST mas{other}")).is_empty());
    }

    #[test]
    fn a_conflict_is_found_by_its_marks() {
        assert_eq!(conflicts("a\n<<<<<<< ours\nb\n=======\nc\n>>>>>>> theirs\n").len(), 2);
        assert!(conflicts("a << b\n=======\n").is_empty());
    }

    #[test]
    fn only_the_start_of_a_path_is_an_absolute_path() {
        let [first, second, third] = PLACES;
        assert_eq!(absolute_paths(&format!("cd {first}/main\n\"{second}\"\n`{third}/ana`")).len(), 3);
        let others = format!(
            "https://example.test{third}/ docs{first}/a <dir>{second}-credentials {first}flow {{x}}{third}"
        );
        assert_eq!(absolute_paths(&others), []);
    }

    #[test]
    fn large_and_binary_files_are_found() {
        assert_eq!(size_and_kind(b"text").len(), 0);
        assert_eq!(size_and_kind(b"\x7fELF\0").len(), 1);
        assert_eq!(size_and_kind(&vec![b'x'; FILE_BYTES_MAX + 1]).len(), 1);
    }
}
