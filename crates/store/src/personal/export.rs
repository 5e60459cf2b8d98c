//! The way out: all that is one person's, read from one snapshot, page by page, and shown as a person can read it.

use std::collections::HashMap;

use carillon_model::arn::{Home, IdentityArn};
use carillon_model::{AppInstanceArn, Key, MessageKey, Timestamp};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value as Json, json};

use super::{PERSONAL, Show, Table};
use crate::engine::{Column, FromColumn, Kind, Opened, Value, parameters, values};
use crate::moving::{kept, listed};
use crate::row::read;
use crate::{Error, Location, Result, Tx, identity, migration};

/// How many rows are read at a time.
const PAGE_LEN: i64 = 200;
/// The names that are remembered of channels and people. One more, and they are read anew.
const NAMES_LEN_MAX: usize = 10_000;

/// A row, as an export shows it.
pub type Item = Map<String, Json>;

/// The next rows, all of one section.
pub type Shown = Option<(&'static str, Vec<Item>)>;

/// Channels and people as an export names them.
#[derive(Default)]
struct Names(HashMap<(bool, Key), Json>);

/// An export of one person under way: a connection of its own, in a transaction that reads one snapshot.
pub struct Export {
    opened: Opened,
    home: Home,
    arn: IdentityArn,
    /// Everyone who has, or had, this ARN.
    people: Vec<Key>,
    names: Names,
    /// The numbers of the table and of the person that are being read.
    at: (usize, usize),
    /// The key of the row that was read last.
    after: Option<Vec<Cell>>,
}

/// What stands in a column.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl FromColumn for Cell {
    fn from_column(column: Column<'_>) -> Option<Self> {
        Some(match column {
            Column::Null => Self::Null,
            Column::Int(number) => Self::Int(number),
            Column::Text(text) => Self::Text(text.to_owned()),
            Column::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
        })
    }
}

impl Cell {
    fn to_value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => Value::Int(*number),
            Self::Text(text) => Value::Text(text.into()),
            Self::Bytes(bytes) => Value::Bytes(bytes.into()),
        }
    }

    fn key(&self) -> Option<Key> {
        if let Self::Bytes(bytes) = self { bytes[..].try_into().ok().map(Key) } else { None }
    }
}

impl Export {
    /// Begins to read what a store holds of whoever has, or had, this ARN.
    pub fn open(location: &Location, home: &Home, arn: &IdentityArn) -> Result<Self> {
        if let Location::Sqlite(path) = location
            && !path.exists()
        {
            return Err(Error::broken(format!("there is no {}", path.display())));
        }
        let mut opened = location.open(Kind::Read)?;
        let people = opened.hold(|driver| {
            driver.begin(Kind::Read)?;
            driver.take_time()?;
            let mut tx = Tx::new(driver, None);
            migration::find_readable(&mut tx)?;
            crate::erasure::list_named(&mut tx, arn)
        })?;
        let (names, home, arn) = (Names::default(), home.clone(), arn.clone());
        Ok(Self { opened, home, arn, people, names, at: (0, 0), after: None })
    }

    /// How many have, or had, this ARN.
    pub fn people(&self) -> usize {
        self.people.len()
    }

    /// The policies that name the person.
    pub fn policies(&mut self) -> Result<Vec<String>> {
        let arn = self.arn.as_str().to_owned();
        self.opened.hold(|driver| list_policies(&mut Tx::new(driver, None), &arn))
    }

    /// The next rows, all of one section; nothing at the end.
    pub fn next_rows(&mut self) -> Result<Shown> {
        while let Some(table) = PERSONAL.get(self.at.0) {
            // Tags are of an ARN, and not of a key.
            let people = if table.name == "tag" { self.people.len().min(1) } else { self.people.len() };
            if table.about.is_empty() || people <= self.at.1 {
                (self.at, self.after) = ((self.at.0 + 1, 0), None);
                continue;
            }
            let rows = self.read_page(table, self.people[self.at.1])?;
            if rows.is_empty() {
                (self.at.1, self.after) = (self.at.1 + 1, None);
                continue;
            }
            return Ok(Some((table.section, rows)));
        }
        Ok(None)
    }

