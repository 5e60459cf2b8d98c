//! The data folder, and what lies in it: who may read it, and whether it can be used.

use std::fs::OpenOptions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::scene::Scene;
use super::{Check, Found, ok, serious, warning};
use crate::config::audit::AuditLog;
use crate::config::{BusAddress, Certificate};
use crate::credentials::{self, RootKey};
use crate::{data_dir, master_key};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "data-folder", look: data_folder },
    Check { name: "root-credentials", look: root_credentials },
    Check { name: "master-key", look: master_keys },
    Check { name: "keys", look: keys },
    Check { name: "audit-log", look: audit_log },
];

/// What others than the owner may do.
const OTHERS: u32 = 0o077;

/// Whether others than the owner may do anything with it.
fn is_open(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & OTHERS != 0)
}

fn data_folder(scene: &Scene<'_>) -> Vec<Found> {
    let path = &scene.settings.data_dir;
    let shown = path.display();
    if !path.exists() {
        return vec![ok(format!("{shown} will be made at the first start"))];
    }
    if !path.is_dir() {
        return vec![serious(format!("{shown} is no folder"), "Name another one with --data-dir.")];
    }
    if data_dir::is_half_restored(path) {
        return vec![serious(
            format!("a restore into {shown} was not finished, so no server starts there"),
            "Do it again: carillon restore FILE, with the same --data-dir and --store.",
        )];
    }
    if rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_err() {
        return vec![serious(format!("{shown} cannot be written"), "Let the server's user write to it.")];
    }
    if is_open(path) {
        return vec![warning(
            format!("others on this machine may look into {shown}"),
            "chmod 700 keeps them out.",
        )];
    }
    vec![ok(format!("{shown} is for its owner"))]
}

fn root_credentials(scene: &Scene<'_>) -> Vec<Found> {
    let path = credentials::path(&scene.settings.data_dir);
    let shown = path.display();
    if let Err(error) = RootKey::from_environment() {
        return vec![serious(error.to_string(), "Set both, or neither.")];
    }
    match RootKey::find(&scene.settings.data_dir) {
        Err(error) => {
            vec![serious(error.to_string(), "Repair the file; if it is removed, new credentials are made.")]
        }
        Ok(Some(_)) if is_open(&path) => vec![serious(
            format!("others on this machine may read {shown}, which may do everything"),
            "chmod 600 it, and replace the credentials: remove the file, and start the server again.",
        )],
        Ok(Some(key)) => vec![ok(format!("{}, for its owner", key.access_key_id))],
        Ok(None) if scene.root.is_some() => vec![ok("from the environment")],
        Ok(None) => vec![ok(format!("{shown} will be made at the first start"))],
    }
}

fn master_keys(scene: &Scene<'_>) -> Vec<Found> {
    let path = master_key::path(&scene.settings.data_dir);
    let shown = path.display();
    match master_key::find(&scene.settings.data_dir) {
        Err(error) => vec![serious(
            error.to_string(),
            "Put the key of before there: without it, what is sealed is lost.",
        )],
        Ok(_) if path.exists() && is_open(&path) => vec![serious(
            format!("others on this machine may read {shown}, which opens all that is sealed in the store"),
            "chmod 600 it, and replace the key as docs/guide/access.md says.",
        )],
        Ok(Some(ring)) => vec![ok(format!("{} to open with", ring.len()))],
        Ok(None) => vec![ok(format!("{shown} will be made at the first start"))],
    }
}

/// Keys in more than one place, or in the wrong one.
fn keys(scene: &Scene<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    let kept = RootKey::find(&scene.settings.data_dir).ok().flatten();
    let given = RootKey::from_environment().ok().flatten();
    if let (Some(kept), Some(given)) = (&kept, &given)
        && (kept.access_key_id != given.access_key_id || kept.expose_secret() != given.expose_secret())
    {
        let (kept, given) = (&kept.access_key_id, &given.access_key_id);
        found.push(warning(
            format!("there are two root keys: {given} of the environment is used, {kept} of the data folder is not"),
            "Remove root-credentials, so that nobody takes it for the one in use.",
        ));
    }
    if std::env::var_os(master_key::VARIABLE).is_some_and(|given| !given.is_empty())
        && master_key::path(&scene.settings.data_dir).exists()
    {
        found.push(warning(
            "the environment gives a master key, and the data folder has one, which opens as well",
            "Once a server has started with the new one, all is sealed with it: remove master-key, and keep it safe.",
        ));
    }
    if scene.settings.bus != BusAddress::Local && given.is_none() {
        found.push(serious(
            "the nodes of a cluster share their root key, and this one is not given any",
            "Give all nodes the same CARILLON_ROOT_ACCESS_KEY_ID and CARILLON_ROOT_SECRET_ACCESS_KEY.",
        ));
    }
    if let Certificate::Files { key, .. } = &scene.settings.certificate
        && is_open(key)
    {
        let shown = key.display();
        found.push(serious(
            format!("others on this machine may use {shown}, the key of the certificate"),
            "chmod 600 it, and have the certificate made anew.",
        ));
    }
    if found.is_empty() { vec![ok("each key is in one place")] } else { found }
}

fn audit_log(scene: &Scene<'_>) -> Vec<Found> {
    let AuditLog::File(file) = &scene.settings.audit else {
        return vec![ok(scene.settings.audit.to_string())];
    };
    let shown = file.path.display();
    let is_there = file.path.exists();
    let refuse = |error| {
        let finding = format!("{shown} cannot be written: {error}; every write would be answered with 503");
        vec![serious(finding, "Make its folder, let the server's user write there, and make room.")]
    };
    // A file that is not there is not made: its folder is looked at.
    let folder = file.path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let opened = if is_there {
        OpenOptions::new().append(true).open(&file.path).map(drop)
    } else {
        rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).map_err(Into::into)
    };
    match opened {
        Err(error) => refuse(error),
        Ok(()) => vec![ok(format!("{shown} can be written"))],
    }
}
