//! `SqliteLog` under the suite of the log, and its file.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rideshare::adapters::sqlite::SqliteLog;
use rideshare::domain::ids::Offset;
use rideshare::ports::log::{Bounds, Log, LogError};
use tempfile::TempDir;

use crate::log::{
    LogFactory, append_all, log_conformance, numbers_of, read, record, sized_record, take,
};

/// Handles are made from one that is open, as the workers of one process share theirs.
struct SqliteLogs {
    directory: TempDir,
    open: Mutex<Option<std::sync::Weak<SqliteLog>>>,
}

impl SqliteLogs {
    async fn shared(&self, max_bytes: u64) -> Arc<dyn Log> {
        let open = self.open.lock().unwrap().as_ref().and_then(std::sync::Weak::upgrade);
        if let Some(open) = open {
            return open;
        }
        let path = self.directory.path().join("log");
        let log = Arc::new(SqliteLog::open(path, max_bytes).await.unwrap());
        *self.open.lock().unwrap() = Some(Arc::downgrade(&log));
        log
    }
}

#[async_trait]
impl LogFactory for SqliteLogs {
    async fn start() -> Self {
        Self { directory: TempDir::new().unwrap(), open: Mutex::new(None) }
    }

    async fn open(&self) -> Arc<dyn Log> {
        self.shared(SqliteLog::DEFAULT_MAX_BYTES).await
    }

    async fn open_bounded(&self, bytes: u64) -> Arc<dyn Log> {
        self.shared(bytes).await
    }

    fn oversized_bytes(&self) -> usize {
        64 * 1024 * 1024
    }

    async fn clean_up(self) {
        self.directory.close().unwrap();
    }
}

log_conformance!(SqliteLogs);

#[tokio::test]
async fn offsets_count_from_zero_without_gaps() {
    let directory = TempDir::new().unwrap();
    let log = SqliteLog::open(directory.path().join("log"), 1 << 20).await.unwrap();
    assert_eq!(log.bounds().await.unwrap(), Bounds { first: Offset(0), next: Offset(0) });
    append_all(&log, &[record(0), record(1), record(2)]).await;
    let offsets: Vec<u64> =
        read(&log, Offset(0), 3).await.iter().map(|(offset, _)| offset.0).collect();
    assert_eq!(offsets, [0, 1, 2]);
}

#[tokio::test]
async fn retention_keeps_the_file_within_bounds() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log");
    let log = SqliteLog::open(&path, 1_000_000).await.unwrap();
    for block in 0..60 {
        let appends = (0..50).map(|n| log.append(sized_record(block * 50 + n, 2000)));
        for outcome in futures_util::future::join_all(appends).await {
            outcome.unwrap();
        }
    }
    let bounds = log.bounds().await.unwrap();
    let kept = (bounds.next.0 - bounds.first.0) * 2000;
    assert!((900_000..1_400_000).contains(&kept), "{kept} bytes kept");
    log.close().await;
    drop(log);
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < 3_000_000, "{size} bytes in the file");
}

#[tokio::test]
async fn offsets_go_on_when_no_record_is_left() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log");
    let log = SqliteLog::open(&path, 1 << 20).await.unwrap();
    append_all(&log, &[record(0), record(1), record(2)]).await;
    drop(log);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute("DELETE FROM records", []).unwrap();
    drop(connection);
    let log = SqliteLog::open(&path, 1 << 20).await.unwrap();
    assert_eq!(log.bounds().await.unwrap(), Bounds { first: Offset(3), next: Offset(3) });
    log.append(record(3)).await.unwrap();
    assert_eq!(read(&log, Offset(3), 1).await[0].0, Offset(3));
}

#[tokio::test]
async fn close_writes_what_was_handed_over_and_ends_everything() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log");
    let log = SqliteLog::open(&path, 1 << 20).await.unwrap();
    let mut tail = log.tail(Offset(0)).await.unwrap();
    let appends: Vec<_> = (0..100)
        .map(|number| {
            let log = log.clone();
            tokio::spawn(async move { log.append(record(number)).await })
        })
        .collect();
    // All of them stand in the queue once the last of them was begun.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    log.close().await;
    let mut confirmed = 0;
    for append in appends {
        match append.await.unwrap() {
            Ok(()) => confirmed += 1,
            Err(error) => assert!(matches!(error, LogError::Unavailable(_)), "{error:?}"),
        }
    }
    assert!(confirmed > 0);
    take(&mut *tail, confirmed).await;
    assert!(matches!(tail.next().await, Err(LogError::Unavailable(_))));
    assert!(matches!(log.append(record(100)).await, Err(LogError::Unavailable(_))));
    drop((log, tail));
    let log = SqliteLog::open(&path, 1 << 20).await.unwrap();
    assert_eq!(log.bounds().await.unwrap().next.0, confirmed as u64);
}

#[tokio::test]
async fn bytes_that_are_no_record_are_handed_out_as_such() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log");
    let log = SqliteLog::open(&path, 1 << 20).await.unwrap();
    append_all(&log, &[record(0), record(1), record(2)]).await;
    drop(log);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute("UPDATE records SET body = x'00ff' WHERE offset = 1", []).unwrap();
    drop(connection);
    let log = SqliteLog::open(&path, 1 << 20).await.unwrap();
    let items = log.tail(Offset(0)).await.unwrap().next().await.unwrap();
    let are_records: Vec<bool> = items.iter().map(|item| item.record.is_ok()).collect();
    assert_eq!(are_records, [true, false, true]);
}

/// Until the file can be written again nothing is confirmed, and nothing refused is ever seen.
#[tokio::test]
async fn append_that_cannot_begin_is_unavailable_and_never_seen() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log");
    let log = SqliteLog::open(&path, 1 << 20).await.unwrap();
    log.append(record(0)).await.unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = log.append(record(1)).await;
    assert!(matches!(refused, Err(LogError::Unavailable(_))), "{refused:?}");
    other.execute_batch("ROLLBACK").unwrap();
    log.append(record(2)).await.unwrap();
    assert_eq!(numbers_of(&read(&log, Offset(0), 2).await), [0, 2]);
}

#[tokio::test]
async fn second_opening_of_a_file_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log");
    let first = SqliteLog::open(&path, 1 << 20).await.unwrap();
    let refused = SqliteLog::open(&path, 1 << 20).await;
    assert!(matches!(refused, Err(LogError::Internal(_))), "{refused:?}");
    // A tail alone does not keep the file.
    let tail = first.tail(Offset(0)).await.unwrap();
    drop(first);
    SqliteLog::open(&path, 1 << 20).await.unwrap();
    drop(tail);
}
