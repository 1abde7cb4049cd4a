//! A connection that comes back by itself.
//!
//! Opens it, watches it, opens it again, and tells everybody which generation of it stands. It
//! keeps no channel alive over a loss: whoever had one gets a new one and starts over.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amqprs::Close;
use amqprs::callbacks::ConnectionCallback;
use amqprs::connection::{Connection, OpenConnectionArguments};
use anyhow::Context;
use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, debug, info, info_span, warn};

use super::address::Address;
use super::backoff::Backoff;
use super::channel::OpenChannel;
use super::confirms::Confirms;
use super::settings::RabbitmqSettings;
use super::tls;

/// Bound of opening a connection or a channel.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// The client never uses the number of a channel again that the broker closed, and panics when
/// it has none left. A connection that lost so many is replaced.
const CLOSED_CHANNELS: u32 = 1_000;

/// A connection and whether it stands at the moment.
#[derive(Clone)]
pub(super) enum ConnectionState {
    /// There is none; one is being opened.
    Disconnected,
    /// This one stands.
    Connected(Session),
}

/// One generation of a connection.
#[derive(Clone)]
pub(super) struct Session {
    /// Counts the connections, from 1.
    pub(super) generation: u64,
    /// True while the broker says that it reads nothing that is published. The client does not
    /// ask to be told, so brokers rarely say it; see also [`Confirms::keeps_up`].
    pub(super) blocked: watch::Receiver<bool>,
    orders: mpsc::Sender<Order>,
    abandoned: CancellationToken,
}

/// Opens a channel, in the task that owns the connection.
struct Order {
    confirms: Option<Arc<Confirms>>,
    opened: oneshot::Sender<anyhow::Result<OpenChannel>>,
}

impl Session {
    /// Opens a channel. Safe to cancel.
    pub(super) async fn open_channel(
        &self,
        confirms: Option<Arc<Confirms>>,
    ) -> anyhow::Result<OpenChannel> {
        let (opened, channel) = oneshot::channel();
        let lost = "the connection to the broker was lost";
        self.orders.send(Order { confirms, opened }).await.ok().context(lost)?;
        channel.await.ok().context(lost)?
    }

    /// Runs something that must not be cut short; a connection that keeps it waiting is given up.
    pub(super) async fn within<T>(
        &self,
        bound: Duration,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        match timeout(bound, work).await {
            Ok(result) => result,
            Err(_) => {
                self.abandoned.cancel();
                Err(anyhow::anyhow!("the broker did not answer within {} s", bound.as_secs()))
            }
        }
    }
}

/// Bound of saying goodbye to the broker.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Keeps a connection open for as long as it lives.
pub(super) struct SupervisedConnection {
    state: watch::Receiver<ConnectionState>,
    closing: CancellationToken,
    closed: CancellationToken,
    /// Why there is none; told to those who wait in vain.
    trouble: Arc<Mutex<String>>,
    _task: AbortOnDropHandle<()>,
}

impl SupervisedConnection {
    /// Starts to connect in the background.
    pub(super) fn start(
        purpose: &'static str,
        address: &Address,
        settings: &RabbitmqSettings,
    ) -> anyhow::Result<Self> {
        let (sender, state) = watch::channel(ConnectionState::Disconnected);
        let (closing, closed) = (CancellationToken::new(), CancellationToken::new());
        let trouble = Arc::new(Mutex::new("not tried yet".to_owned()));
        let supervisor = Supervisor {
            purpose,
            shown_address: address.to_string(),
            arguments: arguments(purpose, address, settings)?,
            state: sender,
            trouble: trouble.clone(),
            closing: closing.clone(),
            _closed: closed.clone().drop_guard(),
        };
        let task = supervisor.run().instrument(info_span!("rabbitmq", connection = purpose));
        let task = AbortOnDropHandle::new(tokio::spawn(task));
        Ok(Self { state, closing, closed, trouble, _task: task })
    }

    /// Sends what is still to be sent and closes the connection, for good.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.closed.cancelled().await;
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(*self.state.borrow(), ConnectionState::Connected(_))
    }

    /// The connection that stands, or the next one if it comes soon enough. Safe to cancel.
    pub(super) async fn session(&self, within: Duration) -> anyhow::Result<Session> {
        match timeout(within, self.next_session()).await {
            Ok(session) => Ok(session),
            Err(_) => Err(self.missing()),
        }
    }

    /// Says that there is none, and why.
    pub(super) fn missing(&self) -> anyhow::Error {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        anyhow::anyhow!("no connection to the broker: {trouble}")
    }

    /// The connection that stands, or the next one. Safe to cancel.
    pub(super) async fn next_session(&self) -> Session {
        let mut state = self.state.clone();
        loop {
            if let ConnectionState::Connected(session) = &*state.borrow_and_update() {
                return session.clone();
            }
            if state.changed().await.is_err() {
                // The supervisor is gone, which is so only while the process ends.
                std::future::pending::<()>().await;
            }
        }
    }
}

fn arguments(
    purpose: &str,
    address: &Address,
    settings: &RabbitmqSettings,
) -> anyhow::Result<OpenConnectionArguments> {
    let Address { host, port, user, password, virtual_host, .. } = address;
    let name = format!("{}rideshare {purpose} {}", settings.prefix, std::process::id());
    let mut arguments = OpenConnectionArguments::new(host, *port, user, password);
    arguments
        .virtual_host(virtual_host)
        .connection_name(&name)
        .heartbeat(settings.heartbeat_seconds);
    if address.tls {
        let tls = tls::adaptor(address.server_name(), settings.ca_file.as_deref())?;
        arguments.scheme("amqps").tls_adaptor(tls);
    }
    Ok(arguments.finish())
}