    fn read_page(&mut self, table: &'static Table, person: Key) -> Result<Vec<Item>> {
        let Self { opened, home, arn, names, after, .. } = self;
        opened.hold(|driver| {
            let mut tx = Tx::new(driver, None);
            if tx.columns(table.name)?.is_empty() {
                return Ok(Vec::new()); // A store of an earlier version, which has no such table.
            }
            let person = if table.name == "tag" {
                Value::Text(arn.as_str().into())
            } else {
                values![person][0].clone()
            };
            let (sql, values) = question(table, person, after.as_deref());
            let rows = tx.rows(sql, &values, |row| {
                table.columns.iter().map(|_| row.read::<Cell>()).collect::<Result<Vec<_>>>()
            })?;
            drop(values);
            if let Some(last) = rows.last() {
                let of_key = |name: &&str| table.columns.iter().position(|(column, _)| column == name);
                *after = Some(table.key.iter().filter_map(of_key).map(|at| last[at].clone()).collect());
            }
            rows.iter().map(|row| show(&mut tx, table, row, (home, names))).collect()
        })
    }
}

/// The statement that asks for the next page of somebody's rows.
fn question<'a>(
    table: &Table,
    person: Value<'a>,
    after: Option<&'a [Cell]>,
) -> (&'static str, Vec<Value<'a>>) {
    let names = listed(table.columns.iter().map(|(name, _)| *name));
    let key = listed(table.key.iter().copied());
    let about: Vec<String> = table.about.iter().map(|column| format!("{column} = $1")).collect();
    let mut values = vec![person];
    let place = after.map_or_else(String::new, |after| {
        values.extend(after.iter().map(Cell::to_value));
        format!(" AND ({key}) > ({})", parameters(2, after.len()))
    });
    let text = format!(
        "SELECT {names} FROM {} WHERE ({}){place} ORDER BY {key} LIMIT {PAGE_LEN} -- of a person",
        table.name,
        about.join(" OR ")
    );
    (kept(text), values)
}

fn show(tx: &mut Tx, table: &Table, row: &[Cell], (home, names): (&Home, &mut Names)) -> Result<Item> {
    let mut item = Item::new();
    for ((name, show), cell) in table.columns.iter().zip(row) {
        if *show == Show::Hidden || *cell == Cell::Null {
            continue;
        }
        let (value, called) = match show {
            Show::Channel => (names.channel(tx, home, cell)?, "Channel".to_owned()),
            Show::Person => (names.person(tx, home, cell)?, words(name)),
            Show::Place => {
                let channel =
                    table.columns.iter().position(|(column, _)| *column == "channel").map(|at| &row[at]);
                if channel == Some(cell) {
                    continue;
                }
                (plain(cell), "SubChannelId".to_owned())
            }
            Show::Message => {
                let key = if let Cell::Bytes(bytes) = cell {
                    bytes[..].try_into().ok().map(MessageKey)
                } else {
                    None
                };
                if let Some(key) = key {
                    item.insert("CreatedTimestamp".to_owned(), key.created().to_string().into());
                }
                (plain(cell), "MessageId".to_owned())
            }
            Show::Time => (time(cell), words(name)),
            Show::Flag => (json!(*cell != Cell::Int(0)), words(name)),
            Show::Json => (parsed(cell), words(name)),
            Show::Plain | Show::Hidden => (plain(cell), words(name)),
        };
        item.insert(called, value);
    }
    Ok(item)
}

/// The name of a column, as the interface spells names.
fn words(column: &str) -> String {
    let column = column.strip_suffix("_at").map_or_else(|| column.to_owned(), |of| format!("{of}_timestamp"));
    column
        .split('_')
        .filter_map(|word| word.split_at_checked(1))
        .map(|(first, rest)| first.to_uppercase() + rest)
        .collect()
}

fn plain(cell: &Cell) -> Json {
    match cell {
        Cell::Null => Json::Null,
        Cell::Int(number) => json!(number),
        Cell::Text(text) => json!(text),
        Cell::Bytes(bytes) => json!(HEXLOWER.encode(bytes)),
    }
}

fn time(cell: &Cell) -> Json {
    if let Cell::Int(ms) = cell { json!(Timestamp::from_ms(*ms).to_string()) } else { plain(cell) }
}

fn parsed(cell: &Cell) -> Json {
    match cell {
        Cell::Text(text) => serde_json::from_str(text).unwrap_or_else(|_| plain(cell)),
        _ => plain(cell),
    }
}

