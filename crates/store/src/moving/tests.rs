use std::sync::Arc;

use carillon_model::Key;
use serde_json::json;

use super::*;

use crate::migration::MIGRATIONS;
use crate::testing::{Schema, in_folder, row_counts};
use crate::{Lane, Location, Store};

/// A store of a test.
struct Place {
    location: Location,
    store: Store,
    runtime: tokio::runtime::Runtime,
}

type Row = (&'static Table, Columns);

impl Place {
    fn new(location: Location) -> Self {
        let store = Store::open(&location, 0, &(Arc::new(|_| {}) as _)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { location, store, runtime }
    }

    fn write<T: Send + 'static>(&self, work: impl Fn(&mut Tx) -> Result<T> + Send + 'static) -> Result<T> {
        self.runtime.block_on(self.store.write(Lane::Account, work))
    }

    fn exported(&self, of: Option<Key>, with_keys: bool) -> Vec<Row> {
        let mut export = Export::open(&self.location, of, with_keys).unwrap();
        let mut all = Vec::new();
        while let Some((table, rows)) = export.next_rows().unwrap() {
            all.extend(rows.into_iter().map(|row| (table, row)));
        }
        all
    }

    /// Imports an archive, as far as `batches` go; all of it leaves no mark.
    fn import(&self, archive: &'static str, rows: &[Row], batches: usize) -> Intake {
        let begun = self.write(move |tx| begin(tx, archive)).unwrap();
        let Begun::At(mark) = begun else { panic!("{begun:?}") };
        let (mut intake, mut left) = (Intake::new(mark), batches);
        for next in rows.iter().map(Some).chain([None]) {
            if let Some(batch) = intake.due(next.map(|(table, _)| *table)) {
                if left == 0 {
                    return intake;
                }
                left -= 1;
                intake.put(self.write(move |tx| put(tx, &batch)).unwrap());
            }
            if let Some((table, row)) = next {
                intake.take(table, row.clone());
            }
        }
        let mark = intake.mark().clone();
        self.write(move |tx| end(tx, &mark)).unwrap();
        intake
    }
}

fn on_both(test: fn(Place)) {
    let folder = tempfile::tempdir().unwrap();
    test(Place::new(in_folder(folder.path())));
    let schema = Schema::new();
    test(Place::new(schema.location()));
}

fn row(table: &str, columns: Json) -> Row {
    let Json::Object(columns) = columns else { panic!("{columns}") };
    (find(table).unwrap(), columns)
}

const ONE: Key = Key([1; 16]);
const TWO: Key = Key([2; 16]);

/// What two app instances and an account may hold.
fn rows() -> Vec<Row> {
    let mut rows = vec![
        row("setting", json!({ "name": "web push arn", "value": "00" })),
        row(
            "iam_principal",
            json!({ "id": "AIDA", "kind": "user", "folded": "ana", "name": "Ana", "path": "/",
            "description": null, "trust": null, "session_seconds_max": null, "revoked_before": null,
            "tags": "[]", "created_at": 7 }),
        ),
        row(
            "iam_access_key",
            json!({ "id": "AKIA", "principal": "AIDA", "secret": "00ff", "active": 1,
            "created_at": 7 }),
        ),
    ];
    for key in [ONE, TWO] {
        rows.push(row(
            "app_instance",
            json!({ "key": key, "name": "\0 \u{1a} é", "metadata": null,
            "created_at": 1, "updated_at": 2, "user_count": 3, "admin_count": 0, "channel_count": 1,
            "elastic_channel_count": 0, "retention_days": null, "retention_destroys_at": null, "bot_count": 0,
            "deleted_at": null }),
        ));
    }
    for key in [ONE, TWO] {
        let resource = format!("arn:aws:chime:r:1:app-instance/{}/user/u", key.uuid());
        rows.push(row("tag", json!({ "resource": resource, "key": "colour", "value": "red" })));
    }
    for (number, instance) in (0..1_234).zip([ONE, TWO].into_iter().cycle()) {
        rows.push(row(
            "identity",
            json!({ "key": format!("{number:032x}"), "app_instance": instance,
            "kind": "user", "id": number.to_string(), "name": "n", "metadata": null, "created_at": 1,
            "updated_at": 1, "expiration_days": null, "expiration_criterion": null, "admin_since": null,
            "membership_count": 0, "deleted_at": null, "configuration": null, "leaving": null,
            "bereft_at": null }),
        ));
    }
    rows
}

fn of_instance(rows: &[Row], key: Key) -> Vec<Row> {
    let key = [key.to_string(), key.uuid()];
    let is_of = |row: &Columns| key.iter().any(|key| Json::Object(row.clone()).to_string().contains(key));
    rows.iter().filter(|(_, row)| is_of(row)).cloned().collect()
}

fn same(one: &[Row], other: &[Row]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| one.0.name == other.0.name && one.1 == other.1)
}