/// What the client says, and what to do about it where it knows no better than that.
fn explained(error: &str) -> String {
    if error.contains("peer certificate") {
        return format!("{error}; the authorities trusted are those of rabbitmq.ca_file");
    }
    // The broker just hangs up on whoever does not say that they would understand more.
    if error.contains("peer shutdown") || error.contains("connection interrupted") {
        return format!("{error}; it refuses the user or password of rabbitmq.url, or is starting");
    }
    error.to_owned()
}

struct Supervisor {
    purpose: &'static str,
    shown_address: String,
    arguments: OpenConnectionArguments,
    state: watch::Sender<ConnectionState>,
    trouble: Arc<Mutex<String>>,
    closing: CancellationToken,
    _closed: DropGuard,
}

/// A connection together with what its callback tells.
struct Opened {
    connection: Connection,
    ended: CancellationToken,
    blocked: watch::Receiver<bool>,
}

impl Supervisor {
    async fn run(self) {
        let mut backoff = Backoff::new();
        let mut generation = 0;
        let mut told = HashSet::new();
        loop {
            let started_at = Instant::now();
            match timeout(OPEN_TIMEOUT, self.open()).await {
                Ok(Ok(opened)) => {
                    generation += 1;
                    info!(broker = %self.shown_address, generation, "connected to the broker");
                    let purpose = self.purpose;
                    metrics::counter!("rideshare_broker_connections_total", "purpose" => purpose)
                        .increment(1);
                    told.clear();
                    self.serve(opened, generation).await;
                    self.note("the connection was lost".to_owned());
                    self.state.send_replace(ConnectionState::Disconnected);
                    if self.closing.is_cancelled() {
                        return;
                    }
                    warn!(broker = %self.shown_address, generation, "connection to the broker lost");
                }
                Ok(Err(error)) => self.failed(explained(&format!("{error:#}")), &mut told),
                Err(_) => self.failed("no answer".to_owned(), &mut told),
            }
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return,
                () = backoff.wait(started_at.elapsed()) => {}
            }
        }
    }

    /// Tells people each reason once, and those who wait the last one.
    fn failed(&self, error: String, told: &mut HashSet<String>) {
        self.note(error.clone());
        if !told.contains(&error) {
            warn!(broker = %self.shown_address, error, "the broker cannot be reached, trying on");
            told.insert(error);
        }
    }

    fn note(&self, trouble: String) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    async fn open(&self) -> anyhow::Result<Opened> {
        let connection = Connection::open(&self.arguments).await?;
        let ended = CancellationToken::new();
        let (blocked_sender, blocked) = watch::channel(false);
        let watcher = Watcher {
            purpose: self.purpose,
            blocked: blocked_sender,
            _guard: ended.clone().drop_guard(),
        };
        connection.register_callback(watcher).await?;
        Ok(Opened { connection, ended, blocked })
    }

    /// Opens channels for whoever asks, until the connection is lost or given up.
    async fn serve(&self, opened: Opened, generation: u64) {
        let Opened { connection, ended, blocked } = opened;
        let (orders, mut ordered) = mpsc::channel::<Order>(64);
        let abandoned = CancellationToken::new();
        self.state.send_replace(ConnectionState::Connected(Session {
            generation,
            blocked,
            orders,
            abandoned: abandoned.clone(),
        }));
        let closed_by_broker = Arc::new(AtomicU32::new(0));
        loop {
            let order = tokio::select! {
                biased;
                () = ended.cancelled() => return,
                () = self.closing.cancelled() => {
                    // What goes wrong now is of no consequence.
                    let _ = timeout(CLOSE_TIMEOUT, connection.close()).await;
                    return;
                }
                () = abandoned.cancelled() => {
                    warn!(generation, "the broker does not answer, connecting again");
                    return;
                }
                Some(order) = ordered.recv() => order,
            };
            if closed_by_broker.load(Ordering::Relaxed) >= CLOSED_CHANNELS {
                debug!(generation, "connecting again, as the broker closed many channels");
                return;
            }
            let opening = open_channel(&connection, order.confirms, closed_by_broker.clone());
            match timeout(OPEN_TIMEOUT, opening).await {
                // Whoever asked may have left; then the channel closes again.
                Ok(result) => drop(order.opened.send(result)),
                Err(_) => {
                    warn!(generation, "the broker opens no channel, connecting again");
                    return;
                }
            }
        }
    }
}

async fn open_channel(
    connection: &Connection,
    confirms: Option<Arc<Confirms>>,
    closed_by_broker: Arc<AtomicU32>,
) -> anyhow::Result<OpenChannel> {
    let channel = connection.open_channel(None).await?;
    Ok(OpenChannel::new(channel, confirms, closed_by_broker).await?)
}

/// Lives in the client's task for the connection, and dies with it.
struct Watcher {
    purpose: &'static str,
    blocked: watch::Sender<bool>,
    _guard: DropGuard,
}

#[async_trait]
impl ConnectionCallback for Watcher {
    async fn close(&mut self, _: &Connection, close: Close) -> Result<(), amqprs::error::Error> {
        warn!(connection = self.purpose, reason = %close, "the broker closes the connection");
        Ok(())
    }

    async fn blocked(&mut self, _: &Connection, reason: String) {
        warn!(connection = self.purpose, reason, "the broker takes no messages for now");
        self.blocked.send_replace(true);
    }

    async fn unblocked(&mut self, _: &Connection) {
        info!(connection = self.purpose, "the broker takes messages again");
        self.blocked.send_replace(false);
    }

    async fn secret_updated(&mut self, _: &Connection) {}
}
