//! The task that owns the channel of one consumption.
//!
//! It alone knows which deliveries are open, so a delivery is settled once, and what is said to
//! the broker stands in one order: reply first, acknowledgement after it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use amqprs::BasicProperties;
use amqprs::channel::{
    BasicAckArguments, BasicCancelArguments, BasicNackArguments, BasicPublishArguments,
    ConsumerMessage,
};
use anyhow::Context;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Broker;
use super::bundle::{self, Part};
use super::channel::{Messages, OpenChannel, number_header, table};
use super::connection::Session;
use super::lane::properties;
use super::ledger::{Address, Correlation, Fate, Ledger, Verdict};
use super::publisher::SETUP_TIMEOUT;
use crate::domain::message::{Request, decode};
use crate::ports::requests::{Delivery, Ticket};

/// How often a quorum queue has delivered a message before.
const DELIVERY_COUNT_HEADER: &str = "x-delivery-count";

/// How many times the same was sent before. Each of them may have been the end of a consumer, which
/// the broker counts for each message apart.
pub(super) const SENT_BEFORE_HEADER: &str = "x-rideshare-sent-before";

/// Why a message was set aside.
const REASON_HEADER: &str = "x-rideshare-reason";

/// The longest reason, in bytes. It may quote the message, and headers have to fit into one frame:
/// with a larger one the broker would close the connection, again and again.
const MAX_REASON_BYTES: usize = 1_024;

/// Taken for the life of a request that names none.
const DEFAULT_EXPIRY: Duration = Duration::from_secs(60);

/// Messages taken from the broker in one go.
const TAKEN_AT_ONCE: usize = 256;

/// Commands taken in one go: bounds how many answers may go out together.
const COMMANDS_AT_ONCE: usize = 64;

/// A request on its way to `receive`.
pub(super) struct Arrived {
    pub(super) delivery: Delivery,
    pub(super) bytes: usize,
}

/// What the two ends of the consumption want done.
pub(super) enum Command {
    /// Send these replies, then acknowledge.
    Answer(Vec<(Ticket, Vec<u8>)>, oneshot::Sender<anyhow::Result<()>>),
    /// Give these back to the queue.
    Release(Vec<Ticket>),
    /// Forget these, they have expired.
    Drop(Vec<Ticket>),
    /// Take no more from the queue.
    Close(oneshot::Sender<()>),
}

/// Replies that go to the same asker.
#[derive(Default)]
struct Bundle {
    parts: Vec<Part>,
    bytes: usize,
}

impl Bundle {
    fn has_room(&self, reply: &[u8]) -> bool {
        bundle::has_room(self.parts.len(), self.bytes, reply.len())
    }

    fn add(&mut self, correlation: u64, reply: Vec<u8>) {
        self.bytes += reply.len();
        self.parts.push(Part { correlation, expires_in_ms: 0, body: reply.into() });
    }
}

/// One consumption.
pub(super) struct Consumption {
    broker: Arc<Broker>,
    session: Session,
    open: OpenChannel,
    queue: String,
    consumer_tag: String,
    forward: mpsc::UnboundedSender<Arrived>,
    ledger: Ledger,
    /// Delivered after the receiving end had closed; given back once the flow has stopped.
    refused: Vec<Ticket>,
    flowing: bool,
    over: CancellationToken,
}

impl Consumption {
    pub(super) fn new(
        broker: Arc<Broker>,
        session: Session,
        open: OpenChannel,
        queue: String,
        consumer_tag: String,
        forward: mpsc::UnboundedSender<Arrived>,
        over: CancellationToken,
    ) -> Self {
        Self {
            broker,
            session,
            open,
            queue,
            consumer_tag,
            forward,
            ledger: Ledger::default(),
            refused: Vec::new(),
            flowing: true,
            over,
        }
    }

