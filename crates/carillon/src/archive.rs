//! The archive of a backup: a `tar` under zstd, which other tools open too.
//!
//! Its first member is the manifest, which says what the others are; they follow in its order. Whoever reads it trusts
//! nothing that does not have the checksum that stands there. To change the layout so that what is here could not read
//! it, raise [`FORMAT`].

mod read;
mod write;

use std::io::{self, Read};

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use carillon_server::data_dir;

pub(crate) use read::{is_archive, read};
pub(crate) use write::Writer;

/// The layout that is written here, and the latest that is read.
const FORMAT: u32 = 1;
/// The name of the first member.
const MANIFEST: &str = "manifest.json";
/// What the store is called in an archive, wherever it lies.
pub(crate) const STORE: &str = "carillon.db";
/// For the owner's eyes only.
const PRIVATE: u32 = 0o600;
/// How much is read, written and hashed at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The layout.
    carillon_backup: u32,
    /// The version that wrote it.
    pub(crate) version: String,
    /// The moment: everything that was acknowledged before is there.
    pub(crate) taken_at: String,
    /// The version of the store's schema,
    pub(crate) schema: i64,
    /// and the one that a server must know to serve it.
    pub(crate) schema_needs: i64,
    /// What stands in every ARN.
    pub(crate) region: String,
    /// The same.
    pub(crate) account_id: String,
    /// Whether the keys are there.
    pub(crate) with_keys: bool,
    /// The ids of the master keys that the server had, in hexadecimal: no secrets.
    pub(crate) master_keys: Vec<String>,
    /// What follows, in order.
    pub(crate) members: Vec<Member>,
}

/// A file in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Where it is below the data folder; the store may be elsewhere.
    pub(crate) name: String,
    /// How long it is.
    pub(crate) bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub(crate) sha256: String,
}

impl Manifest {
    /// One that says nothing yet of what is in it.
    pub(crate) fn new() -> Self {
        Self {
            carillon_backup: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            taken_at: String::new(),
            schema: 0,
            schema_needs: 0,
            region: String::new(),
            account_id: String::new(),
            with_keys: false,
            master_keys: Vec::new(),
            members: Vec::new(),
        }
    }

    /// How long all members are together.
    pub(crate) fn bytes(&self) -> u64 {
        self.members.iter().map(|member| member.bytes).sum()
    }
}

/// The mode of a file, in an archive and out of it.
fn mode_of(name: &str) -> u32 {
    data_dir::MEMBERS.iter().find(|member| member.name == name).map_or(PRIVATE, |member| member.mode)
}

/// What is known of a member when all of it has gone by.
struct Digest {
    hash: Context,
    bytes: u64,
}

impl Digest {
    fn new() -> Self {
        Self { hash: Context::new(&SHA256), bytes: 0 }
    }

    fn update(&mut self, chunk: &[u8]) {
        self.hash.update(chunk);
        self.bytes += chunk.len() as u64;
    }

    fn member(self, name: &str) -> Member {
        let sha256 = HEXLOWER.encode(self.hash.finish().as_ref());
        Member { name: name.to_owned(), bytes: self.bytes, sha256 }
    }
}

/// Shows all that there is to read, in parts, to the digest first.
fn chunks<E: From<io::Error>>(
    from: &mut impl Read,
    digest: &mut Digest,
    mut each: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(()),
            length => {
                digest.update(&chunk[..length]);
                each(&chunk[..length])?;
            }
        }
    }
}
