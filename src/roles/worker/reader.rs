//! Answers reads from the worker's own database, as one of the consumers of `readQ`.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

use super::replica::{Position, still_holds};
use super::{Parts, Settings};
use crate::domain::ids::Offset;
use crate::domain::message::{Progress, ReadResult, Reply, Request, Role};
use crate::domain::promotion::Event;
use crate::domain::request::{Consistency, ReadOperation, ReadShape};
use crate::ports::requests::{Consumer, Delivery, Queue};
use crate::ports::store::{Store, StoreError};
use crate::roles::chain;
use crate::roles::latest;

/// The most that one answer may hold, in bytes of documents.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;
/// Reads held at a time.
const UNANSWERED: u16 = 256;
/// Deliveries taken at a time.
const MOST: usize = 64;
/// The pause before another try to consume, and before what could not be answered is given back.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// What the driver asks of the reader.
#[derive(Debug)]
pub(super) enum Order {
    Serve,
    /// Take no more; say when everything held is answered.
    Stop(oneshot::Sender<()>),
}

pub(super) struct Reader {
    parts: Parts,
    settings: Settings,
    position: latest::Receiver<Position>,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<Event>,
    lag: Lag,
    /// For a while nothing was consumed. The log is behind the same broker, and may be another one since.
    doubtful: bool,
}

/// Why serving ended, or did not begin.
enum End {
    Stopped(oneshot::Sender<()>),
    /// The queue cannot be consumed, or the worker is too far behind.
    Interrupted,
    /// It could go on, but not without a look at the log.
    Doubtful,
    Over,
}

impl Reader {
    pub(super) fn new(
        parts: Parts,
        settings: Settings,
        position: latest::Receiver<Position>,
        orders: mpsc::Receiver<Order>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let lag = Lag { feed: parts.progress.subscribe(), master: None, most: settings.max_lag };
        Self { parts, settings, position, orders, events, lag, doubtful: false }
    }

    /// Runs until the driver lets go.
    pub(super) async fn run(mut self) {
        let mut serving = false;
        loop {
            let order = if serving {
                match self.serve().await {
                    End::Over => return,
                    End::Stopped(done) => Some(Order::Stop(done)),
                    End::Doubtful => self.lose_log().await,
                    End::Interrupted => {
                        self.doubtful = true;
                        match timeout(PAUSE, self.orders.recv()).await {
                            Ok(order) => order,
                            Err(_) => continue,
                        }
                    }
                }
            } else {
                self.orders.recv().await
            };
            match order {
                None => return,
                Some(Order::Serve) => serving = true,
                Some(Order::Stop(done)) => {
                    serving = false;
                    // Whatever made it stop, it is told to serve again only at the end of the log.
                    self.doubtful = false;
                    confirm(done);
                }
            }
        }
    }

    /// Makes the worker join anew, unless it was told to stop in the meantime. An order to serve from
    /// before that counts no more.
    async fn lose_log(&mut self) -> Option<Order> {
        while let Ok(order) = self.orders.try_recv() {
            if let Order::Stop(_) = order {
                return Some(order);
            }
        }
        // The driver outlives this task; a closed channel means that all is over.
        let _ = self.events.send(Event::LogLost).await;
        loop {
            match self.orders.recv().await {
                Some(Order::Serve) => {}
                stop_or_end => return stop_or_end,
            }
        }
    }

    async fn serve(&mut self) -> End {
        if self.lag.is_too_large(&self.position) {
            return End::Interrupted;
        }
        let room = if self.doubtful { 1 } else { UNANSWERED };
        let mut consumer = match self.parts.requests.consume(&Queue::Read, room).await {
            Ok(consumer) => consumer,
            Err(error) => {
                debug!(error = %chain(error), "cannot consume reads");
                return End::Interrupted;
            }
        };
        if self.doubtful {
            consumer.deliveries.close().await;
            return End::Doubtful;
        }
        info!("serving reads");
        self.serve_from(consumer).await
    }