    /// Serves until both ends are dropped or the channel is lost. What is then unsettled goes
    /// back to the queue, as the channel closes.
    pub(super) async fn run(
        mut self,
        mut messages: Messages,
        mut commanded: mpsc::UnboundedReceiver<Command>,
    ) {
        let _over = self.over.clone().drop_guard();
        let mut taken = Vec::with_capacity(TAKEN_AT_ONCE);
        let mut commands = Vec::new();
        let mut drained = false;
        loop {
            let result = tokio::select! {
                biased;
                () = self.open.ending.ended() => Err(self.open.ending.error()),
                count = commanded.recv_many(&mut commands, COMMANDS_AT_ONCE) => {
                    if count == 0 {
                        return;
                    }
                    self.execute(&mut commands).await
                },
                count = messages.recv_many(&mut taken, TAKEN_AT_ONCE), if !drained => {
                    drained = count == 0;
                    if drained && self.flowing {
                        Err(anyhow::anyhow!("the broker ended the consumption"))
                    } else {
                        self.arrive(&mut taken).await
                    }
                }
            };
            if let Err(error) = result {
                debug!(%error, unanswered = self.ledger.len(), "consumption is over");
                return;
            }
        }
    }

    async fn arrive(&mut self, taken: &mut Vec<ConsumerMessage>) -> anyhow::Result<()> {
        for message in taken.drain(..) {
            self.arrive_one(message).await?;
        }
        if self.flowing {
            return Ok(());
        }
        let refused = std::mem::take(&mut self.refused);
        self.release(refused).await
    }

    async fn arrive_one(&mut self, message: ConsumerMessage) -> anyhow::Result<()> {
        let tag = message.deliver.context("a delivery without its header")?.delivery_tag();
        let properties = message.basic_properties.unwrap_or_default();
        let content = message.content.unwrap_or_default();
        let number = |header| number_header(&properties, header).unwrap_or(0);
        let tried = number(DELIVERY_COUNT_HEADER).saturating_add(number(SENT_BEFORE_HEADER));
        let tried = u32::try_from(tried).unwrap_or(u32::MAX);
        if !bundle::is_bundle(&properties) {
            let ticket = self.ledger.enter(tag, return_address(&properties));
            return self.take_in(ticket, content, expires_in(&properties), tried).await;
        }
        match bundle::unpack(&content) {
            Ok(parts) => self.unbundle(tag, parts, properties.reply_to(), tried).await,
            Err(reason) => {
                let ticket = self.ledger.enter(tag, None);
                self.set_aside(ticket, content, &reason).await
            }
        }
    }

    /// Takes in the requests of one message. One that came back is split up: of its requests one may
    /// have been the end of a consumer, and from now on they are counted apart.
    async fn unbundle(
        &mut self,
        tag: u64,
        parts: Vec<Part>,
        reply_to: Option<&String>,
        tried: u32,
    ) -> anyhow::Result<()> {
        let enter = |part: &Part| {
            let to = Correlation::Bundled(part.correlation);
            self.ledger.enter(tag, reply_to.map(|queue| Address { queue: queue.clone(), to }))
        };
        let tickets: Vec<_> = parts.iter().map(enter).collect();
        if tried == 0 || parts.len() == 1 {
            for (ticket, part) in tickets.into_iter().zip(parts) {
                let expires_in = Duration::from_millis(part.expires_in_ms.into());
                self.take_in(ticket, part.body.into(), expires_in, tried).await?;
            }
            return Ok(());
        }
        debug!(requests = parts.len(), "a message that came back is split up");
        let queue = self.queue.clone();
        for part in parts {
            let reply_to = reply_to.map_or("", String::as_str);
            let mut properties = properties(reply_to, part.expires_in_ms, tried);
            properties.with_correlation_id(&part.correlation.to_string());
            let arguments = BasicPublishArguments::new("", &queue);
            self.open.channel.basic_publish(properties, part.body.into(), arguments).await?;
        }
        self.acknowledge(tickets).await
    }