#[test]
fn every_table_is_moved_or_left_for_a_reason() {
    let made = MIGRATIONS.iter().flat_map(|migration| migration.ddl.split("CREATE TABLE ").skip(1));
    let made = made.filter_map(|rest| rest.split_whitespace().next());
    for table in made.chain(["migration", "migration_lock"]) {
        let moved = MOVED.iter().filter(|moved| moved.name == table).count();
        let left = LEFT.iter().filter(|(name, _)| *name == table).count();
        assert_eq!(moved + left, 1, "{table} needs one line in MOVED or in LEFT (store/src/moving.rs)");
    }
}

#[test]
fn tables_are_declared_as_they_are() {
    on_both(|place| {
        let known = MOVED.iter().map(|table| table.name).chain(LEFT.iter().map(|(name, _)| *name));
        for name in known {
            assert!(place.write(move |tx| columns(tx, name)).is_ok(), "there is no {name}");
        }
        for (at, table) in MOVED.iter().enumerate() {
            let columns = place.write(move |tx| columns(tx, table.name)).unwrap();
            let owners = table.owners.iter().map(|(column, _)| column);
            for column in table.key.iter().chain(owners).chain(&table.doomed).chain(&table.passing) {
                assert!(columns.iter().any(|has| has.name == **column), "{} has no {column}", table.name);
            }
            for (_, owner) in table.owners {
                assert!(
                    MOVED[..at].iter().any(|before| before.name == *owner),
                    "{owner} is after {}",
                    table.name
                );
            }
            // In an order that is an index's, or a page would read the whole table.
            let key = format!("PRIMARY KEY ({})", listed(table.key.iter().copied()));
            let alone = format!(
                "  {} {} PRIMARY KEY",
                table.key[0],
                if columns[0].is_bytes { "BYTEA" } else { "TEXT" }
            );
            let start = format!("CREATE TABLE {} (", table.name);
            let ddl = MIGRATIONS.iter().find_map(|migration| migration.ddl.split(&start).nth(1)).unwrap();
            let ddl = ddl.split("\n);").next().unwrap();
            assert!(
                ddl.contains(&key) || table.key.len() == 1 && ddl.contains(&alone),
                "the key of {}",
                table.name
            );
        }
    });
}

#[test]
fn what_went_in_comes_out() {
    on_both(|place| {
        let rows = rows();
        let intake = place.import("a", &rows, usize::MAX);
        assert_eq!((intake.passed_over, intake.mark().there.len()), (0, 0));
        assert!(same(&place.exported(None, true), &rows));
        place.runtime.block_on(place.store.read(check)).unwrap();
        // Without keys, and one app instance alone.
        let open: Vec<Row> = rows.iter().filter(|(table, _)| !table.is_secret).cloned().collect();
        assert!(same(&place.exported(None, false), &open));
        assert!(same(&place.exported(Some(TWO), true), &of_instance(&rows, TWO)));
        let left = Export::open(&place.location, None, false).unwrap().left().unwrap();
        assert!(matches!(left[..], [("iam_access_key", 1, _)]), "{left:?}");
    });
}

#[test]
fn an_import_goes_on_where_it_was_cut_off() {
    on_both(|place| {
        let rows = rows();
        for batches in 0..6 {
            place.import("a", &rows, 1);
            let error = place.runtime.block_on(place.store.read(check)).unwrap_err();
            assert!(error.to_string().contains("cut off"), "{batches}: {error}");
        }
        assert_eq!(place.import("a", &rows, usize::MAX).passed_over, 0);
        assert!(same(&place.exported(None, true), &rows));
    });
}

