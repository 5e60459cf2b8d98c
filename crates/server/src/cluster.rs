//! What makes a process one node of several: the bus, and that all are of one cluster.

use std::sync::Arc;

use carillon_auth::KeyRing;
use carillon_delivery::{Bus, Hub};
use carillon_service::Clock as _;
use carillon_store::{self as store, Lane, Store, Tx};
use data_encoding::HEXLOWER;
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::clock::SystemClock;
use crate::config::{BusAddress, Settings};
use crate::credentials::RootKey;
use crate::error::{Error, Result};

/// Where the store keeps what all nodes must have alike, sealed.
const SETTING: &str = "cluster";

/// Connects to the bus.
pub async fn open_bus(address: &BusAddress) -> Result<Bus> {
    let BusAddress::Nats { settings, shown } = address else { return Ok(Bus::local()) };
    Bus::connect(settings).await.map_err(|error| {
        Error::failure(format!("the bus {shown} cannot be used: {error}"))
            .hint("Is --bus right, does NATS run there, and may this user use it?")
    })
}

/// From here on this node is told of what others commit, and says what it does. Nothing may be committed before.
pub(crate) async fn begin(
    settings: &Settings,
    hub: &Hub,
    store: &Arc<Store>,
    clock: &Arc<SystemClock>,
) -> Result<()> {
    let clock = clock.clone();
    hub.begin(store, move || clock.now())
        .await
        .map_err(|error| Error::failure(format!("the store {} cannot be used: {error}", settings.store)))
}

/// Whether this node is given what the others are: the first one says what that is.
pub(crate) async fn agree(
    settings: &Settings,
    store: &Store,
    (keys, root): (&KeyRing, &RootKey),
    random: &mut StdRng,
) -> Result<()> {
    if settings.bus == BusAddress::Local {
        return Ok(());
    }
    let unread = |error: store::Error| Error::failure(format!("the store cannot be used: {error}"));
    let (sealer, context) = (keys.sealer(SETTING), SETTING.as_bytes());
    let ours = format!("{}\n{}", root.access_key_id, root.expose_secret());
    let written = HEXLOWER.encode(&sealer.seal(random.random(), context, ours.as_bytes()));
    let agreed = store.write(Lane::Account, move |tx: &mut Tx| {
        if let Some(agreed) = store::setting::find(tx, SETTING)? {
            return Ok(agreed);
        }
        store::setting::set(tx, SETTING, &written)?;
        Ok::<_, store::Error>(written.clone())
    });
    let agreed = agreed.await.map_err(unread)?;
    let differs = |what: &str| {
        Error::failure(format!("the {what} not that of the other nodes of this store")).hint(
            "Give all nodes the same CARILLON_ROOT_ACCESS_KEY_ID, CARILLON_ROOT_SECRET_ACCESS_KEY and \
             CARILLON_MASTER_KEY. To replace them, stop all nodes and delete the row cluster of the table setting.",
        )
    };
    let opened = HEXLOWER.decode(agreed.as_bytes()).ok().and_then(|bytes| sealer.open(context, &bytes));
    let Some(opened) = opened else { return Err(differs("master key is")) };
    if opened.as_slice() != ours.as_bytes() {
        return Err(differs("root access key is"));
    }
    Ok(())
}
