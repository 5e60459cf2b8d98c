//! The root credentials: given in the environment, or made once and kept in the data folder.
//!
//! The file is an AWS shared-credentials file, so `AWS_SHARED_CREDENTIALS_FILE` can point at it. What the
//! credentials may do is the service's affair.

use std::path::{Path, PathBuf};

use carillon_auth::Secret;
use carillon_service::RootCredentials;
use rand::Rng;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::private_file::{self, PRIVATE};

/// The variable of the id.
pub const ACCESS_KEY_VARIABLE: &str = "CARILLON_ROOT_ACCESS_KEY_ID";
/// The variable of the secret.
pub const SECRET_VARIABLE: &str = "CARILLON_ROOT_SECRET_ACCESS_KEY";
/// Four letters that say what it is and sixteen that are random, as AWS writes the id of a lasting key.
const ACCESS_KEY_RANDOM_LENGTH: usize = 16;
/// As long as AWS's; of letters and digits only, so that no shell needs quotes.
const SECRET_LENGTH: usize = 40;
/// The most characters of either.
const LENGTH_MAX: usize = 128;

/// The root access key.
#[derive(Clone)]
pub struct RootKey {
    /// Its id.
    pub access_key_id: String,
    secret: Zeroizing<String>,
}

impl RootKey {
    /// From the environment, or from the data folder, where it is made if it is not there.
    pub fn open(data_dir: &Path, random: &mut impl Rng) -> Result<Self> {
        match Self::from_environment()? {
            Some(key) => Ok(key),
            None => match Self::find(data_dir)? {
                Some(key) => Ok(key),
                None => Self::make(data_dir, random),
            },
        }
    }

    /// From the environment, if it has both.
    pub fn from_environment() -> Result<Option<Self>> {
        let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::from_pair(read(ACCESS_KEY_VARIABLE), read(SECRET_VARIABLE))
    }

    fn from_pair(access_key_id: Option<String>, secret: Option<String>) -> Result<Option<Self>> {
        match (access_key_id, secret) {
            (None, None) => Ok(None),
            (Some(access_key_id), Some(secret)) => match Self::new(access_key_id, secret) {
                Ok(key) => Ok(Some(key)),
                Err(reason) => Err(Error::usage(format!(
                    "{ACCESS_KEY_VARIABLE} and {SECRET_VARIABLE} cannot be used: {reason}"
                ))),
            },
            _ => Err(Error::usage(format!("of {ACCESS_KEY_VARIABLE} and {SECRET_VARIABLE} only one is set"))),
        }
    }

    /// From the data folder, if it has one.
    pub fn find(data_dir: &Path) -> Result<Option<Self>> {
        let path = path(data_dir);
        let refuse = |reason: &str| {
            Error::failure(format!("the root credentials {} cannot be used: {reason}", path.display())).hint(
                "It must hold one [default] profile with aws_access_key_id and aws_secret_access_key; if it is \
                 removed, new ones are made, and the old ones end.",
            )
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refuse(&error.to_string())),
        };
        Self::parse(&text).map(Some).map_err(refuse)
    }

    /// Reads a shared-credentials file with one profile.
    fn parse(text: &str) -> std::result::Result<Self, &'static str> {
        let (mut access_key_id, mut secret, mut profiles) = (None, None, 0);
        let lines = text.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
            if line.starts_with('[') {
                profiles += 1;
                if line != "[default]" || 1 < profiles {
                    return Err("it has another profile than [default]");
                }
                continue;
            }
            let (name, value) = line.split_once('=').ok_or("it has a line without =")?;
            let place = match name.trim() {
                "aws_access_key_id" => &mut access_key_id,
                "aws_secret_access_key" => &mut secret,
                _ => return Err("it has a name that is neither of the two"),
            };
            if profiles == 0 || place.replace(value.trim().to_owned()).is_some() {
                return Err("it has a name twice, or before [default]");
            }
        }
        let access_key_id = access_key_id.ok_or("aws_access_key_id is missing")?;
        Self::new(access_key_id, secret.ok_or("aws_secret_access_key is missing")?)
    }

    /// A key of these two texts.
    pub fn new(access_key_id: String, secret: String) -> std::result::Result<Self, &'static str> {
        let in_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !(1..=LENGTH_MAX).contains(&access_key_id.len()) || !access_key_id.bytes().all(in_id) {
            return Err("the access key id must be 1 to 128 letters, digits, - or _");
        }
        if !(1..=LENGTH_MAX).contains(&secret.len()) || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the secret must be 1 to 128 characters that can be seen");
        }
        Ok(Self { access_key_id, secret: Zeroizing::new(secret) })
    }

    /// A new key.
    pub fn random(random: &mut impl Rng) -> Self {
        let id = random_text(random, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", ACCESS_KEY_RANDOM_LENGTH);
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let secret = Zeroizing::new(random_text(random, letters, SECRET_LENGTH));
        Self { access_key_id: format!("AKIA{id}"), secret }
    }

    fn make(data_dir: &Path, random: &mut impl Rng) -> Result<Self> {
        let path = path(data_dir);
        let key = Self::random(random);
        let text = Zeroizing::new(format!(
            "# The root credentials of this Carillon: they may do everything.\n\
             [default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            key.access_key_id, *key.secret
        ));
        private_file::write(&path, &text, PRIVATE).map_err(|error| {
            Error::failure(format!("the root credentials {} cannot be written: {error}", path.display()))
        })?;
        Ok(key)
    }

    /// For whoever signs with it.
    pub fn secret(&self) -> Secret {
        Secret::new(self.secret.as_str().to_owned())
    }

    /// For `dev`, which shows it, and for a child process.
    pub fn expose_secret(&self) -> &str {
        &self.secret
    }

    /// For the service.
    pub fn to_root(&self) -> RootCredentials {
        RootCredentials { access_key_id: self.access_key_id.clone(), secret: self.secret() }
    }
}

