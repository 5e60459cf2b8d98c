//! What an operator gives: `carillon.toml`, and archives to be imported.

use std::io::{Cursor, Read};

use carillon_server::config::{Settings, Written};
use carillon_server::moving::testing;

use super::Target;
use super::house::house;
use crate::outcome::note;

/// The text of a `carillon.toml`.
pub(super) const CONFIGURATION: Target = Target {
    name: "configuration",
    about: "carillon.toml: what is written, and what it means",
    words: "http https off store bus nats:// postgres:// sqlite: region account_id public_host limits preset \
            aws generous targets url secret streams kind nats subject push apns fcm web_push bots events \
            exchange mode jwt server drain_seconds metrics tls acme audit flows processors true false \
            1979-05-27 inf nan 0x1 '''",
    is_quick: true,
    run: configuration,
};

/// The lines of an archive; compressed, unless the first letter is `!`, behind which it is bytes as they lie in a file.
pub(super) const ARCHIVE: Target = Target {
    name: "archive",
    about: "files that are imported",
    words: "carillon_export id version schema time region account app_instance with_keys master_key end rows \
            left channel message identity membership outbox key arn setting iam_access_key 00",
    is_quick: false,
    run: archive,
};

fn configuration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Written::of_text(&text).and_then(Settings::read) {
        Ok(_) => note("read"),
        Err(error) => note(&error.to_string()),
    }
}

fn archive(bytes: &[u8]) {
    let file = match bytes.strip_prefix(b"!") {
        Some(raw) => raw.to_vec(),
        None => zstd::encode_all(bytes, 1).expect("it is in memory"),
    };
    let open = || -> Box<dyn Read + Send> { Box::new(Cursor::new(file.clone())) };
    match testing::verify(open()) {
        Ok(_) => note("whole"),
        Err(error) => return note(&error.to_string()),
    }
    let file = open();
    let put = house(|house| house.with_store(move |store| async move { testing::put(file, &store).await }));
    match put {
        Ok(_) => note("put"),
        Err(error) => note(&error.to_string()),
    }
}
