//! The archive: lines of JSON, compressed. The first says what it is, the last that it is whole, and each between them
//! is a row under the name of its table.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use carillon_store::Schema;
use carillon_store::moving::{self, Columns, Table};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::Place;
use crate::error::{Error, Result};
use crate::private_file::PRIVATE;

/// The version of the format. A later one may hold what this one does not know of.
const FORMAT: u64 = 1;
/// The most bytes of a line, so that a file that is no archive cannot fill the memory. Rows are far shorter.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How hard it is compressed: zstd's own default.
const LEVEL: i32 = 3;

/// The first line.
#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    /// The version of the format.
    carillon_export: u64,
    /// Tells this archive from all others.
    pub(super) id: String,
    /// The server's version.
    pub(super) version: String,
    /// The version of the store's schema.
    pub(super) schema: i64,
    /// When it was made.
    pub(super) time: String,
    /// Where all ARNs in it are at home.
    pub(super) region: String,
    pub(super) account: String,
    /// The only app instance that it holds, if it does not hold all.
    pub(super) app_instance: Option<String>,
    /// Whether it holds secrets.
    pub(super) with_keys: bool,
    /// The master keys that open them.
    pub(super) master_key: Option<String>,
}

impl Header {
    pub(super) fn new(id: String, schema: i64, time: String, home: &carillon_model::arn::Home) -> Self {
        Self {
            carillon_export: FORMAT,
            id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            schema,
            time,
            region: home.region().to_owned(),
            account: home.account().to_owned(),
            app_instance: None,
            with_keys: false,
            master_key: None,
        }
    }
}

/// The last line.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct End {
    /// How many rows there are.
    pub(super) rows: u64,
    /// What stayed behind.
    pub(super) left: Vec<Left>,
}

/// Something that is not in the archive, and that somebody may miss.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Left {
    pub(super) table: String,
    pub(super) rows: i64,
    pub(super) why: String,
}

/// An archive that is being written.
pub(super) struct Writer<'a> {
    out: zstd::Encoder<'static, BufWriter<Box<dyn Write>>>,
    file: Option<Unfinished<'a>>,
    rows: u64,
}

/// A file that has its name only when it is whole.
pub(super) struct Unfinished<'a> {
    path: &'a Path,
    beside: PathBuf,
    pub(super) file: File,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // It is there only where it did not get its name.
        let _ = std::fs::remove_file(&self.beside);
    }
}

impl<'a> Writer<'a> {
    pub(super) fn begin(place: Place<'a>, header: &Header) -> Result<Self> {
        let (file, out): (_, Box<dyn Write>) = match place {
            Place::Standard => (None, Box::new(io::stdout())),
            Place::File(path) => {
                let file = Unfinished::make(path).map_err(|error| unwritable(place, &error))?;
                let out = file.file.try_clone().map_err(|error| unwritable(place, &error))?;
                (Some(file), Box::new(out))
            }
        };
        let encoder = zstd::Encoder::new(BufWriter::new(out), LEVEL).and_then(|mut encoder| {
            encoder.include_checksum(true)?;
            Ok(encoder)
        });
        let mut writer = Self { out: encoder.map_err(|error| unwritable(place, &error))?, file, rows: 0 };
        writer.line(header)?;
        Ok(writer)
    }

    pub(super) fn row(&mut self, table: &Table, row: Columns) -> Result<()> {
        self.rows += 1;
        self.line(&Map::from_iter([(table.name.to_owned(), Value::Object(row))]))
    }

    /// Says that it is whole, and gives it its name.
    pub(super) fn end(mut self, left: Vec<Left>) -> Result<()> {
        let end = End { rows: self.rows, left };
        self.line(&Map::from_iter([("end".to_owned(), serde_json::json!(end))]))?;
        let place = self.file.as_ref().map_or(Place::Standard, |file| Place::File(file.path));
        let finished = self.out.finish().and_then(|mut out| out.flush());
        let named = finished.and_then(|()| self.file.as_ref().map_or(Ok(()), Unfinished::finish));
        named.map_err(|error| unwritable(place, &error))
    }

    fn line(&mut self, line: &impl Serialize) -> Result<()> {
        let text =
            Zeroizing::new(serde_json::to_string(line).expect("texts, numbers and maps always serialize"));
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.write_all(b"\n"));
        let place = self.file.as_ref().map_or(Place::Standard, |file| Place::File(file.path));
        written.map_err(|error| unwritable(place, &error))
    }
}

impl<'a> Unfinished<'a> {
    pub(super) fn make(path: &'a Path) -> io::Result<Self> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        let beside = PathBuf::from(beside);
        // What was cut off may have another mode, which opening it would not change.
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = File::options().write(true).create_new(true).mode(PRIVATE).open(&beside)?;
        Ok(Self { path, beside, file })
    }

    pub(super) fn finish(&self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.beside, self.path)?;
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }
}

pub(super) fn unwritable(place: Place<'_>, error: &io::Error) -> Error {
    let words = match place {
        Place::Standard => format!("the export cannot be written to the standard output: {error}"),
        Place::File(path) => format!("the export {} cannot be written: {error}", path.display()),
    };
    Error::failure(words).hint("Nothing is left of it: make room, or name another place, and begin again.")
}

/// How what zstd has compressed begins.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// An archive that is being read.
pub(super) struct Reader {
    lines: BufReader<zstd::Decoder<'static, BufReader<Box<dyn Read>>>>,
    name: String,
    header: Header,
    rows: u64,
}