/// Where the credentials are kept.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("root-credentials")
}

fn random_text(random: &mut impl Rng, alphabet: &[u8], length: usize) -> String {
    let mut text = String::with_capacity(length);
    // A byte past the last whole alphabet is drawn again, or the first letters would come more often.
    let fair = 256 - 256 % alphabet.len();
    while text.len() < length {
        let mut byte = [0];
        random.fill_bytes(&mut byte);
        if usize::from(byte[0]) < fair {
            text.push(char::from(alphabet[usize::from(byte[0]) % alphabet.len()]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn make(folder: &Path, seed: u64) -> RootKey {
        RootKey::make(folder, &mut StdRng::seed_from_u64(seed)).ok().unwrap()
    }

    fn pair(key: &RootKey) -> (&str, &str) {
        (&key.access_key_id, key.expose_secret())
    }

    #[test]
    fn the_key_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        assert!(RootKey::find(folder.path()).unwrap().is_none());
        let made = make(folder.path(), 42);
        let found = RootKey::find(folder.path()).unwrap().unwrap();
        assert_eq!(pair(&made), pair(&found));
        assert_eq!((made.access_key_id.len(), made.expose_secret().len()), (20, 40));
        assert_eq!(path(folder.path()).metadata().unwrap().permissions().mode() & 0o777, PRIVATE);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(pair(&make(other.path(), 43)), pair(&made));
    }

    #[test]
    fn what_is_not_one_default_profile_is_refused() {
        let good = "# ours\n[default]\naws_access_key_id=A\n aws_secret_access_key = s+/=\n";
        assert_eq!(RootKey::parse(good).ok().as_ref().map(pair), Some(("A", "s+/=")));
        for bad in [
            "",
            "[default]",
            "[default]\naws_access_key_id = A",
            "[default]\naws_access_key_id = A\naws_secret_access_key =",
            "[default]\naws_access_key_id = A/B\naws_secret_access_key = s",
            "[default]\naws_access_key_id = A\naws_secret_access_key = s\naws_session_token = t",
            "[default]\naws_access_key_id = A\naws_access_key_id = B\naws_secret_access_key = s",
            "[default]\naws_access_key_id = A\naws_secret_access_key = s\n[other]",
            "aws_access_key_id = A\naws_secret_access_key = s",
            "nonsense",
        ] {
            assert!(RootKey::parse(bad).is_err(), "{bad}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(path(folder.path()), "nonsense").unwrap();
        let error = RootKey::find(folder.path()).err().unwrap().to_string();
        assert!(error.contains("root-credentials") && !error.contains("nonsense"), "{error}");
    }

    #[test]
    fn the_environment_gives_both_or_none() {
        let some = |text: &str| Some(text.to_owned());
        assert!(RootKey::from_pair(None, None).unwrap().is_none());
        assert_eq!(RootKey::from_pair(some("A"), some("s")).unwrap().as_ref().map(pair), Some(("A", "s")));
        for (id, secret) in [(some("A"), None), (None, some("s")), (some("A B"), some("s"))] {
            let error = RootKey::from_pair(id, secret).err().unwrap();
            assert_eq!(error.status, crate::error::ExitStatus::Usage);
        }
    }
}
