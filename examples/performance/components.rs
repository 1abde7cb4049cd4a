//! The parts that a write passes, each alone, so that it shows where its time goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context;
use clap::Args;
use futures_util::future::join_all;
use rideshare::adapters::mongo::{MongoSettings, MongoStore, remove_database};
use rideshare::adapters::rabbitmq::{Rabbitmq, RabbitmqSettings};
use rideshare::domain::document::{CollectionName, Document, DocumentId, Value};
use rideshare::domain::ids::{Epoch, LogId, Offset, RequestId, Sequence};
use rideshare::domain::log::{Change, Entry, History, Record, RecordBody, Term};
use rideshare::domain::message::{Reply, Request, decode, encode};
use rideshare::domain::planner::{DuplicateWindow, View, needs, plan};
use rideshare::domain::request::{Acknowledgement, WriteOperation, WriteRequest};
use rideshare::ports::log::Log;
use rideshare::ports::requests::{Correlation, Queue, RequestReceiver, RequestSender};
use rideshare::ports::store::Store;
use tokio::sync::oneshot;

use crate::load::client;

const DATABASE: &str = "rideshare_components";
/// As in the other runs.
const TEXT_BYTES: usize = 100;
/// How many are under way at a time, or stand in a batch.
const AT_A_TIME: [u64; 2] = [1, 64];
const TIME: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct Options {
    /// A broker, as `amqp://`.
    rabbitmq: String,
    /// A database server, as `mongodb://`.
    mongodb: String,
}

/// Prints a table.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    println!("| Part | At a time | Writes a second | p50 of one round, ms |");
    println!("|---|--:|--:|--:|");
    for count in AT_A_TIME {
        http(count).await?;
        requests(&options.rabbitmq, count).await?;
        planning(count);
        records(count);
        log(&options.rabbitmq, count).await?;
        apply(&options.mongodb, count).await?;
    }
    Ok(())
}

/// Prints a row: rounds of so many writes each, by how long each took.
fn print(part: &str, count: u64, writes: u64, mut rounds: Vec<Duration>, took: Duration) {
    rounds.sort_unstable();
    let median = rounds.get(rounds.len() / 2).copied().unwrap_or_default();
    let rate = rounds.len() as f64 * writes as f64 / took.as_secs_f64();
    println!("| {part} | {count} | {rate:.0} | {:.3} |", median.as_secs_f64() * 1_000.0);
}

/// Runs so many side by side, each one after another.
async fn side_by_side<F: Future<Output = ()>>(part: &str, count: u64, one: impl Fn(u64) -> F) {
    let started = Instant::now();
    let lane = async |lane: u64| {
        let mut rounds = Vec::new();
        while started.elapsed() < TIME {
            let begun = Instant::now();
            one((lane << 32) + rounds.len() as u64).await;
            rounds.push(begun.elapsed());
        }
        rounds
    };
    let rounds = join_all((0..count).map(lane)).await.concat();
    print(part, count, 1, rounds, started.elapsed());
}

/// Runs one batch after another.
async fn batch_by_batch<F: Future<Output = ()>>(part: &str, count: u64, one: impl Fn(u64) -> F) {
    let (started, mut rounds) = (Instant::now(), Vec::new());
    while started.elapsed() < TIME {
        let begun = Instant::now();
        one(rounds.len() as u64).await;
        rounds.push(begun.elapsed());
    }
    print(part, count, count, rounds, started.elapsed());
}

/// A server that answers at once, and its client, on one thread each.
async fn http(count: u64) -> anyhow::Result<()> {
    let app = || App::new().default_service(web::to(answer));
    let server = HttpServer::new(app).workers(1).disable_signals().bind(("127.0.0.1", 0))?;
    let port = server.addrs().first().context("a bound server has an address")?.port();
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    let (url, http) = (format!("http://127.0.0.1:{port}"), client()?);
    side_by_side("HTTP alone", count, async |_| {
        let sent = http.post(&url).body("t".repeat(TEXT_BYTES)).send().await;
        sent.expect("the server is there").bytes().await.expect("the answer is whole");
    })
    .await;
    handle.stop(false).await;
    Ok(())
}

async fn answer(body: web::Bytes) -> HttpResponse {
    HttpResponse::Ok().body(body)
}

/// Wakes whoever waits for a number.
#[derive(Clone, Default)]
struct Waiting(Arc<Mutex<HashMap<u64, oneshot::Sender<()>>>>);

impl Waiting {
    fn expect(&self, number: u64) -> oneshot::Receiver<()> {
        let (waiter, woken) = oneshot::channel();
        self.0.lock().expect("nothing panics here").insert(number, waiter);
        woken
    }

