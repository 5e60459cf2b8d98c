//! One person in the files of the audit log: the lines that name them, and their id taken out of those.
//!
//! A line that is there stays: what was done, and when, is what the log is for. The id in it is written over, letter by
//! letter, so that no other byte of the file moves: a server appends to it meanwhile, and other files refer to nothing
//! in it. A file that makes room in the middle of that is still the same file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use carillon_model::arn::IdentityArn;
use carillon_service::front::exchange::session_name;

use crate::config::audit::AuditLog;
use crate::error::{Error, Result};

/// What is written over an id, again and again: characters that an id may have.
const OVER: &[u8] = b"erased";
/// The most bytes of a line; the log's own lines are far shorter.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Who is looked for.
pub(crate) struct Sought {
    instance: String,
    arn: String,
    id: String,
    /// What their sessions are called that an exchange gave out.
    session: String,
}

impl Sought {
    pub(crate) fn new(arn: &IdentityArn) -> Self {
        Self {
            instance: arn.app_instance().as_str().to_owned(),
            arn: arn.as_str().to_owned(),
            id: arn.id().to_owned(),
            session: format!("/{}", session_name(arn.id())),
        }
    }

    /// Where in a line the id stands, or the part of a session's name that is made of it.
    fn places(&self, line: &str) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        let found = |needle: &str| {
            line.match_indices(needle).map(|(at, _)| at..at + needle.len()).collect::<Vec<_>>()
        };
        let ends = |at: usize| !line[at..].starts_with(is_of_id);
        for place in found(&self.arn) {
            if ends(place.end) {
                places.push(place.end - self.id.len()..place.end);
            }
        }
        // An id alone, or in the name of a session, could be of another app instance.
        if !line.contains(&self.instance) {
            return places;
        }
        for place in found(&self.session) {
            if ends(place.end) {
                places.push(place.start + "/chime_".len()..place.end);
            }
        }
        for member in [r#"AppInstanceUserId":""#, r#"AppInstanceUserId":[""#] {
            for place in found(&format!("{member}{}\"", self.id)) {
                places.push(place.end - 1 - self.id.len()..place.end - 1);
            }
        }
        places
    }

    /// Whether a line names them.
    pub(crate) fn is_in(&self, line: &str) -> bool {
        !self.places(line).is_empty()
    }
}

/// The characters that an id of a user has.
fn is_of_id(character: char) -> bool {
    character.is_ascii_alphanumeric() || ":-_.@".contains(character)
}

/// The files of the log that there are, the newest first, and those of what nobody signed.
pub(crate) fn files(log: &AuditLog) -> Vec<PathBuf> {
    let AuditLog::File(file) = log else { return Vec::new() };
    let all = [file.clone(), file.of_unsigned()].into_iter().flat_map(|file| {
        let older: Vec<PathBuf> = (1..file.files_max).map(|number| file.older(number)).collect();
        std::iter::once(file.path).chain(older)
    });
    all.filter(|path| path.exists()).collect()
}

/// Shows each line that names somebody, the newest file last.
pub(crate) fn read(log: &AuditLog, sought: &Sought, mut each: impl FnMut(&str) -> Result<()>) -> Result<u64> {
    let mut count = 0;
    for path in files(log).iter().rev() {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        lines(&file, |_, line| {
            if sought.is_in(line) {
                count += 1;
                each(line)?;
            }
            Ok(())
        })
        .map_err(|error| error.unwrap_or_else(|error| unreadable(path, &error)))?;
    }
    Ok(count)
}

/// Writes over the id of somebody in all files; answers in how many lines.
pub(crate) fn erase(log: &AuditLog, sought: &Sought) -> Result<u64> {
    let mut count = 0;
    for path in files(log) {
        let unwritable = |error: &io::Error| {
            Error::failure(format!("the audit log {} cannot be written: {error}", path.display()))
        };
        let file =
            OpenOptions::new().read(true).write(true).open(&path).map_err(|error| unwritable(&error))?;
        let erased = lines(&file, |start, line| {
            let places = sought.places(line);
            count += u64::from(!places.is_empty());
            for place in places {
                let over: Vec<u8> = OVER.iter().copied().cycle().take(place.len()).collect();
                file.write_all_at(&over, start + place.start as u64)?;
            }
            Ok::<_, io::Error>(())
        });
        erased.and_then(|()| file.sync_data().map_err(Failed::Read)).map_err(|error| match error {
            Failed::Read(error) | Failed::Each(error) => unwritable(&error),
        })?;
    }
    Ok(count)
}