impl Names {
    fn of(
        &mut self,
        (is_channel, cell): (bool, &Cell),
        find: impl FnOnce(Key) -> Result<Option<Json>>,
    ) -> Result<Json> {
        let Some(key) = cell.key() else { return Ok(plain(cell)) };
        if let Some(known) = self.0.get(&(is_channel, key)) {
            return Ok(known.clone());
        }
        if NAMES_LEN_MAX <= self.0.len() {
            self.0.clear();
        }
        let found = find(key)?.unwrap_or_else(|| plain(cell));
        self.0.insert((is_channel, key), found.clone());
        Ok(found)
    }

    fn channel(&mut self, tx: &mut Tx, home: &Home, cell: &Cell) -> Result<Json> {
        self.of((true, cell), |key| {
            let sql = "SELECT app_instance, id, name FROM channel WHERE key = $1";
            tx.row(sql, values![key], |row| {
                let (instance, id, name): (Key, String, String) = row.read()?;
                Ok(json!({ "ChannelArn": home.app_instance(instance).channel(&id).as_str(), "Name": name }))
            })
        })
    }

    fn person(&mut self, tx: &mut Tx, home: &Home, cell: &Cell) -> Result<Json> {
        self.of((false, cell), |key| {
            let instance = tx.row("SELECT app_instance FROM identity WHERE key = $1", values![key], read)?;
            let Some(instance) = instance else { return Ok(None) };
            let instance: AppInstanceArn = home.app_instance(instance);
            let found = identity::get(tx, &instance, key)?;
            Ok(found.map(|one| json!({ "Arn": one.arn.as_str(), "Name": one.name })))
        })
    }
}

/// The policies whose documents name an ARN, each by whom it belongs to, or by its own name.
pub(super) fn list_policies(tx: &mut Tx, arn: &str) -> Result<Vec<String>> {
    let inline = "SELECT p.kind, p.name, i.name, i.document FROM iam_inline_policy i
                  JOIN iam_principal p ON p.id = i.principal ORDER BY p.kind, p.name, i.name";
    let mut found = tx.rows(inline, &[], |row| {
        let (kind, principal, name): (String, String, String) = row.read()?;
        Ok((format!("{name}, of the {kind} {principal}"), row.read::<String>()?))
    })?;
    let managed = "SELECT p.name, v.version, v.document FROM iam_policy_version v
                   JOIN iam_policy p ON p.id = v.policy ORDER BY p.name, v.version";
    found.extend(tx.rows(managed, &[], |row| {
        let (name, version): (String, i64) = row.read()?;
        Ok((format!("{name}, version {version}"), row.read::<String>()?))
    })?);
    Ok(found.into_iter().filter(|(_, document)| names_arn(document, arn)).map(|(name, _)| name).collect())
}

/// Whether a document names this ARN, and not one that only begins like it.
fn names_arn(document: &str, arn: &str) -> bool {
    document.match_indices(arn).any(|(at, _)| !document[at + arn.len()..].starts_with(is_of_id))
}

/// The characters that an id of a user has.
fn is_of_id(c: char) -> bool {
    c.is_ascii_alphanumeric() || ":-_.@".contains(c)
}

/// The policies whose documents name whoever this is.
pub fn policies_of(tx: &mut Tx, arn: &IdentityArn) -> Result<Vec<String>> {
    list_policies(tx, arn.as_str())
}

impl Drop for Export {
    fn drop(&mut self) {
        self.opened.hold(|driver| driver.rollback());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_called_as_the_interface_would() {
        for (column, name) in [
            ("created_at", "CreatedTimestamp"),
            ("allow_notifications", "AllowNotifications"),
            ("admin_since", "AdminSince"),
        ] {
            assert_eq!(words(column), name);
        }
    }

    #[test]
    fn an_arn_is_not_the_beginning_of_another() {
        assert!(names_arn(r#"{"Resource":"a/user/ana"}"#, "a/user/ana"));
        assert!(names_arn(r#"["a/user/anabel","a/user/ana"]"#, "a/user/ana"));
        assert!(!names_arn(r#"["a/user/anabel","a/user/ana.b"]"#, "a/user/ana"));
    }
}
