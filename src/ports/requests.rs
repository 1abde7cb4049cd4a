//! Requests and replies between orchestrators and workers.
//!
//! Deliberately weak: delivery is at least once, and a request may be lost with its queue. An
//! orchestrator sends again what was not answered; the duplicate window makes that harmless.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::domain::ids::NodeId;
use crate::domain::message::{Reply, Request};

/// Why a request or an answer did not go out.
#[derive(Debug, thiserror::Error)]
pub enum RequestsError {
    /// The carrier cannot be reached. It was not sent, or it was and comes again.
    #[error("the request carrier is unavailable")]
    Unavailable(#[source] anyhow::Error),
    /// The queue holds as much as it may; it was not sent.
    #[error("the queue is full")]
    Full,
    /// The message is larger than the carrier takes; it was not sent.
    #[error("a message of {bytes} bytes is larger than the carrier takes")]
    TooLarge {
        /// Its encoded size.
        bytes: usize,
    },
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// `readQ`: to any one of the slaves that consume it.
    Read,
    /// `writeQ`: to the master.
    Write,
    /// To this worker; gone when the worker is.
    Node(NodeId),
}

/// A sender's own number for a request, given back with every reply to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Correlation(pub u64);

/// The orchestrator's end. One per process.
#[async_trait]
pub trait RequestSender: Send + Sync {
    /// Sends a request. When nobody took it within `expires_in` it may be dropped unanswered.
    ///
    /// Returns once the request is on its way. Repeating a call delivers the request again.
    async fn send(
        &self,
        queue: &Queue,
        correlation: Correlation,
        request: Arc<Request>,
        expires_in: Duration,
    ) -> Result<(), RequestsError>;

    /// Sends what was sent so many times before. A carrier that sets aside what comes back too often
    /// counts those times: whoever dies of a request makes its sender repeat it.
    async fn send_again(
        &self,
        queue: &Queue,
        correlation: Correlation,
        request: Arc<Request>,
        expires_in: Duration,
        _times: u32,
    ) -> Result<(), RequestsError> {
        self.send(queue, correlation, request, expires_in).await
    }

    /// The replies to what this sender sent, in order of arrival; more than one per correlation
    /// where a request was delivered more than once. Can be taken once.
    fn take_replies(&self) -> Option<mpsc::Receiver<(Correlation, Reply)>>;

    /// Whether the carrier can be reached at the moment.
    fn is_connected(&self) -> bool;

    /// How many messages wait in a queue for a consumer with room. A carrier that puts requests
    /// together counts those as one.
    async fn waiting(&self, queue: &Queue) -> Result<u64, RequestsError>;
}

/// Who is served first among the consumers of a queue; all are equal unless they say otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(pub u64);

/// The worker's end.
#[async_trait]
pub trait RequestReceiver: Send + Sync {
    /// Starts to consume a queue as one of its competing consumers, with at most `unanswered`
    /// deliveries held at a time. A carrier that puts requests together counts those as one.
    async fn consume(&self, queue: &Queue, unanswered: u16) -> Result<Consumer, RequestsError> {
        self.consume_ranked(queue, unanswered, Rank::default()).await
    }

    /// The same, ahead of every consumer of a lower rank: those are handed only what nobody above
    /// them has room for. What a consumer was handed before another came above it stays with it.
    async fn consume_ranked(
        &self,
        queue: &Queue,
        unanswered: u16,
        rank: Rank,
    ) -> Result<Consumer, RequestsError>;
}

/// A running consumption. When both ends are dropped, whatever was not answered goes back to the
/// queue, at its front where possible. A worker that dies drops both.
pub struct Consumer {
    /// Where requests come in.
    pub deliveries: Box<dyn Deliveries>,
    /// Where answers go out; may be shared among tasks.
    pub answers: Arc<dyn Answers>,
}

/// One delivered request.
#[derive(Debug)]
pub struct Delivery {
    /// Names the delivery to [`Answers`].
    pub ticket: Ticket,
    /// What is wanted.
    pub request: Arc<Request>,
    /// The sender stops waiting about then.
    pub expires_at: tokio::time::Instant,
    /// How often it came back unanswered, as far as the carrier counts that. Whoever held it may have
    /// died of it.
    pub tried: u32,
}

/// Names one delivery within its consumption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// The stream of requests.
#[async_trait]
pub trait Deliveries: Send + Sync {
    /// Waits for a request and returns it with whatever else waits, at most `most` in all and
    /// about 1 MiB. Expired requests and bytes that are no request are dropped on the way.
    ///
    /// Cancel safe. After `Unavailable` the consumption is over: what it held comes again
    /// elsewhere.
    async fn receive(&mut self, most: usize) -> Result<Vec<Delivery>, RequestsError>;

    /// Takes no more: what was not yet received goes back to the queue, what was received can
    /// still be answered.
    async fn close(&mut self);
}

/// The way back.
#[async_trait]
pub trait Answers: Send + Sync {
    /// Sends the replies and then acknowledges their deliveries. A delivery is settled once;
    /// a ticket that is settled already, or of a consumption that is over, is passed over.
    async fn answer(&self, answers: Vec<(Ticket, Reply)>) -> Result<(), RequestsError>;

    /// Puts deliveries back unanswered, for another consumer.
    async fn release(&self, tickets: Vec<Ticket>);
}
