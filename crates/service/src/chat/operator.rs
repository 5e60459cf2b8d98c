//! What operators are told: events as the original sends them to `EventBridge`, in the standard envelope.
//!
//! An event is written in the transaction that decides what it tells of, and handed over like all that leaves the
//! server. Every event is made here.

use carillon_model::{Key, Timestamp};
use carillon_store::Tx;
use carillon_store::outgoing::{self, Outgoing, Place};
use serde_json::{Value, json};

use crate::call::Call;
use crate::error::Result;

/// The queue of events; they all go to one place.
pub const QUEUE: &str = "event";
/// Whose events they are.
const SOURCE: &str = "aws.chime";

/// Tells operators of something about `about`, a channel or whatever else has an order of its own.
pub fn tell(tx: &mut Tx, call: &Call, about: Key, detail_type: &str, detail: &Value) -> Result<()> {
    let part = i64::from_be_bytes(call.random());
    let place = Place { channel: about, sequence: call.now.ms(), part };
    let body = envelope(call, detail_type, detail);
    Ok(outgoing::insert(tx, QUEUE, &Outgoing { place, at: call.now, body })?)
}

fn envelope(call: &Call, detail_type: &str, detail: &Value) -> String {
    let home = &call.surroundings.home;
    let seconds = Timestamp::from_ms(call.now.ms().div_euclid(1000) * 1000);
    json!({
        "version": "0",
        "id": call.new_key().uuid(),
        "detail-type": detail_type,
        "source": SOURCE,
        "account": home.account(),
        "time": seconds.to_string().replace(".000Z", "Z"),
        "region": home.region(),
        "resources": [],
        "detail": detail,
    })
    .to_string()
}
