//! Signs of life over a fanout exchange.
//!
//! Each listening process has a queue of its own, bounded and gone with its connection. Messages
//! are not kept on disk, and while the broker is away they are lost: newer ones follow.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amqprs::channel::{BasicConsumeArguments, ConsumerMessage, QueueBindArguments};
use amqprs::{BasicProperties, FieldValue};
use async_trait::async_trait;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, debug, info_span};
use uuid::Uuid;

use super::Broker;
use super::backoff::Backoff;
use super::channel::{Messages, OpenChannel, table};
use super::connection::Session;
use super::publisher::{Message, PublishError, Publisher, SETUP_TIMEOUT};
use super::topology::Declares;
use crate::domain::message::{Progress, decode, encode};
use crate::ports::progress::{ProgressFeed, ProgressUnavailable};

/// A sign of life that is older than this is worth nothing.
const PUBLISH_WITHIN: Duration = Duration::from_millis(1_000);

/// Messages taken from the broker in one go.
const TAKEN_AT_ONCE: usize = 256;

/// The feed of one process.
pub struct RabbitmqProgressFeed {
    broker: Arc<Broker>,
    publisher: Publisher,
    heard: broadcast::Sender<Progress>,
    /// Started with the first listener: a worker that only sends needs no queue.
    listening: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl RabbitmqProgressFeed {
    pub(super) fn new(broker: Arc<Broker>) -> Self {
        let publisher = Publisher::start(broker.clone(), Declares::Progress, "progress");
        let (heard, _) = broadcast::channel(broker.settings.progress_buffer);
        Self { broker, publisher, heard, listening: Mutex::default() }
    }
}

#[async_trait]
impl ProgressFeed for RabbitmqProgressFeed {
    async fn publish(&self, progress: &Progress) -> Result<(), ProgressUnavailable> {
        let message = Message {
            exchange: self.broker.topology.progress_exchange.clone(),
            routing_key: String::new(),
            properties: BasicProperties::default().with_persistence(false).finish(),
            body: encode(progress),
            mandatory: false,
        };
        match self.publisher.publish(message, PUBLISH_WITHIN).await {
            Ok(()) | Err(PublishError::Refused) => Ok(()),
            Err(PublishError::NotSent(error) | PublishError::Unconfirmed(error)) => {
                Err(ProgressUnavailable(error))
            }
        }
    }

    fn subscribe(&self) -> broadcast::Receiver<Progress> {
        let receiver = self.heard.subscribe();
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        listening.get_or_insert_with(|| {
            let task = listen(self.broker.clone(), self.heard.clone());
            let task = task.instrument(info_span!("rabbitmq progress"));
            AbortOnDropHandle::new(tokio::spawn(task))
        });
        receiver
    }
}

/// Listens until the feed is dropped, one connection after another.
async fn listen(broker: Arc<Broker>, heard: broadcast::Sender<Progress>) {
    let mut backoff = Backoff::new();
    loop {
        let session = broker.consuming.next_session().await;
        let started_at = Instant::now();
        match set_up(&broker, &session).await {
            Ok((open, mut messages)) => {
                pass_on(&mut messages, &heard).await;
                debug!(reason = %open.ending.error(), "progress feed lost its channel");
            }
            Err(error) => backoff.tell(&error),
        }
        backoff.wait(started_at.elapsed()).await;
    }
}

async fn set_up(broker: &Broker, session: &Session) -> anyhow::Result<(OpenChannel, Messages)> {
    let open = session.open_channel(None).await?;
    let topology = &broker.topology;
    // A new name each time: the broker may hold the old queue until it misses its connection.
    let name = broker.settings.name(&format!("progress.{}", Uuid::now_v7()));
    let kept = i64::try_from(broker.settings.progress_buffer).unwrap_or(i64::MAX);
    let arguments = table([("x-max-length", FieldValue::l(kept))]);
    let messages = session
        .within(SETUP_TIMEOUT, async {
            topology.declare(session, &open, Declares::Progress).await?;
            topology.declare_own(&open, &name, arguments).await?;
            let binding = QueueBindArguments::new(&name, &topology.progress_exchange, "");
            let bound = open.channel.queue_bind(binding).await;
            bound.map_err(|error| open.ending.explain(error))?;
            let consume = BasicConsumeArguments::new(&name, "").auto_ack(true).finish();
            let consumed = open.channel.basic_consume_rx(consume).await;
            consumed.map_err(|error| open.ending.explain(error))
        })
        .await?;
    Ok((open, messages.1))
}

/// Never waits for a listener, so messages do not pile up here.
async fn pass_on(messages: &mut Messages, heard: &broadcast::Sender<Progress>) {
    let mut taken: Vec<ConsumerMessage> = Vec::with_capacity(TAKEN_AT_ONCE);
    while messages.recv_many(&mut taken, TAKEN_AT_ONCE).await > 0 {
        for message in taken.drain(..) {
            match decode(&message.content.unwrap_or_default()) {
                // Without a listener at the moment, it is lost as it may be.
                Ok(progress) => drop(heard.send(progress)),
                Err(error) => debug!(%error, "progress message skipped"),
            }
        }
    }
}
