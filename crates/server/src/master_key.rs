//! The master keys: given in the environment, or one that is made once and kept in the data folder.
//!
//! Everything that the server seals (the secrets of access keys in the store, the tokens of sessions and of pages)
//! has its key from these. The first seals, all open; the file's key goes on opening when the environment gives
//! others, so that moving there locks nobody out. How things are sealed is not known here.

use std::path::{Path, PathBuf};

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carillon_auth::KeyRing;
use rand::Rng;
use zeroize::Zeroizing;

use crate::credentials::RootKey;
use crate::error::{Error, Result};
use crate::private_file::{self, PRIVATE};

/// The variable of the keys.
pub(crate) const VARIABLE: &str = "CARILLON_MASTER_KEY";
/// The fewest characters of a root secret that a master key is derived from; a shorter one could be guessed.
const DERIVABLE_LENGTH_MIN: usize = 32;

/// Where a key comes from that is made at the first start.
pub(crate) enum Origin<'a> {
    /// From nowhere.
    Random,
    /// From the root credentials, which every node on a shared store is given.
    Shared(&'a RootKey),
}

/// From the environment and the data folder, where a key is made if there is none in either.
pub(crate) fn open(data_dir: &Path, origin: &Origin<'_>, random: &mut impl Rng) -> Result<KeyRing> {
    match find(data_dir)? {
        Some(ring) => Ok(ring),
        None => make(data_dir, origin, random),
    }
}

/// From the environment and the data folder, if either has one.
pub fn find(data_dir: &Path) -> Result<Option<KeyRing>> {
    combine(given().as_ref().map(|text| text.as_str()), data_dir)
}

/// The same, as the environment would give them all.
pub(crate) fn find_words(data_dir: &Path) -> Result<Option<Zeroizing<String>>> {
    words(given().as_ref().map(|text| text.as_str()), data_dir)
}

fn given() -> Option<Zeroizing<String>> {
    std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()).map(Zeroizing::new)
}

/// Where the key that was made is kept.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("master-key")
}

fn combine(given: Option<&str>, data_dir: &Path) -> Result<Option<KeyRing>> {
    let Some(words) = words(given, data_dir)? else { return Ok(None) };
    let refuse = |reason| Error::failure(format!("{VARIABLE} and the file together: {reason}"));
    KeyRing::parse(&words).map(Some).map_err(refuse)
}

fn words(given: Option<&str>, data_dir: &Path) -> Result<Option<Zeroizing<String>>> {
    let kept = read(data_dir)?;
    let mut all = Zeroizing::new(String::new());
    if let Some(given) = given {
        KeyRing::parse(given)
            .map_err(|reason| Error::usage(format!("{VARIABLE} cannot be used: {reason}")).hint(MAKING))?;
        all.push_str(given);
    }
    if let Some(kept) = &kept {
        let path = path(data_dir);
        let refuse =
            |reason| Error::failure(format!("the master key {} cannot be used: {reason}", path.display()));
        KeyRing::parse(kept).map_err(|reason| refuse(reason).hint(MAKING))?;
        if given.is_some() {
            all.push(',');
        }
        all.push_str(kept);
    }
    Ok(Some(all).filter(|all| !all.is_empty()))
}

const MAKING: &str = "`openssl rand -base64 32` makes one.";

/// The keys of the file, as the environment would give them: a line is a key, the first seals.
fn read(data_dir: &Path) -> Result<Option<Zeroizing<String>>> {
    let path = path(data_dir);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let sentence = format!("the master key {} cannot be read: {error}", path.display());
            return Err(Error::failure(sentence).hint("Let this user read it."));
        }
    };
    let mut keys = Zeroizing::new(String::with_capacity(text.len()));
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if !keys.is_empty() {
            keys.push(',');
        }
        keys.push_str(line);
    }
    Ok(Some(keys))
}