    fn wake(&self, number: u64) {
        if let Some(waiter) = self.0.lock().expect("nothing panics here").remove(&number) {
            let _ = waiter.send(());
        }
    }
}

fn broker(url: &str) -> anyhow::Result<Rabbitmq> {
    let prefix = format!("components.{}.", uuid::Uuid::now_v7());
    Rabbitmq::start(RabbitmqSettings { url: url.to_owned(), prefix, ..Default::default() })
}

/// To a worker that answers at once, and back.
async fn requests(url: &str, count: u64) -> anyhow::Result<()> {
    let broker = broker(url)?;
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
    side_by_side("Request and reply through the broker", count, async |number| {
        let replied = waiting.expect(number);
        let request = Arc::new(Request::Write(insert(number)));
        let sent = sender.send(&Queue::Write, Correlation(number), request, PATIENCE).await;
        sent.expect("the broker is there");
        replied.await.expect("replies come in");
    })
    .await;
    serving.abort();
    listening.abort();
    broker.close().await;
    Ok(())
}

fn things() -> CollectionName {
    CollectionName::parse("things").expect("a valid name")
}

fn document(number: u64) -> Document {
    let text = Value::from("t".repeat(TEXT_BYTES).as_str());
    Document::from_iter([("text".to_owned(), text)]).with_id(id(number))
}

fn id(number: u64) -> DocumentId {
    DocumentId::from(number.to_string().as_str())
}

fn insert(number: u64) -> WriteRequest {
    let (collection, documents) = (things(), vec![document(number)]);
    WriteRequest {
        id: RequestId::new(number.to_string()),
        seen: Offset(0),
        acknowledgement: Acknowledgement::Applied,
        operation: WriteOperation::Insert { collection, documents },
    }
}

/// What the master makes of requests for documents that are new.
fn planned(requests: &[&WriteRequest]) -> Vec<Entry> {
    let mut view = View::default();
    for (collection, ids) in needs(requests).ids {
        view.fetched(&collection, ids, Vec::new());
    }
    plan(requests, view, &DuplicateWindow::starting_at(Offset(0))).entries
}

fn entries(round: u64, count: u64) -> Vec<Entry> {
    let requests: Vec<_> = (0..count).map(|number| insert(round * count + number)).collect();
    planned(&requests.iter().collect::<Vec<_>>())
}

fn record(round: u64, entries: Vec<Entry>) -> Record {
    let body = RecordBody::Batch { sequence: Sequence(round), entries };
    Record { log_id: LogId::new("components"), epoch: Epoch(1), appended_at_ms: 0, body }
}

fn planning(count: u64) {
    let requests: Vec<_> = (0..count).map(insert).collect();
    let requests: Vec<_> = requests.iter().collect();
    over_and_over("Plan", count, || drop(planned(&requests)));
}

fn records(count: u64) {
    let record = record(0, entries(0, count));
    over_and_over("Record to bytes and back", count, || {
        let read: Record = decode(&encode(&record)).expect("it is what was written");
        drop(read);
    });
}

fn over_and_over(part: &str, count: u64, one: impl Fn()) {
    let (started, mut rounds) = (Instant::now(), Vec::new());
    while started.elapsed() < TIME / 3 {
        let begun = Instant::now();
        one();
        rounds.push(begun.elapsed());
    }
    print(part, count, count, rounds, started.elapsed());
}

async fn log(url: &str, count: u64) -> anyhow::Result<()> {
    let broker = broker(url)?;
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
    batch_by_batch("Append, confirm and read back", count, async |round| {
        let read_back = waiting.expect(round);
        let appended = log.append(Arc::new(record(round, entries(round, count)))).await;
        appended.expect("the broker is there");
        read_back.await.expect("the tail reads on");
    })
    .await;
    reading.abort();
    broker.close().await;
    Ok(())
}

async fn apply(url: &str, count: u64) -> anyhow::Result<()> {
    let settings = MongoSettings::new(url, DATABASE);
    remove_database(&settings).await?;
    let store = MongoStore::connect(settings.clone()).await?;
    batch_by_batch("Apply to MongoDB", count, async |round| {
        let entries = entries(round, count).into_iter();
        let changes: Vec<Change> = entries.flat_map(|entry| entry.changes).collect();
        store.apply(&changes, &history(round)).await.expect("the database is there");
    })
    .await;
    drop(store);
    remove_database(&settings).await?;
    Ok(())
}

fn history(round: u64) -> History {
    let term = Term { epoch: Epoch(1), begun: Offset(0), batches: Sequence(round) };
    let log_id = Some(LogId::new("components"));
    History { log_id, terms: vec![term], applied: Some(Offset(round + 1)) }
}
