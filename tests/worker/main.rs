//! What a single worker tells its clients, and what it waits for first: the real role on parts in
//! memory, behind a log whose reading the test holds up. Time is virtual.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod held_apply;
mod held_log;
mod lost_log;
mod lost_queue;
#[path = "../support/slow_store.rs"]
mod slow_store;

use std::sync::Arc;
use std::time::Duration;

use rideshare::adapters::memory::{
    LogSettings, MemoryCoordination, MemoryLog, MemoryProgress, MemoryRequests, MemorySender,
    MemoryStores, RequestsSettings,
};
use rideshare::domain::document::{CollectionName, Document, DocumentId};
use rideshare::domain::ids::{Epoch, LogId, NodeId, Offset, Pid, RequestId, Sequence};
use rideshare::domain::log::{Record, RecordBody};
use rideshare::domain::message::{ReadResult, Reply, Request};
use rideshare::domain::query::Query;
use rideshare::domain::request::{
    Acknowledgement, Consistency, ReadOperation, ReadShape, WriteOperation, WriteRequest,
};
use rideshare::ports::log::Log;
use rideshare::ports::requests::{Correlation, Queue, RequestReceiver, RequestSender};
use rideshare::ports::store::Store;
use rideshare::ports::traces::Untold;
use rideshare::roles::ambient::Ambient;
use rideshare::roles::worker::{self, Parts, Settings, WorkerError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::held_log::HeldLog;

/// Longer than anything takes that is not held up; shorter than anybody's patience.
const LONG: Duration = Duration::from_secs(5);

/// One worker and its only client.
struct World {
    /// As it is now; another one when it was lost.
    log: watch::Sender<MemoryLog>,
    /// Whether the worker may read the log.
    reading: watch::Sender<bool>,
    sender: MemorySender,
    coordination: MemoryCoordination,
    /// What the workers tell of themselves.
    progress: MemoryProgress,
    replies: mpsc::Receiver<(Correlation, Reply)>,
    /// Ends as the worker does.
    worker: JoinHandle<Result<(), WorkerError>>,
}

impl World {
    fn start(founder: bool) -> Self {
        Self::start_on(&MemoryRequests::new(RequestsSettings::default()), founder)
    }

    fn start_on(requests: &MemoryRequests, founder: bool) -> Self {
        Self::start_with(requests.sender(), requests.receiver(), founder)
    }

    fn start_with<R>(sender: MemorySender, receiver: R, founder: bool) -> Self
    where
        R: RequestReceiver + 'static,
    {
        Self::start_over(sender, receiver, MemoryStores::new().open("n1"), founder)
    }

    fn start_over<R, S>(sender: MemorySender, receiver: R, store: S, founder: bool) -> Self
    where
        R: RequestReceiver + 'static,
        S: Store + 'static,
    {
        let log = watch::Sender::new(MemoryLog::new(LogSettings::default()));
        let reading = watch::Sender::new(true);
        let replies = sender.take_replies().unwrap();
        let held = HeldLog::new(log.subscribe(), reading.subscribe());
        let progress = MemoryProgress::new(100);
        let coordination = MemoryCoordination::new(LONG * 10);
        let running = run(held, store, receiver, &coordination, progress.clone(), founder);
        let worker = tokio::spawn(running);
        Self { log, reading, sender, coordination, progress, replies, worker }
    }

    async fn send(&self, queue: Queue, number: u64, request: Request) {
        send(&self.sender, queue, number, request).await;
    }

    /// The next reply, unless there is none for long.
    async fn reply(&mut self) -> Option<(Correlation, Reply)> {
        timeout(LONG, self.replies.recv()).await.ok().flatten()
    }

    fn log(&self) -> MemoryLog {
        self.log.borrow().clone()
    }

    async fn append(&self, body: RecordBody) {
        self.log().append(record(body)).await.unwrap();
    }

    /// From now on whoever looks for the log finds an empty one.
    fn lose_log(&self) {
        self.log.send_replace(MemoryLog::new(LogSettings::default()));
    }
}

/// Of the first epoch.
fn record(body: RecordBody) -> Arc<Record> {
    let (log_id, epoch) = (LogId::new("history"), Epoch(1));
    Arc::new(Record { log_id, epoch, appended_at_ms: 0, body })
}

/// The worker itself.
fn run<L: Log + 'static, S: Store + 'static, R: RequestReceiver + 'static>(
    log: L,
    store: S,
    requests: R,
    coordination: &MemoryCoordination,
    progress: MemoryProgress,
    founder: bool,
) -> impl Future<Output = Result<(), WorkerError>> + use<L, S, R> {
    let (lifeline, _) = mpsc::channel(1);
    let parts = Parts {
        log: Arc::new(log),
        requests: Arc::new(requests),
        progress: Arc::new(progress),
        coordination: Arc::new(coordination.session()),
        store: Arc::new(store),
        traces: Arc::new(Untold),
        ambient: Ambient::real(),
        lifeline,
    };
    let settings = Settings {
        node: NodeId::new("n1"),
        pid: Pid(1),
        managed: true,
        founder,
        batch_requests: 10,
        max_lag: 1_000,
        store_patience: LONG * 10,
    };
    worker::run(parts, settings, CancellationToken::new())
}

