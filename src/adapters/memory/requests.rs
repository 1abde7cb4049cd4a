//! Requests and replies within one process.
//!
//! Assigns each request to a consumer as soon as one has room, in turn, as a broker does. Replies
//! go straight into the channel of the sender; a reply to a sender that is gone, or that has let
//! its replies pile up to the bound, is dropped: the sender will send its request again.
//! The number of bytes in one `receive` is an estimate that counts documents only.

mod queue;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};
use tokio::task::coop::consume_budget;
use tokio::time::Instant;
use tracing::debug;

use self::queue::{ConsumerId, Item};
use super::{lock, size};
use crate::domain::ids::NodeId;
use crate::domain::message::{Reply, Request};
use crate::ports::requests::{
    Answers, Consumer, Correlation, Deliveries, Delivery, Queue, Rank, RequestReceiver,
    RequestSender, RequestsError, Ticket,
};

/// Requests expire after a year at last: no sum of moments overflows.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The bounds of a carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestsSettings {
    /// How many requests wait in each queue at most, besides what consumers hold. What comes
    /// back to a queue is taken in any case.
    pub capacity: usize,
    /// How many replies wait for each sender at most.
    pub replies: usize,
}

impl Default for RequestsSettings {
    fn default() -> Self {
        Self { capacity: 65_536, replies: 65_536 }
    }
}

/// The carrier of all requests in this process; a clone is the same carrier.
#[derive(Clone, Debug)]
pub struct MemoryRequests {
    broker: Arc<Broker>,
}

type SharedQueue = Arc<Mutex<queue::Queue>>;

/// Locks are taken in this order: `nodes`, then a queue.
#[derive(Debug)]
struct Broker {
    settings: RequestsSettings,
    read: SharedQueue,
    write: SharedQueue,
    /// A worker's queue is there while it is consumed.
    nodes: Mutex<BTreeMap<NodeId, SharedQueue>>,
}

impl MemoryRequests {
    /// A carrier with empty queues.
    #[must_use]
    pub fn new(settings: RequestsSettings) -> Self {
        let new_queue = || Arc::new(Mutex::new(queue::Queue::new(settings.capacity)));
        let (read, write) = (new_queue(), new_queue());
        Self { broker: Arc::new(Broker { settings, read, write, nodes: Mutex::default() }) }
    }

    /// The end of one orchestrator, with a reply channel of its own.
    #[must_use]
    pub fn sender(&self) -> MemorySender {
        let (reply_to, replies) = mpsc::channel(self.broker.settings.replies.max(1));
        let replies = Mutex::new(Some(replies));
        MemorySender { broker: Arc::clone(&self.broker), reply_to, replies }
    }

    /// The end of one worker.
    #[must_use]
    pub fn receiver(&self) -> MemoryReceiver {
        MemoryReceiver { broker: Arc::clone(&self.broker) }
    }
}

impl Broker {
    fn find(&self, queue: &Queue) -> Option<SharedQueue> {
        match queue {
            Queue::Read => Some(Arc::clone(&self.read)),
            Queue::Write => Some(Arc::clone(&self.write)),
            Queue::Node(node) => lock(&self.nodes).get(node).cloned(),
        }
    }

    fn add_consumer(self: &Arc<Self>, name: &Queue, unanswered: u16, rank: Rank) -> Consumption {
        let now = Instant::now();
        let bell = Arc::new(Notify::new());
        let register = |queue: &SharedQueue| {
            let id = lock(queue).add_consumer(unanswered, rank, Arc::clone(&bell), now);
            (Arc::clone(queue), id)
        };
        let (queue, id) = match name {
            Queue::Read => register(&self.read),
            Queue::Write => register(&self.write),
            Queue::Node(node) => {
                let mut nodes = lock(&self.nodes);
                let capacity = self.settings.capacity;
                let new_queue = || Arc::new(Mutex::new(queue::Queue::new(capacity)));
                register(nodes.entry(node.clone()).or_insert_with(new_queue))
            }
        };
        Consumption { broker: Arc::clone(self), name: name.clone(), queue, id, bell }
    }

    /// Takes away a worker's queue that nobody consumes any more, with all that waits in it.
    fn drop_unconsumed(&self, name: &Queue, queue: &SharedQueue) {
        let Queue::Node(node) = name else { return };
        let mut nodes = lock(&self.nodes);
        let is_current = nodes.get(node).is_some_and(|current| Arc::ptr_eq(current, queue));
        if is_current && !lock(queue).is_consumed() {
            nodes.remove(node);
        }
    }
}

