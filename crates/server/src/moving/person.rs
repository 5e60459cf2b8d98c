//! `carillon export --user`: all that is one person's, as JSON that they can read.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use carillon_model::IdentityArn;
use carillon_model::arn::IdentityKind;
use carillon_store::personal;
use serde_json::{Value, json};

use super::Place;
use super::archive::{Unfinished, unwritable};
use crate::audit::persons::{self, Sought};
use crate::audit::recall;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::progress::{Progress, Unit, grouped, tell};
use crate::{clock, process};

/// The version of the format.
const FORMAT: u64 = 1;
/// What an export of a person does not hold, and why.
const LEFT: [(&str, &str); 4] = [
    ("what others said of them", "it is theirs who said it"),
    ("events and what is about to leave the server", "copies of what is in this file, for minutes"),
    ("audit logs of other servers", "each server keeps its own: make an export beside each"),
    ("backups, streams, and what push services and bots were told", "they are outside of the store"),
];

/// Whose export, and where to.
#[derive(Debug)]
pub struct Person {
    /// The file, or `-`.
    pub file: PathBuf,
    /// The ARN of the user.
    pub user: String,
}

/// Reads the ARN of a user.
pub(crate) fn read_arn(settings: &Settings, arn: &str) -> Result<IdentityArn> {
    let parsed = IdentityArn::try_from(arn.to_owned()).ok();
    let own = parsed.filter(|arn| settings.home.owns(arn.as_str()) && arn.kind() == IdentityKind::User);
    own.ok_or_else(|| {
        let example = settings.home.app_instance(carillon_model::Key([0; 16])).user("ana");
        Error::usage(format!("{arn} is not the ARN of a user here"))
            .hint(format!("Here they look like {}.", example.as_str()))
    })
}

/// Nobody has, or had, this ARN.
pub(crate) fn nobody(settings: &Settings, arn: &IdentityArn) -> Error {
    Error::failure(format!("there is no user {} in {}", arn.as_str(), settings.store)).hint(
        "Whoever was erased has another ARN since; lines of the audit log may still be found by the old one.",
    )
}

/// Exports.
pub fn run(settings: &Settings, asked: &Person) -> Result<()> {
    process::keep_private();
    let arn = read_arn(settings, &asked.user)?;
    let unread = |error: carillon_store::Error| {
        Error::failure(format!("the store {} cannot be exported: {error}", settings.store))
            .hint("Is --store right, or --data-dir, and may this user read it?")
    };
    let mut export =
        personal::Export::open(&settings.store.location, &settings.home, &arn).map_err(unread)?;
    if export.people() == 0 {
        return Err(nobody(settings, &arn));
    }
    let place = Place::of(&asked.file);
    let unfinished = match place {
        Place::Standard => None,
        Place::File(path) => Some(Unfinished::make(path).map_err(|error| unwritable(place, &error))?),
    };
    let out: Box<dyn Write> = match &unfinished {
        None => Box::new(io::stdout()),
        Some(file) => Box::new(file.file.try_clone().map_err(|error| unwritable(place, &error))?),
    };
    let failed = |error: io::Error| unwritable(place, &error);
    let mut document = Document::begin(BufWriter::new(out), &arn).map_err(failed)?;
    let mut progress = Progress::begin("rows", Unit::Each);
    while let Some((section, rows)) = export.next_rows().map_err(unread)? {
        for row in rows {
            document.item(section, &Value::Object(row)).map_err(failed)?;
        }
        progress.note(format!("of {section}"));
        progress.set(document.items, None);
    }
    for policy in export.policies().map_err(unread)? {
        document.item("PoliciesThatNameThem", &json!(policy)).map_err(failed)?;
    }
    let audit = recall(&settings.audit, &settings.data_dir)?;
    persons::read(&audit, &Sought::new(&arn), |line| {
        // What is no JSON is shown as it is.
        let line = line.trim_end();
        let value = serde_json::from_str(line).unwrap_or_else(|_| json!(line));
        document.item("AuditLog", &value).map_err(failed)
    })?;
    let items = document.items;
    document.end().map_err(failed)?;
    if let Some(file) = unfinished {
        file.finish().map_err(failed)?;
    }
    drop(progress);
    tell(&format!("exported {} items to {}", grouped(items), asked.file.display()));
    for (what, why) in LEFT {
        tell(&format!("not in it: {what}, because {why}"));
    }
    Ok(())
}

/// A document that is written piece by piece: an object of lists, an item a line.
struct Document<W> {
    out: W,
    section: Option<&'static str>,
    items: u64,
}

impl<W: Write> Document<W> {
    fn begin(mut out: W, arn: &IdentityArn) -> io::Result<Self> {
        let time = carillon_model::Timestamp::to_string(&clock::real());
        let left: Vec<Value> = LEFT.iter().map(|(what, why)| json!({ "What": what, "Why": why })).collect();
        writeln!(out, "{{\n\"CarillonPerson\": {FORMAT},")?;
        writeln!(out, "\"Version\": {},", json!(env!("CARGO_PKG_VERSION")))?;
        writeln!(out, "\"Time\": {},", json!(time))?;
        writeln!(out, "\"AppInstanceUserArn\": {},", json!(arn.as_str()))?;
        write!(out, "\"NotInIt\": {}", json!(left))?;
        Ok(Self { out, section: None, items: 0 })
    }

    fn item(&mut self, section: &'static str, item: &Value) -> io::Result<()> {
        self.items += 1;
        if self.section == Some(section) {
            self.out.write_all(b",\n")?;
        } else {
            if self.section.is_some() {
                self.out.write_all(b"\n]")?;
            }
            write!(self.out, ",\n{}: [\n", json!(section))?;
            self.section = Some(section);
        }
        write!(self.out, "{item}")
    }

    fn end(mut self) -> io::Result<()> {
        if self.section.is_some() {
            self.out.write_all(b"\n]")?;
        }
        self.out.write_all(b"\n}\n")?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_one_object_whatever_is_in_it() {
        let arn: IdentityArn =
            "arn:aws:chime:us-east-1:000000000000:app-instance/00000000-0000-0000-0000-000000000000/user/ana"
                .parse()
                .unwrap();
        for sections in [&[][..], &["A"], &["A", "A", "B"]] {
            let mut bytes = Vec::new();
            let mut document = Document::begin(&mut bytes, &arn).unwrap();
            for section in sections {
                document.item(section, &json!({ "x": "\n" })).unwrap();
            }
            document.end().unwrap();
            let read: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(read["AppInstanceUserArn"], arn.as_str());
            assert_eq!(
                read.get("A").map_or(0, |items| items.as_array().unwrap().len()),
                sections.len().min(2)
            );
        }
    }
}