fn make(data_dir: &Path, origin: &Origin<'_>, random: &mut impl Rng) -> Result<KeyRing> {
    let mut key = Zeroizing::new([0; 32]);
    match origin {
        Origin::Shared(root) if DERIVABLE_LENGTH_MIN <= root.expose_secret().len() => {
            let derived = Salt::new(HKDF_SHA256, b"carillon").extract(root.expose_secret().as_bytes());
            let label = [b"master key".as_slice()];
            let expanded = derived.expand(&label, HKDF_SHA256);
            let filled = expanded.and_then(|expanded| expanded.fill(&mut *key));
            filled.expect("HKDF-SHA256 gives 32 bytes");
        }
        _ => random.fill_bytes(&mut *key),
    }
    let path = path(data_dir);
    let text = Zeroizing::new(format!(
        "# What this Carillon seals with. Without it, the secrets of access keys in the store are lost.\n{}\n",
        *Zeroizing::new(STANDARD.encode(*key))
    ));
    private_file::write(&path, &text, PRIVATE).map_err(|error| {
        Error::failure(format!("the master key {} cannot be written: {error}", path.display()))
    })?;
    Ok(KeyRing::of(&key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    const NONCE: [u8; 12] = [0; 12];

    fn sealed(ring: &KeyRing) -> Vec<u8> {
        ring.sealer("test").seal(NONCE, b"", b"secret")
    }

    fn opens(ring: &KeyRing, sealed: &[u8]) -> bool {
        ring.sealer("test").open(b"", sealed).is_some()
    }

    fn made(folder: &Path, origin: &Origin<'_>, seed: u64) -> KeyRing {
        make(folder, origin, &mut StdRng::seed_from_u64(seed)).unwrap()
    }

    #[test]
    fn the_key_is_made_once_and_kept_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        assert!(combine(None, folder.path()).unwrap().is_none());
        let first = made(folder.path(), &Origin::Random, 1);
        assert_eq!(path(folder.path()).metadata().unwrap().permissions().mode() & 0o777, PRIVATE);
        let found = combine(None, folder.path()).unwrap().unwrap();
        assert!(opens(&found, &sealed(&first)));
        let other = tempfile::tempdir().unwrap();
        assert!(!opens(&made(other.path(), &Origin::Random, 2), &sealed(&first)));
    }

    #[test]
    fn what_the_environment_gives_seals_and_the_file_still_opens() {
        let folder = tempfile::tempdir().unwrap();
        let before = sealed(&made(folder.path(), &Origin::Random, 1));
        let given = "ab".repeat(32);
        let ring = combine(Some(&given), folder.path()).unwrap().unwrap();
        assert!(opens(&ring, &before) && !ring.sealer("test").is_current(&before));
        assert!(opens(&KeyRing::parse(&given).unwrap(), &sealed(&ring)));
    }

    #[test]
    fn lines_of_the_file_are_keys_of_which_the_first_seals() {
        let folder = tempfile::tempdir().unwrap();
        let (new, old) = ("ab".repeat(32), "cd".repeat(32));
        std::fs::write(path(folder.path()), format!("# new\n{new}\n\n {old}\n")).unwrap();
        let ring = combine(None, folder.path()).unwrap().unwrap();
        assert!(opens(&ring, &sealed(&KeyRing::parse(&old).unwrap())));
        assert!(opens(&KeyRing::parse(&new).unwrap(), &sealed(&ring)));
    }

    #[test]
    fn nodes_with_the_same_root_credentials_make_the_same_key_unless_these_could_be_guessed() {
        let key_of = |secret: &str, seed| {
            let folder = tempfile::tempdir().unwrap();
            let root = RootKey::new("A".to_owned(), secret.to_owned()).ok().unwrap();
            made(folder.path(), &Origin::Shared(&root), seed)
        };
        let long = "s".repeat(DERIVABLE_LENGTH_MIN);
        assert!(opens(&key_of(&long, 1), &sealed(&key_of(&long, 2))));
        assert!(!opens(&key_of(&long, 1), &sealed(&key_of(&long.replace('s', "t"), 1))));
        assert!(!opens(&key_of(&long[1..], 1), &sealed(&key_of(&long[1..], 2))));
    }

    #[test]
    fn what_cannot_be_used_is_named_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let error = combine(Some("hunter2"), folder.path()).unwrap_err().to_string();
        assert!(error.contains(VARIABLE) && !error.contains("hunter2"), "{error}");
        for text in ["", "# nothing\n", "hunter2\n"] {
            std::fs::write(path(folder.path()), text).unwrap();
            let error = combine(None, folder.path()).unwrap_err().to_string();
            assert!(error.contains("master-key") && !error.contains("hunter2"), "{error}");
        }
    }
}