/// What failed: to read, or what was done with a line.
enum Failed<E> {
    Read(io::Error),
    Each(E),
}

impl Failed<Error> {
    fn unwrap_or_else(self, or: impl FnOnce(io::Error) -> Error) -> Error {
        match self {
            Self::Read(error) => or(error),
            Self::Each(error) => error,
        }
    }
}

/// Shows each whole line, with where in the file it begins.
fn lines<E>(
    file: &File,
    mut each: impl FnMut(u64, &str) -> std::result::Result<(), E>,
) -> std::result::Result<(), Failed<E>> {
    let (mut reader, mut start, mut line) = (BufReader::new(file), 0, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).map_err(Failed::Read)?;
        if length == 0 {
            return Ok(());
        }
        if LINE_BYTES_MAX < length {
            return Err(Failed::Read(ErrorKind::InvalidData.into()));
        }
        if let Ok(text) = std::str::from_utf8(&line)
            && text.ends_with('\n')
        {
            each(start, text).map_err(Failed::Each)?;
        }
        start += length as u64;
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::failure(format!("the audit log {} cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use crate::config::audit::AuditFile;

    use super::*;

    const INSTANCE: &str =
        "arn:aws:chime:us-east-1:000000000000:app-instance/8d1e0a3c-0000-4000-8000-000000000000";

    fn sought(id: &str) -> Sought {
        Sought::new(&format!("{INSTANCE}/user/{id}").parse().unwrap())
    }

    #[test]
    fn only_who_is_sought_is_written_over_and_no_other_byte_moves() {
        let folder = tempfile::tempdir().unwrap();
        let file = AuditFile::at(folder.path().join("audit.log"));
        let user = format!("{INSTANCE}/user");
        let named = format!(r#""M":["{user}/anabel","{user}/ana"],"E":"{user}/ana/endpoint/1""#);
        let principal = "arn:aws:sts::0:assumed-role/R/chime_ana";
        let ours = format!(
            r#"{{"bearer":"{user}/ana","principal":"{principal}","resources":{{"AppInstanceUserId":"ana",{named}}}}}"#
        );
        let other = r#"{"bearer":"another/user/ana","resources":{"AppInstanceUserId":"ana"}}"#;
        std::fs::write(&file.path, format!("{ours}\n{other}\n")).unwrap();
        std::fs::write(file.older(1), format!("{ours}\n")).unwrap();
        std::fs::write(file.of_unsigned().path, format!("{other}\n{ours}\nhalf {ours}")).unwrap();
        let log = AuditLog::File(file.clone());
        let mut seen = 0;
        let count = read(&log, &sought("ana"), |_| {
            seen += 1;
            Ok(())
        });
        assert_eq!((count.unwrap(), seen), (3, 3));
        assert_eq!(erase(&log, &sought("ana")).unwrap(), 3);
        let after = std::fs::read_to_string(&file.path).unwrap();
        let expected = ours
            .replace("user/ana\"", "user/era\"")
            .replace("user/ana/", "user/era/")
            .replace("chime_ana", "chime_era")
            .replace(r#"Id":"ana""#, r#"Id":"era""#);
        assert_eq!(after, format!("{expected}\n{other}\n"));
        assert_eq!(read(&log, &sought("ana"), |_| Ok(())).unwrap(), 0);
        assert_eq!(read(&log, &sought("anabel"), |_| Ok(())).unwrap(), 3);
    }

    #[test]
    fn nothing_is_looked_for_where_no_file_is_kept() {
        assert_eq!(erase(&AuditLog::Off, &sought("ana")).unwrap(), 0);
    }
}
