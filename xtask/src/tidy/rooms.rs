//! Which module of a crate may import which: no circle between the modules of one folder, and in the crates of
//! [`PLANS`] only the way that `ARCHITECTURE.md` draws. Also how long a file may be.
//!
//! Only product code counts: what stands under `#[cfg(test)]` may use all that it tests. A folder is looked at as a
//! whole: `a.rs`, and every file below `a/`, are the module `a`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Finding;
use super::source::Source;

/// The modules directly below `src`, in the order of the plan: each may import those that stand after it.
const PLANS: [(&str, &[&str]); 2] = [
    (
        "access",
        &[
            "query",
            "given",
            "reseal",
            "signed",
            "sieve",
            "gate",
            "witness",
            "verdict",
            "caller",
            "built_in",
            "snapshot",
            "session",
            "document",
            "keys",
            "random",
            "web_identity",
        ],
    ),
    (
        "service",
        &[
            "front",
            "jobs",
            "operations",
            "chat",
            "prelude",
            "page",
            "once",
            "tags",
            "operation",
            "json_bounds",
            "call",
            "search",
            "functions",
            "processors",
            "patience",
            "clock",
            "quotas",
            "shapes",
            "error",
        ],
    ),
];
const SOURCE_FOLDER: &str = "src";
/// The most lines of product code in a file.
const LINES_MAX: usize = 400;
/// Files that may have more: tables, in which one looks up a line and reads no other.
const TABLES: [&str; 2] = [
    // The constrained texts of the wire, one after the other.
    "crates/model/src/text.rs",
    // The structures of the wire, one after the other.
    "crates/service/src/shapes.rs",
];

/// A file of a crate: where it is, which module it is, and what its product code imports from its own crate.
pub(super) struct Room {
    path: String,
    krate: String,
    module: Vec<String>,
    /// How many lines of it are not of tests.
    lines: usize,
    imports: Vec<(usize, Vec<String>)>,
    /// The modules that it declares for tests alone.
    tests: Vec<Vec<String>>,
}

impl Room {
    /// Nothing for a file that is not of a crate's source.
    pub(super) fn parse(path: &str, source: &Source) -> Option<Self> {
        let (krate, inside) = path.strip_prefix("crates/")?.split_once('/')?;
        let inside = Path::new(inside).strip_prefix(SOURCE_FOLDER).ok()?.with_extension("");
        let mut module: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if matches!(module.first().map(String::as_str), Some("lib" | "main")) {
            module.clear();
        }
        let Product { text, lines, tests } = product(&source.bare);
        let tests = tests.into_iter().map(|name| [module.as_slice(), &[name]].concat()).collect();
        let imports = text.lines().enumerate().flat_map(|(at, _)| imports_at(&text, at, &module)).collect();
        Some(Self { path: path.to_owned(), krate: krate.to_owned(), module, lines, imports, tests })
    }
}

/// All that the rooms of all crates break.
pub(super) fn check(rooms: &[Room]) -> Vec<(String, Finding)> {
    let crates: BTreeSet<&str> = rooms.iter().map(|room| room.krate.as_str()).collect();
    let of = |krate: &str| rooms.iter().filter(|room| room.krate == krate).collect::<Vec<_>>();
    crates.into_iter().flat_map(|krate| check_crate(krate, &of(krate))).collect()
}

/// An import between two modules of one folder.
struct Edge<'a> {
    from: &'a str,
    to: &'a str,
    path: &'a str,
    line: usize,
}

fn check_crate(krate: &str, rooms: &[&Room]) -> Vec<(String, Finding)> {
    let tests: BTreeSet<&[String]> = rooms.iter().flat_map(|room| &room.tests).map(Vec::as_slice).collect();
    let is_test = |module: &[String]| (1..=module.len()).any(|length| tests.contains(&module[..length]));
    let modules: BTreeSet<&[String]> =
        rooms.iter().flat_map(|room| (1..=room.module.len()).map(|length| &room.module[..length])).collect();
    let mut folders: BTreeMap<&[String], Vec<Edge<'_>>> = BTreeMap::new();
    let mut findings = Vec::new();
    for room in rooms.iter().filter(|room| !is_test(&room.module)) {
        findings.extend(too_long(room).map(|finding| (room.path.clone(), finding)));
        for (line, target) in &room.imports {
            let shared = room.module.iter().zip(target).take_while(|(own, other)| own == other).count();
            let (Some(from), Some(to)) = (room.module.get(shared), target.get(shared)) else { continue };
            if modules.contains(&target[..=shared]) && !is_test(target) {
                let edge = Edge { from, to, path: &room.path, line: *line };
                folders.entry(&room.module[..shared]).or_default().push(edge);
            }
        }
    }
    findings.extend(folders.values().flat_map(|edges| circles(edges)));
    if let Some((_, plan)) = PLANS.iter().find(|(planned, _)| *planned == krate) {
        let above = folders.get([].as_slice()).map(Vec::as_slice).unwrap_or_default();
        findings.extend(against(plan, above));
    }
    findings
}

