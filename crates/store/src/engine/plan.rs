//! How an engine goes about a statement, looked at once for each text in debug builds: every test that runs a statement
//! sees to it that it reads only what it wants. A statement that goes through a whole table that grows, or through a
//! whole index, panics with its plan.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Tables that never hold much, because something bounds them.
const SMALL: &[&str] = &[
    "setting",                 // a value or two
    "migration",               // one row a version of the schema
    "lease",                   // one row a job
    "beat",                    // a minute of each node
    "iam_principal",           // quotas, and all of it is held in memory
    "iam_access_key",          // the same
    "iam_inline_policy",       // the same
    "iam_policy",              // the same
    "iam_policy_version",      // the same
    "iam_attachment",          // the same
    "iam_oidc_provider",       // the same
    "search_instance",         // one row an app instance, and all of it is held in memory
    "streaming_configuration", // two rows an app instance, and all of it is held in memory
];
/// Indexes that hold only what is to be done, or few rows: going through them is what their readers want.
const WORK_LISTS: &[&str] = &[
    "app_instance_deleted",
    "app_instance_retaining",
    "channel_deleted",
    "channel_expiring",
    "erasure_open",
    "identity_deleted",
    "identity_expiring",
    "identity_leaving",
    "sub_channel_busy",
];
/// Statements that go through a table all the same, each with its reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("-- of a test", "counts the rows of a test"),
    ("-- of an export", "reads all that there is, page by page"),
    ("-- of an import", "sees whether there is anything, or takes all of it away"),
    ("-- of a person", "reads all that there is, page by page, when one person's data is asked for"),
    ("FROM pragma_table_info", "the columns of a table"),
    (
        "SELECT MAX(at) FROM outbox",
        "one step at the end of the index by time; an engine may call that a scan",
    ),
    ("SELECT key FROM app_instance WHERE 0 < bot_count", "app instances are few, and a quota says how many"),
    ("SELECT a.key FROM app_instance a WHERE a.deleted_at IS NULL\n", "the same"),
    ("UPDATE search_place SET version = 0", "an import that changes messages; places are few beside them"),
    ("SELECT 1 FROM app_instance WHERE deleted_at IS NULL LIMIT", "counts to a quota, and no further"),
    ("SELECT processors FROM channel_flow", "`doctor`, when an operator asks"),
    ("SELECT i.configuration FROM app_instance a", "the same; app instances are few"),
    ("SELECT resource, COUNT(*) FROM endpoint WHERE status = 'ACTIVE'", "the same"),
];

static SEEN: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Whether this text is a statement on tables, and was not looked at before.
pub(super) fn is_new(engine: &str, sql: &str) -> bool {
    if !["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].iter().any(|word| sql.starts_with(word)) {
        return false;
    }
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    seen.insert(format!("{engine} {sql}"))
}

/// Panics where a line of SQLite's plan goes through a table or an index as a whole.
pub(super) fn check_sqlite(sql: &str, lines: &[String]) {
    // A scan of what another part of the statement made is one of that part's rows.
    let made: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("CO-ROUTINE ").or_else(|| line.strip_prefix("MATERIALIZE ")))
        .collect();
    for line in lines {
        let Some(rest) = line.strip_prefix("SCAN ") else { continue };
        let (name, how) = rest.split_once(' ').unwrap_or((rest, ""));
        let is_listed = WORK_LISTS.iter().any(|index| how.ends_with(&format!("INDEX {index}")));
        if how != "CONSTANT ROW"
            && how != "VALUES CLAUSE"
            && name != "CONSTANT"
            && !name.starts_with('(')
            && !made.contains(&name)
            && !is_listed
        {
            refuse(sql, name, lines);
        }
    }
}

/// The same of PostgreSQL's, where scans of tables are off: one in the plan means that no index would serve. Which
/// index it takes says little here: of empty tables it knows nothing, and all of them cost the same.
pub(super) fn check_postgres(sql: &str, lines: &[String]) {
    for line in lines {
        let node = line.trim_start().trim_start_matches("->").trim_start();
        if let Some(rest) = node.strip_prefix("Seq Scan on ") {
            refuse(sql, rest.split(' ').next().unwrap_or(rest), lines);
        }
    }
}

fn refuse(sql: &str, name: &str, plan: &[String]) {
    let is_small =
        SMALL.contains(&name) || SMALL.iter().any(|small| sql.contains(&format!("FROM {small} {name}")));
    if is_small || EXCEPTIONS.iter().any(|(part, _)| sql.contains(part)) {
        return;
    }
    panic!(
        "a statement goes through all of {name}: give it an index or another form, or list it in plan.rs with its \
         reason\n{sql}\n{}",
        plan.join("\n")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(plan: &[&str]) -> Vec<String> {
        plan.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_search_and_a_list_of_work_may_be() {
        check_sqlite("", &lines(&["SEARCH channel USING INDEX channel_by_id (app_instance=? AND id>?)"]));
        check_sqlite("", &lines(&["SCAN channel USING INDEX channel_deleted", "SCAN setting"]));
        check_sqlite("", &lines(&["CO-ROUTINE busy", "SEARCH s USING INDEX x (y=?)", "SCAN busy"]));
        let search =
            ["Limit", "  ->  Index Scan using channel_pkey on channel", "        Index Cond: (key = $1)"];
        check_postgres("", &lines(&search));
    }

    #[test]
    #[should_panic(expected = "goes through all of channel")]
    fn a_scan_on_sqlite_may_not() {
        check_sqlite("SELECT", &lines(&["SCAN channel USING INDEX channel_by_id"]));
    }

    #[test]
    #[should_panic(expected = "goes through all of channel")]
    fn a_scan_on_postgres_may_not() {
        check_postgres("SELECT", &lines(&["Limit", "  ->  Seq Scan on channel", "        Filter: (a = $1)"]));
    }
}
