//! The worker's end of the requests.
//!
//! Each consumption has a channel of its own, which carries requests in and, in one order, replies
//! and acknowledgements out: so the broker has a reply before it forgets its request, and all that
//! was not answered goes back to the queue when the channel closes.

use std::sync::Arc;

use amqprs::channel::{BasicConsumeArguments, BasicQosArguments};
use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info_span};

use super::Broker;
use super::channel::table;
use super::consumption::{Arrived, Command, Consumption};
use super::publisher::SETUP_TIMEOUT;
use super::topology::number;
use crate::domain::message::{Reply, encode};
use crate::ports::requests::{
    Answers, Consumer, Deliveries, Delivery, Queue, Rank, RequestReceiver, RequestsError, Ticket,
};

/// A consumer without room is passed over, and one whose process stands still runs out of it:
/// <https://www.rabbitmq.com/docs/consumer-priority>
const PRIORITY_ARGUMENT: &str = "x-priority";

/// What one call of `receive` hands out at most, about.
const MOST_BYTES: usize = 1 << 20;

/// The receiving end of one process.
pub struct RabbitmqRequestReceiver {
    broker: Arc<Broker>,
}

impl RabbitmqRequestReceiver {
    pub(super) fn new(broker: Arc<Broker>) -> Self {
        Self { broker }
    }
}

#[async_trait]
impl RequestReceiver for RabbitmqRequestReceiver {
    async fn consume_ranked(
        &self,
        queue: &Queue,
        unanswered: u16,
        rank: Rank,
    ) -> Result<Consumer, RequestsError> {
        let starting = start(self.broker.clone(), queue.clone(), unanswered, rank);
        // In a task of its own, as setting up must not be cut short.
        match tokio::spawn(starting).await {
            Ok(Ok(consumer)) => Ok(consumer),
            Ok(Err(error)) => Err(RequestsError::Unavailable(error)),
            Err(error) => Err(RequestsError::Unavailable(error.into())),
        }
    }
}

async fn start(
    broker: Arc<Broker>,
    queue: Queue,
    unanswered: u16,
    rank: Rank,
) -> anyhow::Result<Consumer> {
    let session = broker.publishing.session(broker.settings.wait()).await?;
    let open = session.open_channel(None).await?;
    let name = broker.queue_name(&queue).unwrap_or_default();
    // To the broker, 0 means without a limit.
    let limit = BasicQosArguments::new(0, unanswered.max(1), false);
    let (tag, messages) = session
        .within(SETUP_TIMEOUT, async {
            broker.topology.declare_queue(&open, &queue).await?;
            let limited = open.channel.basic_qos(limit).await;
            limited.map_err(|error| open.ending.explain(error))?;
            let mut arguments = BasicConsumeArguments::new(&name, "");
            arguments.arguments(table([(PRIORITY_ARGUMENT, number(rank.0))]));
            let consumed = open.channel.basic_consume_rx(arguments).await;
            consumed.map_err(|error| open.ending.explain(error))
        })
        .await?;
    let (forward, arrived) = mpsc::unbounded_channel();
    let (commands, commanded) = mpsc::unbounded_channel();
    let over = CancellationToken::new();
    let span = info_span!("rabbitmq consumption", queue = %name);
    let max_message_bytes = broker.settings.max_message_bytes;
    let consumption = Consumption::new(broker, session, open, name, tag, forward, over.clone());
    tokio::spawn(consumption.run(messages, commanded).instrument(span));
    let answers = RabbitmqAnswers { commands: commands.clone(), max_message_bytes };
    let deliveries = RabbitmqDeliveries { arrived, held: None, commands, over, closed: false };
    Ok(Consumer { deliveries: Box::new(deliveries), answers: Arc::new(answers) })
}

/// Where requests come in. What arrives is bounded by the prefetch of the channel.
struct RabbitmqDeliveries {
    arrived: mpsc::UnboundedReceiver<Arrived>,
    /// Arrived, but more than fitted into the last answer.
    held: Option<Arrived>,
    commands: mpsc::UnboundedSender<Command>,
    over: CancellationToken,
    closed: bool,
}

