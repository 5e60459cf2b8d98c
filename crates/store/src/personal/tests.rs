use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::migration::MIGRATIONS;
use crate::testing::{Schema, in_folder};
use crate::{Location, Result, Store, Tx};

/// The columns of every table that migrations make, as an engine has them.
fn columns(tx: &mut Tx) -> Result<BTreeSet<(String, String)>> {
    let made = MIGRATIONS.iter().flat_map(|migration| migration.ddl.split("CREATE TABLE ").skip(1));
    let made = made.filter_map(|rest| rest.split_whitespace().next());
    let mut all = BTreeSet::new();
    for table in made.chain(["migration", "migration_lock"]) {
        all.extend(tx.columns(table)?.into_iter().map(|column| (table.to_owned(), column.name)));
    }
    Ok(all)
}

fn declared() -> BTreeSet<(String, String)> {
    let personal =
        PERSONAL.iter().flat_map(|table| table.columns.iter().map(|(column, _)| (table.name, *column)));
    let others =
        IMPERSONAL.iter().flat_map(|(name, columns, _)| columns.split(' ').map(|column| (*name, column)));
    personal.chain(others).map(|(table, column)| (table.to_owned(), column.to_owned())).collect()
}

#[test]
fn every_column_is_said_to_be_somebodys_or_nobodys() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Schema::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let check = |location: &Location| {
        let store = Store::open(location, 0, &(Arc::new(|_| {}) as _)).unwrap();
        let (stored, declared) = (runtime.block_on(store.read(columns)).unwrap(), declared());
        let missing: Vec<_> = stored.difference(&declared).collect();
        assert!(
            missing.is_empty(),
            "say in store/src/personal.rs whose data this is, and erase it: {missing:?}"
        );
        let gone: Vec<_> = declared.difference(&stored).collect();
        assert!(gone.is_empty(), "there is no such column any more: {gone:?}");
    };
    check(&in_folder(folder.path()));
    check(&schema.location());
}

#[test]
fn each_table_is_in_one_list_and_its_keys_are_columns() {
    let mut seen = BTreeSet::new();
    let names = PERSONAL.iter().map(|table| table.name).chain(IMPERSONAL.iter().map(|(name, ..)| *name));
    for name in names {
        assert!(seen.insert(name), "{name} is there twice");
    }
    for table in PERSONAL {
        for column in table.key.iter().chain(table.about) {
            assert!(table.columns.iter().any(|(name, _)| name == column), "{} has no {column}", table.name);
        }
        assert_eq!(table.about.is_empty(), table.section.is_empty(), "{}", table.name);
        assert!(!table.erasure.is_empty(), "{}", table.name);
    }
}
