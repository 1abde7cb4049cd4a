//! Where the replies to a sender's requests come in.
//!
//! One exclusive queue per process and connection, acknowledged in batches so that a slow process
//! keeps the broker waiting and not its own memory full. See `sender` for the figures that decided
//! against direct reply-to.

use std::sync::Arc;

use amqprs::FieldTable;
use amqprs::channel::{
    BasicAckArguments, BasicConsumeArguments, BasicQosArguments, ConsumerMessage,
};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::debug;
use uuid::Uuid;

use super::Broker;
use super::backoff::Backoff;
use super::bundle::{self, Part};
use super::channel::{Messages, OpenChannel};
use super::connection::Session;
use super::publisher::SETUP_TIMEOUT;
use super::turns::Answers;
use crate::domain::message::{Reply, decode};
use crate::ports::requests::Correlation;

/// Replies on their way from the broker at a time.
const PREFETCH: u16 = 1_024;

/// Replies taken from the broker in one go.
const TAKEN_AT_ONCE: usize = 128;

/// Where replies go to.
pub(super) struct Replied {
    pub(super) replies: mpsc::Sender<(Correlation, Reply)>,
    /// Whoever else wants to know that there is one.
    pub(super) answers: Arc<Answers>,
}

/// Listens until the sender is dropped, one connection after another; tells the name of the
/// queue while it is there.
pub(super) async fn listen(
    broker: Arc<Broker>,
    reply_to: watch::Sender<Option<Arc<str>>>,
    replied: Replied,
) {
    let mut backoff = Backoff::new();
    loop {
        let session = broker.consuming.next_session().await;
        let started_at = Instant::now();
        // A new name each time: the broker may hold the old queue until it misses its connection.
        let name: Arc<str> = broker.settings.name(&format!("reply.{}", Uuid::now_v7())).into();
        match set_up(&broker, &session, &name).await {
            Ok((open, messages)) => {
                reply_to.send_replace(Some(name));
                let result = pass_on(&open, messages, &replied).await;
                reply_to.send_replace(None);
                if let Err(error) = result {
                    debug!(%error, "replies lost their channel");
                }
            }
            Err(error) => backoff.tell(&error),
        }
        backoff.wait(started_at.elapsed()).await;
    }
}

async fn set_up(
    broker: &Broker,
    session: &Session,
    name: &str,
) -> anyhow::Result<(OpenChannel, Messages)> {
    let open = session.open_channel(None).await?;
    let messages = session
        .within(SETUP_TIMEOUT, async {
            broker.topology.declare_own(&open, name, FieldTable::new()).await?;
            let limited = open.channel.basic_qos(BasicQosArguments::new(0, PREFETCH, false)).await;
            limited.map_err(|error| open.ending.explain(error))?;
            let consumed =
                open.channel.basic_consume_rx(BasicConsumeArguments::new(name, "")).await;
            consumed.map_err(|error| open.ending.explain(error))
        })
        .await?;
    Ok((open, messages.1))
}

async fn pass_on(
    open: &OpenChannel,
    mut messages: Messages,
    replied: &Replied,
) -> anyhow::Result<()> {
    let mut taken = Vec::with_capacity(TAKEN_AT_ONCE);
    loop {
        if messages.recv_many(&mut taken, TAKEN_AT_ONCE).await == 0 {
            return Err(open.ending.error());
        }
        let mut last = None;
        for message in taken.drain(..) {
            last = message.deliver.as_ref().map(|deliver| deliver.delivery_tag());
            let replies = read(message);
            if replies.is_empty() {
                debug!("reply skipped, it is none of ours");
            }
            for (correlation, reply) in replies {
                replied.answers.came(correlation.0);
                // When nobody takes replies any more, they are of no use.
                let _ = replied.replies.send((correlation, reply)).await;
            }
        }
        if let Some(tag) = last {
            open.channel.basic_ack(BasicAckArguments::new(tag, true)).await?;
        }
    }
}

/// The replies in a message; none where it is not one of ours.
fn read(message: ConsumerMessage) -> Vec<(Correlation, Reply)> {
    let properties = message.basic_properties.unwrap_or_default();
    let content = message.content.unwrap_or_default();
    if bundle::is_bundle(&properties) {
        let parts = bundle::unpack(&content).unwrap_or_default();
        let reply = |part: Part| Some((Correlation(part.correlation), decode(&part.body).ok()?));
        return parts.into_iter().filter_map(reply).collect();
    }
    let alone = || {
        let correlation = properties.correlation_id()?.parse().ok()?;
        Some((Correlation(correlation), decode(&content).ok()?))
    };
    alone().into_iter().collect()
}
