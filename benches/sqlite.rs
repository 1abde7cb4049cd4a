//! How fast the single-process product can be: its store, its log, and both together.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rideshare::adapters::sqlite::{SqliteLog, SqliteStore};
use rideshare::domain::document::{CollectionName, Document, DocumentId};
use rideshare::domain::filter::Filter;
use rideshare::domain::ids::{Epoch, LogId, Offset, RequestId, Sequence};
use rideshare::domain::log::{Change, Entry, History, Record, RecordBody};
use rideshare::domain::outcome::Outcome;
use rideshare::domain::query::Query;
use rideshare::ports::log::Log;
use rideshare::ports::store::Store;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const LARGE: i64 = 100_000;
const PLENTY: usize = 64 * 1024 * 1024;

fn rides() -> CollectionName {
    CollectionName::parse("rides").expect("a valid name")
}

fn ride(id: i64) -> Document {
    let mut document = Document::new().with_id(id.into());
    document.insert("created_by", format!("user {}", id % 1000));
    document.insert("timestamp", "2020-03-21T23:05:59");
    document.insert("source", id % 198);
    document.insert("destination", id % 97);
    document.insert("users", vec![format!("user {}", id % 1000), format!("user {}", id % 77)]);
    document
}

fn changes(ids: impl Iterator<Item = i64>) -> Vec<Change> {
    let put =
        |id: i64| Change::Put { collection: rides(), id: id.into(), document: Arc::new(ride(id)) };
    ids.map(put).collect()
}

fn history(applied: u64) -> History {
    History { applied: Some(Offset(applied)), ..History::default() }
}

fn record(sequence: u64, changes: Vec<Change>) -> Arc<Record> {
    let entry = |change| Entry {
        request_id: RequestId::new(format!("request {sequence}")),
        outcome: Outcome::Inserted { ids: vec![DocumentId::Integer(1)] },
        changes: vec![change],
    };
    let entries = changes.into_iter().map(entry).collect();
    Arc::new(Record {
        log_id: LogId::new("bench"),
        epoch: Epoch(1),
        appended_at_ms: 0,
        body: RecordBody::Batch { sequence: Sequence(sequence), entries },
    })
}

fn apply(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("apply");
    for size in [1, 64, 256] {
        let directory = TempDir::new().expect("a directory");
        let open = SqliteStore::open(directory.path().join("store"));
        let store = runtime.block_on(open).expect("a store");
        let mut next = 0;
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::new("new documents", size), |bencher| {
            bencher.iter(|| {
                let batch = changes(next..next + size as i64);
                next += size as i64;
                let history = history(next.unsigned_abs());
                let applied = store.apply(&batch, &history);
                runtime.block_on(applied).expect("applied");
            });
        });
    }
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let directory = TempDir::new().expect("a directory");
    let open = SqliteStore::open(directory.path().join("store"));
    let store = runtime.block_on(open).expect("a store");
    let index = Change::EnsureIndex { collection: rides(), field: "created_by".to_owned() };
    runtime.block_on(store.apply(&[index], &history(0))).expect("applied");
    let ids: Vec<i64> = (0..LARGE).collect();
    for block in ids.chunks(5000) {
        let batch = changes(block.iter().copied());
        runtime.block_on(store.apply(&batch, &history(1))).expect("applied");
    }
    let mut group = criterion.benchmark_group("read among 100000");
    let mut id = 0;
    group.bench_function("get by id", |bencher| {
        bencher.iter(|| {
            id = (id + 7919) % LARGE;
            let found = runtime.block_on(store.get(&rides(), &[id.into()]));
            black_box(found.expect("found"))
        });
    });
    let filters = [
        ("find 100 by indexed field", r#"{"created_by":"user 77"}"#),
        ("find 1 by two fields, one indexed", r#"{"created_by":"user 77","source":77}"#),
        ("scan for 500 by field without index", r#"{"source":77}"#),
    ];
    for (name, text) in filters {
        let value = rideshare::domain::document::json::parse(text.as_bytes()).expect("JSON");
        let filter = Filter::parse(&value).expect("a filter");
        let query = Query { filter, ..Query::all(rides()) };
        group.bench_function(name, |bencher| {
            bencher
                .iter(|| black_box(runtime.block_on(store.find(&query, PLENTY)).expect("found")));
        });
    }
    group.finish();
}

/// What the embedded product does with every batch: append, sync, read back, apply.
fn log_and_store(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("append, read back and apply");
    for size in [1, 64, 256] {
        let directory = TempDir::new().expect("a directory");
        let open = SqliteLog::open(directory.path().join("log"), SqliteLog::DEFAULT_MAX_BYTES);
        let log = runtime.block_on(open).expect("a log");
        let open = SqliteStore::open(directory.path().join("store"));
        let store = runtime.block_on(open).expect("a store");
        let mut tail = runtime.block_on(log.tail(Offset(0))).expect("a tail");
        let (mut next, mut sequence) = (0, 0);
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                let batch = record(sequence, changes(next..next + size as i64));
                next += size as i64;
                sequence += 1;
                runtime.block_on(async {
                    log.append(batch).await.expect("appended");
                    for item in tail.next().await.expect("a record") {
                        let record = item.record.expect("a record");
                        let RecordBody::Batch { entries, .. } = &record.body else { continue };
                        let of_entry = |entry: &Entry| entry.changes.clone();
                        let changes: Vec<Change> = entries.iter().flat_map(of_entry).collect();
                        store.apply(&changes, &history(item.offset.0)).await.expect("applied");
                    }
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, apply, read, log_and_store);
criterion_main!(benches);
