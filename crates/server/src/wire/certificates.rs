//! What keeps the certificate of the HTTPS listener good while the server runs.

use std::sync::Arc;

use carillon_auth::Sealer;
use carillon_model::Key;
use carillon_store::Store;
use prometheus_client::collector::Collector;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::ground::Secrets;
use crate::certificate::Shown;
use crate::config::{BusAddress, Certificate, Settings};
use crate::tls::acme::{Acme, Expiry, PURPOSE, Place};
use crate::tls::files::Files;
use crate::watch::{LOOK_EVERY, Watch};

/// Whoever keeps it good.
#[derive(Default)]
pub(super) struct Certificates {
    shown: Option<Arc<Shown>>,
    acme: Option<Acme>,
    files: Option<Watch>,
}

/// What it will work with, before there is a store.
pub(super) struct Keeper {
    shown: Option<(Arc<Shown>, Option<Arc<Files>>)>,
    sealer: Sealer,
    random: StdRng,
}

impl Keeper {
    /// Of what the HTTPS listener shows, if there is one.
    pub(super) fn new(shown: Option<(Arc<Shown>, Option<Arc<Files>>)>, secrets: &mut Secrets) -> Self {
        Self { shown, sealer: secrets.keys.sealer(PURPOSE), random: StdRng::from_rng(&mut secrets.random) }
    }

    /// Begins.
    pub(super) fn start(self, settings: &Settings, store: Arc<Store>, node: Key) -> Certificates {
        let Self { shown, sealer, random } = self;
        let Some((shown, files)) = shown else { return Certificates::default() };
        let files = files.map(|files| {
            let look = move || {
                let files = files.clone();
                async move {
                    // A panic there is one of the task that looks.
                    let looked = tokio::task::spawn_blocking(move || files.look());
                    looked.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
                    Ok(())
                }
            };
            Watch::start("certificate files", LOOK_EVERY, look)
        });
        let acme = match &settings.certificate {
            Certificate::Acme(acme) => {
                let is_shared = settings.bus != BusAddress::Local;
                let place = Place { store, node, sealer, shown: shown.clone(), random, is_shared };
                Some(Acme::start(acme.clone(), place))
            }
            Certificate::Files { .. } | Certificate::Development => None,
        };
        Certificates { shown: Some(shown), acme, files }
    }
}

impl Certificates {
    /// What proves names to a certificate authority, where certificates come from one.
    pub(super) fn proofs(&self) -> Option<Arc<Shown>> {
        self.shown.clone().filter(|_| self.acme.is_some())
    }

    /// What is measured.
    pub(super) fn measured(&self) -> Vec<Box<dyn Collector>> {
        let mut measured: Vec<Box<dyn Collector>> = Vec::new();
        measured.extend(self.shown.clone().map(|shown| Box::new(Expiry(shown)) as Box<dyn Collector>));
        measured.extend(self.acme.as_ref().map(|acme| Box::new(acme.measured()) as Box<dyn Collector>));
        measured
    }

    /// Ends.
    pub(super) async fn close(self) {
        if let Some(acme) = self.acme {
            acme.stop().await;
        }
        if let Some(files) = self.files {
            files.stop().await;
        }
    }
}
