//! What stays of a log that had lost its data while a worker looked at it.

use rideshare::adapters::memory::{
    LogSettings, MemoryCoordination, MemoryLog, MemoryProgress, MemoryRequests, MemoryStore,
    MemoryStores, RequestsSettings,
};
use rideshare::domain::ids::{Epoch, LogId, NodeId, Offset, Sequence};
use rideshare::domain::joining::Misfit;
use rideshare::domain::log::{History, RecordBody, Term};
use rideshare::ports::log::Log;
use rideshare::ports::store::Store;
use rideshare::roles::worker::WorkerError;
use tokio::time::timeout;

use super::{LONG, record, run};

fn batch(sequence: u64) -> RecordBody {
    RecordBody::Batch { sequence: Sequence(sequence), entries: Vec::new() }
}

fn office() -> RecordBody {
    RecordBody::Epoch { master: NodeId::new("another"), on_own_data: false }
}

async fn log_of(bodies: impl IntoIterator<Item = RecordBody>) -> MemoryLog {
    let log = MemoryLog::new(LogSettings::default());
    for body in bodies {
        log.append(record(body)).await.unwrap();
    }
    log
}

/// How the worker ended, if it did.
async fn follow(log: MemoryLog, store: &MemoryStore) -> Option<WorkerError> {
    let requests = MemoryRequests::new(RequestsSettings::default()).receiver();
    let progress = MemoryProgress::new(100);
    let coordination = MemoryCoordination::new(LONG);
    let running = run(log, store.clone(), requests, &coordination, progress, false);
    let ended = timeout(LONG, running).await;
    ended.ok().and_then(Result::err)
}

#[tokio::test(start_paused = true)]
async fn what_stands_before_the_first_epoch_leaves_nothing_behind() {
    let store = MemoryStores::new().open("n1");
    // The word of a master that has not noticed yet.
    let emptied = log_of([batch(7)]).await;
    assert!(follow(emptied, &store).await.is_none());
    assert_eq!(store.history().await.unwrap(), History::default());
    let brought_back = log_of([office(), batch(0)]).await;
    assert!(follow(brought_back, &store).await.is_none());
    assert_eq!(store.history().await.unwrap().applied, Some(Offset(1)));
}

#[tokio::test(start_paused = true)]
async fn worker_whose_database_is_of_another_state_of_the_log_ends() {
    let store = MemoryStores::new().open("n1");
    let (epoch, begun) = (Epoch(2), Offset(0));
    let stray = Term { epoch, begun, batches: Sequence(0) };
    let log_id = Some(LogId::new("history"));
    let history = History { log_id, terms: vec![stray], applied: Some(Offset(0)) };
    store.apply(&[], &history).await.unwrap();
    let brought_back = log_of([office(), batch(0)]).await;
    let ended = follow(brought_back, &store).await.unwrap();
    let another = Misfit::Another { offset: Offset(0) };
    assert!(matches!(&ended, WorkerError::LogLost(misfit) if *misfit == another), "{ended}");
    assert_eq!(ended.exit_code(), 1, "it is to be replaced");
}