#[test]
fn a_commit_of_which_nobody_knew_is_not_made_twice() {
    on_both(|place| {
        let rows = &rows()[..1];
        let Begun::At(mark) = place.write(|tx| begin(tx, "a")).unwrap() else { panic!("it is new") };
        let mut intake = Intake::new(mark);
        intake.take(rows[0].0, rows[0].1.clone());
        let batch = intake.due(None).unwrap();
        let again = batch.clone();
        let mark = place.write(move |tx| put(tx, &batch)).unwrap();
        assert!(mark.there.is_empty());
        assert_eq!(place.write(move |tx| put(tx, &again)).unwrap(), mark);
        let from = Mark { archive: mark.archive, rows: 5, ..Mark::default() };
        let late = Batch { from, table: rows[0].0, rows: Arc::default(), looked_at: 1 };
        assert!(place.write(move |tx| put(tx, &late)).is_err());
    });
}

#[test]
fn what_is_there_stays_with_all_that_belongs_to_it() {
    on_both(|place| {
        let rows = rows();
        let (before, mut other) = (of_instance(&rows, ONE), rows.clone());
        place.import("a", &before, usize::MAX);
        // Ana is there under another id.
        let mut ana = rows[1].clone();
        ana.1.insert("id".to_owned(), "AIDB".into());
        place.import("b", &[ana.clone()], usize::MAX);
        for (_, row) in other.iter_mut().filter(|(table, _)| table.name == "identity") {
            row.insert("name".to_owned(), "another".into());
        }
        // Cut off after it has found that out.
        place.import("c", &other, 4);
        let intake = place.import("c", &other, usize::MAX);
        let there: Vec<_> =
            intake.mark().there.iter().map(|(table, keys)| (table.as_str(), keys.len())).collect();
        assert_eq!(there, [("app_instance", 1), ("iam_principal", 1)]);
        assert_eq!(intake.passed_over, 2 + u64::try_from(before.len()).unwrap());
        let after = place.exported(None, true);
        assert!(same(&of_instance(&after, ONE), &before));
        assert!(same(&of_instance(&after, TWO), &of_instance(&other, TWO)));
        let account: Vec<_> =
            after.iter().filter(|(table, _)| table.is_of_account).map(|(_, row)| row).collect();
        assert_eq!(account, [&rows[0].1, &ana.1]);
    });
}

#[test]
fn another_archive_takes_the_place_of_half_a_one_only_in_a_store_of_its_own() {
    on_both(|place| {
        let rows = rows();
        place.import("a", &rows, 5);
        assert!(matches!(place.write(|tx| begin(tx, "b")).unwrap(), Begun::Instead));
        while place.write(empty).unwrap() {}
        assert!(place.exported(None, true).is_empty());
        place.import("b", &of_instance(&rows, ONE), usize::MAX);
        place.import("c", &rows, 5);
        assert!(matches!(place.write(|tx| begin(tx, "d")).unwrap(), Begun::Beside));
        place.import("c", &rows, usize::MAX);
        assert!(same(&of_instance(&place.exported(None, true), ONE), &of_instance(&rows, ONE)));
    });
}

#[test]
fn what_is_about_to_be_destroyed_is_not_moved() {
    on_both(|place| {
        let mut rows = rows();
        rows.iter_mut()
            .filter(|(table, row)| table.name == "app_instance" && row["key"] == json!(TWO))
            .for_each(|(_, row)| {
                row.insert("deleted_at".to_owned(), 9.into());
            });
        // As they are in a store that they were deleted in.
        for (table, row) in rows.clone() {
            place
                .write(move |tx| {
                    let (columns, row) = (columns(tx, table.name)?, row.clone());
                    import::insert(tx, table, &columns.iter().collect::<Vec<_>>(), &[row])
                })
                .unwrap();
        }
        let account = rows.iter().filter(|(table, _)| table.is_of_account).count();
        assert_eq!(place.exported(None, true).len(), account + of_instance(&rows, ONE).len());
        let counts = place.runtime.block_on(place.store.read(row_counts)).unwrap();
        assert!(counts.contains(&("app_instance".to_owned(), 2)));
    });
}

