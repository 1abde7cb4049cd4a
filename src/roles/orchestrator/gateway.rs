//! Carries requests to the workers and their replies back.
//!
//! A request is not a promise: what was not answered is sent again, a write whenever another
//! master takes office, a read when it takes longer than it should. The duplicate window makes
//! that harmless.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::Parts;
use super::roster::{Office, Roster, Signs};
use crate::domain::ids::{NodeId, Offset, RequestId};
use crate::domain::message::{Collection, ReadResult, Reply, Request};
use crate::domain::outcome::{Outcome, Refusal};
use crate::domain::request::{
    Acknowledgement, Consistency, ReadOperation, WriteOperation, WriteRequest,
};
use crate::ports::requests::{Correlation, Queue, RequestSender, RequestsError};
use crate::ports::traces::{Stage, Traces};
use crate::roles::ambient::Ambient;
use crate::roles::chain;
use crate::roles::latest;

/// A write that nobody has answered for this long is sent again; then after twice that, and so on.
const RESEND_WRITE: Duration = Duration::from_secs(3);
/// The same from the moment that another master takes office. It says so a little before it can
/// be handed anything, and the one before it, if it only stands still, may be handed what comes
/// in between.
const RESEND_IN_OFFICE: Duration = Duration::from_millis(500);
/// The same for a read.
const RESEND_READ: Duration = Duration::from_millis(300);
/// The same for a read that waits for its offset.
const RESEND_SESSION: Duration = Duration::from_millis(1_000);
/// The pause before a send that failed is tried again.
const SEND_PAUSE: Duration = Duration::from_millis(50);

/// How a write is to be carried out.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Given by the client: the same key is the same write.
    pub idempotency_key: Option<String>,
    /// When to answer.
    pub acknowledgement: Acknowledgement,
    /// When to give up waiting.
    pub timeout: Duration,
}

/// A write that has an outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Where the outcome stands in the log.
    pub offset: Offset,
    /// What it is; may be a refusal.
    pub outcome: Outcome,
}

/// A read that was carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadAnswer {
    /// The state that was read holds everything up to here.
    pub offset: Offset,
    /// What was read.
    pub result: ReadResult,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// Too many requests are under way; this one was not sent.
    #[error("too many requests are under way")]
    Overloaded,
    /// The request did not reach anybody within its time; nothing was written.
    #[error("no worker could be reached in time")]
    NotSent,
    /// A read was not answered within its time.
    #[error("the read was not answered in time")]
    ReadTimedOut,
    /// A write was not answered within its time and may still happen.
    #[error("the write was not answered in time and may still happen")]
    WriteUnknown,
    /// The write happened, but not so many slaves had applied it in time.
    #[error("written at offset {offset}, but only {reached} slaves had applied it in time")]
    ReplicasMissing {
        /// Where the write stands in the log.
        offset: Offset,
        /// How many had.
        reached: usize,
    },
    /// The read cannot be carried out as it is.
    #[error("{0}")]
    ReadRefused(String),
    /// The request is larger than the carrier takes.
    #[error("a request of {0} bytes is larger than the broker takes")]
    TooLarge(usize),
}

/// The front of the database; cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
    signs: latest::Receiver<Signs>,
    office: latest::Receiver<Office>,
}

struct Shared {
    requests: Arc<dyn RequestSender>,
    traces: Arc<dyn Traces>,
    ambient: Ambient,
    in_flight: Semaphore,
    most_in_flight: usize,
    pending: Mutex<HashMap<Correlation, oneshot::Sender<Reply>>>,
    next_correlation: AtomicU64,
    reads: AtomicU64,
}

/// A request under way; forgotten when dropped.
struct Call {
    shared: Arc<Shared>,
    correlation: Correlation,
    reply: oneshot::Receiver<Reply>,
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut pending = self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.remove(&self.correlation);
    }
}

/// When to send a request again.
struct Resend {
    after: Duration,
    /// Also when another master takes office.
    with_office: bool,
}

