//! What every `Log` keeps, whatever it stores records in.
//!
//! An adapter implements [`LogFactory`] and calls `log_conformance!(ItsFactory)` in a module of
//! its own; every case becomes a test there. Nothing here asks for offsets without gaps.

mod appending;
mod tailing;

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use rideshare::domain::document::{CollectionName, Document};
use rideshare::domain::ids::{Epoch, LogId, Offset, RequestId, Sequence};
use rideshare::domain::log::{Change, Entry, Record, RecordBody};
use rideshare::domain::outcome::Outcome;
use rideshare::ports::log::{Log, LogItem, LogTail};

pub(crate) use appending::*;
pub(crate) use tailing::*;

/// How long a record may take from anywhere to a tail. Reached in failures only.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Where the log of one test lives: a directory, a broker.
#[async_trait]
pub(crate) trait LogFactory: Send + Sync + Sized {
    /// A place without a log, that no other test uses.
    async fn start() -> Self;

    /// Opens the log: a new and empty one at first, and later the same one again, as every other
    /// process or the next life of this one would.
    async fn open(&self) -> Arc<dyn Log>;

    /// Opens the log like [`LogFactory::open`], with a retention that keeps about so many bytes
    /// and takes older records away soon. A test uses one of the two.
    async fn open_bounded(&self, bytes: u64) -> Arc<dyn Log>;

    /// The size of a text that is too large for a record.
    fn oversized_bytes(&self) -> usize;

    /// Removes everything that the test stored.
    async fn clean_up(self);
}

/// Runs one case and cleans up whether it passed or not.
pub(crate) async fn run<F: LogFactory>(case: impl AsyncFnOnce(&F)) {
    let factory = F::start().await;
    let outcome = AssertUnwindSafe(case(&factory)).catch_unwind().await;
    factory.clean_up().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Makes a test of every case, for one factory.
macro_rules! log_conformance {
    ($factory:ty) => {
        $crate::log::log_conformance!(@cases $factory:
            // appending
            new_log_holds_nothing,
            records_come_back_as_they_were_appended_and_in_order,
            bounds_count_every_confirmed_append,
            overlapping_appends_are_all_there_once_and_in_order_of_confirmation,
            many_large_records_are_taken,
            oversized_record_is_refused_and_never_seen,
            records_and_offsets_survive_reopening,
            two_handles_share_one_log,
            // tailing
            tail_starts_at_exactly_the_offset_asked_for,
            tail_follows_what_is_appended_later,
            tail_waits_for_an_offset_that_does_not_exist_yet,
            all_tails_see_the_same_records_at_the_same_offsets,
            tail_that_falls_behind_misses_nothing,
            tail_hands_out_bounded_portions,
            dropped_next_skips_nothing,
            idle_tail_keeps_waiting,
            retention_takes_the_oldest_records_and_says_so,
            offsets_rise_after_retention_and_reopening,
        );
    };
    (@cases $factory:ty: $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::log::run(async |factory: &$factory| {
                    $crate::log::$case(factory).await;
                })
                .await;
            }
        )*
    };
}
pub(crate) use log_conformance;

/// A small record that is told from others by its number.
pub(crate) fn record(number: u64) -> Arc<Record> {
    sized_record(number, 0)
}

/// A record with a text of so many bytes in it.
pub(crate) fn sized_record(number: u64, bytes: usize) -> Arc<Record> {
    let collection = CollectionName::parse("users").unwrap();
    let mut document = Document::new().with_id((number as i64).into());
    document.insert("text", "x".repeat(bytes));
    let put = Change::Put { collection, id: (number as i64).into(), document: Arc::new(document) };
    let entry = Entry {
        request_id: RequestId::new(format!("request {number}")),
        outcome: Outcome::Inserted { ids: vec![(number as i64).into()] },
        changes: vec![put],
    };
    Arc::new(Record {
        log_id: LogId::new("a history"),
        epoch: Epoch(1),
        appended_at_ms: number,
        body: RecordBody::Batch { sequence: Sequence(number), entries: vec![entry] },
    })
}

pub(crate) async fn append_all(log: &dyn Log, records: &[Arc<Record>]) {
    for record in records {
        log.append(Arc::clone(record)).await.unwrap();
    }
}

pub(crate) async fn next_of(tail: &mut dyn LogTail) -> Vec<LogItem> {
    let items = tokio::time::timeout(PATIENCE, tail.next()).await.expect("no record came").unwrap();
    assert!(!items.is_empty(), "a tail hands out at least one record");
    items
}

/// The next so many records with their offsets, which must rise.
pub(crate) async fn take(tail: &mut dyn LogTail, count: usize) -> Vec<(Offset, Arc<Record>)> {
    let mut taken: Vec<(Offset, Arc<Record>)> = Vec::new();
    while taken.len() < count {
        for item in next_of(tail).await {
            assert!(taken.last().is_none_or(|(last, _)| *last < item.offset), "offsets must rise");
            taken.push((item.offset, item.record.unwrap()));
        }
    }
    assert_eq!(taken.len(), count, "more records than were appended");
    taken
}

/// The first so many records from an offset on.
pub(crate) async fn read(log: &dyn Log, from: Offset, count: usize) -> Vec<(Offset, Arc<Record>)> {
    let mut tail = log.tail(from).await.unwrap();
    take(&mut *tail, count).await
}

pub(crate) fn records_of(read: &[(Offset, Arc<Record>)]) -> Vec<Arc<Record>> {
    read.iter().map(|(_, record)| Arc::clone(record)).collect()
}

pub(crate) fn numbers_of(read: &[(Offset, Arc<Record>)]) -> Vec<u64> {
    read.iter().map(|(_, record)| record.appended_at_ms).collect()
}
