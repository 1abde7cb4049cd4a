//! The task that owns the channel of one consumption.
//!
//! It alone knows which deliveries are open, so a delivery is settled once, and what is said to
//! the broker stands in one order: reply first, acknowledgement after it.

use std::collections::{BTreeMap, BTreeSet};
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
use super::channel::{Messages, OpenChannel, number_header, table};
use super::connection::Session;
use super::publisher::SETUP_TIMEOUT;
use super::settlement::{Settlement, settlement};
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

/// Where the reply to an open delivery goes; nowhere if the request does not say.
type ReturnAddress = Option<(String, String)>;

/// One consumption.
pub(super) struct Consumption {
    broker: Arc<Broker>,
    session: Session,
    open: OpenChannel,
    consumer_tag: String,
    forward: mpsc::UnboundedSender<Arrived>,
    /// Delivered to us and not settled yet, by delivery tag.
    unsettled: BTreeMap<u64, ReturnAddress>,
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
        consumer_tag: String,
        forward: mpsc::UnboundedSender<Arrived>,
        over: CancellationToken,
    ) -> Self {
        Self {
            broker,
            session,
            open,
            consumer_tag,
            forward,
            unsettled: BTreeMap::new(),
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
        let mut drained = false;
        loop {
            let result = tokio::select! {
                biased;
                () = self.open.ending.ended() => Err(self.open.ending.error()),
                command = commanded.recv() => match command {
                    Some(command) => self.execute(command).await,
                    None => return,
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
                debug!(%error, unanswered = self.unsettled.len(), "consumption is over");
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
        let ticket = Ticket(tag);
        self.unsettled.insert(tag, return_address(&properties));
        let number = |header| number_header(&properties, header).unwrap_or(0);
        let tried = number(DELIVERY_COUNT_HEADER).saturating_add(number(SENT_BEFORE_HEADER));
        if tried >= u64::from(self.broker.settings.delivery_limit) {
            return self.set_aside(tag, content, "it came back too often").await;
        }
        let request = match read(&content, self.broker.settings.max_message_bytes) {
            Ok(request) => request,
            Err(reason) => return self.set_aside(tag, content, &reason).await,
        };
        let delivery = Delivery {
            ticket,
            request: Arc::new(request),
            // The time in the queue is not known here; the broker drops what waits longer there.
            expires_at: Instant::now() + expires_in(&properties),
            tried: u32::try_from(tried).unwrap_or(u32::MAX),
        };
        if self.forward.send(Arrived { delivery, bytes: content.len() }).is_err() {
            self.refused.push(ticket);
        }
        Ok(())
    }

    /// Puts a message that nobody can or should carry out where people can look at it.
    async fn set_aside(&mut self, tag: u64, content: Vec<u8>, reason: &str) -> anyhow::Result<()> {
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
        self.acknowledge(vec![Ticket(tag)]).await
    }

    async fn execute(&mut self, command: Command) -> anyhow::Result<()> {
        match command {
            Command::Answer(answers, done) => {
                let result = self.answer(answers).await;
                let lost = result.is_err();
                // Whoever answered may have left.
                let _ = done.send(result);
                anyhow::ensure!(!lost, "the channel is lost");
                Ok(())
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
        for (ticket, reply) in answers {
            let Some(address) = self.unsettled.get_mut(&ticket.0) else { continue };
            settled.push(ticket);
            if let Some((queue, correlation)) = address.take() {
                let properties = BasicProperties::default()
                    .with_persistence(false)
                    .with_correlation_id(&correlation)
                    .finish();
                let arguments = BasicPublishArguments::new("", &queue);
                self.open.channel.basic_publish(properties, reply, arguments).await?;
            }
        }
        self.acknowledge(settled).await
    }

    async fn acknowledge(&mut self, tickets: Vec<Ticket>) -> anyhow::Result<()> {
        let Settlement { all_up_to, single } = self.settle(tickets);
        for tag in single {
            self.open.channel.basic_ack(BasicAckArguments::new(tag, false)).await?;
        }
        if let Some(tag) = all_up_to {
            self.open.channel.basic_ack(BasicAckArguments::new(tag, true)).await?;
        }
        Ok(())
    }

    async fn release(&mut self, tickets: Vec<Ticket>) -> anyhow::Result<()> {
        let Settlement { all_up_to, single } = self.settle(tickets);
        for tag in single {
            self.open.channel.basic_nack(BasicNackArguments::new(tag, false, true)).await?;
        }
        if let Some(tag) = all_up_to {
            self.open.channel.basic_nack(BasicNackArguments::new(tag, true, true)).await?;
        }
        Ok(())
    }

    /// Strikes out what is open of these, and says how to tell the broker.
    fn settle(&mut self, tickets: Vec<Ticket>) -> Settlement {
        let settled: BTreeSet<u64> = tickets
            .into_iter()
            .map(|ticket| ticket.0)
            .filter(|tag| self.unsettled.remove(tag).is_some())
            .collect();
        settlement(&settled, self.unsettled.keys().next().copied())
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

fn return_address(properties: &BasicProperties) -> ReturnAddress {
    Some((properties.reply_to()?.clone(), properties.correlation_id()?.clone()))
}

fn expires_in(properties: &BasicProperties) -> Duration {
    let milliseconds = properties.expiration().and_then(|text| text.parse::<u32>().ok());
    milliseconds.map_or(DEFAULT_EXPIRY, |number| Duration::from_millis(u64::from(number)))
}
