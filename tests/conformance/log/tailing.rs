//! Cases on `tail`, and on what retention takes away.

use std::sync::Arc;
use std::time::Duration;

use rideshare::domain::ids::Offset;
use rideshare::domain::log::Record;
use rideshare::ports::log::{Log, LogError};

use super::{
    LogFactory, PATIENCE, append_all, next_of, numbers_of, read, record, sized_record, take,
};

fn records(numbers: std::ops::Range<u64>) -> Vec<Arc<Record>> {
    numbers.map(record).collect()
}

pub(crate) async fn tail_starts_at_exactly_the_offset_asked_for<F: LogFactory>(factory: &F) {
    let log = factory.open().await;
    append_all(&*log, &records(0..30)).await;
    let whole = read(&*log, Offset(0), 30).await;
    for start in [0, 1, 7, 15, 28, 29] {
        let part = read(&*log, whole[start].0, 30 - start).await;
        assert_eq!(part, whole[start..], "from {}", whole[start].0);
    }
}

pub(crate) async fn tail_follows_what_is_appended_later<F: LogFactory>(factory: &F) {
    let log = factory.open().await;
    append_all(&*log, &records(0..3)).await;
    let end = log.bounds().await.unwrap().next;
    let mut tail = log.tail(end).await.unwrap();
    for number in 3..40 {
        let (taken, appended) = tokio::join!(take(&mut *tail, 1), log.append(record(number)));
        appended.unwrap();
        assert_eq!(numbers_of(&taken), [number]);
        assert!(taken[0].0 >= end);
    }
}

pub(crate) async fn tail_waits_for_an_offset_that_does_not_exist_yet<F: LogFactory>(factory: &F) {
    let log = factory.open().await;
    append_all(&*log, &records(0..2)).await;
    let future = Offset(log.bounds().await.unwrap().next.0 + 5);
    let mut tail = log.tail(future).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(100), tail.next()).await;
    assert!(waiting.is_err(), "{waiting:?}");
    append_all(&*log, &records(2..22)).await;
    let whole = read(&*log, Offset(0), 22).await;
    let expected: Vec<_> = whole.into_iter().filter(|(offset, _)| *offset >= future).collect();
    assert!(!expected.is_empty());
    assert_eq!(take(&mut *tail, expected.len()).await, expected);
}

pub(crate) async fn all_tails_see_the_same_records_at_the_same_offsets<F: LogFactory>(factory: &F) {
    const COUNT: u64 = 300;
    let log = factory.open().await;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let log = Arc::clone(&log);
        readers.spawn(async move { read(&*log, Offset(0), COUNT as usize).await });
    }
    let appends = (0..COUNT).map(|number| log.append(record(number)));
    for outcome in futures_util::future::join_all(appends).await {
        outcome.unwrap();
    }
    let late = read(&*log, Offset(0), COUNT as usize).await;
    while let Some(seen) = readers.join_next().await {
        assert_eq!(seen.unwrap(), late);
    }
}

pub(crate) async fn tail_that_falls_behind_misses_nothing<F: LogFactory>(factory: &F) {
    let log = factory.open().await;
    log.append(record(0)).await.unwrap();
    let mut tail = log.tail(Offset(0)).await.unwrap();
    assert_eq!(numbers_of(&take(&mut *tail, 1).await), [0]);
    // More than any buffer between the log and the tail should hold.
    for block in 0..20_u64 {
        let appends = (0..400).map(|n| log.append(sized_record(1 + block * 400 + n, 500)));
        for outcome in futures_util::future::join_all(appends).await {
            outcome.unwrap();
        }
    }
    let mut numbers = numbers_of(&take(&mut *tail, 8000).await);
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=8000));
}

pub(crate) async fn tail_hands_out_bounded_portions<F: LogFactory>(factory: &F) {
    let log = factory.open().await;
    let large: Vec<_> = (0..48).map(|number| sized_record(number, 1 << 20)).collect();
    append_all(&*log, &large).await;
    let mut tail = log.tail(Offset(0)).await.unwrap();
    let mut seen = 0;
    while seen < 48 {
        let portion = next_of(&mut *tail).await.len();
        assert!(portion <= 32, "{portion} MiB at once");
        seen += portion;
    }
}

