//! One channel of the client crate, and the certain knowledge of its end.
//!
//! The client says nothing when a channel or a connection dies, but it always drops the callback
//! it was given: so the callback holds a guard that cancels a token when it is dropped.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use amqprs::callbacks::ChannelCallback;
use amqprs::channel::{Channel, ConsumerMessage, QueueDeclareArguments};
use amqprs::{Ack, BasicProperties, Cancel, CloseChannel, FieldTable, FieldValue, Nack, Return};
use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use super::confirms::Confirms;

/// What the client's consumers hand out.
pub(super) type Messages = mpsc::UnboundedReceiver<ConsumerMessage>;

/// The broker's reply code for a queue or exchange that exists with other arguments, among others.
const PRECONDITION_FAILED: u16 = 406;

/// Tells whether a channel has ended, and why if the broker ended it.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    token: CancellationToken,
    reason: Arc<OnceLock<(u16, String)>>,
}

impl Ending {
    fn new() -> Self {
        Self { token: CancellationToken::new(), reason: Arc::default() }
    }

    /// Returns once the channel has ended.
    pub(super) async fn ended(&self) {
        self.token.cancelled().await;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The broker refused a declaration, as it has the same name with other arguments.
    pub(super) fn clashed(&self) -> bool {
        self.reason.get().is_some_and(|(code, text)| {
            *code == PRECONDITION_FAILED && text.contains("inequivalent arg")
        })
    }

    /// Says what happened.
    pub(super) fn error(&self) -> anyhow::Error {
        match self.reason.get() {
            Some((code, text)) => anyhow::anyhow!("the broker closed the channel: {code} {text}"),
            None => anyhow::anyhow!("the connection to the broker was lost"),
        }
    }

    /// Says what happened in place of the client's error, which is no more than that it ended.
    pub(super) fn explain(&self, error: amqprs::error::Error) -> anyhow::Error {
        match self.reason.get() {
            Some(_) => self.error(),
            None => error.into(),
        }
    }
}

/// An open channel. Dropping it closes it; what it left unacknowledged goes back to its queue.
pub(super) struct OpenChannel {
    pub(super) channel: Channel,
    pub(super) ending: Ending,
}

impl OpenChannel {
    /// Takes over a channel that was just opened.
    pub(super) async fn new(
        channel: Channel,
        confirms: Option<Arc<Confirms>>,
        closed_by_broker: Arc<AtomicU32>,
    ) -> Result<Self, amqprs::error::Error> {
        let ending = Ending::new();
        let watcher = Watcher {
            reason: ending.reason.clone(),
            confirms,
            closed_by_broker,
            _guard: ending.token.clone().drop_guard(),
        };
        channel.register_callback(watcher).await?;
        Ok(Self { channel, ending })
    }
}

impl OpenChannel {
    /// How many messages the broker has counted in a queue that is there; must not be cut short. Of a
    /// stream the count is some seconds old.
    pub(super) async fn count(&self, queue: &str) -> anyhow::Result<u32> {
        let declaration = QueueDeclareArguments::new(queue).passive(true).finish();
        let declared = self.channel.queue_declare(declaration).await;
        let declared = declared.map_err(|error| self.ending.explain(error))?;
        Ok(declared.map_or(0, |(_, count, _)| count))
    }
}

/// Lives in the client's task for the channel, and dies with it.
struct Watcher {
    reason: Arc<OnceLock<(u16, String)>>,
    confirms: Option<Arc<Confirms>>,
    closed_by_broker: Arc<AtomicU32>,
    _guard: DropGuard,
}

#[async_trait]
impl ChannelCallback for Watcher {
    async fn close(
        &mut self,
        _: &Channel,
        close: CloseChannel,
    ) -> Result<(), amqprs::error::Error> {
        self.closed_by_broker.fetch_add(1, Ordering::Relaxed);
        // Set once, as the callback is called once.
        let _ = self.reason.set((close.reply_code(), close.reply_text().clone()));
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), amqprs::error::Error> {
        // The client now ends the consumer's stream of messages, which is what we watch.
        warn!("the broker cancelled a consumer, its queue is gone or moves");
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, amqprs::error::Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        if let Some(confirms) = &self.confirms {
            confirms.settle(ack.delivery_tag(), ack.mutiple(), true);
        }
    }

    async fn publish_nack(&mut self, _: &Channel, nack: Nack) {
        if let Some(confirms) = &self.confirms {
            confirms.settle(nack.delivery_tag(), nack.multiple(), false);
        }
    }

    async fn publish_return(
        &mut self,
        _: &Channel,
        _: Return,
        properties: BasicProperties,
        _: Vec<u8>,
    ) {
        let tag = properties.message_id().and_then(|id| id.parse().ok());
        if let (Some(confirms), Some(tag)) = (&self.confirms, tag) {
            confirms.returned(tag);
        }
    }
}

/// A table of arguments or headers, the names being short constants.
pub(super) fn table<const N: usize>(fields: [(&str, FieldValue); N]) -> FieldTable {
    let mut table = FieldTable::new();
    for (name, value) in fields {
        if let Ok(name) = name.try_into() {
            table.insert(name, value);
        }
    }
    table
}

/// A number in the headers of a message, in whichever of its types the broker chose.
pub(super) fn number_header(properties: &BasicProperties, name: &str) -> Option<u64> {
    let name = name.try_into().ok()?;
    match properties.headers()?.get(&name)? {
        FieldValue::l(number) => u64::try_from(*number).ok(),
        FieldValue::I(number) => u64::try_from(*number).ok(),
        FieldValue::s(number) => u64::try_from(*number).ok(),
        FieldValue::b(number) => u64::try_from(*number).ok(),
        FieldValue::i(number) => Some(u64::from(*number)),
        FieldValue::u(number) => Some(u64::from(*number)),
        FieldValue::B(number) => Some(u64::from(*number)),
        _ => None,
    }
}