/// What became of a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// The worker is there.
    Answered,
    /// The carrier took the ping, and nothing came back.
    Unanswered,
    /// The carrier did not take it, which says nothing of the worker.
    Unasked,
}

/// Why a call ended without a reply.
enum CallError {
    Overloaded,
    TooLarge(usize),
    TimedOut { sent: bool },
}

impl Gateway {
    pub(super) fn new(parts: &Parts, roster: &Roster, in_flight: usize) -> Self {
        let shared = Shared {
            requests: Arc::clone(&parts.requests),
            traces: Arc::clone(&parts.traces),
            ambient: parts.ambient.clone(),
            in_flight: Semaphore::new(in_flight),
            most_in_flight: in_flight,
            pending: Mutex::default(),
            next_correlation: AtomicU64::new(1),
            reads: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared), signs: roster.view(), office: roster.office() }
    }

    /// `db/read` requests taken since the start.
    #[must_use]
    pub fn reads_taken(&self) -> u64 {
        self.shared.reads.load(Ordering::Relaxed)
    }

    /// Counts a `db/read` request for the autoscaler.
    pub fn count_read(&self) {
        self.shared.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Hands replies to those who wait for them, until the carrier is gone.
    pub(super) async fn dispatch(self) {
        let Some(mut replies) = self.shared.requests.take_replies() else { return };
        while let Some((correlation, reply)) = replies.recv().await {
            let waiting = {
                let mut pending =
                    self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
                pending.remove(&correlation)
            };
            // Nobody waits for the second reply to a request, nor for a late one.
            if let Some(waiting) = waiting {
                let _ = waiting.send(reply);
            }
        }
    }

    /// Carries out a write.
    ///
    /// # Errors
    /// See [`GatewayError`]; only `WriteUnknown` and `ReplicasMissing` leave anything behind.
    pub async fn write(
        &self,
        operation: WriteOperation,
        options: WriteOptions,
    ) -> Result<Written, GatewayError> {
        let began = Instant::now();
        let deadline = began + options.timeout;
        let permit = self.shared.in_flight.try_acquire();
        let _permit = permit.map_err(|_| GatewayError::Overloaded)?;
        let id = match options.idempotency_key {
            Some(key) => RequestId::new(format!("key:{key}")),
            None => RequestId::new(self.shared.ambient.unique()),
        };
        let followed = self.shared.traces.follows(&id).then(|| id.clone());
        let written = self.carry_write(id, operation, options.acknowledgement, deadline).await;
        if let Some(id) = followed {
            self.tell_write(&id, began, &written);
        }
        written
    }

    /// The write's whole way, for whoever follows it.
    fn tell_write(&self, id: &RequestId, began: Instant, written: &Result<Written, GatewayError>) {
        let fact = match written {
            Ok(written) => ("log.offset", written.offset.to_string()),
            Err(error) => ("error", error.to_string()),
        };
        let (ended, facts) = (Instant::now(), vec![fact]);
        let stage = Stage { name: "write", is_whole: true, began, ended, facts };
        self.shared.traces.tell(id, stage);
    }

    async fn carry_write(
        &self,
        id: RequestId,
        operation: WriteOperation,
        acknowledgement: Acknowledgement,
        deadline: Instant,
    ) -> Result<Written, GatewayError> {
        let seen = self.heard(deadline).await?;
        // By this the master's log can be followed; the span around it is the client's request.
        debug!(request = %id, "write begins");
        let write = WriteRequest { id, seen, acknowledgement, operation };
        let resend = Resend { after: RESEND_WRITE, with_office: true };
        let reply = self.call(&Queue::Write, Request::Write(write), deadline, resend).await;
        match reply {
            Ok(Reply::Written { outcome: Outcome::Refused(Refusal::Forgotten), .. }) => {
                Err(GatewayError::WriteUnknown)
            }
            Ok(Reply::Written { offset, outcome }) => {
                if let (Acknowledgement::Replicas(count), false) =
                    (acknowledgement, matches!(outcome, Outcome::Refused(_)))
                {
                    self.await_replicas(offset, count as usize, deadline).await?;
                }
                Ok(Written { offset, outcome })
            }
            Ok(_) | Err(CallError::TimedOut { sent: true }) => Err(GatewayError::WriteUnknown),
            Err(error) => Err(error.into()),
        }
    }

    /// Carries out a read.
    ///
    /// # Errors
    /// See [`GatewayError`].
    pub async fn read(
        &self,
        operation: ReadOperation,
        timeout: Duration,
    ) -> Result<ReadAnswer, GatewayError> {
        let deadline = Instant::now() + timeout;
        let permit = self.shared.in_flight.try_acquire();
        let _permit = permit.map_err(|_| GatewayError::Overloaded)?;
        let (queue, resend) = match operation.consistency {
            Consistency::Eventual => {
                (Queue::Read, Resend { after: RESEND_READ, with_office: false })
            }
            Consistency::Session(_) => {
                (Queue::Read, Resend { after: RESEND_SESSION, with_office: false })
            }
            Consistency::Strong => {
                (Queue::Write, Resend { after: RESEND_WRITE, with_office: true })
            }
        };
        if let Consistency::Session(offset) = operation.consistency {
            self.reached(offset, deadline).await?;
        }
        match self.call(&queue, Request::Read(operation), deadline, resend).await {
            Ok(Reply::Read { offset, result }) => Ok(ReadAnswer { offset, result }),
            Ok(Reply::ReadRefused { detail }) => Err(GatewayError::ReadRefused(detail)),
            Ok(_) | Err(CallError::TimedOut { sent: true }) => Err(GatewayError::ReadTimedOut),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads and writes that wait for their answers.
    pub(super) fn in_flight(&self) -> usize {
        self.shared.most_in_flight.saturating_sub(self.shared.in_flight.available_permits())
    }

    /// Which collections there are, at this offset or later, and at which it was.
    ///
    /// # Errors
    /// See [`GatewayError`].
    pub async fn catalog(
        &self,
        at_least: Offset,
        timeout: Duration,
    ) -> Result<(Offset, Vec<Collection>), GatewayError> {
        let deadline = Instant::now() + timeout;
        let permit = self.shared.in_flight.try_acquire();
        let _permit = permit.map_err(|_| GatewayError::Overloaded)?;
        self.reached(at_least, deadline).await?;
        let resend = Resend { after: RESEND_SESSION, with_office: false };
        match self.call(&Queue::Read, Request::Catalog { at_least }, deadline, resend).await {
            Ok(Reply::Catalog { offset, collections }) => Ok((offset, collections)),
            Ok(_) | Err(CallError::TimedOut { sent: true }) => Err(GatewayError::ReadTimedOut),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether this worker answers within the time.
    pub(super) async fn ping(&self, node: NodeId, within: Duration) -> Echo {
        let deadline = Instant::now() + within;
        let (queue, ping) = (Queue::Node(node), Arc::new(Request::Ping));
        let mut call = self.open();
        let sending = self.send(&queue, &call, &ping, deadline, 0);
        if !matches!(timeout_at(deadline, sending).await, Ok(Ok(()))) {
            return Echo::Unasked;
        }
        match timeout_at(deadline, &mut call.reply).await {
            Ok(Ok(_)) => Echo::Answered,
            _ => Echo::Unanswered,
        }
    }

    /// An offset that the log has reached for sure. Waits for the first sign of life.
    async fn heard(&self, deadline: Instant) -> Result<Offset, GatewayError> {
        let mut signs = self.signs.clone();
        let heard = timeout_at(deadline, signs.until(Signs::furthest)).await;
        heard.ok().and_then(Result::ok).ok_or(GatewayError::NotSent)
    }

    /// Waits until any worker has applied this offset. Until then no worker could answer, and
    /// asking would only fill the queues.
    async fn reached(&self, offset: Offset, deadline: Instant) -> Result<(), GatewayError> {
        let mut signs = self.signs.clone();
        let reached = signs.until(|signs| (signs.furthest() >= Some(offset)).then_some(()));
        match timeout_at(deadline, reached).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(GatewayError::ReadTimedOut),
        }
    }

    async fn await_replicas(
        &self,
        offset: Offset,
        count: usize,
        deadline: Instant,
    ) -> Result<(), GatewayError> {
        let mut signs = self.signs.clone();
        let reached = signs.until(|signs| (signs.replicas_at(offset) >= count).then_some(()));
        if matches!(timeout_at(deadline, reached).await, Ok(Ok(()))) {
            return Ok(());
        }
        let reached = self.signs.borrow().replicas_at(offset);
        Err(GatewayError::ReplicasMissing { offset, reached })
    }

    async fn call(
        &self,
        queue: &Queue,
        request: Request,
        deadline: Instant,
        resend: Resend,
    ) -> Result<Reply, CallError> {
        let mut call = self.open();
        let request = Arc::new(request);
        let mut office = self.office.clone();
        let known = office.borrow_and_update().clone();
        let (mut known, mut sent, mut pause) = (known, false, resend.after);
        let mut times = 0_u32;
        loop {
            if sent && *queue == Queue::Read && self.signs.borrow().miss_a_slave() {
                // It may be handed this one too, again and again. The master can answer any read.
                let _ = self.send(&Queue::Write, &call, &request, deadline, 0).await;
            }
            match self.send(queue, &call, &request, deadline, times).await {
                Ok(()) => {
                    sent = true;
                    times += 1;
                }
                Err(RequestsError::TooLarge { bytes }) => return Err(CallError::TooLarge(bytes)),
                Err(RequestsError::Full) if !sent => return Err(CallError::Overloaded),
                Err(error) => {
                    // What could not be confirmed may have gone out all the same.
                    sent |= matches!(error, RequestsError::Unavailable(_));
                    debug!(error = %chain(error), "request not sent");
                    if Instant::now() >= deadline {
                        return Err(CallError::TimedOut { sent });
                    }
                    match timeout(SEND_PAUSE, &mut call.reply).await {
                        Ok(reply) => return reply.map_err(|_| CallError::TimedOut { sent }),
                        Err(_) => continue,
                    }
                }
            }
            let again = (Instant::now() + pause).min(deadline);
            pause *= 2;
            tokio::select! {
                biased;
                reply = &mut call.reply => {
                    return reply.map_err(|_| CallError::TimedOut { sent });
                }
                () = other_office(&mut office, &mut known), if resend.with_office => {
                    pause = RESEND_IN_OFFICE;
                }
                () = tokio::time::sleep_until(again) => if again == deadline {
                    return Err(CallError::TimedOut { sent });
                },
            }
        }
    }

    async fn send(
        &self,
        queue: &Queue,
        call: &Call,
        request: &Arc<Request>,
        deadline: Instant,
        times: u32,
    ) -> Result<(), RequestsError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let request = Arc::clone(request);
        self.shared.requests.send_again(queue, call.correlation, request, left, times).await
    }

    fn open(&self) -> Call {
        let number = self.shared.next_correlation.fetch_add(1, Ordering::Relaxed);
        let (sender, reply) = oneshot::channel();
        let correlation = Correlation(number);
        let mut pending = self.shared.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.insert(correlation, sender);
        Call { shared: Arc::clone(&self.shared), correlation, reply }
    }
}

impl From<CallError> for GatewayError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Overloaded => Self::Overloaded,
            CallError::TooLarge(bytes) => Self::TooLarge(bytes),
            CallError::TimedOut { .. } => Self::NotSent,
        }
    }
}

/// Waits until another master is in office than the one known.
async fn other_office(office: &mut latest::Receiver<Office>, known: &mut Office) {
    let changed = office.until(|office| (office != known).then(|| office.clone()));
    match changed.await {
        Ok(newer) => *known = newer,
        Err(_) => std::future::pending().await,
    }
}
