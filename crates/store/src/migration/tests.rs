use super::*;
use crate::Location;
use crate::testing::Schema;

const NOW: i64 = 1_768_478_400_000;

fn index(ddl: &'static str) -> Migration {
    Migration { ddl, step: Step::Index }
}

fn contract(ddl: &'static str, needs: i64) -> Migration {
    Migration { ddl, step: Step::Contract { needs } }
}

/// The migrations of this binary, and some to come.
fn and(later: impl IntoIterator<Item = Migration>) -> Vec<Migration> {
    let known = MIGRATIONS.iter().map(|Migration { ddl, step }| Migration { ddl, step: *step });
    known.chain(later).collect()
}

fn on_both(test: fn(&mut dyn Driver)) {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = Location::Sqlite(directory.path().join("carillon.db"));
    sqlite.open(Kind::Write).unwrap().hold(test);
    let schema = Schema::new();
    let postgres = schema.location();
    postgres.open(Kind::Write).unwrap().hold(test);
}

#[test]
fn a_node_serves_what_was_expanded_and_not_what_was_contracted_since() {
    on_both(|driver| {
        run(driver, NOW).unwrap();
        let expanded = || expand("ALTER TABLE setting ADD COLUMN more BIGINT;");
        run_all(driver, &and([expanded()]), NOW).unwrap();
        run(driver, NOW).unwrap();
        let known = i64::try_from(MIGRATIONS.len()).unwrap();
        // It needs a node that knows what was expanded.
        let contracted = || contract("ALTER TABLE setting DROP COLUMN more;", known + 1);
        run_all(driver, &and([expanded(), contracted()]), NOW).unwrap();
        let Err(Error::Newer(words)) = run(driver, NOW) else { panic!("it would serve it") };
        assert!(words.contains(&format!("needs version {}", known + 1)), "{words}");
        driver.rollback();
        run_all(driver, &and([expanded()]), NOW).unwrap();
        driver.begin(Kind::Read).unwrap();
        assert!(matches!(check(&mut Tx::new(driver, None)), Err(Error::Newer(_))));
        driver.rollback();
    });
}

#[test]
fn indexes_are_made_in_their_turn_on_both_engines() {
    on_both(|driver| {
        run(driver, NOW).unwrap();
        let steps = [
            expand("ALTER TABLE setting ADD COLUMN more BIGINT;"),
            index(
                "CREATE INDEX setting_by_more ON setting (more);\nCREATE INDEX setting_by_value ON setting (value);\n",
            ),
            index("CREATE INDEX setting_by_both ON setting (more, value);"),
            expand("ALTER TABLE setting ADD COLUMN most BIGINT;"),
        ];
        run_all(driver, &and(steps), NOW).unwrap();
        driver.begin(Kind::Write).unwrap();
        // All of them are there: what is of the same name cannot be made.
        driver
            .define("DROP INDEX setting_by_more;\nDROP INDEX setting_by_value;\nDROP INDEX setting_by_both;")
            .unwrap();
        driver.define("ALTER TABLE setting DROP COLUMN most;").unwrap();
        driver.rollback();
    });
}

/// Of PostgreSQL alone, which has many who write.
#[test]
fn an_index_is_made_while_others_write_and_after_one_that_was_cut_off() {
    let schema = Schema::new();
    let location = schema.location();
    location.open(Kind::Write).unwrap().hold(|driver| run(driver, NOW)).unwrap();
    let inside = |sql: &str| format!("SET search_path TO {}; {sql}", schema.name());
    // What a node that was killed in the midst of it leaves: an index that is there and of no use.
    schema.run(&inside("CREATE INDEX setting_by_value ON setting (value)"));
    schema.run(&format!(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{}.setting_by_value'::regclass",
        schema.name()
    ));
    // A building index waits for whoever began before it, and has locked the table as far as it will by then.
    let before = schema.hold(&inside("BEGIN; INSERT INTO setting VALUES ('before', '1')"));
    let making = std::thread::spawn(move || {
        let steps = [index("CREATE INDEX setting_by_value ON setting (value);")];
        location.open(Kind::Write)?.hold(|driver| run_all(driver, &and(steps), NOW))
    });
    schema.run(
        "DO $$ BEGIN
           WHILE NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'
               AND query LIKE '%INDEX CONCURRENTLY%setting_by_value%' AND pid <> pg_backend_pid()) LOOP
             PERFORM pg_sleep(0.01); PERFORM pg_stat_clear_snapshot();
           END LOOP; END $$",
    );
    schema.run(&inside("SET lock_timeout = 2000; INSERT INTO setting VALUES ('meanwhile', '2')"));
    drop(before);
    making.join().unwrap().unwrap();
    schema.run(&format!(
        "DO $$ BEGIN ASSERT (SELECT indisvalid FROM pg_index
           WHERE indexrelid = '{}.setting_by_value'::regclass); END $$",
        schema.name()
    ));
}