async fn send(sender: &MemorySender, queue: Queue, number: u64, request: Request) {
    let (correlation, request) = (Correlation(number), Arc::new(request));
    sender.send(&queue, correlation, request, LONG * 10).await.unwrap();
}

fn documents() -> CollectionName {
    CollectionName::parse("documents").unwrap()
}

fn insert(number: u64) -> Request {
    let id = DocumentId::Integer(number.try_into().unwrap());
    Request::Write(WriteRequest {
        id: RequestId::new(number.to_string()),
        seen: Offset(0),
        acknowledgement: Acknowledgement::Applied,
        operation: WriteOperation::Insert {
            collection: documents(),
            documents: vec![Document::new().with_id(id)],
        },
    })
}

fn count(consistency: Consistency) -> Request {
    let query = Query::all(documents());
    Request::Read(ReadOperation { query, shape: ReadShape::Count, consistency })
}

#[tokio::test(start_paused = true)]
async fn write_is_answered_only_after_its_record_was_read_back() {
    let mut world = World::start(true);
    world.send(Queue::Write, 1, insert(1)).await;
    assert!(matches!(world.reply().await, Some((Correlation(1), Reply::Written { .. }))));
    world.reading.send_replace(false);
    let before = world.log().bounds().await.unwrap().next;
    world.send(Queue::Write, 2, insert(2)).await;
    assert_eq!(world.reply().await, None, "nobody has read the record back");
    assert_eq!(world.log().bounds().await.unwrap().next, before.next(), "though it is in the log");
    world.reading.send_replace(true);
    let Some((Correlation(2), Reply::Written { offset, .. })) = world.reply().await else {
        panic!("no answer after the record was read back");
    };
    assert_eq!(offset, before);
}

#[tokio::test(start_paused = true)]
async fn strong_read_is_answered_only_after_its_barrier_was_read_back() {
    let mut world = World::start(true);
    world.send(Queue::Write, 1, insert(1)).await;
    world.reply().await.unwrap();
    world.reading.send_replace(false);
    world.send(Queue::Write, 2, count(Consistency::Strong)).await;
    assert_eq!(world.reply().await, None, "a newer master may have written meanwhile");
    world.reading.send_replace(true);
    let result = ReadResult::Count(1);
    assert!(
        matches!(world.reply().await, Some((_, Reply::Read { result: found, .. })) if found == result)
    );
}

#[tokio::test(start_paused = true)]
async fn session_read_waits_for_its_token() {
    let mut world = World::start(false);
    world.append(RecordBody::Epoch { master: NodeId::new("another"), on_own_data: false }).await;
    world.send(Queue::Read, 1, count(Consistency::Session(Offset(0)))).await;
    let result = ReadResult::Count(0);
    assert_eq!(
        world.reply().await,
        Some((Correlation(1), Reply::Read { offset: Offset(0), result: result.clone() }))
    );
    world.send(Queue::Read, 2, count(Consistency::Session(Offset(1)))).await;
    assert_eq!(world.reply().await, None, "the token is further than the worker");
    world.append(RecordBody::Batch { sequence: Sequence(0), entries: Vec::new() }).await;
    assert_eq!(
        world.reply().await,
        Some((Correlation(2), Reply::Read { offset: Offset(1), result }))
    );
}

#[tokio::test(start_paused = true)]
async fn what_others_may_have_died_of_is_carried_out_last_and_on_its_own() {
    let requests = MemoryRequests::new(RequestsSettings::default());
    let sender = requests.sender();
    let mut replies = sender.take_replies().unwrap();
    for number in 1..=3 {
        send(&sender, Queue::Write, number, insert(number)).await;
    }
    // Two die with these in their hands; most likely it was the first that did it.
    for _ in 0..2 {
        let mut consumer = requests.receiver().consume(&Queue::Write, 10).await.unwrap();
        assert_eq!(consumer.deliveries.receive(10).await.unwrap().len(), 3);
    }
    for number in 4..=5 {
        send(&sender, Queue::Write, number, insert(number)).await;
    }
    let _world = World::start_on(&requests, true);
    let mut answered = Vec::new();
    while answered.len() < 5 {
        let reply = timeout(LONG, replies.recv()).await.unwrap();
        let Some((Correlation(number), Reply::Written { offset, .. })) = reply else {
            panic!("{reply:?}");
        };
        answered.push((number, offset));
    }
    let numbers: Vec<_> = answered.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [4, 5, 3, 2, 1]);
    let offsets: Vec<_> = answered.iter().map(|(_, offset)| offset.0 - answered[0].1.0).collect();
    assert_eq!(offsets, [0, 0, 1, 2, 3], "the new ones together, the others each in its own batch");
}