/// A file in which nobody finds anything.
fn too_long(room: &Room) -> Option<Finding> {
    let (lines, path) = (room.lines, room.path.as_str());
    let is_too_long = LINES_MAX < lines && !TABLES.contains(&path);
    is_too_long
        .then(|| Finding::new(0, format!("has {lines} lines without its tests; {LINES_MAX} is the most")))
}

/// Imports that are part of a circle.
fn circles(edges: &[Edge<'_>]) -> Vec<(String, Finding)> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for edge in edges {
        next.entry(edge.from).or_default().insert(edge.to);
    }
    let reaches = |from: &str, goal: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(module) = open.pop() {
            if module == goal {
                return true;
            }
            if seen.insert(module) {
                open.extend(next.get(module).into_iter().flatten());
            }
        }
        false
    };
    let mut said = BTreeSet::new();
    let in_circle = edges.iter().filter(|edge| reaches(edge.to, edge.from));
    in_circle
        .filter(|edge| said.insert((edge.from, edge.to)))
        .map(|edge| {
            let rule = format!("{} imports {}, which leads back to it: a circle", edge.from, edge.to);
            (edge.path.to_owned(), Finding::new(edge.line, rule))
        })
        .collect()
}

/// Imports that run against the plan.
fn against(plan: &[&str], edges: &[Edge<'_>]) -> Vec<(String, Finding)> {
    let place = |module: &str| plan.iter().position(|planned| *planned == module);
    let said = edges.iter().filter_map(|edge| {
        let rule = match (place(edge.from), place(edge.to)) {
            (None, _) => format!("{} has no place in the plan of its crate", edge.from),
            (_, None) => format!("{} has no place in the plan of its crate", edge.to),
            (Some(from), Some(to)) if to < from => {
                format!("{} may not import {}: the plan runs the other way", edge.from, edge.to)
            }
            _ => return None,
        };
        Some((edge.path.to_owned(), Finding::new(edge.line, rule)))
    });
    said.collect()
}

/// What of a file is not of tests.
struct Product {
    /// Its lines; those of tests are empty.
    text: String,
    /// How many lines are not of tests.
    lines: usize,
    /// The names of the modules that it declares for tests.
    tests: Vec<String>,
}

fn product(bare: &[String]) -> Product {
    let (mut text, mut count, mut tests) = (String::new(), 0, Vec::new());
    let mut lines = bare.iter();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            text.extend([line, "\n"]);
            // Behind the end of the last line there is none.
            count += usize::from(lines.len() != 0 || !line.is_empty());
            continue;
        }
        text.push('\n');
        // What follows ends with its own line, or with the block that it opens, at the same depth.
        let depth = line.len() - line.trim_start().len();
        for line in lines.by_ref() {
            text.push('\n');
            if let Some(name) = declared(line) {
                tests.push(name.to_owned());
            }
            let at_depth = line.len() - line.trim_start().len() == depth;
            if at_depth && (line.ends_with(';') || line.trim() == "}" || line.ends_with(" }")) {
                break;
            }
        }
    }
    Product { text, lines: count, tests }
}

/// The name in `mod name;`, however public.
fn declared(line: &str) -> Option<&str> {
    let (before, name) = line.trim().strip_suffix(';')?.rsplit_once(' ')?;
    (before == "mod" || before.ends_with(" mod")).then_some(name)
}

/// What the paths that begin on a line lead to, from the crate's root.
fn imports_at(text: &str, at: usize, module: &[String]) -> Vec<(usize, Vec<String>)> {
    let start = text.split_inclusive('\n').take(at).map(str::len).sum::<usize>();
    let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
    let mut found = Vec::new();
    let mut from = start;
    while let Some((begin, word)) = root_of_path(text, from, end) {
        let mut base = module.to_vec();
        let mut rest = &text[begin..];
        if word == "crate::" {
            base.clear();
            rest = &rest[word.len()..];
        }
        while let Some(after) = rest.strip_prefix("super::") {
            base.pop();
            rest = after;
        }
        let mut paths = Vec::new();
        let after = tree(rest, &base, &mut paths);
        found.extend(paths.into_iter().map(|path| (at + 1, path)));
        from = (text.len() - after.len()).max(begin + word.len());
    }
    found
}

/// Where the next path of this crate begins, and with which word.
fn root_of_path(text: &str, from: usize, end: usize) -> Option<(usize, &'static str)> {
    let is_start = |at: usize| {
        !text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
    };
    let next = |word: &'static str| {
        let line = text.get(from..end)?;
        let found = line.match_indices(word).map(|(at, _)| from + at).find(|at| is_start(*at));
        found.map(|at| (at, word))
    };
    [next("crate::"), next("super::")].into_iter().flatten().min_by_key(|(at, _)| *at)
}

