//! What a write costs at the broker, and why replies come the way they do.

mod waiting;

use std::sync::Arc;
use std::time::Duration;

use amqprs::BasicProperties;
use amqprs::channel::{
    BasicConsumeArguments, BasicPublishArguments, Channel, QueueDeclareArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use anyhow::Context;
use clap::Args;
use rideshare::adapters::rabbitmq::{QueueKind, Rabbitmq, RabbitmqSettings};
use rideshare::domain::ids::Offset;
use rideshare::domain::log::RecordBody;
use rideshare::domain::message::{Reply, Request};
use rideshare::ports::log::Log;
use rideshare::ports::requests::{Correlation, Queue, RequestReceiver, RequestSender};
use tokio::sync::oneshot;
use waiting::Waiting;

use crate::measure::{Load, print_head};
use crate::work::{entries, insert, record};

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct Options {
    /// A broker, as `amqp://`. Durable queues are left behind there, under a prefix of this run.
    rabbitmq: String,
}

/// Prints a table.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let settings = settings(&options.rabbitmq);
    print_head();
    for count in [1, 64, 256] {
        log(&settings, count).await?;
    }
    for count in [1, 64] {
        for kind in [QueueKind::Classic, QueueKind::Quorum] {
            let prefix = format!("{}{kind:?}.", settings.prefix);
            let settings = RabbitmqSettings { write_queue_kind: kind, prefix, ..settings.clone() };
            requests(&settings, count).await?;
        }
        for direct in [true, false] {
            replies(&settings, direct, count).await?;
        }
    }
    Ok(())
}

/// With names of their own.
pub(crate) fn settings(url: &str) -> RabbitmqSettings {
    let prefix = format!("performance.{}.", uuid::Uuid::now_v7());
    RabbitmqSettings { url: url.to_owned(), prefix, ..Default::default() }
}

/// Batches of so many writes.
pub(crate) async fn log(settings: &RabbitmqSettings, count: u64) -> anyhow::Result<()> {
    let prefix = format!("{}log.{count}.", settings.prefix);
    let broker = Rabbitmq::start(RabbitmqSettings { prefix, ..settings.clone() })?;
    broker.connected(PATIENCE).await;
    let (log, waiting) = (broker.log(), Waiting::default());
    let (mut tail, woken) = (log.tail(Offset(0)).await?, waiting.clone());
    let reading = tokio::spawn(async move {
        while let Ok(items) = tail.next().await {
            for record in items.iter().filter_map(|item| item.record.as_ref().ok()) {
                if let RecordBody::Batch { sequence, .. } = &record.body {
                    woken.wake(sequence.0);
                }
            }
        }
    });
    let round = async |round| {
        let read_back = waiting.expect(round);
        let appended = log.append(Arc::new(record(round, entries(round, count)))).await;
        appended.expect("the broker is there");
        read_back.await.expect("the tail reads on");
    };
    Load::batch_by_batch(count).measure("Append, confirm and read back", round).await;
    reading.abort();
    broker.close().await;
    Ok(())
}

/// To a worker that answers at once, and back.
pub(crate) async fn requests(settings: &RabbitmqSettings, count: u64) -> anyhow::Result<()> {
    let broker = Rabbitmq::start(settings.clone())?;
    broker.connected(PATIENCE).await;
    let sender = broker.request_sender();
    let mut consumer = broker.request_receiver().consume(&Queue::Write, 512).await?;
    let serving = tokio::spawn(async move {
        while let Ok(deliveries) = consumer.deliveries.receive(512).await {
            let answers = deliveries.iter().map(|delivery| (delivery.ticket, Reply::Pong));
            consumer.answers.answer(answers.collect()).await.expect("the broker is there");
        }
    });
    let waiting = Waiting::default();
    let mut replies = sender.take_replies().context("they are taken once")?;
    let woken = waiting.clone();
    let listening = tokio::spawn(async move {
        while let Some((correlation, _)) = replies.recv().await {
            woken.wake(correlation.0);
        }
    });
    let round = async |number| {
        let replied = waiting.expect(number);
        let request = Arc::new(Request::Write(insert(number)));
        let sent = sender.send(&Queue::Write, Correlation(number), request, PATIENCE).await;
        sent.expect("the broker is there");
        replied.await.expect("replies come in");
    };
    let part = format!("Request and reply, {:?} queue", settings.write_queue_kind);
    Load::side_by_side(count).measure(&part, round).await;
    serving.abort();
    listening.abort();
    broker.close().await;
    Ok(())
}

/// The two ways to get replies, with nothing but the client crate.
async fn replies(settings: &RabbitmqSettings, direct: bool, count: u64) -> anyhow::Result<()> {
    let arguments = OpenConnectionArguments::try_from(settings.url.as_str())?;
    let (requester, replier) =
        (Connection::open(&arguments).await?, Connection::open(&arguments).await?);
    let channel = requester.open_channel(None).await?;
    let queue = format!("{}direct.{direct}.{count}", settings.prefix);
    answer_requests(replier.open_channel(None).await?, &queue).await?;
    let reply_to = match direct {
        true => "amq.rabbitmq.reply-to".to_owned(),
        false => {
            let declaration = QueueDeclareArguments::exclusive_server_named();
            channel.queue_declare(declaration).await?.map_or_else(String::new, |queue| queue.0)
        }
    };
    let consume = BasicConsumeArguments::new(&reply_to, "").auto_ack(true).finish();
    let (_, mut incoming) = channel.basic_consume_rx(consume).await?;
    let waiting = Waiting::default();
    let woken = waiting.clone();
    tokio::spawn(async move {
        while let Some(message) = incoming.recv().await {
            let properties = message.basic_properties.unwrap_or_default();
            let number = properties.correlation_id().and_then(|id| id.parse().ok());
            woken.wake(number.unwrap_or_default());
        }
    });
    let part = if direct { "Direct reply-to" } else { "Exclusive reply queue" };
    let round = |number| {
        let replied = waiting.expect(number);
        request(&channel, &queue, &reply_to, number, replied)
    };
    Load::side_by_side(count).measure(part, round).await;
    requester.close().await?;
    replier.close().await?;
    Ok(())
}

/// Until the connection of the channel is closed.
async fn answer_requests(channel: Channel, queue: &str) -> anyhow::Result<()> {
    let mut declaration = QueueDeclareArguments::new(queue);
    channel.queue_declare(declaration.auto_delete(true).finish()).await?;
    let consume = BasicConsumeArguments::new(queue, "").auto_ack(true).finish();
    let (_, mut requested) = channel.basic_consume_rx(consume).await?;
    tokio::spawn(async move {
        while let Some(message) = requested.recv().await {
            let properties = message.basic_properties.unwrap_or_default();
            let to = properties.reply_to().cloned().unwrap_or_default();
            let arguments = BasicPublishArguments::new("", &to);
            let sent = channel.basic_publish(properties, vec![1; 10], arguments).await;
            sent.expect("the broker is there");
        }
    });
    Ok(())
}

fn request(
    channel: &Channel,
    queue: &str,
    reply_to: &str,
    number: u64,
    replied: oneshot::Receiver<()>,
) -> impl Future<Output = ()> + use<> {
    let (channel, arguments) = (channel.clone(), BasicPublishArguments::new("", queue));
    let properties = BasicProperties::default()
        .with_reply_to(reply_to)
        .with_correlation_id(&number.to_string())
        .finish();
    async move {
        let sent = channel.basic_publish(properties, vec![1; 100], arguments).await;
        sent.expect("the broker is there");
        replied.await.expect("replies come in");
    }
}
