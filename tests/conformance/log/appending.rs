//! Cases on `append` and `bounds`.

use std::collections::BTreeSet;
use std::sync::Arc;

use rideshare::domain::document::{CollectionName, Document, Value};
use rideshare::domain::ids::{Epoch, LogId, NodeId, Offset, RequestId, Sequence};
use rideshare::domain::log::{Change, Entry, Record, RecordBody};
use rideshare::domain::outcome::{Outcome, Refusal};
use rideshare::ports::log::LogError;

use super::{
    LogFactory, append_all, next_of, numbers_of, read, record, records_of, sized_record, take,
};

pub(crate) async fn new_log_holds_nothing<F: LogFactory>(factory: &F) {
    let log = factory.open().await;
    let bounds = log.bounds().await.unwrap();
    assert_eq!(bounds.first, bounds.next);
}

/// Every kind of record, entry and change, with values that a careless encoding would bend.
fn all_kinds() -> Vec<Arc<Record>> {
    let users = CollectionName::parse("users").unwrap();
    let mut document = Document::new().with_id("grüße \0 end".into());
    document.insert("double", 1.0);
    document.insert("integer", i64::MIN);
    document.insert("nested", vec![Value::Null, Value::Array(Vec::new()), Document::new().into()]);
    let changes = vec![
        Change::Put {
            collection: users.clone(),
            id: "grüße \0 end".into(),
            document: Arc::new(document),
        },
        Change::Delete { collection: users.clone(), id: (-1).into() },
        Change::Clear { collection: users.clone() },
        Change::EnsureIndex { collection: users, field: "a.b".to_owned() },
    ];
    let refused = Outcome::Refused(Refusal::Conflict { ids: vec![1.into(), "1".into()] });
    let entry =
        |id: &str, outcome, changes| Entry { request_id: RequestId::new(id), outcome, changes };
    let bodies = [
        RecordBody::Epoch { master: NodeId::new("n1"), on_own_data: false },
        RecordBody::Batch { sequence: Sequence(0), entries: Vec::new() },
        RecordBody::Batch {
            sequence: Sequence(1),
            entries: vec![entry("r1", Outcome::Indexed, changes), entry("", refused, Vec::new())],
        },
        RecordBody::Batch { sequence: Sequence(u64::MAX), entries: Vec::new() },
    ];
    let of_body = |body| Record {
        log_id: LogId::new("log"),
        epoch: Epoch(7),
        appended_at_ms: u64::MAX,
        body,
    };
    bodies.into_iter().map(of_body).map(Arc::new).collect()
}

pub(crate) async fn records_come_back_as_they_were_appended_and_in_order<F: LogFactory>(
    factory: &F,
) {
    let log = factory.open().await;
    let mut records = all_kinds();
    records.extend((0..20).map(record));
    append_all(&*log, &records).await;
    let found = read(&*log, Offset(0), records.len()).await;
    assert_eq!(records_of(&found), records);
}

pub(crate) async fn bounds_count_every_confirmed_append<F: LogFactory>(factory: &F) {
    let log = factory.open().await;
    let mut tail = log.tail(Offset(0)).await.unwrap();
    let mut last_next = log.bounds().await.unwrap().next;
    for number in 0..10 {
        log.append(record(number)).await.unwrap();
        let bounds = log.bounds().await.unwrap();
        assert!(bounds.next > last_next);
        last_next = bounds.next;
        let found = take(&mut *tail, 1).await;
        assert_eq!(numbers_of(&found), [number]);
        let offset = found[0].0;
        assert!(bounds.first <= offset && offset < bounds.next, "{offset} {bounds:?}");
    }
}

pub(crate) async fn overlapping_appends_are_all_there_once_and_in_order_of_confirmation<
    F: LogFactory,
>(
    factory: &F,
) {
    const WRITERS: u64 = 16;
    const EACH: u64 = 40;
    let log = factory.open().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let log = Arc::clone(&log);
        writers.spawn(async move {
            for turn in 0..EACH {
                log.append(record(writer * EACH + turn)).await.unwrap();
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    let numbers = numbers_of(&read(&*log, Offset(0), (WRITERS * EACH) as usize).await);
    let unique: BTreeSet<u64> = numbers.iter().copied().collect();
    assert_eq!(unique.len(), numbers.len(), "each record stands in the log once");
    for writer in 0..WRITERS {
        let own = numbers.iter().copied().filter(|number| number / EACH == writer);
        assert!(own.is_sorted(), "writer {writer}");
    }
}

pub(crate) async fn many_large_records_are_taken<F: LogFactory>(factory: &F) {
    let log = factory.open().await;
    let records: Vec<_> = (0..24).map(|number| sized_record(number, 1 << 20)).collect();
    let appends = records.iter().map(|record| log.append(Arc::clone(record)));
    for outcome in futures_util::future::join_all(appends).await {
        outcome.unwrap();
    }
    let found = read(&*log, Offset(0), records.len()).await;
    for (_, record) in &found {
        assert_eq!(*record, records[record.appended_at_ms as usize]);
    }
}

pub(crate) async fn oversized_record_is_refused_and_never_seen<F: LogFactory>(factory: &F) {
    let log = factory.open().await;
    log.append(record(0)).await.unwrap();
    let oversized = sized_record(1, factory.oversized_bytes());
    let refused = log.append(oversized).await;
    assert!(
        matches!(refused, Err(LogError::TooLarge { bytes }) if bytes >= factory.oversized_bytes()),
        "{refused:?}"
    );
    log.append(record(2)).await.unwrap();
    assert_eq!(numbers_of(&read(&*log, Offset(0), 2).await), [0, 2]);
}

pub(crate) async fn records_and_offsets_survive_reopening<F: LogFactory>(factory: &F) {
    let log = factory.open().await;
    append_all(&*log, &[record(0), record(1)]).await;
    let before = read(&*log, Offset(0), 2).await;
    let bounds = log.bounds().await.unwrap();
    drop(log);

    let log = factory.open().await;
    let reopened = log.bounds().await.unwrap();
    assert_eq!(reopened.first, bounds.first);
    assert!(reopened.next >= bounds.next);
    log.append(record(2)).await.unwrap();
    let after = read(&*log, Offset(0), 3).await;
    assert_eq!(after[..2], before);
    assert_eq!(numbers_of(&after), [0, 1, 2]);
}

/// One process holds several workers, and one log may be used by several processes: whatever way
/// an adapter offers a second handle, `open` while the first one lives must give the same log.
pub(crate) async fn two_handles_share_one_log<F: LogFactory>(factory: &F) {
    let one = factory.open().await;
    let other = factory.open().await;
    let mut tail = other.tail(Offset(0)).await.unwrap();
    one.append(record(0)).await.unwrap();
    assert_eq!(numbers_of(&take(&mut *tail, 1).await), [0]);
    other.append(record(1)).await.unwrap();
    assert_eq!(numbers_of(&take(&mut *tail, 1).await), [1]);
    one.append(record(2)).await.unwrap();
    let items = next_of(&mut *tail).await;
    assert_eq!(items.len(), 1);
    assert_eq!(one.bounds().await.unwrap(), other.bounds().await.unwrap());
}
