//! A TCP relay between a client under test and a real server, which can be cut and healed.
//!
//! Three kinds of outage: a *black hole* delivers nothing, as when packets are lost (connections
//! stay open, new ones are accepted, bytes wait and arrive after the healing); a *reset* breaks
//! every connection and every attempt to make a new one; with *hanging up*, they end in good
//! order as soon as the client has said something, as before a relay whose server is gone.
//!
//! ```ignore
//! let proxy = Proxy::start(server).await;
//! let client = connect(proxy.address());
//! proxy.black_hole();
//! // … the client must notice …
//! proxy.heal();
//! ```

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What happens to bytes, and how often all connections have been broken so far.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    mode: Mode,
    resets: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Forward,
    BlackHole,
    Reset,
    HangUp,
}

/// A relay on a loopback port of its own. Dropping it breaks everything that goes through it.
pub(crate) struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    accepted: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens and forwards to the target, which need not be there yet: a connection that
    /// cannot be forwarded is reset.
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let line = watch::Sender::new(Line::default());
        let accepted = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(accept(listener, target, line.clone(), accepted.clone()));
        Self { address, line, accepted, task }
    }

    /// Where clients connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were accepted so far, in whatever mode.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// From now on nothing arrives, in neither direction; nobody is told.
    pub(crate) fn black_hole(&self) {
        self.line.send_modify(|line| line.mode = Mode::BlackHole);
    }

    /// Breaks every connection, and every new one at once, until healed.
    pub(crate) fn reset(&self) {
        self.line.send_modify(|line| *line = Line { mode: Mode::Reset, resets: line.resets + 1 });
    }

    /// Breaks every connection, and ends every new one in good order, until healed.
    pub(crate) fn hang_up(&self) {
        self.line.send_modify(|line| *line = Line { mode: Mode::HangUp, resets: line.resets + 1 });
    }

    /// Breaks every connection; new ones are forwarded.
    pub(crate) fn reset_once(&self) {
        self.line.send_modify(|line| *line = Line { mode: Mode::Forward, resets: line.resets + 1 });
    }

    /// Forwards again. What waited in a black hole arrives.
    pub(crate) fn heal(&self) {
        self.line.send_modify(|line| line.mode = Mode::Forward);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    line: watch::Sender<Line>,
    accepted: Arc<AtomicU64>,
) {
    let mut relays = JoinSet::new();
    loop {
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(_) => continue,
        };
        accepted.fetch_add(1, Ordering::Relaxed);
        relays.spawn(relay(client, target, line.subscribe()));
        while relays.try_join_next().is_some() {}
    }
}

async fn relay(mut client: TcpStream, target: SocketAddr, mut line: watch::Receiver<Line>) {
    let Line { mode, resets: born } = *line.borrow();
    if mode == Mode::HangUp {
        // Read something first: a connection that ends with bytes unread is reset.
        let _ = client.read(&mut [0; 1024]).await;
        return;
    }
    let mut server = tokio::select! {
        biased;
        () = broken(line.clone(), born) => return abort(&client),
        server = async {
            forwarding(&mut line).await;
            TcpStream::connect(target).await
        } => match server {
            Ok(server) => server,
            Err(_) => return abort(&client),
        },
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            biased;
            () = broken(line.clone(), born) => false,
            ended = async {
                tokio::try_join!(
                    pump(from_client, to_server, line.clone()),
                    pump(from_server, to_client, line.clone()),
                )
            } => ended.is_ok(),
        }
    };
    if !ended {
        abort(&client);
        abort(&server);
    }
}

/// Moves bytes one way until their end, as long as the line forwards.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut line: watch::Receiver<Line>,
) -> std::io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        forwarding(&mut line).await;
        let count = tokio::select! {
            biased;
            _ = line.changed() => continue,
            count = from.read(&mut buffer) => count?,
        };
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}

async fn forwarding(line: &mut watch::Receiver<Line>) {
    until(line, |line| line.mode == Mode::Forward).await;
}

/// Waits until connections that were made after so many resets are to break.
async fn broken(mut line: watch::Receiver<Line>, born: u64) {
    until(&mut line, |line| line.resets > born || line.mode == Mode::Reset).await;
}

async fn until(line: &mut watch::Receiver<Line>, wanted: impl FnMut(&Line) -> bool) {
    if line.wait_for(wanted).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Makes the end of this connection a reset rather than an orderly end.
fn abort(stream: &TcpStream) {
    // Where it fails, the connection is gone already.
    let _ = stream.set_zero_linger();
}
