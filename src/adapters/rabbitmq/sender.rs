//! The orchestrator's end of the requests.
//!
//! Requests are published with confirms, not for durability (a request is no promise and is not
//! kept on disk) but to know that a queue took it or is full; waiting for the confirmation costs
//! nothing, as the reply is under way meanwhile.
//!
//! Replies come to one exclusive queue per connection and not by direct reply-to, which takes no
//! acknowledgements and so would pile up replies here without a bound. It is not slower either:
//! `examples/rabbitmq_figures.rs` on two half busy cores gave 0.22 ms alone and 13 900/s with 64 in
//! flight by the queue, 0.38 ms and 13 200/s by direct reply-to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amqprs::{BasicProperties, FieldValue};
use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, info_span};

use super::Broker;
use super::channel::table;
use super::consumption::SENT_BEFORE_HEADER;
use super::publisher::{Message, PublishError, Publisher};
use super::replies;
use super::topology::Declares;
use crate::domain::message::{Reply, Request, encode};
use crate::ports::requests::{Correlation, Queue, RequestSender, RequestsError};

/// Replies that may wait to be taken; more wait at the broker.
const REPLIES: usize = 1_024;

/// The sending end of one process.
pub struct RabbitmqRequestSender {
    broker: Arc<Broker>,
    publisher: Publisher,
    reply_to: watch::Receiver<Option<Arc<str>>>,
    replies: Mutex<Option<mpsc::Receiver<(Correlation, Reply)>>>,
    _listening: AbortOnDropHandle<()>,
}

impl RabbitmqRequestSender {
    pub(super) fn new(broker: Arc<Broker>) -> Self {
        let publisher = Publisher::start(broker.clone(), Declares::Requests, "requests");
        let (replied, replies) = mpsc::channel(REPLIES);
        let (name, reply_to) = watch::channel(None);
        let listening = replies::listen(broker.clone(), name, replied);
        let listening = listening.instrument(info_span!("rabbitmq replies"));
        Self {
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
        let Broker { settings, topology, .. } = &*self.broker;
        let body = encode(&*request);
        if body.len() > settings.max_message_bytes {
            return Err(RequestsError::TooLarge { bytes: body.len() });
        }
        let (routing_key, mandatory) = match queue {
            Queue::Read => (topology.read_queue.clone(), true),
            Queue::Write => (topology.write_queue.clone(), true),
            // The worker may be gone, and its queue with it: then so is the request.
            Queue::Node(node) => match settings.node_queue(node) {
                Some(name) => (name, false),
                None => return Ok(()),
            },
        };
        let wait = settings.wait().min(expires_in);
        let deadline = Instant::now() + wait;
        let reply_to = self.reply_to(deadline).await?;
        let properties = BasicProperties::default()
            .with_persistence(false)
            .with_correlation_id(&correlation.0.to_string())
            .with_reply_to(&reply_to)
            .with_expiration(&milliseconds(expires_in).to_string())
            .with_headers(table([(SENT_BEFORE_HEADER, FieldValue::l(times.into()))]))
            .finish();
        let exchange = String::new();
        let message = Message { exchange, routing_key, properties, body, mandatory };
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
}

/// At least one, as the broker takes 0 for "only if somebody waits for it this moment"; at most
/// what fits the broker's timers.
fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).max(1)
}
