//! Declares queues and exchanges, and says clearly when the broker has them otherwise.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use amqprs::channel::{
    BasicConsumeArguments, BasicQosArguments, ExchangeDeclareArguments, ExchangeType,
    QueueBindArguments, QueueDeclareArguments,
};
use amqprs::{FieldTable, FieldValue};
use tracing::error;

use super::backoff::Backoff;
use super::channel::{OpenChannel, table};
use super::connection::Session;
use super::settings::{QueueKind, RabbitmqSettings};
use crate::ports::requests::Queue;

/// Attempts to read a stream that was just declared, over about 3 s.
const STREAM_ATTEMPTS: usize = 7;

/// The names on the broker and how each thing is declared.
pub(super) struct Topology {
    settings: RabbitmqSettings,
    pub(super) read_queue: String,
    pub(super) write_queue: String,
    pub(super) dead_letter_queue: String,
    pub(super) log_exchange: String,
    pub(super) log_queue: String,
    pub(super) progress_exchange: String,
    /// Clashes that were told already.
    told: Mutex<HashSet<String>>,
    /// Held while the stream is declared: RabbitMQ 3.10 confirms the second of two declarations at
    /// once before there is a stream, and ends the connection of whoever reads from it then.
    making_stream: tokio::sync::Mutex<()>,
}

/// What a publisher needs before it publishes.
#[derive(Clone, Copy)]
pub(super) enum Declares {
    Log,
    Requests,
    Progress,
}

impl Topology {
    pub(super) fn new(settings: &RabbitmqSettings) -> Self {
        Self {
            read_queue: settings.name(&settings.read_queue),
            write_queue: settings.name(&settings.write_queue),
            dead_letter_queue: settings.name(&settings.dead_letter_queue),
            log_exchange: settings.name(&settings.log_exchange),
            log_queue: settings.name(&settings.log_queue),
            progress_exchange: settings.name(&settings.progress_exchange),
            settings: settings.clone(),
            told: Mutex::default(),
            making_stream: tokio::sync::Mutex::default(),
        }
    }

    /// Declares a group. Idempotent.
    pub(super) async fn declare(
        &self,
        session: &Session,
        open: &OpenChannel,
        what: Declares,
    ) -> anyhow::Result<()> {
        match what {
            Declares::Log => self.declare_log(session, open).await,
            Declares::Progress => self.declare_progress(open).await,
            Declares::Requests => {
                self.declare_queue(open, &Queue::Read).await?;
                self.declare_queue(open, &Queue::Write).await
            }
        }
    }

    /// The binding comes last: a message that RabbitMQ 3.10 routes to a stream which somebody else
    /// is just making crashes the channel that sent it, and nobody knows what became of it.
    async fn declare_log(&self, session: &Session, open: &OpenChannel) -> anyhow::Result<()> {
        self.exchange(open, &self.log_exchange, "rabbitmq.log_exchange").await?;
        self.declare_stream(open).await?;
        self.stream_made(session).await?;
        let binding = QueueBindArguments::new(&self.log_queue, &self.log_exchange, "");
        let bound = open.channel.queue_bind(binding).await;
        bound.map_err(|error| open.ending.explain(error))
    }

    /// Declares the stream alone, to read from it.
    pub(super) async fn declare_stream(&self, open: &OpenChannel) -> anyhow::Result<()> {
        let arguments = table([
            ("x-queue-type", "stream".into()),
            ("x-max-length-bytes", number(self.settings.log_max_bytes)),
            ("x-stream-max-segment-size-bytes", number(self.settings.log_segment_bytes)),
        ]);
        let setting = "rabbitmq.log_queue, log_max_bytes, log_segment_bytes";
        let _making = self.making_stream.lock().await;
        self.queue(open, durable(&self.log_queue, arguments), &self.log_queue, setting).await
    }

    /// Returns once the stream can be read, which is when it can be written too.
    async fn stream_made(&self, session: &Session) -> anyhow::Result<()> {
        let arguments = table([("x-stream-offset", "next".into())]);
        let mut consume = BasicConsumeArguments::new(&self.log_queue, "");
        consume.arguments(arguments);
        let mut backoff = Backoff::new();
        for _ in 0..STREAM_ATTEMPTS {
            let probe = session.open_channel(None).await?;
            probe.channel.basic_qos(BasicQosArguments::new(0, 1, false)).await?;
            if probe.channel.basic_consume_rx(consume.clone()).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(backoff.next()).await;
        }
        anyhow::bail!("the stream {} cannot be read", self.log_queue)
    }

