//! NATS: its core, which remembers nothing.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use bytes::Bytes;
use dashmap::DashMap;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::{Hearer, Subject};

/// How long the first connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the server is pinged: a few that go unanswered, and it counts as gone.
const PING_EVERY: Duration = Duration::from_secs(2);
/// How long until a lost connection is tried again.
const RECONNECT_EVERY: Duration = Duration::from_millis(500);
/// How long until all is subscribed to anew, once the server has refused something: what it has against it, a lack of
/// room or of permission, may be over.
pub(super) const REFUSED_RETRY_AFTER: Duration = Duration::from_secs(10);
/// News of one subject that wait to be taken up; more are dropped, and found in the store.
const SUBSCRIPTION_LEN_MAX: usize = 1_024;
/// What the server must take at once: above the largest event, a hundred memberships with the longest names and ARNs.
const PAYLOAD_BYTES_MIN: usize = 512 * 1024;

/// Where NATS is, and who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NatsSettings {
    /// Its servers, each with a scheme: `nats://host:port` or `tls://host:port`.
    pub servers: Vec<String>,
    /// Name and password.
    pub user: Option<(String, String)>,
    /// A file of credentials, as NATS makes them.
    pub creds_file: Option<PathBuf>,
    /// Who signs the servers' certificates, beside those whom the system trusts.
    pub ca_file: Option<PathBuf>,
    /// Whether every connection must be encrypted.
    pub tls: bool,
    /// What all subjects begin with.
    pub prefix: String,
}

/// Why the bus cannot be used.
#[derive(Debug)]
pub struct BusError(String);

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BusError {}

/// A connection, and what is subscribed to.
pub(crate) struct Nats {
    client: Client,
    prefix: String,
    heard: Arc<OnceLock<Hearer>>,
    subscriptions: DashMap<Subject, AbortHandle>,
    pub(super) reachable: Arc<AtomicBool>,
    pub(super) dropped: AtomicU64,
    /// Rung when the server refuses something; it does not say so to whoever asked.
    refused: Arc<Notify>,
}

impl Nats {
    pub(super) async fn connect(settings: &NatsSettings) -> Result<Self, BusError> {
        let reachable = Arc::new(AtomicBool::new(true));
        let seen = reachable.clone();
        let refused = Arc::<Notify>::default();
        let refusal = refused.clone();
        let mut options = ConnectOptions::new()
            .name("carillon")
            .no_echo()
            .connection_timeout(CONNECT_TIMEOUT)
            .ping_interval(PING_EVERY)
            .subscription_capacity(SUBSCRIPTION_LEN_MAX)
            .reconnect_delay_callback(|_| RECONNECT_EVERY)
            .require_tls(settings.tls)
            .event_callback(move |event| {
                match &event {
                    Event::Connected => {
                        tracing::info!("the bus is back");
                        seen.store(true, Ordering::Relaxed);
                    }
                    Event::Disconnected | Event::Closed => {
                        tracing::error!(
                            "the bus cannot be reached; events of other nodes are read from the store"
                        );
                        seen.store(false, Ordering::Relaxed);
                    }
                    Event::ServerError(error) => {
                        tracing::error!(%error, "the bus refuses something; events are read from the store");
                        refusal.notify_one();
                    }
                    _ => tracing::warn!(%event, "the bus"),
                }
                std::future::ready(())
            });
        if let Some((user, password)) = &settings.user {
            options = options.user_and_password(user.clone(), password.clone());
        }
        if let Some(path) = &settings.creds_file {
            let read = options.credentials_file(path).await;
            options =
                read.map_err(|error| BusError(format!("{} cannot be used: {error}", path.display())))?;
        }
        if let Some(path) = &settings.ca_file {
            options = options.add_root_certificates(path.clone());
        }
        let servers = settings.servers.iter().map(|server| server.parse::<ServerAddr>());
        let servers = servers.collect::<Result<Vec<_>, _>>().map_err(|error| BusError(error.to_string()))?;
        let client = options.connect(servers).await.map_err(|error| BusError(error.to_string()))?;
        let most = client.max_payload();
        if most < PAYLOAD_BYTES_MIN {
            let least = PAYLOAD_BYTES_MIN;
            return Err(BusError(format!(
                "it takes {most} bytes at once, and {least} are needed (max_payload)"
            )));
        }
        let prefix = settings.prefix.clone();
        let (subscriptions, dropped) = (DashMap::new(), AtomicU64::new(0));
        Ok(Self { client, prefix, heard: Arc::default(), subscriptions, reachable, dropped, refused })
    }

