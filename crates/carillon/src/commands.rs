//! The commands, one file each.

pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod erase;
pub(crate) mod export;
pub(crate) mod iam;
pub(crate) mod import;
pub(crate) mod restore;
pub(crate) mod serve;