    async fn declare_progress(&self, open: &OpenChannel) -> anyhow::Result<()> {
        self.exchange(open, &self.progress_exchange, "rabbitmq.progress_exchange").await
    }

    /// Declares the queue of some requests, and where they are set aside.
    pub(super) async fn declare_queue(
        &self,
        open: &OpenChannel,
        queue: &Queue,
    ) -> anyhow::Result<()> {
        let (name, arguments, setting) = match queue {
            Queue::Node(node) => {
                let name = self.settings.node_queue(node);
                let name = name.ok_or_else(|| anyhow::anyhow!("the id of a node is too long"))?;
                let mut declaration = QueueDeclareArguments::new(&name);
                declaration.exclusive(true).auto_delete(true).arguments(self.bounded());
                return self.queue(open, declaration, &name, "rabbitmq.queue_max_length").await;
            }
            Queue::Read => (&self.read_queue, self.bounded(), "rabbitmq.queue_max_length"),
            Queue::Write => {
                let setting = "rabbitmq.write_queue_kind, queue_max_length, delivery_limit";
                (&self.write_queue, self.write_arguments(), setting)
            }
        };
        self.queue(open, durable(name, arguments), name, setting).await?;
        self.declare_dead_letters(open).await
    }

    async fn declare_dead_letters(&self, open: &OpenChannel) -> anyhow::Result<()> {
        let name = &self.dead_letter_queue;
        let kept = u64::from(self.settings.dead_letter_max_length);
        let arguments = table([("x-max-length", number(kept))]);
        self.queue(open, durable(name, arguments), name, "rabbitmq.dead_letter_max_length").await
    }

    /// Declares a queue of this connection alone, gone with its consumer.
    pub(super) async fn declare_own(
        &self,
        open: &OpenChannel,
        name: &str,
        arguments: FieldTable,
    ) -> anyhow::Result<()> {
        let mut declaration = QueueDeclareArguments::new(name);
        declaration.exclusive(true).auto_delete(true).arguments(arguments);
        self.queue(open, declaration, name, "rabbitmq.prefix").await
    }

    fn bounded(&self) -> FieldTable {
        table([
            ("x-max-length", number(u64::from(self.settings.queue_max_length))),
            ("x-overflow", "reject-publish".into()),
        ])
    }

    fn write_arguments(&self) -> FieldTable {
        match self.settings.write_queue_kind {
            QueueKind::Classic => self.bounded(),
            // One above the limit at which consumers set a request aside: a consumer that dies
            // of it has its turns first, and what the broker drops nobody has seen alive.
            QueueKind::Quorum => table([
                ("x-queue-type", "quorum".into()),
                ("x-delivery-limit", number(u64::from(self.settings.delivery_limit) + 1)),
                ("x-max-length", number(u64::from(self.settings.queue_max_length))),
                ("x-overflow", "reject-publish".into()),
            ]),
        }
    }

    async fn exchange(
        &self,
        open: &OpenChannel,
        name: &str,
        setting: &'static str,
    ) -> anyhow::Result<()> {
        let kind = ExchangeType::Fanout.to_string();
        let mut declaration = ExchangeDeclareArguments::new(name, &kind);
        let declared = open.channel.exchange_declare(declaration.durable(true).finish()).await;
        declared.map_err(|error| self.refused(open, error, name, setting))
    }

    async fn queue(
        &self,
        open: &OpenChannel,
        declaration: QueueDeclareArguments,
        name: &str,
        setting: &'static str,
    ) -> anyhow::Result<()> {
        match open.channel.queue_declare(declaration).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.refused(open, error, name, setting)),
        }
    }

    fn refused(
        &self,
        open: &OpenChannel,
        error: amqprs::error::Error,
        name: &str,
        setting: &'static str,
    ) -> anyhow::Error {
        let reason = open.ending.explain(error);
        if open.ending.clashed() {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.insert(name.to_owned()) {
                error!(
                    name, setting, %reason,
                    "the broker has this queue or exchange with other arguments: \
                     set back the setting, or delete the queue if its messages may go"
                );
            }
        }
        reason
    }
}

fn durable(name: &str, arguments: FieldTable) -> QueueDeclareArguments {
    let mut declaration = QueueDeclareArguments::durable_client_named(name);
    declaration.arguments(arguments).finish()
}

/// The broker knows signed numbers only.
pub(super) fn number(value: u64) -> FieldValue {
    FieldValue::l(i64::try_from(value).unwrap_or(i64::MAX))
}
