//! `carillon check`: looks at everything that the configuration names, and says of each thing how it stands. It
//! makes nothing; a store that is there is opened as the server would open it, which brings its schema up to
//! date.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use carillon_store::{Location, moving};

use carillon_server::config::{Certificate, Settings, Written, streams};
use carillon_server::credentials::{self, RootKey};
use carillon_server::data_dir::DataDir;
use carillon_server::error::{Error, ExitStatus, Result};
use carillon_server::tls::{Development, Tls};
use carillon_server::{clock, cluster, log, master_key, wire};

/// What was found of one thing.
type Finding = std::result::Result<String, Error>;

/// Checks each thing; a failure of one does not keep the others from being looked at.
pub(crate) fn run(written: Written) -> Result<ExitStatus> {
    let settings = Settings::read(written)?;
    log::start(&settings)?;
    let findings: [(&str, Finding); 10] = [
        ("data folder", check_data_dir(&settings)),
        ("root credentials", check_credentials(&settings)),
        ("master key", check_master_key(&settings)),
        ("certificate", check_certificate(&settings)),
        ("store", check_store(&settings)),
        ("bus", check_bus(&settings)),
        ("push", check_push(&settings)),
        ("streams", check_streams(&settings)),
        ("http", check_listener(settings.http)),
        ("https", check_listener(settings.https)),
    ];
    let mut status = ExitStatus::Success;
    let mut stdout = std::io::stdout().lock();
    for (thing, finding) in findings {
        let (word, words) = match &finding {
            Ok(words) => ("ok", words.clone()),
            Err(error) => ("FAILED", error.to_string()),
        };
        // Where stdout is closed, the exit code still says it.
        let _ = writeln!(stdout, "{word:6}  {thing}: {words}");
        if let Err(error) = finding {
            error.report_hint();
            status = ExitStatus::Failure;
        }
    }
    Ok(status)
}

fn check_data_dir(settings: &Settings) -> Finding {
    let path = settings.data_dir.display();
    if !settings.data_dir.exists() {
        return Ok(format!("{path} will be made at the first start"));
    }
    DataDir::open(&settings.data_dir)?;
    Ok(format!("{path} can be written"))
}

fn check_credentials(settings: &Settings) -> Finding {
    if let Some(key) = RootKey::from_environment()? {
        return Ok(format!("{}, from the environment", key.access_key_id));
    }
    let path = credentials::path(&settings.data_dir);
    Ok(match RootKey::find(&settings.data_dir)? {
        Some(key) => format!("{}, from {}", key.access_key_id, path.display()),
        None => format!("{} will be made at the first start", path.display()),
    })
}

fn check_master_key(settings: &Settings) -> Finding {
    let path = master_key::path(&settings.data_dir);
    Ok(match master_key::find(&settings.data_dir)? {
        Some(ring) => format!("{} to open with, the first to seal with", ring.len()),
        None => format!("{} will be made at the first start", path.display()),
    })
}

fn check_certificate(settings: &Settings) -> Finding {
    let public_host = settings.public_host(settings.http, settings.https);
    match &settings.certificate {
        Certificate::Files { cert, .. } => {
            Tls::open(&settings.certificate, &settings.data_dir, &public_host, clock::real())?;
            Ok(format!("{} and its key belong together", cert.display()))
        }
        Certificate::Acme(_) => Ok(format!("for {}, by ACME", public_host.name())),
        Certificate::Development => {
            let development = Development::in_folder(&settings.data_dir);
            let ca = development.ca();
            Ok(match development.find(public_host.name(), clock::real()) {
                Ok(_) => format!("for {}, to be trusted by {}", public_host.name(), ca.display()),
                Err(_) => format!("for {}, will be made at the first start", public_host.name()),
            })
        }
    }
}

fn check_store(settings: &Settings) -> Finding {
    if let Location::Sqlite(path) = &settings.store.location
        && path.starts_with(&settings.data_dir)
        && !path.exists()
    {
        return Ok(format!("{} will be made at the first start", settings.store));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failure(format!("the runtime cannot start: {error}")))?;
    let store = runtime.block_on(wire::open_store(&settings.store, Arc::new(|_| {})))?;
    let unfinished = runtime.block_on(store.read(moving::unfinished));
    // What it has open may end only where waiting is allowed.
    drop(runtime);
    drop(store);
    let unread = |error| Error::failure(format!("the store {} cannot be read: {error}", settings.store));
    match unfinished.map_err(unread)?.first() {
        None => Ok(format!("{} can be reached, and its schema is up to date", settings.store)),
        Some(unfinished) => {
            Err(Error::failure(format!("{}: {}", settings.store, wire::words_of(unfinished)))
                .hint("Repeat `carillon import` as it was given: it goes on, and brings what is missing."))
        }
    }
}

fn check_bus(settings: &Settings) -> Finding {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Error::failure(format!("the runtime cannot start: {error}")))?;
    runtime.block_on(cluster::open_bus(&settings.bus))?;
    Ok(format!("{} can be used", settings.bus))
}

fn check_push(settings: &Settings) -> Finding {
    Ok(match settings.check_push()? {
        0 => "no push application is configured".to_owned(),
        1 => "the keys of 1 push application can be used".to_owned(),
        several => format!("the keys of {several} push applications can be used"),
    })
}

fn check_streams(settings: &Settings) -> Finding {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Error::failure(format!("the runtime cannot start: {error}")))?;
    let (count, away) = runtime.block_on(streams::check(&settings.streams, &settings.home))?;
    match away.first() {
        Some(words) => Err(Error::failure(words.clone())),
        None => Ok(format!("{count} have sinks of their own, all others go to Kinesis")),
    }
}

fn check_listener(address: Option<SocketAddr>) -> Finding {
    let Some(address) = address else { return Ok("off".to_owned()) };
    carillon_server::http::bind(address).map(|port| format!("{} is free", port.address))
}
