//! Measures the RabbitMQ adapters on the broker of the environment and prints the figures.
//!
//! `RIDESHARE_RABBITMQ__URL=amqp://… cargo run --example rabbitmq_figures`. Uses names of its own
//! and leaves durable queues behind under the prefix that it prints.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use amqprs::BasicProperties;
use amqprs::channel::{
    BasicConsumeArguments, BasicPublishArguments, Channel, QueueDeclareArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use futures_util::future::join_all;
use rideshare::adapters::rabbitmq::{QueueKind, Rabbitmq, RabbitmqSettings};
use rideshare::domain::ids::{Epoch, LogId, NodeId, Offset};
use rideshare::domain::log::{Record, RecordBody};
use rideshare::domain::message::{Reply, Request};
use rideshare::ports::log::Log;
use rideshare::ports::requests::{Correlation, Queue, RequestReceiver, RequestSender};
use tokio::sync::oneshot;

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<()>>>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("RIDESHARE_RABBITMQ__URL")?;
    let prefix = format!("figures.{}.", uuid::Uuid::now_v7());
    println!("prefix {prefix}");
    let settings = RabbitmqSettings { url, prefix, ..Default::default() };
    for in_flight in [1, 64, 256] {
        log(&settings, in_flight).await?;
    }
    for kind in [QueueKind::Classic, QueueKind::Quorum] {
        let prefix = format!("{}{kind:?}.", settings.prefix);
        let settings = RabbitmqSettings { write_queue_kind: kind, prefix, ..settings.clone() };
        for in_flight in [1, 64] {
            requests(&settings, in_flight).await?;
        }
    }
    for direct in [true, false] {
        for in_flight in [1, 64] {
            replies(&settings, direct, in_flight).await?;
        }
    }
    Ok(())
}

/// Runs so many side by side, each one after another, and prints the rate and the median.
async fn measure<F: Future<Output = ()>>(what: &str, in_flight: u64, one: impl Fn(u64) -> F) {
    let each = if in_flight == 1 { 2_000 } else { 30_000 / in_flight };
    let started = Instant::now();
    let lanes = (0..in_flight).map(|lane| {
        let one = &one;
        async move {
            let mut latencies = Vec::new();
            for turn in 0..each {
                let started = Instant::now();
                one(lane * each + turn).await;
                latencies.push(started.elapsed());
            }
            latencies
        }
    });
    let mut latencies = join_all(lanes).await.concat();
    let rate = latencies.len() as f64 / started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let (median, tail) = (latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100]);
    println!("{what}, {in_flight} in flight: {rate:.0}/s, median {median:?}, 99 % {tail:?}");
}

/// Hands out waiters that `wake` completes.
fn expect(waiting: &Waiting, number: u64) -> oneshot::Receiver<()> {
    let (waiter, woken) = oneshot::channel();
    waiting.lock().expect("nothing panics here").insert(number, waiter);
    woken
}

fn wake(waiting: &Waiting, number: u64) {
    if let Some(waiter) = waiting.lock().expect("nothing panics here").remove(&number) {
        let _ = waiter.send(());
    }
}

async fn log(settings: &RabbitmqSettings, in_flight: u64) -> anyhow::Result<()> {
    let prefix = format!("{}{in_flight}.", settings.prefix);
    let rabbitmq = Rabbitmq::start(RabbitmqSettings { prefix, ..settings.clone() })?;
    rabbitmq.connected(Duration::from_secs(10)).await;
    let log = Arc::new(rabbitmq.log());
    let waiting = Waiting::default();
    let mut tail = log.tail(Offset(0)).await?;
    let reading = {
        let waiting = waiting.clone();
        tokio::spawn(async move {
            while let Ok(items) = tail.next().await {
                for record in items.iter().filter_map(|item| item.record.as_ref().ok()) {
                    wake(&waiting, record.epoch.0);
                }
            }
        })
    };
    let record = |number| {
        let master = NodeId::new("n".repeat(200));
        let body = RecordBody::Epoch { master, on_own_data: false };
        let log_id = LogId::new("figures");
        Arc::new(Record { log_id, epoch: Epoch(number), appended_at_ms: 0, body })
    };
    measure("append, confirm and read back", in_flight, |number| {
        let read_back = expect(&waiting, number);
        let (log, record) = (log.clone(), record(number));
        async move {
            log.append(record).await.expect("the broker is there");
            read_back.await.expect("the tail reads on");
        }
    })
    .await;
    let bounds_started = Instant::now();
    let bounds = log.bounds().await?;
    println!("bounds {bounds:?} in {:?}", bounds_started.elapsed());
    let started = Instant::now();
    let mut tail = log.tail(Offset(0)).await?;
    let mut read = 0;
    while tail.next().await?.last().is_some_and(|item| item.offset.next() < bounds.next) {
        read += 1;
    }
    println!("{} records read again in {:?}, {read} portions", bounds.next, started.elapsed());
    reading.abort();
    Ok(())
}

