//! The log as a RabbitMQ stream, bound to the durable fanout exchange that appends go through.
//!
//! A confirmed append is in the stream and ordered. A stream takes some offsets for itself, at
//! least when a segment begins, so offsets have gaps; retention takes away whole segments.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use amqprs::channel::{BasicAckArguments, BasicQosArguments};
use amqprs::{BasicProperties, FieldValue};
use async_trait::async_trait;
use tokio::time::timeout;

use super::Broker;
use super::channel::OpenChannel;
use super::publisher::{Message, PublishError, Publisher, SETUP_TIMEOUT};
use super::tail::{Reader, StreamTail, offset_of};
use super::topology::Declares;
use crate::domain::ids::Offset;
use crate::domain::log::Record;
use crate::domain::message::encode;
use crate::ports::log::{Bounds, Log, LogError, LogTail};

/// How long the first record of a log may take to come before the log is taken for empty. The
/// broker's own count is some seconds old, so for a new log silence has to do.
const EMPTY_AFTER: Duration = Duration::from_secs(1);

/// How long the first record may take where it is known that there is one.
const FIRST_WITHIN: Duration = Duration::from_secs(10);

/// More than the broker puts into one chunk for a log of our records.
const PROBED: u16 = 4_096;

/// The log on the broker.
pub struct RabbitmqLog {
    shared: Arc<Shared>,
    publisher: Publisher,
}

/// What the log shares with its tails and probes.
pub(super) struct Shared {
    pub(super) broker: Arc<Broker>,
    /// This process has seen a record, so the log cannot be empty unless the broker has lost it.
    pub(super) has_records: AtomicBool,
}

impl RabbitmqLog {
    pub(super) fn new(broker: Arc<Broker>) -> Self {
        let publisher = Publisher::start(broker.clone(), Declares::Log, "log");
        let shared = Arc::new(Shared { broker, has_records: AtomicBool::new(false) });
        Self { shared, publisher }
    }
}

#[async_trait]
impl Log for RabbitmqLog {
    async fn append(&self, record: Arc<Record>) -> Result<(), LogError> {
        let Shared { broker, has_records } = &*self.shared;
        let body = encode(&*record);
        if body.len() > broker.settings.max_message_bytes {
            return Err(LogError::TooLarge { bytes: body.len() });
        }
        let message = Message {
            exchange: broker.topology.log_exchange.clone(),
            routing_key: String::new(),
            properties: BasicProperties::default().with_persistence(true).finish(),
            body,
            mandatory: true,
        };
        match self.publisher.publish(message, broker.settings.wait()).await {
            Ok(()) => {
                has_records.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(PublishError::NotSent(error)) => Err(LogError::Unavailable(error)),
            Err(PublishError::Unconfirmed(error)) => Err(LogError::Unknown(error)),
            // A stream has no reason to refuse, so this is a failure inside the broker, and it
            // is not said that none of its nodes has the record.
            Err(PublishError::Refused) => {
                Err(LogError::Unknown(anyhow::anyhow!("the broker did not take the record")))
            }
        }
    }

    async fn bounds(&self) -> Result<Bounds, LogError> {
        let shared = self.shared.clone();
        in_a_task(async move { shared.bounds().await }).await
    }

    async fn tail(&self, from: Offset) -> Result<Box<dyn LogTail>, LogError> {
        let shared = self.shared.clone();
        let tail = in_a_task(async move { StreamTail::open(shared, from).await }).await?;
        Ok(Box::new(tail))
    }
}

/// Runs broker talk to its end, even when the caller stops waiting.
pub(super) async fn in_a_task<T: Send + 'static>(
    work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> Result<T, LogError> {
    match tokio::spawn(work).await {
        Ok(result) => result.map_err(LogError::Unavailable),
        Err(error) => Err(LogError::Internal(error.into())),
    }
}

impl Shared {
    async fn bounds(&self) -> anyhow::Result<Bounds> {
        let Some(last) = self.last().await? else {
            return Ok(Bounds { first: Offset(0), next: Offset(0) });
        };
        let next = last.next();
        // Retention may have gone on meanwhile.
        let first = self.first().await?.map_or(next, |first| first.min(next));
        Ok(Bounds { first, next })
    }

    /// The oldest record that is still there.
    pub(super) async fn first(&self) -> anyhow::Result<Option<Offset>> {
        let mut probe = Reader::start(&self.broker, FieldValue::from("first"), 1).await?;
        self.next_of(&mut probe).await
    }

    /// The newest record: the end of the last chunk, and of what follows it meanwhile.
    async fn last(&self) -> anyhow::Result<Option<Offset>> {
        let mut probe = Reader::start(&self.broker, FieldValue::from("last"), PROBED).await?;
        let Some(mut last) = self.next_of(&mut probe).await? else {
            return Ok(None);
        };
        let Reader { session, open, mut messages } = probe;
        // The broker delivers all it has before it answers anything else on the channel.
        session.within(SETUP_TIMEOUT, limit(&open, PROBED)).await?;
        let mut delivered = 1;
        while let Ok(message) = messages.try_recv() {
            let (offset, tag) = offset_of(&message)?;
            last = offset;
            delivered += 1;
            if delivered == PROBED {
                // As many as may be on their way: make room for more, and wait for them.
                delivered = 0;
                open.channel.basic_ack(BasicAckArguments::new(tag, true)).await?;
                session.within(SETUP_TIMEOUT, limit(&open, PROBED)).await?;
            }
        }
        Ok(Some(last))
    }

    /// The next record of a probe; `None` when there seems to be none in the log.
    async fn next_of(&self, probe: &mut Reader) -> anyhow::Result<Option<Offset>> {
        let mut message = timeout(EMPTY_AFTER, probe.messages.recv()).await;
        if message.is_err() && (self.has_records() || self.counted(probe).await?) {
            message = timeout(FIRST_WITHIN, probe.messages.recv()).await;
            if message.is_err() {
                // By now its count is of a time when there was one, unless it has lost them.
                let is_empty = !self.counted(probe).await?;
                anyhow::ensure!(is_empty, "the broker does not deliver from the log");
                self.has_records.store(false, Ordering::Relaxed);
            }
        }
        match message {
            Ok(Some(message)) => {
                self.has_records.store(true, Ordering::Relaxed);
                Ok(Some(offset_of(&message)?.0))
            }
            Ok(None) => Err(probe.open.ending.error()),
            Err(_) => Ok(None),
        }
    }

    fn has_records(&self) -> bool {
        self.has_records.load(Ordering::Relaxed)
    }

    /// Whether the broker has counted records. Its count is some seconds old.
    async fn counted(&self, probe: &Reader) -> anyhow::Result<bool> {
        let Reader { session, open, .. } = probe;
        let counting = open.count(&self.broker.topology.log_queue);
        Ok(session.within(SETUP_TIMEOUT, counting).await? > 0)
    }
}

/// Limits what may be on its way to a consumer that is started next.
pub(super) async fn limit(open: &OpenChannel, unread: u16) -> anyhow::Result<()> {
    let limited = open.channel.basic_qos(BasicQosArguments::new(0, unread, false)).await;
    limited.map_err(|error| open.ending.explain(error))
}