#[test]
fn what_has_not_come_to_its_end_is_known() {
    on_both(|place| {
        let unfinished = || place.runtime.block_on(place.store.read(unfinished)).unwrap();
        assert_eq!(unfinished(), []);
        place.import("a", &rows(), 1);
        assert!(matches!(unfinished()[..], [Unfinished::Archive(1..)]));
        place.import("a", &rows(), usize::MAX);
        assert_eq!(unfinished(), []);
        let three = Key([3; 16]);
        for _ in 0..2 {
            assert!(place.write(move |tx| adopt(tx, three)).unwrap());
            assert_eq!(unfinished(), [Unfinished::Service(three)]);
            place.write(move |tx| brought(tx, three)).unwrap();
            assert_eq!(unfinished(), []);
        }
    });
}

#[test]
fn a_row_takes_the_place_of_what_is_there_as_far_as_it_is_to() {
    on_both(|place| {
        let put = |name: &str, members: i64, held| {
            let identity = json!({ "key": ONE, "app_instance": ONE, "kind": "user", "id": "a", "name": name,
                "created_at": 1, "updated_at": 1, "membership_count": members });
            let (table, row) = row("identity", identity);
            let changed =
                place.write(move |tx| replace(tx, table, held, std::slice::from_ref(&row))).unwrap();
            let now = place.exported(None, true).remove(0).1;
            (changed, now["name"].as_str().unwrap().to_owned(), now["membership_count"].as_i64().unwrap())
        };
        let is = |changed: u64, name: &str, members: i64| (changed, name.to_owned(), members);
        let unless_in_some = Held::Where("membership_count");
        assert_eq!(put("a", 0, unless_in_some), is(1, "a", 0));
        assert_eq!(put("b", 0, Held::Nothing), is(1, "b", 0));
        assert_eq!(put("b", 0, Held::Nothing), is(0, "b", 0));
        assert_eq!(put("c", 7, Held::Columns(&["name"])), is(1, "b", 7));
        assert_eq!(put("d", 0, unless_in_some), is(0, "b", 7));
    });
}

/// A batch ends by its bytes, too: a thousand messages of the greatest size would be 128 MiB in one transaction.
#[test]
fn a_batch_holds_no_more_bytes_than_its_bound_and_one_row() {
    const BOUND: usize = 16 * 1024 * 1024;
    let message = |number: usize, length: usize| {
        row(
            "message",
            json!({ "sub_channel": ONE, "key": format!("{number:064x}"), "content": "é".repeat(length / 2) }),
        )
    };
    let bytes = |row: &Columns| row.values().filter_map(Json::as_str).map(str::len).sum::<usize>();
    let lengths = (0..900)
        .map(|_| 64 * 1024)
        .chain([3 * BOUND, 10])
        .chain((0..40).map(|_| 1024 * 1024))
        .chain([10; 1_500]);
    let (mut batches, mut taken) = (Vec::new(), 0);
    let mut intake = Intake::new(Mark { archive: "a".to_owned(), ..Mark::default() });
    let end = |batch: Batch, intake: &mut Intake, batches: &mut Vec<_>| {
        intake.put(Mark { rows: batch.from.rows + batch.looked_at, ..batch.from.clone() });
        batches.push(batch.rows.iter().map(bytes).collect::<Vec<usize>>());
    };
    for (number, length) in lengths.enumerate() {
        let (table, row) = message(number, length);
        if let Some(batch) = intake.due(Some(table)) {
            end(batch, &mut intake, &mut batches);
        }
        intake.take(table, row);
        taken += 1;
    }
    let last = intake.due(None).unwrap();
    end(last, &mut intake, &mut batches);
    assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), taken);
    for (at, batch) in batches.iter().enumerate() {
        let all: usize = batch.iter().sum();
        assert!(all - batch.last().unwrap() < BOUND, "batch {at} has {all} bytes in {} rows", batch.len());
        // Nor is one shorter than it must be.
        assert!(
            BOUND <= all || batch.len() == 1_000 || at + 1 == batches.len(),
            "batch {at} has {all} bytes"
        );
    }
    assert!(batches.iter().filter(|batch| batch.len() < 1_000).count() >= 6);
}
