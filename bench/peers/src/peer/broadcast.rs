//! A bare broadcast by the library that Carillon uses, under its listener, with nothing between a request and the
//! sockets: what fan-out could be at most.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::Result;
use crate::crowd::Listener;
use crate::peer::{About, Acknowledges, Peer, Sender, Way, carillon, content, log_in, version_of};
use crate::process::{Server, free_address};
use crate::wire::http::{Connection, request, upgrade_request};

/// The part of Carillon's own benchmark.
pub(crate) struct Broadcast {
    program: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
    https: SocketAddr,
}

impl Broadcast {
    /// Of this build of Carillon.
    pub(crate) fn new(program: &Path) -> Result<Self> {
        let (address, https) = (free_address()?, free_address()?);
        Ok(Self { program: program.to_owned(), folder: PathBuf::new(), address, https })
    }
}

impl Peer for Broadcast {
    type Sender = Teller;

    fn about(&self) -> About {
        About {
            name: "bare broadcast".to_owned(),
            version: version_of(&self.program, &["--version"]),
            settings: "`bench-part broadcast` of Carillon's binary: the same library and listener; what is posted goes \
                       to every socket; no signatures, no rules, no store"
                .to_owned(),
            acknowledges: Acknowledges::StoresNothing,
        }
    }

    fn ways(&self) -> &'static [Way] {
        &[]
    }

    fn tells(&self) -> bool {
        true
    }

    async fn prepare(&mut self, folder: &Path, _: usize) -> Result<()> {
        self.folder = folder.into();
        Ok(())
    }

    fn start(&mut self) -> Result<Server> {
        let mut command = Command::new(&self.program);
        command.args(["bench-part", "broadcast", "--http", &self.address.to_string()]);
        command.args(["--https", &self.https.to_string(), "--folder"]).arg(&self.folder);
        Server::start(command, &log_in(&self.folder))
    }

    async fn sender(&self, _: Way, _: usize) -> Result<Teller> {
        // As long as the frame of a message is elsewhere.
        let payload =
            json!({"ChannelArn": "a".repeat(150), "Content": content(), "MessageId": "a".repeat(64)});
        let headers =
            json!({":event-type": "CREATE_CHANNEL_MESSAGE", "x-amz-chime-message-type": "STANDARD"});
        let frame = json!({"Headers": headers, "Payload": payload.to_string()}).to_string();
        let message = request("POST", "/tell", &self.address.to_string(), &[], frame.as_bytes());
        Ok(Teller { connection: Connection::open(self.address).await?, message })
    }

    fn listener(&self, _: usize) -> impl Future<Output = Result<Listener>> + Send + 'static {
        let address = self.address;
        async move { carillon::open(address, &upgrade_request("/connect", &address.to_string())).await }
    }
}

/// Who tells everybody.
pub(crate) struct Teller {
    connection: Connection,
    message: Vec<u8>,
}

impl Sender for Teller {
    async fn send(&mut self) -> Result<()> {
        self.connection.demand(&self.message, 201).await.map(drop)
    }
}
