//! Who is banned from a channel.

use carillon_model::arn::AppInstanceArn;
use carillon_model::channel::Appointment;
use carillon_model::identity::Identity;
use carillon_model::{Key, Timestamp};

use crate::appointed::appointed;
use crate::engine::values;
use crate::identity::{identity, identity_columns};
use crate::row::read;
use crate::{Result, Tx};

appointed!("ban");
