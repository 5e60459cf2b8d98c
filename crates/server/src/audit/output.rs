//! Where lines go: a stream, or files that make room.

use std::fs::{File, OpenOptions, rename};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::audit::AuditFile;
use crate::private_file::PRIVATE;

/// Where lines go.
pub(super) trait LineOutput {
    /// Takes one line, whole; one that could not be taken leaves nothing of it behind.
    fn line(&mut self, line: &[u8]) -> io::Result<()>;
    /// Makes what was taken visible.
    fn flush(&mut self) -> io::Result<()>;
}

pub(super) enum Output {
    Stdout(io::Stdout),
    Stderr(io::Stderr),
    File(Rotating),
    /// A file that is not made before there is a line.
    Later(AuditFile),
}

impl LineOutput for Output {
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.write_all(line),
            Self::Stderr(stderr) => stderr.write_all(line),
            Self::File(file) => file.line(line),
            Self::Later(settings) => {
                let mut file = Rotating::open(settings.clone())?;
                let taken = file.line(line);
                *self = Self::File(file);
                taken
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::Stderr(stderr) => stderr.flush(),
            Self::File(file) => file.flush(),
            Self::Later(_) => Ok(()),
        }
    }
}

/// A file that makes room: at its size it becomes `.1`, what was that becomes `.2`, and the oldest goes.
pub(super) struct Rotating {
    settings: AuditFile,
    file: File,
    bytes: u64,
}

impl Rotating {
    pub(super) fn open(settings: AuditFile) -> io::Result<Self> {
        let (file, bytes) = Self::append_to(&settings.path)?;
        Ok(Self { settings, file, bytes })
    }

    fn append_to(path: &Path) -> io::Result<(File, u64)> {
        let file = OpenOptions::new().append(true).create(true).mode(PRIVATE).open(path)?;
        let bytes = file.metadata()?.len();
        Ok((file, bytes))
    }

    pub(super) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if self.bytes != 0 && self.settings.bytes_max < self.bytes.saturating_add(length) {
            self.rotate()?;
        }
        let mut written = 0;
        while written < line.len() {
            match self.file.write(&line[written..]) {
                Ok(0) => return self.give_up(written, ErrorKind::WriteZero.into()),
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.give_up(written, error),
            }
        }
        self.bytes += length;
        Ok(())
    }

    /// Half a line would spoil the next one. Commands beside the server append whole lines to the same file, so
    /// that only what was just written is taken back.
    fn give_up(&mut self, written: usize, error: io::Error) -> io::Result<()> {
        if written != 0 {
            self.file.set_len(self.file.metadata()?.len().saturating_sub(written as u64))?;
        }
        Err(error)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.bytes = self.file.metadata()?.len();
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.settings.files_max).rev() {
            let older = self.numbered(number);
            let newer = if number == 1 { self.settings.path.clone() } else { self.numbered(number - 1) };
            match rename(newer, older) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.settings.files_max == 1 {
            self.file.set_len(0)?;
        }
        (self.file, self.bytes) = Self::append_to(&self.settings.path)?;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        self.settings.older(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_makes_room_and_keeps_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let settings = AuditFile { bytes_max: 20, files_max: 3, ..AuditFile::at(path) };
        let mut file = Rotating::open(settings.clone()).unwrap();
        for number in 0..7 {
            file.line(format!("line {number}\n").as_bytes()).unwrap();
        }
        drop(file);
        // A server that starts again goes on where the last one ended.
        Rotating::open(settings).unwrap().line(b"line 7\n").unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("audit.log"), "line 6\nline 7\n");
        assert_eq!(read("audit.log.1"), "line 4\nline 5\n");
        assert_eq!(read("audit.log.2"), "line 2\nline 3\n");
        assert_eq!(folder.path().read_dir().unwrap().count(), 3);
    }

    #[test]
    fn a_line_that_is_not_taken_whole_leaves_nothing_and_takes_nobody_elses_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut file = Rotating::open(AuditFile::at(path.clone())).unwrap();
        file.line(b"ours\n").unwrap();
        // A command beside the server has its own handle.
        Rotating::open(AuditFile::at(path.clone())).unwrap().line(b"theirs\n").unwrap();
        file.file.write_all(b"half").unwrap();
        file.give_up(4, ErrorKind::StorageFull.into()).unwrap_err();
        file.line(b"whole\n").unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "ours\ntheirs\nwhole\n");
    }
}