/// An orchestrator's end of [`MemoryRequests`].
#[derive(Debug)]
pub struct MemorySender {
    broker: Arc<Broker>,
    reply_to: mpsc::Sender<(Correlation, Reply)>,
    replies: Mutex<Option<mpsc::Receiver<(Correlation, Reply)>>>,
}

#[async_trait]
impl RequestSender for MemorySender {
    async fn send(
        &self,
        queue: &Queue,
        correlation: Correlation,
        request: Arc<Request>,
        expires_in: Duration,
    ) -> Result<(), RequestsError> {
        consume_budget().await;
        let Some(queue) = self.broker.find(queue) else { return Ok(()) };
        let now = Instant::now();
        let item = Item {
            bytes: size::of_request(&request),
            request,
            expires_at: now + expires_in.min(LONGEST),
            tried: 0,
            correlation,
            reply_to: self.reply_to.clone(),
        };
        if lock(&queue).offer(item, now) { Ok(()) } else { Err(RequestsError::Full) }
    }

    fn take_replies(&self) -> Option<mpsc::Receiver<(Correlation, Reply)>> {
        lock(&self.replies).take()
    }

    fn is_connected(&self) -> bool {
        true
    }

    async fn waiting(&self, queue: &Queue) -> Result<u64, RequestsError> {
        let queue = self.broker.find(queue);
        Ok(queue.map_or(0, |queue| lock(&queue).count_waiting() as u64))
    }
}

/// A worker's end of [`MemoryRequests`].
#[derive(Debug)]
pub struct MemoryReceiver {
    broker: Arc<Broker>,
}

#[async_trait]
impl RequestReceiver for MemoryReceiver {
    async fn consume_ranked(
        &self,
        queue: &Queue,
        unanswered: u16,
        rank: Rank,
    ) -> Result<Consumer, RequestsError> {
        let consumption = Arc::new(self.broker.add_consumer(queue, unanswered, rank));
        let deliveries = Box::new(MemoryDeliveries { consumption: Arc::clone(&consumption) });
        Ok(Consumer { deliveries, answers: Arc::new(MemoryAnswers { consumption }) })
    }
}

/// What both ends of a consumer share; over when both are dropped.
struct Consumption {
    broker: Arc<Broker>,
    name: Queue,
    queue: SharedQueue,
    id: ConsumerId,
    bell: Arc<Notify>,
}

impl Consumption {
    fn close(&self) {
        lock(&self.queue).close(self.id, Instant::now());
        self.broker.drop_unconsumed(&self.name, &self.queue);
    }
}

impl Drop for Consumption {
    fn drop(&mut self) {
        lock(&self.queue).remove(self.id, Instant::now());
        self.broker.drop_unconsumed(&self.name, &self.queue);
    }
}

struct MemoryDeliveries {
    consumption: Arc<Consumption>,
}

#[async_trait]
impl Deliveries for MemoryDeliveries {
    async fn receive(&mut self, most: usize) -> Result<Vec<Delivery>, RequestsError> {
        let Consumption { queue, id, bell, .. } = &*self.consumption;
        loop {
            consume_budget().await;
            match lock(queue).receive(*id, most, Instant::now()) {
                Some(received) if received.is_empty() => {}
                Some(received) => return Ok(received),
                None => return Err(RequestsError::Unavailable(anyhow!("the consumer is closed"))),
            }
            bell.notified().await;
        }
    }

    async fn close(&mut self) {
        self.consumption.close();
    }
}

impl Drop for MemoryDeliveries {
    fn drop(&mut self) {
        self.consumption.close();
    }
}

struct MemoryAnswers {
    consumption: Arc<Consumption>,
}

#[async_trait]
impl Answers for MemoryAnswers {
    async fn answer(&self, answers: Vec<(Ticket, Reply)>) -> Result<(), RequestsError> {
        let Consumption { queue, id, .. } = &*self.consumption;
        let settled = lock(queue).settle(*id, answers, Instant::now());
        for (item, reply) in settled {
            if let Err(unsent) = item.reply_to.try_send((item.correlation, reply)) {
                debug!(reason = %unsent, "reply dropped");
            }
        }
        Ok(())
    }

    async fn release(&self, tickets: Vec<Ticket>) {
        let Consumption { queue, id, .. } = &*self.consumption;
        lock(queue).release(*id, &tickets, Instant::now());
    }
}