    /// Says who takes up what others say. Nothing is subscribed to before.
    pub(super) fn hears(&self, hearer: Hearer) {
        assert!(self.heard.set(hearer).is_ok(), "one node listens");
    }

    /// Subscribes anew to all there is, a while after something was refused.
    pub(super) async fn try_again(self: Arc<Self>, after: Duration) {
        loop {
            self.refused.notified().await;
            sleep(after).await;
            for mut held in self.subscriptions.iter_mut() {
                let again = self.listen(*held.key());
                std::mem::replace(held.value_mut(), again).abort();
            }
        }
    }

    pub(super) fn publish(&self, subject: Subject, bytes: Bytes) {
        let taken = self.client.publish(self.subject(subject), bytes).now_or_never();
        if !matches!(taken, Some(Ok(()))) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn subscribe(&self, subject: Subject) {
        self.subscriptions.entry(subject).or_insert_with(|| self.listen(subject));
    }

    fn listen(&self, subject: Subject) -> AbortHandle {
        let (client, heard, subject) = (self.client.clone(), self.heard.clone(), self.subject(subject));
        let refused = self.refused.clone();
        let listening = tokio::spawn(async move {
            let mut news = match client.subscribe(subject).await {
                Ok(news) => news,
                Err(error) => {
                    tracing::error!(%error, "the bus does not take a subscription");
                    return refused.notify_one();
                }
            };
            let Some(hear) = heard.get() else { return };
            while let Some(message) = news.next().await {
                hear(&message.payload);
            }
        });
        listening.abort_handle()
    }

    pub(super) fn unsubscribe(&self, subject: Subject) {
        if let Some((_, listening)) = self.subscriptions.remove(&subject) {
            listening.abort(); // What it holds unsubscribes when it is dropped.
        }
    }

    fn subject(&self, subject: Subject) -> String {
        format!("{}.{subject}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use carillon_model::Key;
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    const INFO: &str = r#"INFO {"server_id":"S","version":"2.15.1","max_payload":1048576,"headers":true}"#;

    /// Takes one client and speaks as NATS does; every other subscription is refused. Says each.
    async fn serve(listener: TcpListener, subscribed: mpsc::UnboundedSender<String>) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (reader, mut writer) = stream.split();
        writer.write_all(format!("{INFO}\r\n").as_bytes()).await.unwrap();
        let (mut lines, mut count) = (BufReader::new(reader).lines(), 0);
        while let Some(line) = lines.next_line().await.unwrap() {
            let answer = match line.split(' ').collect::<Vec<_>>()[..] {
                ["PING"] => "PONG\r\n".to_owned(),
                ["SUB", subject, sid] => {
                    count += 1;
                    subscribed.send(subject.to_owned()).unwrap();
                    match count % 2 {
                        1 => format!("-ERR 'Permissions Violation for Subscription to \"{subject}\"'\r\n"),
                        _ => format!("MSG {subject} {sid} 4\r\nnews\r\n"),
                    }
                }
                _ => continue,
            };
            writer.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_subscription_that_is_refused_is_tried_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let servers = vec![format!("nats://{}", listener.local_addr().unwrap())];
        let (subscribed, mut subscriptions) = mpsc::unbounded_channel();
        tokio::spawn(serve(listener, subscribed));
        let settings = NatsSettings { servers, prefix: "test".to_owned(), ..NatsSettings::default() };
        let (queue, mut news) = mpsc::unbounded_channel();
        let nats = Arc::new(Nats::connect(&settings).await.unwrap());
        nats.hears(Box::new(move |bytes| queue.send(bytes.to_vec()).unwrap()));
        tokio::spawn(nats.clone().try_again(Duration::from_millis(10)));
        nats.subscribe(Subject::Channel(Key([7; 16])));
        let came = timeout(CONNECT_TIMEOUT, news.recv()).await.expect("it is not tried again");
        assert_eq!(came.as_deref(), Some(&b"news"[..]));
        for _ in 0..2 {
            assert_eq!(subscriptions.recv().await.unwrap(), nats.subject(Subject::Channel(Key([7; 16]))));
        }
    }
}
