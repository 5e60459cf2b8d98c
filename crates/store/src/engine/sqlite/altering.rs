//! Which statements may alter how somebody stands to a channel.

/// The tables that a standing is read from.
const TABLES: [&str; 5] = ["app_instance", "channel", "identity", "membership", "moderator"];
/// Statements on them that change nothing which is remembered: claims, whose numbers are remembered beside it, counts,
/// read markers and preferences; and whatever comes into being, of which nothing can be remembered.
const HARMLESS: [&str; 9] = [
    "INSERT INTO app_instance ",
    "INSERT INTO channel ",
    "INSERT INTO identity ",
    "UPDATE channel SET sequence = ",
    "UPDATE channel SET clock = clock ",
    "UPDATE identity SET membership_count = membership_count",
    "UPDATE app_instance SET user_count = user_count ",
    "UPDATE membership SET read_at = ",
    "UPDATE membership SET allow_notifications = ",
];

/// Whether a statement may alter how somebody stands to a channel; one that is not understood may.
pub(super) fn alters(sql: &str) -> bool {
    let begins = |words: &str| sql.strip_prefix(words);
    if ["SELECT ", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT ", "RELEASE ", "PRAGMA data_version"]
        .iter()
        .any(|words| sql.starts_with(words))
        || HARMLESS.iter().any(|harmless| sql.starts_with(harmless))
    {
        return false;
    }
    let changed = begins("INSERT INTO ").or_else(|| begins("UPDATE ")).or_else(|| begins("DELETE FROM "));
    changed.is_none_or(|rest| rest.split_whitespace().next().is_none_or(|table| TABLES.contains(&table)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_alters_standings_unless_it_is_known_not_to() {
        for sql in [
            "UPDATE channel SET member_count = $2 WHERE key = $1",
            "UPDATE identity SET name = $2",
            "INSERT INTO membership (a) VALUES ($1)",
            "DELETE FROM moderator WHERE channel = $1",
            "WITH x AS (SELECT 1) DELETE FROM y",
            "DROP TABLE ban",
        ] {
            assert!(alters(sql), "{sql}");
        }
        for sql in [
            "SELECT 1 FROM channel",
            "UPDATE channel SET sequence = $2, clock = $3",
            "INSERT INTO message (a) VALUES ($1)",
            "DELETE FROM outbox WHERE at < $1",
            "UPDATE membership SET read_at = CASE",
            "UPDATE lease SET until = $2",
            "COMMIT",
        ] {
            assert!(!alters(sql), "{sql}");
        }
    }
}
