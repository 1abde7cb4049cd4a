//! Reads the stream from an offset on.
//!
//! The broker sends at most as many records ahead as the prefetch says; acknowledging what is
//! handed out asks for more, and means nothing else.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use amqprs::FieldValue;
use amqprs::channel::{BasicAckArguments, BasicConsumeArguments, ConsumerMessage};
use anyhow::Context;
use async_trait::async_trait;
use tokio::time::Instant;
use tracing::debug;

use super::Broker;
use super::backoff::Backoff;
use super::channel::{Messages, OpenChannel, number_header, table};
use super::connection::Session;
use super::log::{Shared, in_a_task, limit};
use super::publisher::SETUP_TIMEOUT;
use crate::domain::ids::Offset;
use crate::domain::message::decode;
use crate::ports::log::{LogError, LogItem, LogTail};

/// Where a delivery from a stream stands in it.
const OFFSET_HEADER: &str = "x-stream-offset";

/// Bounds of what one call hands out.
const MOST_ITEMS: usize = 1_024;
const MOST_BYTES: usize = 4 << 20;

/// A reader's place in the stream.
pub(super) struct StreamTail {
    shared: Arc<Shared>,
    open: OpenChannel,
    messages: Messages,
    from: Offset,
    /// The offset that follows what was taken.
    expected: Offset,
    /// The first offset that was expected and did not come, until it is known why.
    missing: Option<Offset>,
    /// Taken from the broker but not handed out yet.
    held: Vec<LogItem>,
    /// The last delivery that was taken and not acknowledged yet.
    unacknowledged: Option<u64>,
}

impl StreamTail {
    /// Starts to read. Not to be cancelled.
    pub(super) async fn open(shared: Arc<Shared>, from: Offset) -> anyhow::Result<Self> {
        let offset = i64::try_from(from.0).context("an offset that no stream reaches")?;
        let prefetch = shared.broker.settings.log_prefetch;
        let start = FieldValue::l(offset);
        let Reader { open, messages, .. } = Reader::start(&shared.broker, start, prefetch).await?;
        Ok(Self {
            shared,
            open,
            messages,
            from,
            expected: from,
            missing: None,
            held: Vec::new(),
            unacknowledged: None,
        })
    }

    /// Takes a message and whatever else has arrived, within the bounds.
    fn take(&mut self, first: ConsumerMessage) -> anyhow::Result<()> {
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(message) = next.take() {
            let (offset, tag) = offset_of(&message)?;
            let content = message.content.unwrap_or_default();
            self.unacknowledged = Some(tag);
            // Delivery may begin with earlier records of the same chunk.
            if offset >= self.from {
                bytes += content.len();
                if offset > self.expected {
                    self.missing.get_or_insert(self.expected);
                }
                self.expected = offset.next();
                let record = decode(&content).map(Arc::new);
                self.held.push(LogItem { offset, record });
            }
            if self.held.len() >= MOST_ITEMS || bytes >= MOST_BYTES {
                break;
            }
            // What has ended shows at the next call.
            next = self.messages.try_recv().ok();
        }
        Ok(())
    }

    /// Offsets that did not come may be none of a record, or retention took them away.
    async fn explain_missing(&mut self) -> Result<(), LogError> {
        let Some(missing) = self.missing else { return Ok(()) };
        let shared = self.shared.clone();
        let first = in_a_task(async move { shared.first().await }).await?;
        if let Some(first) = first.filter(|first| *first > missing) {
            return Err(LogError::Truncated { first });
        }
        self.missing = None;
        Ok(())
    }

    /// Asks for as many records as were taken.
    async fn acknowledge(&mut self) -> Result<(), LogError> {
        if let Some(tag) = self.unacknowledged {
            let acknowledgement = BasicAckArguments::new(tag, true);
            let sent = self.open.channel.basic_ack(acknowledgement).await;
            sent.map_err(|error| LogError::Unavailable(self.open.ending.explain(error)))?;
            self.unacknowledged = None;
        }
        Ok(())
    }

    fn unavailable(&self) -> LogError {
        LogError::Unavailable(self.open.ending.error())
    }
}

#[async_trait]
impl LogTail for StreamTail {
    async fn next(&mut self) -> Result<Vec<LogItem>, LogError> {
        loop {
            if !self.held.is_empty() {
                // Already now, so that more is on its way while this is worked on.
                self.acknowledge().await?;
                self.explain_missing().await?;
                self.shared.has_records.store(true, Ordering::Relaxed);
                return Ok(std::mem::take(&mut self.held));
            }
            self.acknowledge().await?;
            let Some(message) = self.messages.recv().await else {
                return Err(self.unavailable());
            };
            if self.open.ending.has_ended() {
                return Err(self.unavailable());
            }
            self.take(message).map_err(LogError::Internal)?;
        }
    }
}

/// A consumer of the log, on a channel of its own.
pub(super) struct Reader {
    pub(super) session: Session,
    pub(super) open: OpenChannel,
    pub(super) messages: Messages,
}

impl Reader {
    /// Starts to consume. Not to be cancelled.
    ///
    /// Tries for a while, since a stream that was just made, or that comes back with its broker,
    /// cannot be read at once.
    pub(super) async fn start(
        broker: &Broker,
        start: FieldValue,
        unread: u16,
    ) -> anyhow::Result<Self> {
        let deadline = Instant::now() + broker.settings.wait();
        let mut backoff = Backoff::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let session = broker.consuming.session(left).await?;
            let error = match session.open_channel(None).await {
                Ok(open) => match consume(broker, &session, &open, start.clone(), unread).await {
                    Ok(messages) => return Ok(Self { session, open, messages }),
                    Err(error) if open.ending.clashed() => return Err(error),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let pause = backoff.next();
            if Instant::now() + pause > deadline {
                return Err(error);
            }
            debug!(%error, "the log cannot be read yet");
            tokio::time::sleep(pause).await;
        }
    }
}

async fn consume(
    broker: &Broker,
    session: &Session,
    open: &OpenChannel,
    start: FieldValue,
    unread: u16,
) -> anyhow::Result<Messages> {
    let mut arguments = BasicConsumeArguments::new(&broker.topology.log_queue, "");
    let arguments = arguments.arguments(table([(OFFSET_HEADER, start)])).finish();
    session
        .within(SETUP_TIMEOUT, async {
            broker.topology.declare_stream(open).await?;
            limit(open, unread).await?;
            let consumed = open.channel.basic_consume_rx(arguments).await;
            consumed.map(|(_, messages)| messages).map_err(|error| open.ending.explain(error))
        })
        .await
}

/// The offset and the delivery tag of a message from a stream.
pub(super) fn offset_of(message: &ConsumerMessage) -> anyhow::Result<(Offset, u64)> {
    let deliver = message.deliver.as_ref().context("a delivery without its header")?;
    let properties = message.basic_properties.as_ref().context("a delivery without properties")?;
    let offset = number_header(properties, OFFSET_HEADER).context("a record without an offset")?;
    Ok((Offset(offset), deliver.delivery_tag()))
}