/// Reads what follows `crate::`: names, and groups of them in braces. Returns the rest.
fn tree<'a>(text: &'a str, base: &[String], paths: &mut Vec<Vec<String>>) -> &'a str {
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = tree(rest.trim_start(), base, paths).trim_start();
            match rest.strip_prefix(',') {
                Some(after) if after.trim_start().starts_with('}') => return &after.trim_start()[1..],
                Some(after) => rest = after,
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let length = text.find(|next: char| !(next.is_alphanumeric() || next == '_')).unwrap_or(text.len());
    if length == 0 {
        paths.push(base.to_vec());
        return text.strip_prefix('*').unwrap_or(text);
    }
    let mut path = base.to_vec();
    path.push(text[..length].to_owned());
    if let Some(rest) = text[length..].strip_prefix("::") {
        return tree(rest, &path, paths);
    }
    paths.push(path);
    let rest = &text[length..];
    // What it is called here says nothing of where it is.
    let alias = rest.strip_prefix(" as ");
    alias.map_or(rest, |alias| alias.trim_start_matches(|next: char| next.is_alphanumeric() || next == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(path: &str, text: &str) -> Room {
        Room::parse(path, &Source::parse(text)).expect("is of a crate")
    }

    fn paths(text: &str) -> Vec<String> {
        let room = room("crates/a/src/b/c.rs", text);
        room.imports.into_iter().map(|(line, path)| format!("{line} {}", path.join("::"))).collect()
    }

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let rooms: Vec<_> = files.iter().map(|(path, text)| room(path, text)).collect();
        check(&rooms).into_iter().map(|(path, finding)| format!("{path}:{finding}")).collect()
    }

    #[test]
    fn paths_are_found_in_every_spelling() {
        assert_eq!(
            paths("use crate::d::{E, f::{self, G as H}, i};"),
            ["1 d::E", "1 d::f::self", "1 d::f::G", "1 d::i"]
        );
        assert_eq!(paths("use crate::{\n    d,\n    e::*,\n};"), ["1 d", "1 e"]);
        assert_eq!(paths("x(crate::d::e(), super::f::G, super::super::h)"), ["1 d::e", "1 b::f::G", "1 h"]);
        assert!(paths("// crate::d\n\"crate::d\"; mycrate::d").is_empty());
    }

    #[test]
    fn what_only_tests_import_does_not_count() {
        let text = "use crate::d;\n#[cfg(test)]\nuse crate::e;\nuse crate::f;\n#[cfg(test)]\nmod tests {\n    \
                    use crate::g;\n}\n";
        assert_eq!(paths(text), ["1 d", "4 f"]);
    }

    #[test]
    fn a_file_is_as_long_as_its_product_code() {
        let text = |lines| "x\n".repeat(lines) + "#[cfg(test)]\nmod tests {\n    x\n    x\n}\n";
        assert!(findings(&[("crates/a/src/b.rs", &text(LINES_MAX))]).is_empty());
        assert_eq!(findings(&[("crates/a/src/b.rs", &text(LINES_MAX + 1))]).len(), 1);
        let tests = ("crates/a/src/lib.rs", "#[cfg(test)]\nmod tests;");
        assert!(findings(&[tests, ("crates/a/src/tests/b.rs", &text(LINES_MAX + 1))]).is_empty());
    }

    #[test]
    fn a_circle_is_found_at_each_of_its_imports() {
        let circle = findings(&[
            ("crates/a/src/b.rs", "use crate::c::X;"),
            ("crates/a/src/c.rs", "use crate::d::X;"),
            ("crates/a/src/d/e.rs", "\nuse crate::b::X;"),
            ("crates/a/src/f.rs", "use crate::b::X;"),
        ]);
        assert_eq!(circle.len(), 3);
        assert_eq!(circle[2], "crates/a/src/d/e.rs:2: d imports b, which leads back to it: a circle");
    }

    #[test]
    fn modules_of_one_folder_are_held_to_the_same() {
        let b = ("crates/a/src/x/b.rs", "use super::c::X;");
        assert_eq!(findings(&[b, ("crates/a/src/x/c.rs", "use crate::x::b::X;")]).len(), 2);
        assert!(
            findings(&[b, ("crates/a/src/x/c.rs", "use super::Item;"), ("crates/a/src/x.rs", "")]).is_empty()
        );
    }

    #[test]
    fn a_module_for_tests_may_import_what_it_tests() {
        let files = [
            ("crates/a/src/lib.rs", "mod b;\n#[cfg(test)]\nmod testing;"),
            ("crates/a/src/b.rs", "#[cfg(test)]\nmod tests {\n    use crate::testing::*;\n}"),
            ("crates/a/src/testing.rs", "use crate::b::X;"),
        ];
        assert!(findings(&files).is_empty());
    }

    #[test]
    fn imports_run_as_planned() {
        let edge = |from, to| Edge { from, to, path: "p", line: 1 };
        let plan = ["front", "chat", "store"];
        let found = against(&plan, &[edge("front", "store"), edge("chat", "front"), edge("chat", "attic")]);
        assert_eq!(found.len(), 2);
    }
}
