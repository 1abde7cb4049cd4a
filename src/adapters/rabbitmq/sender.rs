//! The orchestrator's end of the requests.
//!
//! Requests are published with confirms, not for durability (a request is no promise and is not
//! kept on disk) but to know that a queue took it or is full; waiting for the confirmation costs
//! nothing, as the reply is under way meanwhile.
//!
//! Replies come to one exclusive queue per connection and not by direct reply-to, which takes no
//! acknowledgements and so would pile up replies here without a bound. It is not slower either:
//! `broker` of `examples/performance` on two half busy cores gave 0.22 ms alone and 13 900/s with 64
//! in flight by the queue, 0.38 ms and 13 200/s by direct reply-to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, info_span};

use super::Broker;
use super::bundle::Part;
use super::lane::{Lane, Route, properties};
use super::publisher::{Message, PublishError, Publisher};
use super::replies::{self, Replied};
use super::topology::Declares;
use super::turns::{Answers, Turns};
use crate::domain::message::{Reply, Request, encode};
use crate::ports::requests::{Correlation, Queue, RequestSender, RequestsError};

/// Replies that may wait to be taken; more wait at the broker.
const REPLIES: usize = 1_024;

/// The sending end of one process.
pub struct RabbitmqRequestSender {
    broker: Arc<Broker>,
    publisher: Arc<Publisher>,
    reads: Lane,
    writes: Lane,
    /// Reads that only the master may answer.
    strong_reads: Lane,
    reply_to: watch::Receiver<Option<Arc<str>>>,
    replies: Mutex<Option<mpsc::Receiver<(Correlation, Reply)>>>,
    _listening: AbortOnDropHandle<()>,
}

impl RabbitmqRequestSender {
    pub(super) fn new(broker: Arc<Broker>) -> Self {
        let publisher = Publisher::start(broker.clone(), Declares::Requests, "requests");
        let publisher = Arc::new(publisher);
        let (replied, replies) = mpsc::channel(REPLIES);
        let (name, reply_to) = watch::channel(None);
        let answers = Arc::new(Answers::default());
        let replied = Replied { replies: replied, answers: Arc::clone(&answers) };
        let listening = replies::listen(broker.clone(), name, replied);
        let listening = listening.instrument(info_span!("rabbitmq replies"));
        let lane = |queue: &str, turns| {
            let (publisher, reply_to) = (Arc::clone(&publisher), reply_to.clone());
            let wait = broker.settings.wait();
            Lane::start(Route { publisher, queue: queue.to_owned(), reply_to, wait }, turns)
        };
        Self {
            // Slaves are to share what waits.
            reads: lane(&broker.topology.read_queue, None),
            writes: lane(&broker.topology.write_queue, Some(Turns::new(answers))),
            // They may take long, and are carried out beside the writes.
            strong_reads: lane(&broker.topology.write_queue, None),
            broker,
            publisher,
            reply_to,
            replies: Mutex::new(Some(replies)),
            _listening: AbortOnDropHandle::new(tokio::spawn(listening)),
        }
    }

    /// The queue that replies are to go to, once there is one.
    async fn reply_to(&self, deadline: Instant) -> Result<Arc<str>, RequestsError> {
        if let Some(name) = &*self.reply_to.borrow() {
            return Ok(name.clone());
        }
        let mut reply_to = self.reply_to.clone();
        let named = timeout_at(deadline, reply_to.wait_for(Option::is_some)).await;
        match named {
            Ok(Ok(name)) => Ok(name.clone().unwrap_or_default()),
            _ => Err(unavailable("no connection to the broker to get replies from")),
        }
    }
}

/// The messages of a queue, over a channel of its own: a queue that is not there ends it.
async fn count(broker: Arc<Broker>, queue: String) -> anyhow::Result<u64> {
    let limit = broker.settings.wait();
    let session = broker.publishing.session(limit).await?;
    let open = session.open_channel(None).await?;
    session.within(limit, open.count(&queue)).await.map(u64::from)
}

fn unavailable(why: &'static str) -> RequestsError {
    RequestsError::Unavailable(anyhow::anyhow!(why))
}

#[async_trait]
impl RequestSender for RabbitmqRequestSender {
    async fn send(
        &self,
        queue: &Queue,
        correlation: Correlation,
        request: Arc<Request>,
        expires_in: Duration,
    ) -> Result<(), RequestsError> {
        self.send_again(queue, correlation, request, expires_in, 0).await
    }

    async fn send_again(
        &self,
        queue: &Queue,
        correlation: Correlation,
        request: Arc<Request>,
        expires_in: Duration,
        times: u32,
    ) -> Result<(), RequestsError> {
        let settings = &self.broker.settings;
        let body = encode(&*request);
        if body.len() > settings.max_message_bytes {
            return Err(RequestsError::TooLarge { bytes: body.len() });
        }
        let deadline = Instant::now() + settings.wait().min(expires_in);
        let reply_to = self.reply_to(deadline).await?;
        let expires_in_ms = milliseconds(expires_in);
        let lane = match (queue, &*request) {
            (Queue::Read, _) => Some(&self.reads),
            (Queue::Write, Request::Write(_)) => Some(&self.writes),
            (Queue::Write, _) => Some(&self.strong_reads),
            (Queue::Node(_), _) => None,
        };
        // What somebody may have died of goes alone, so that it is counted alone.
        if let Some(lane) = lane.filter(|_| times == 0) {
            let Correlation(correlation) = correlation;
            let part = Part { correlation, expires_in_ms, body: body.into() };
            return lane.send(part, deadline).await;
        }
        let mut properties = properties(&reply_to, expires_in_ms, times);
        properties.with_correlation_id(&correlation.0.to_string());
        // A worker may be gone, and its queue with it: then so is the request.
        let mandatory = !matches!(queue, Queue::Node(_));
        let Some(routing_key) = self.broker.queue_name(queue) else { return Ok(()) };
        let message = Message { exchange: String::new(), routing_key, properties, body, mandatory };
        let left = deadline.saturating_duration_since(Instant::now());
        match self.publisher.publish(message, left).await {
            Ok(()) => Ok(()),
            Err(PublishError::Refused) => Err(RequestsError::Full),
            Err(PublishError::NotSent(error) | PublishError::Unconfirmed(error)) => {
                Err(RequestsError::Unavailable(error))
            }
        }
    }

    fn take_replies(&self) -> Option<mpsc::Receiver<(Correlation, Reply)>> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is_connected(&self) -> bool {
        self.broker.publishing.is_connected() && self.reply_to.borrow().is_some()
    }

    async fn waiting(&self, queue: &Queue) -> Result<u64, RequestsError> {
        let Some(name) = self.broker.queue_name(queue) else { return Ok(0) };
        // In a task of its own: the client cannot be cut short.
        let counted = tokio::spawn(count(Arc::clone(&self.broker), name)).await;
        let counted = counted.map_err(anyhow::Error::new).and_then(|counted| counted);
        counted.map_err(RequestsError::Unavailable)
    }
}

/// At least one, as the broker takes 0 for "only if somebody waits for it this moment"; at most
/// what fits the broker's timers.
fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).max(1)
}