async fn requests(settings: &RabbitmqSettings, in_flight: u64) -> anyhow::Result<()> {
    let orchestrator = Rabbitmq::start(settings.clone())?;
    let worker = Rabbitmq::start(settings.clone())?;
    orchestrator.connected(Duration::from_secs(10)).await;
    let sender = Arc::new(orchestrator.request_sender());
    let mut consumer = worker.request_receiver().consume(&Queue::Write, 512).await?;
    let serving = tokio::spawn(async move {
        while let Ok(deliveries) = consumer.deliveries.receive(512).await {
            let answers = deliveries.iter().map(|delivery| (delivery.ticket, Reply::Pong));
            consumer.answers.answer(answers.collect()).await.expect("the broker is there");
        }
    });
    let waiting = Waiting::default();
    let mut replies = sender.take_replies().expect("taken once");
    let listening = {
        let waiting = waiting.clone();
        tokio::spawn(async move {
            while let Some((correlation, _)) = replies.recv().await {
                wake(&waiting, correlation.0);
            }
        })
    };
    let what = format!("request and reply, {:?} queue", settings.write_queue_kind);
    measure(&what, in_flight, |number| {
        let replied = expect(&waiting, number);
        let sender = sender.clone();
        async move {
            let minute = Duration::from_secs(60);
            let request = Arc::new(Request::Ping);
            let sent = sender.send(&Queue::Write, Correlation(number), request, minute).await;
            sent.expect("the broker is there");
            replied.await.expect("replies come in");
        }
    })
    .await;
    serving.abort();
    listening.abort();
    Ok(())
}

/// The two ways to get replies, with nothing but the client crate.
async fn replies(settings: &RabbitmqSettings, direct: bool, in_flight: u64) -> anyhow::Result<()> {
    let arguments = OpenConnectionArguments::try_from(settings.url.as_str())?;
    let (requester, replier) =
        (Connection::open(&arguments).await?, Connection::open(&arguments).await?);
    let channel = requester.open_channel(None).await?;
    let serving_channel = replier.open_channel(None).await?;
    let queue = format!("{}direct.{direct}.{in_flight}", settings.prefix);
    let mut declaration = QueueDeclareArguments::new(&queue);
    serving_channel.queue_declare(declaration.auto_delete(true).finish()).await?;
    let reply_to = match direct {
        true => "amq.rabbitmq.reply-to".to_owned(),
        false => {
            let declaration = QueueDeclareArguments::exclusive_server_named();
            channel.queue_declare(declaration).await?.map_or_else(String::new, |queue| queue.0)
        }
    };
    let consume = BasicConsumeArguments::new(&reply_to, "").auto_ack(true).finish();
    let (_, mut incoming) = channel.basic_consume_rx(consume).await?;
    let consume = BasicConsumeArguments::new(&queue, "").auto_ack(true).finish();
    let (_, mut requested) = serving_channel.basic_consume_rx(consume).await?;
    tokio::spawn(async move {
        while let Some(message) = requested.recv().await {
            let properties = message.basic_properties.unwrap_or_default();
            let to = properties.reply_to().cloned().unwrap_or_default();
            let arguments = BasicPublishArguments::new("", &to);
            let sent = serving_channel.basic_publish(properties, vec![1; 10], arguments).await;
            sent.expect("the broker is there");
        }
    });
    let waiting = Waiting::default();
    {
        let waiting = waiting.clone();
        tokio::spawn(async move {
            while let Some(message) = incoming.recv().await {
                let properties = message.basic_properties.unwrap_or_default();
                let number = properties.correlation_id().and_then(|id| id.parse().ok());
                wake(&waiting, number.unwrap_or_default());
            }
        });
    }
    let what = if direct { "direct reply-to" } else { "exclusive reply queue" };
    measure(what, in_flight, |number| {
        let replied = expect(&waiting, number);
        request(&channel, &queue, &reply_to, number, replied)
    })
    .await;
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