    async fn serve_from(&mut self, mut consumer: Consumer) -> End {
        let mut held = FuturesUnordered::new();
        // Dropped when serving ends: whoever still waits for its offset goes back to the queue.
        let (serving, served) = latest::channel(());
        let end = loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    None => return End::Over,
                    Some(Order::Serve) => {}
                    Some(Order::Stop(done)) => break End::Stopped(done),
                },
                Some(()) = held.next() => {}
                () = self.lag.listen() => if self.lag.is_too_large(&self.position) {
                    warn!("lagging too far behind the master, not serving reads");
                    break End::Interrupted;
                },
                // A carrier may have handed over more than are to be carried out at a time.
                received = consumer.deliveries.receive(MOST), if held.len() < usize::from(UNANSWERED) => match received {
                    Ok(deliveries) => for delivery in deliveries {
                        held.push(self.handle(delivery, &consumer, served.clone()));
                    },
                    Err(error) => {
                        warn!(error = %chain(error), "read queue lost");
                        return End::Interrupted;
                    }
                },
            }
        };
        drop(serving);
        // What is held may have to end before others can.
        tokio::join!(consumer.deliveries.close(), async { while held.next().await.is_some() {} });
        end
    }

    fn handle(
        &self,
        delivery: Delivery,
        consumer: &Consumer,
        mut served: latest::Receiver<()>,
    ) -> impl Future<Output = ()> + use<> {
        let store = Arc::clone(&self.parts.store);
        let answers = Arc::clone(&consumer.answers);
        let mut position = self.position.clone();
        let node = self.settings.node.clone();
        async move {
            let reply = match delivery.request.as_ref() {
                request @ (Request::Read(_) | Request::Catalog { .. }) => {
                    let reached = tokio::select! {
                        biased;
                        reached = reach(&mut position, least(request), delivery.expires_at) => reached,
                        _ = served.changed() => None,
                    };
                    match reached {
                        Some(offset) => {
                            let reply = match request {
                                Request::Read(operation) => {
                                    read(store.as_ref(), operation, offset).await
                                }
                                _ => catalog(store.as_ref(), offset).await,
                            };
                            reply.filter(|_| still_holds(&position, offset))
                        }
                        // The asker has given up, or somebody else is to answer.
                        None => None,
                    }
                }
                Request::Ping => Some(Reply::Pong),
                Request::Write(_) => {
                    warn!(%node, "a write among the reads passed over");
                    None
                }
            };
            match reply {
                Some(reply) => {
                    let _ = answers.answer(vec![(delivery.ticket, reply)]).await;
                }
                None => {
                    // Not at once: a database that is away would be asked without pause.
                    sleep(PAUSE).await;
                    answers.release(vec![delivery.ticket]).await;
                }
            }
        }
    }
}

/// Nobody may be waiting any more.
fn confirm(done: oneshot::Sender<()>) {
    let _ = done.send(());
}

/// How far the state must have come for a request.
const fn least(request: &Request) -> Option<Offset> {
    match request {
        Request::Read(ReadOperation { consistency: Consistency::Session(offset), .. })
        | Request::Catalog { at_least: offset } => Some(*offset),
        _ => None,
    }
}

/// Which collections a store has that holds at least everything up to `offset`. `None` when the
/// database is away.
async fn catalog(store: &dyn Store, offset: Offset) -> Option<Reply> {
    match store.catalog().await {
        Ok(collections) => Some(Reply::Catalog { offset, collections }),
        Err(error) => {
            warn!(error = %chain(error), "collections not listed");
            None
        }
    }
}

/// Waits until the state is as new as the read wants it, and says how new it is.
async fn reach(
    position: &mut latest::Receiver<Position>,
    least: Option<Offset>,
    expires_at: tokio::time::Instant,
) -> Option<Offset> {
    let reached = position.until(|at| at.applied.filter(|_| at.applied >= least));
    timeout_at(expires_at, reached).await.ok()?.ok()
}

/// Reads from a store that holds at least everything up to `offset`. `None` when the database is
/// away: somebody else is to answer.
pub(super) async fn read(
    store: &dyn Store,
    operation: &ReadOperation,
    offset: Offset,
) -> Option<Reply> {
    let query = &operation.query;
    let result = match &operation.shape {
        ReadShape::Documents => {
            store.find(query, MAX_ANSWER_BYTES).await.map(ReadResult::Documents)
        }
        ReadShape::Count => store.count(query).await.map(ReadResult::Count),
        ReadShape::Distinct(field) => store
            .distinct(&query.collection, &query.filter, field, MAX_ANSWER_BYTES)
            .await
            .map(ReadResult::Values),
    };
    match result {
        Ok(result) => Some(Reply::Read { offset, result }),
        Err(error @ StoreError::TooLarge { .. }) => {
            Some(Reply::ReadRefused { detail: error.to_string() })
        }
        Err(StoreError::TimedOut) => Some(Reply::TimedOut),
        Err(error) => {
            warn!(error = %chain(error), "read failed");
            None
        }
    }
}

/// How far the master is ahead, as its signs of life say.
struct Lag {
    feed: broadcast::Receiver<Progress>,
    master: Option<Offset>,
    most: u64,
}

impl Lag {
    /// Waits for the next word of the master. Cancel safe.
    async fn listen(&mut self) {
        loop {
            match self.feed.recv().await {
                Ok(progress) if progress.role == Role::Master => {
                    self.master = progress.applied;
                    return;
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    fn is_too_large(&mut self, position: &latest::Receiver<Position>) -> bool {
        while let Ok(progress) = self.feed.try_recv() {
            if progress.role == Role::Master {
                self.master = progress.applied;
            }
        }
        let own = position.borrow().applied.map_or(0, |offset| offset.0);
        self.master.is_some_and(|master| master.0.saturating_sub(own) > self.most)
    }
}