impl RabbitmqDeliveries {
    /// Takes what has arrived, within the bounds; leaves out what has expired meanwhile.
    fn take(&mut self, first: Arrived, most: usize) -> Vec<Delivery> {
        let now = Instant::now();
        let mut taken = Vec::new();
        let mut expired = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(arrived) = next.take() {
            if arrived.delivery.expires_at <= now {
                expired.push(arrived.delivery.ticket);
            } else if !taken.is_empty() && bytes + arrived.bytes > MOST_BYTES {
                self.held = Some(arrived);
                break;
            } else {
                bytes += arrived.bytes;
                taken.push(arrived.delivery);
            }
            if taken.len() < most {
                next = self.arrived.try_recv().ok();
            }
        }
        if !expired.is_empty() {
            debug!(requests = expired.len(), "expired requests dropped");
            // If the consumption is over, the broker drops them.
            let _ = self.commands.send(Command::Drop(expired));
        }
        taken
    }

    /// Ends the flow of requests and gives back what was not received.
    fn stop(&mut self) -> oneshot::Receiver<()> {
        let (done, stopped) = oneshot::channel();
        if !std::mem::replace(&mut self.closed, true) {
            self.arrived.close();
            let mut unread: Vec<_> = self.held.take().into_iter().collect();
            while let Ok(arrived) = self.arrived.try_recv() {
                unread.push(arrived);
            }
            let unread = unread.into_iter().map(|arrived| arrived.delivery.ticket).collect();
            // If the consumption is over, everything goes back anyway.
            let _ = self.commands.send(Command::Close(done));
            let _ = self.commands.send(Command::Release(unread));
        }
        stopped
    }
}

fn over() -> RequestsError {
    RequestsError::Unavailable(anyhow::anyhow!("the consumption is over"))
}

#[async_trait]
impl Deliveries for RabbitmqDeliveries {
    async fn receive(&mut self, most: usize) -> Result<Vec<Delivery>, RequestsError> {
        loop {
            if self.over.is_cancelled() || self.closed {
                return Err(over());
            }
            let first = match self.held.take() {
                Some(held) => held,
                None => tokio::select! {
                    biased;
                    () = self.over.cancelled() => return Err(over()),
                    arrived = self.arrived.recv() => arrived.ok_or_else(over)?,
                },
            };
            let taken = self.take(first, most.max(1));
            if !taken.is_empty() {
                return Ok(taken);
            }
        }
    }

    async fn close(&mut self) {
        // An error says that the consumption is over, and so closed.
        let _ = timeout(SETUP_TIMEOUT, self.stop()).await;
    }
}

impl Drop for RabbitmqDeliveries {
    fn drop(&mut self) {
        drop(self.stop());
    }
}

/// The way back.
struct RabbitmqAnswers {
    commands: mpsc::UnboundedSender<Command>,
    max_message_bytes: usize,
}

#[async_trait]
impl Answers for RabbitmqAnswers {
    async fn answer(&self, answers: Vec<(Ticket, Reply)>) -> Result<(), RequestsError> {
        let encoded = answers.into_iter().map(|(ticket, reply)| (ticket, encode(&reply)));
        let answers: Vec<_> = encoded.collect();
        let largest = answers.iter().map(|(_, reply)| reply.len()).max().unwrap_or_default();
        if largest > self.max_message_bytes {
            return Err(RequestsError::TooLarge { bytes: largest });
        }
        let (done, answered) = oneshot::channel();
        self.commands.send(Command::Answer(answers, done)).map_err(|_| over())?;
        answered.await.map_err(|_| over())?.map_err(RequestsError::Unavailable)
    }

    async fn release(&self, tickets: Vec<Ticket>) {
        // If the consumption is over, they are back already.
        let _ = self.commands.send(Command::Release(tickets));
    }
}