/// What a node does not know that still serves must not come into its way, nor hold up what it writes.
#[test]
fn a_step_does_only_what_its_kind_may() {
    for (at, Migration { ddl, step }) in MIGRATIONS.iter().enumerate() {
        let complaint = complaint(ddl, *step);
        assert_eq!(complaint, None, "migration {}: see docs/decisions/0004", at + 1);
    }
    let needs = i64::try_from(MIGRATIONS.len()).unwrap();
    for (ddl, step) in [
        ("ALTER TABLE x DROP COLUMN y;", Step::Expand),
        ("ALTER TABLE x RENAME COLUMN y TO z;", Step::Expand),
        ("ALTER TABLE x ADD COLUMN y BIGINT NOT NULL;", Step::Expand),
        ("CREATE INDEX x_by_y ON x (y);", Step::Expand),
        ("CREATE UNIQUE INDEX x_by_y ON x (y);", Step::Index),
        ("CREATE TABLE x (\n y BIGINT\n);", Step::Index),
        ("UPDATE x SET y = 1;", Step::Expand),
        ("ALTER TABLE x ADD COLUMN y BIGINT;", Step::Contract { needs }),
    ] {
        assert!(complaint(ddl, step).is_some(), "{ddl}");
    }
    for (ddl, step) in [
        ("ALTER TABLE x ADD COLUMN y BIGINT NOT NULL DEFAULT 0;", Step::Expand),
        ("CREATE TABLE x (\n y BIGINT NOT NULL\n);\nCREATE UNIQUE INDEX x_by_y ON x (y);", Step::Expand),
        ("-- Found by y.\nCREATE INDEX x_by_y ON x (y);", Step::Index),
        ("DROP INDEX x_by_y;\nALTER TABLE x DROP COLUMN y;\nDROP TABLE z;", Step::Contract { needs }),
    ] {
        assert_eq!(complaint(ddl, step), None, "{ddl}");
    }
}

/// Why a statement of a step may not stand there, if one may not.
fn complaint(ddl: &str, step: Step) -> Option<String> {
    let lines = ddl.lines().filter(|line| !line.trim_start().starts_with("--"));
    let text = lines.collect::<Vec<_>>().join(" ");
    let made: Vec<&str> =
        text.split("CREATE TABLE ").skip(1).filter_map(|rest| rest.split(' ').next()).collect();
    text.split(';').map(str::trim).filter(|statement| !statement.is_empty()).find_map(|statement| {
        let is_of_new = |before: &str| {
            let table = statement.split_once(before).and_then(|(_, rest)| rest.split(' ').next());
            table.is_some_and(|table| made.contains(&table))
        };
        let is_index = statement.starts_with("CREATE INDEX ");
        let may = match step {
            Step::Whole => true,
            Step::Expand => {
                let adds = statement.starts_with("ALTER TABLE ") && statement.contains(" ADD COLUMN ");
                let is_filled = !statement.contains("NOT NULL") || statement.contains(" DEFAULT ");
                let is_new_index = is_index || statement.starts_with("CREATE UNIQUE INDEX ");
                statement.starts_with("CREATE TABLE ")
                    || adds && is_filled && !statement.contains(" UNIQUE")
                    || is_new_index && is_of_new(" ON ")
            }
            Step::Index => is_index,
            Step::Contract { .. } => {
                let drops = statement.starts_with("ALTER TABLE ") && statement.contains(" DROP ");
                drops || statement.starts_with("DROP ")
            }
        };
        (!may).then(|| format!("{step:?} may not have: {statement}"))
    })
}
