//! Files that only the server's own user may read, and that are there whole or not at all.

use std::fs::{File, OpenOptions, Permissions, rename};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// For the owner's eyes only.
pub(crate) const PRIVATE: u32 = 0o600;
/// For everyone to read.
pub(crate) const PUBLIC: u32 = 0o644;

/// Writes a file beside its place, to the disk, and then puts it there: a crash leaves the old one or the new.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let beside = path.with_extension("new");
    // What a crash left behind may have another mode, which opening it would not change.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    // What the umask of the process took away.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    rename(&beside, path)?;
    sync_parent(path)
}

/// Puts the name of a file to the disk: it is durable once the folder is.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_stays_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(folder.path().join("secret.new"), "left by a crash").unwrap();
        for text in ["one", "two"] {
            write(&path, text, PRIVATE).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, PRIVATE);
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }
}