pub(crate) async fn dropped_next_skips_nothing<F: LogFactory>(factory: &F) {
    const COUNT: u64 = 500;
    let log = factory.open().await;
    let writer = {
        let log = Arc::clone(&log);
        tokio::spawn(async move { append_all(&*log, &records(0..COUNT)).await })
    };
    let mut tail = log.tail(Offset(0)).await.unwrap();
    let mut numbers = Vec::new();
    let started = tokio::time::Instant::now();
    for patience_us in [0, 50, 200, 1000, 5000].into_iter().cycle() {
        let patience = Duration::from_micros(patience_us);
        if let Ok(items) = tokio::time::timeout(patience, tail.next()).await {
            numbers
                .extend(items.unwrap().into_iter().map(|item| item.record.unwrap().appended_at_ms));
        }
        if numbers.len() as u64 >= COUNT {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{} of {COUNT} came", numbers.len());
    }
    writer.await.unwrap();
    assert!(numbers.into_iter().eq(0..COUNT));
}

pub(crate) async fn idle_tail_keeps_waiting<F: LogFactory>(factory: &F) {
    let log = factory.open().await;
    let mut tail = log.tail(Offset(0)).await.unwrap();
    for _ in 0..3 {
        let waiting = tokio::time::timeout(Duration::from_millis(50), tail.next()).await;
        assert!(waiting.is_err(), "{waiting:?}");
    }
    log.append(record(1)).await.unwrap();
    assert_eq!(numbers_of(&take(&mut *tail, 1).await), [1]);
}

/// Appends until retention has taken the first records away; says how many records it took. The
/// last one of them stands last, and the others in any order.
///
/// What is on its way at once stays far below the bound: a broker may keep it as one piece.
async fn outgrow(log: &dyn Log) -> u64 {
    let mut appended = 0;
    while log.bounds().await.unwrap().first == Offset(0) {
        assert!(appended < 20_000, "retention never took anything away");
        let appends = (0..10).map(|n| log.append(sized_record(appended + n, 2000)));
        for outcome in futures_util::future::join_all(appends).await {
            outcome.unwrap();
        }
        appended += 10;
    }
    log.append(record(appended)).await.unwrap();
    appended + 1
}

async fn refusal(log: &dyn Log, from: Offset) -> LogError {
    match log.tail(from).await {
        Err(error) => error,
        Ok(mut tail) => tokio::time::timeout(PATIENCE, tail.next()).await.unwrap().unwrap_err(),
    }
}

pub(crate) async fn retention_takes_the_oldest_records_and_says_so<F: LogFactory>(factory: &F) {
    let log = factory.open_bounded(100_000).await;
    let mut early = log.tail(Offset(0)).await.unwrap();
    let appended = outgrow(&*log).await;
    let error = refusal(&*log, Offset(0)).await;
    let LogError::Truncated { first } = error else { panic!("{error:?}") };
    assert!(first > Offset(0));
    // What is left is a whole suffix; retention may go on in between.
    let first = log.bounds().await.unwrap().first;
    let mut tail = log.tail(first).await.unwrap();
    let mut numbers = Vec::new();
    while numbers.last() != Some(&(appended - 1)) {
        let items = next_of(&mut *tail).await;
        numbers.extend(items.into_iter().map(|item| item.record.unwrap().appended_at_ms));
        assert!(numbers.len() <= appended as usize);
    }
    assert!(numbers.len() < appended as usize, "nothing was taken away");
    // A tail from before sees records without a gap, until it is told of one.
    let mut expected = Offset(0);
    loop {
        match tokio::time::timeout(PATIENCE, early.next()).await.unwrap() {
            Ok(items) => {
                for item in items {
                    assert!(item.offset >= expected);
                    expected = item.offset.next();
                    if item.record.unwrap().appended_at_ms == appended - 1 {
                        return;
                    }
                }
            }
            Err(LogError::Truncated { first }) => {
                assert!(first >= expected);
                return;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

pub(crate) async fn offsets_rise_after_retention_and_reopening<F: LogFactory>(factory: &F) {
    let log = factory.open_bounded(100_000).await;
    outgrow(&*log).await;
    let before = log.bounds().await.unwrap();
    drop(log);
    let log = factory.open_bounded(100_000).await;
    let after = log.bounds().await.unwrap();
    assert!(after.first >= before.first, "{before:?} {after:?}");
    assert!(after.next >= before.next, "{before:?} {after:?}");
    log.append(record(77)).await.unwrap();
    let found = read(&*log, after.next, 1).await;
    assert_eq!(numbers_of(&found), [77]);
    assert!(found[0].0 >= after.next);
}
