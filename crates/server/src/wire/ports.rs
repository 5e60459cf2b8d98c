//! The ports: taken before anything else is touched, and answered last.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::certificate::Shown;
use crate::clock;
use crate::config::{PublicHost, Settings};
use crate::error::Result;
use crate::http::{
    Door, Front, Intake, Listening, Places, Port, Speech, UNSIGNED_PER_SECOND_MAX, bind, desk,
    metrics_router, serve_at,
};
use crate::process;
use crate::tls::Tls;
use crate::tls::files::Files;

/// The ports of a server.
pub(super) struct Ports {
    http: Option<Port>,
    https: Option<(Port, Tls)>,
    metrics: Option<Port>,
    /// By which name clients call it.
    pub(super) public_host: PublicHost,
}

impl Ports {
    /// Takes them, and opens the certificate.
    pub(super) fn take(settings: &Settings, data_dir: &Path) -> Result<Self> {
        let (http, https) = (settings.http.map(bind).transpose()?, settings.https.map(bind).transpose()?);
        let metrics = settings.metrics.listen.map(bind).transpose()?;
        let [plain, secure] = [&http, &https].map(|port| port.as_ref().map(|port| port.address));
        let public_host = settings.public_host(plain, secure);
        let with_tls = |port| {
            let tls = Tls::open(&settings.certificate, data_dir, &public_host, clock::real())?;
            Ok((port, tls))
        };
        let https = https.map(with_tls).transpose()?;
        Ok(Self { http, https, metrics, public_host })
    }

    /// Where it listens for plain HTTP.
    pub(super) fn http(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|port| port.address)
    }

    /// Where it listens for HTTPS.
    pub(super) fn https(&self) -> Option<SocketAddr> {
        self.https.as_ref().map(|(port, _)| port.address)
    }

    /// The CA that clients must be told to trust.
    pub(super) fn ca(&self) -> Option<PathBuf> {
        self.https.as_ref().and_then(|(_, tls)| tls.ca.clone())
    }

    /// What the HTTPS listener shows, and the files that it is from.
    pub(super) fn shown(&self) -> Option<(Arc<Shown>, Option<Arc<Files>>)> {
        self.https.as_ref().map(|(_, tls)| (tls.shown.clone(), tls.files.clone()))
    }

    /// Answers what comes to them.
    pub(super) fn listen(
        self,
        settings: &Settings,
        front: &Arc<Front>,
        door: &Arc<Door>,
    ) -> Result<Vec<Listening>> {
        let desk = desk(front.clone(), settings.test_clock);
        let (spoken, mut listening) = (settings.door.proxy_protocol, Vec::new());
        let plain = self.http.map(|port| (port, Speech { tls: None, proxied: spoken.http }));
        let secure =
            self.https.map(|(port, tls)| (port, Speech { tls: Some(tls.config), proxied: spoken.https }));
        for (port, speech) in plain.into_iter().chain(secure) {
            let (tls, proxied) = (speech.tls.is_some(), speech.proxied);
            tracing::info!(address = %port.address, tls, proxied, "listening");
            listening.push(serve_at(port, speech, desk.clone(), door)?);
        }
        if let Some(port) = self.metrics {
            tracing::info!(address = %port.address, "listening for metrics");
            listening.push(serve_at(port, Speech::default(), metrics_router(front.clone()), door)?);
        }
        Ok(listening)
    }
}

/// The door of all listeners, with as many places as there may be files, and the room for bodies behind it.
pub(super) fn open_door(settings: &Settings) -> (Arc<Door>, Arc<Intake>) {
    let open_files = process::raise_open_files();
    let caps = settings.door.allowance.with_files(open_files);
    if settings.door.allowance.all.is_some_and(|all| caps.all < all) {
        tracing::warn!(
            open_files,
            "server.connections_max is more than the open files allow: raise ulimit -n"
        );
    }
    tracing::info!(
        open_files,
        all = caps.all,
        of_address = caps.of_address,
        strangers = caps.strangers,
        strangers_of_address = caps.strangers_of_address,
        "connections"
    );
    let door = Door {
        places: Places::new(caps),
        patience: settings.door.patience,
        overdue: Arc::default(),
        proxies: settings.door.proxies.clone(),
        unsigned_per_second_max: UNSIGNED_PER_SECOND_MAX,
    };
    let intake = Intake::new(settings.door.bodies_bytes_max, door.patience, door.overdue.clone());
    (Arc::new(door), Arc::new(intake))
}