/// What follows the header.
pub(super) enum Entry {
    /// A row.
    Row(&'static Table, Columns),
    /// The end.
    End(End),
}

impl Reader {
    pub(super) fn open(place: Place<'_>) -> Result<Self> {
        let (name, input): (_, Box<dyn Read>) = match place {
            Place::Standard => ("on the standard input".to_owned(), Box::new(io::stdin())),
            Place::File(path) => {
                let file = File::open(path).map_err(|error| {
                    Error::failure(format!("the archive {} cannot be read: {error}", path.display()))
                })?;
                (path.display().to_string(), Box::new(file))
            }
        };
        Self::of(name, input)
    }

    /// One that comes from somewhere, which this names.
    pub(super) fn of(name: String, input: Box<dyn Read>) -> Result<Self> {
        let mut input = BufReader::new(input);
        let is_packed = input.fill_buf().is_ok_and(|begin| begin.starts_with(&ZSTD_MAGIC));
        let decoder = zstd::Decoder::with_buffer(input);
        let decoder = decoder.map_err(|error| Error::failure(format!("the archive {name}: {error}")))?;
        let mut lines = BufReader::new(decoder);
        let line = read_line(&mut lines);
        let broke = line.is_err();
        let first = line.ok().flatten().and_then(|line| serde_json::from_str::<Value>(&line).ok());
        let format = first.as_ref().and_then(|first| first.get("carillon_export")).and_then(Value::as_u64);
        let (Some(first), Some(format)) = (first, format) else {
            // One that is damaged may not begin as it did: its checksum, at the end, knows.
            let is_damaged = is_packed && (broke || io::copy(&mut lines, &mut io::sink()).is_err());
            return Err(if is_damaged {
                damaged(&name, 0, "it does not begin as it did")
            } else {
                foreign(&name)
            });
        };
        if FORMAT < format {
            return Err(newer(&name, first.get("version").and_then(Value::as_str).unwrap_or("later")));
        }
        let header: Header = serde_json::from_value(first).map_err(|_| foreign(&name))?;
        if Schema::known() < header.schema {
            return Err(newer(&name, &header.version));
        }
        Ok(Self { lines, name, header, rows: 0 })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn next(&mut self) -> Result<Entry> {
        let line = read_line(&mut self.lines).map_err(|error| self.damaged(&error.to_string()))?;
        let Some(line) = line else { return Err(self.damaged("it ends in the middle")) };
        let row: Map<String, Value> =
            serde_json::from_str(&line).map_err(|_| self.damaged("a line is no JSON"))?;
        let Some((name, value)) = row.into_iter().next() else { return Err(self.damaged("a line is empty")) };
        if name == "end" {
            let end: End =
                serde_json::from_value(value).map_err(|_| self.damaged("its end is unreadable"))?;
            let rest = read_line(&mut self.lines).map_err(|error| self.damaged(&error.to_string()))?;
            if rest.is_some() || end.rows != self.rows {
                return Err(self.damaged("its end is not where it should be"));
            }
            return Ok(Entry::End(end));
        }
        self.rows += 1;
        match (moving::find(&name), value) {
            (Some(table), Value::Object(row)) => Ok(Entry::Row(table, row)),
            _ => Err(self.damaged(&format!("nothing is known of {name}"))),
        }
    }

    fn damaged(&self, how: &str) -> Error {
        damaged(&self.name, self.rows, how)
    }
}

fn damaged(name: &str, rows: u64, how: &str) -> Error {
    Error::failure(format!("the archive {name} is damaged after {rows} rows: {how}"))
        .hint("Make the export anew, or fetch it again from where it was copied.")
}

fn foreign(name: &str) -> Error {
    Error::failure(format!("the archive {name} is not an export of carillon"))
}

fn newer(name: &str, version: &str) -> Error {
    let own = env!("CARGO_PKG_VERSION");
    Error::failure(format!(
        "the archive {name} was made by carillon {version}, which is newer than this one, {own}"
    ))
    .hint("Import it with the carillon that made it, or a later one.")
}

fn read_line(lines: &mut impl BufRead) -> io::Result<Option<Zeroizing<String>>> {
    let mut line = Zeroizing::new(String::new());
    let length = lines.take(LINE_BYTES_MAX).read_line(&mut line)?;
    if length == 0 {
        return Ok(None);
    }
    if line.ends_with('\n') {
        Ok(Some(line))
    } else {
        Err(io::Error::other("it ends in the middle of a line"))
    }
}

#[cfg(test)]
mod tests {
    use carillon_model::arn::Home;

    use super::*;

    fn header() -> Header {
        Header::new("an id".to_owned(), Schema::known(), String::new(), &Home::new("us-east-1", "0"))
    }

    /// What is said of an archive.
    fn read(header: &Header) -> std::result::Result<End, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive");
        let mut writer = Writer::begin(Place::File(&path), header).unwrap();
        let row = Columns::from_iter([("key".to_owned(), "00".into())]);
        writer.row(moving::find("message").unwrap(), row.clone()).unwrap();
        writer.end(Vec::new()).unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
        let mut reader = Reader::open(Place::File(&path)).map_err(|error| error.to_string())?;
        loop {
            match reader.next().map_err(|error| error.to_string())? {
                Entry::Row(table, read) => assert_eq!((table.name, read), ("message", row.clone())),
                Entry::End(end) => return Ok(end),
            }
        }
    }

    #[test]
    fn what_a_later_version_made_is_not_read() {
        assert_eq!(read(&header()).unwrap().rows, 1);
        for later in [
            Header { carillon_export: FORMAT + 1, version: "9.8.7".to_owned(), ..header() },
            Header { schema: Schema::known() + 1, version: "9.8.7".to_owned(), ..header() },
        ] {
            let error = read(&later).unwrap_err();
            assert!(error.contains("was made by carillon 9.8.7, which is newer than this one"), "{error}");
        }
    }

    #[test]
    fn an_archive_that_is_not_finished_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("archive");
        drop(Writer::begin(Place::File(&path), &header()).unwrap());
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
}