    async fn take_in(
        &mut self,
        ticket: Ticket,
        content: Vec<u8>,
        expires_in: Duration,
        tried: u32,
    ) -> anyhow::Result<()> {
        if tried >= self.broker.settings.delivery_limit {
            return self.set_aside(ticket, content, "it came back too often").await;
        }
        let request = match read(&content, self.broker.settings.max_message_bytes) {
            Ok(request) => Arc::new(request),
            Err(reason) => return self.set_aside(ticket, content, &reason).await,
        };
        // The time in the queue is not known here; the broker drops what waits longer there.
        let expires_at = Instant::now() + expires_in;
        let delivery = Delivery { ticket, request, expires_at, tried };
        if self.forward.send(Arrived { delivery, bytes: content.len() }).is_err() {
            self.refused.push(ticket);
        }
        Ok(())
    }

    /// Puts a message that nobody can or should carry out where people can look at it.
    async fn set_aside(
        &mut self,
        ticket: Ticket,
        content: Vec<u8>,
        reason: &str,
    ) -> anyhow::Result<()> {
        let queue = self.broker.topology.dead_letter_queue.clone();
        let reason = &reason[..reason.floor_char_boundary(MAX_REASON_BYTES)];
        warn!(reason, bytes = content.len(), set_aside_in = queue, "request set aside");
        if content.len() <= self.broker.settings.max_message_bytes {
            let headers = table([(REASON_HEADER, reason.into())]);
            let properties =
                BasicProperties::default().with_persistence(true).with_headers(headers).finish();
            let arguments = BasicPublishArguments::new("", &queue);
            self.open.channel.basic_publish(properties, content, arguments).await?;
        }
        self.acknowledge(vec![ticket]).await
    }

    /// Carries out commands in their order, answers that follow each other together.
    async fn execute(&mut self, commands: &mut Vec<Command>) -> anyhow::Result<()> {
        let (mut answers, mut answering) = (Vec::new(), Vec::new());
        for command in commands.drain(..) {
            match command {
                Command::Answer(more, done) => {
                    answers.extend(more);
                    answering.push(done);
                    continue;
                }
                other => {
                    self.answer_all(&mut answers, &mut answering).await?;
                    self.execute_one(other).await?;
                }
            }
        }
        self.answer_all(&mut answers, &mut answering).await
    }

    async fn answer_all(
        &mut self,
        answers: &mut Vec<(Ticket, Vec<u8>)>,
        answering: &mut Vec<oneshot::Sender<anyhow::Result<()>>>,
    ) -> anyhow::Result<()> {
        if answering.is_empty() {
            return Ok(());
        }
        let result = self.answer(std::mem::take(answers)).await;
        for done in answering.drain(..) {
            let told = match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(anyhow::anyhow!("{error:#}")),
            };
            // Whoever answered may have left.
            let _ = done.send(told);
        }
        result
    }

    async fn execute_one(&mut self, command: Command) -> anyhow::Result<()> {
        match command {
            Command::Answer(answers, done) => {
                self.answer_all(&mut { answers }, &mut vec![done]).await
            }
            Command::Release(tickets) => self.release(tickets).await,
            Command::Drop(tickets) => self.acknowledge(tickets).await,
            Command::Close(done) => {
                self.stop().await?;
                let _ = done.send(());
                Ok(())
            }
        }
    }

    async fn answer(&mut self, answers: Vec<(Ticket, Vec<u8>)>) -> anyhow::Result<()> {
        let mut settled = Vec::with_capacity(answers.len());
        let mut bundles: BTreeMap<String, Bundle> = BTreeMap::new();
        for (ticket, reply) in answers {
            let Some(address) = self.ledger.take_address(ticket) else { continue };
            settled.push(ticket);
            match address {
                None => {}
                Some(Address { queue, to: Correlation::Alone(correlation) }) => {
                    self.reply(&queue, &correlation, reply).await?;
                }
                Some(Address { queue, to: Correlation::Bundled(correlation) }) => {
                    let bundle = bundles.entry(queue.clone()).or_default();
                    let full = (!bundle.has_room(&reply)).then(|| std::mem::take(bundle));
                    bundle.add(correlation, reply);
                    if let Some(full) = full {
                        self.reply_together(&queue, full).await?;
                    }
                }
            }
        }
        for (queue, bundle) in bundles {
            self.reply_together(&queue, bundle).await?;
        }
        self.acknowledge(settled).await
    }

    async fn reply(&self, queue: &str, correlation: &str, reply: Vec<u8>) -> anyhow::Result<()> {
        let mut properties = BasicProperties::default();
        properties.with_persistence(false).with_correlation_id(correlation);
        let arguments = BasicPublishArguments::new("", queue);
        Ok(self.open.channel.basic_publish(properties, reply, arguments).await?)
    }

    async fn reply_together(&self, queue: &str, bundle: Bundle) -> anyhow::Result<()> {
        if let [part] = bundle.parts.as_slice() {
            return self.reply(queue, &part.correlation.to_string(), part.body.to_vec()).await;
        }
        let mut properties = BasicProperties::default();
        properties.with_persistence(false);
        bundle::mark(&mut properties);
        let arguments = BasicPublishArguments::new("", queue);
        let body = bundle::pack(&bundle.parts);
        Ok(self.open.channel.basic_publish(properties, body, arguments).await?)
    }

    async fn acknowledge(&mut self, tickets: Vec<Ticket>) -> anyhow::Result<()> {
        self.settle(tickets, Fate::Done).await
    }

    async fn release(&mut self, tickets: Vec<Ticket>) -> anyhow::Result<()> {
        self.settle(tickets, Fate::Back).await
    }

    async fn settle(&mut self, tickets: Vec<Ticket>, fate: Fate) -> anyhow::Result<()> {
        let Verdict { acknowledge, give_back } = self.ledger.settle(tickets, fate);
        let channel = &self.open.channel;
        for (tag, multiple) in acknowledge.words() {
            channel.basic_ack(BasicAckArguments::new(tag, multiple)).await?;
        }
        for (tag, multiple) in give_back.words() {
            channel.basic_nack(BasicNackArguments::new(tag, multiple, true)).await?;
        }
        Ok(())
    }

    async fn stop(&mut self) -> anyhow::Result<()> {
        if !self.flowing {
            return Ok(());
        }
        let cancel = BasicCancelArguments::new(&self.consumer_tag);
        let open = &self.open;
        self.session
            .within(SETUP_TIMEOUT, async {
                let cancelled = open.channel.basic_cancel(cancel).await;
                cancelled.map_err(|error| open.ending.explain(error))
            })
            .await?;
        self.flowing = false;
        let refused = std::mem::take(&mut self.refused);
        self.release(refused).await
    }
}

/// The request in a message. Nobody but an orchestrator should write into the queue; what no
/// orchestrator writes is not carried out.
fn read(content: &[u8], most: usize) -> Result<Request, String> {
    if content.len() > most {
        return Err(format!("{} bytes are more than a request takes", content.len()));
    }
    let request: Request = decode(content).map_err(|error| error.to_string())?;
    request.check().map_err(|error| format!("no valid request: {error}"))?;
    Ok(request)
}

fn return_address(properties: &BasicProperties) -> Option<Address> {
    let queue = properties.reply_to()?.clone();
    Some(Address { queue, to: Correlation::Alone(properties.correlation_id()?.clone()) })
}

fn expires_in(properties: &BasicProperties) -> Duration {
    let milliseconds = properties.expiration().and_then(|text| text.parse::<u32>().ok());
    milliseconds.map_or(DEFAULT_EXPIRY, |number| Duration::from_millis(u64::from(number)))
}
