//! Cases on `copy_from`.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use rideshare::domain::document::{Document, Value};
use rideshare::domain::ids::Offset;
use rideshare::domain::log::{Change, History};
use rideshare::domain::query::Query;
use rideshare::ports::store::{Copied, Store};
use tokio::time::timeout;

use super::{
    PLENTY, StoreFactory, all, apply, contents, delete, doc, docs, filter, history, index, name,
    put, puts, users,
};

fn numbered(count: i64) -> Vec<Document> {
    let text = "some text of some length ".repeat(8);
    let fill = |n| doc(&format!(r#"{{"_id":{n},"n":{},"text":"{text}"}}"#, n % 10));
    (0..count).map(fill).collect()
}

pub(crate) async fn copy_of_a_quiet_source_is_equal_and_has_its_history<F: StoreFactory>(
    factory: &F,
) {
    let source = factory.open("source").await;
    apply(&*source, &[index(&users(), "n"), index(&name("empty"), "x")], 0).await;
    apply(&*source, &puts(&users(), &numbered(2500)), 1).await;
    apply(&*source, &puts(&name("rides"), &docs(&[r#"{"_id":"r","a":[1,{"b":2}]}"#])), 2).await;
    let copy = factory.open("copy").await;
    let copied = copy.copy_from(&source.address()).await.unwrap();
    let expected = Copied { history: history(2), consistent_at: Some(Offset(2)) };
    assert_eq!(copied, expected);
    assert_eq!(copy.history().await.unwrap(), history(2));
    assert_eq!(contents(&*copy).await, contents(&*source).await);
    let query = Query { filter: filter(r#"{"n":3}"#), ..Query::all(users()) };
    assert_eq!(copy.count(&query).await.unwrap(), 250);
    assert_ne!(copy.address(), source.address());
}

pub(crate) async fn copy_replaces_what_was_there<F: StoreFactory>(factory: &F) {
    let source = factory.open("source").await;
    apply(&*source, &puts(&users(), &docs(&[r#"{"_id":1,"n":1}"#])), 7).await;
    let copy = factory.open("copy").await;
    apply(&*copy, &[index(&users(), "n")], 20).await;
    apply(&*copy, &puts(&users(), &docs(&[r#"{"_id":1,"n":2}"#, r#"{"_id":2,"n":1}"#])), 20).await;
    apply(&*copy, &puts(&name("old"), &docs(&[r#"{"_id":1}"#])), 21).await;
    copy.copy_from(&source.address()).await.unwrap();
    assert_eq!(contents(&*copy).await, contents(&*source).await);
    assert_eq!(copy.history().await.unwrap(), history(7));
    let query = Query { filter: filter(r#"{"n":1}"#), ..Query::all(users()) };
    assert_eq!(copy.find(&query, PLENTY).await.unwrap(), docs(&[r#"{"_id":1,"n":1}"#]));
}

pub(crate) async fn copy_survives_a_restart<F: StoreFactory>(factory: &F) {
    let source = factory.open("source").await;
    apply(&*source, &puts(&users(), &numbered(100)), 5).await;
    let copy = factory.open("copy").await;
    copy.copy_from(&source.address()).await.unwrap();
    drop(copy);
    let copy = factory.open("copy").await;
    assert_eq!(contents(&*copy).await, contents(&*source).await);
    assert_eq!(copy.history().await.unwrap(), history(5));
}

pub(crate) async fn copy_goes_on_from_its_history<F: StoreFactory>(factory: &F) {
    let source = factory.open("source").await;
    apply(&*source, &[index(&users(), "n")], 0).await;
    apply(&*source, &puts(&users(), &numbered(50)), 1).await;
    let copy = factory.open("copy").await;
    copy.copy_from(&source.address()).await.unwrap();
    let later = [
        put(&users(), &doc(r#"{"_id":1,"n":77}"#)),
        put(&users(), &doc(r#"{"_id":"new","n":77}"#)),
        put(&name("later"), &doc(r#"{"_id":1}"#)),
        index(&users(), "text"),
        delete(&users(), 2),
    ];
    apply(&*copy, &later, 2).await;
    // The two are independent from here on.
    assert_eq!(source.history().await.unwrap(), history(1));
    assert_eq!(all(&*source, &users()).await.len(), 50);
    apply(&*source, &later, 2).await;
    assert_eq!(contents(&*copy).await, contents(&*source).await);
    let query = Query { filter: filter(r#"{"n":77}"#), ..Query::all(users()) };
    assert_eq!(copy.count(&query).await.unwrap(), 2);
}

/// The changes of a little history; each batch keeps the sum of all `n` at zero.
fn batches(count: i64) -> Vec<Vec<Change>> {
    let account = |id: i64, n: i64| put(&users(), &doc(&format!(r#"{{"_id":{id},"n":{n}}}"#)));
    (0..count)
        .map(|turn| match turn % 7 {
            3 => vec![delete(&users(), turn % 100), delete(&users(), turn % 100 + 1000)],
            5 => vec![put(&name("rides"), &doc(&format!(r#"{{"_id":"{turn}"}}"#)))],
            _ => vec![account(turn % 100, turn), account(turn % 100 + 1000, -turn)],
        })
        .collect()
}

async fn sum(store: &dyn Store) -> i64 {
    let n = |document: &Document| document.get("n").and_then(Value::as_integer);
    all(store, &users()).await.iter().filter_map(n).sum()
}

pub(crate) async fn copy_of_a_busy_source_is_consistent_once_replayed<F: StoreFactory>(
    factory: &F,
) {
    let source = factory.open("source").await;
    let ballast: Vec<Document> = numbered(5000)
        .into_iter()
        .zip(0..)
        .map(|(document, n)| document.with_id(format!("ballast {n}").into()))
        .collect();
    apply(&*source, &puts(&name("ballast"), &ballast), 0).await;
    let batches = Arc::new(batches(20_000));
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writer = {
        let (source, batches) = (Arc::clone(&source), Arc::clone(&batches));
        let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
        tokio::spawn(async move {
            for (batch, applied) in batches.iter().zip(1..) {
                apply(&*source, batch, applied).await;
                written.store(applied as usize, Ordering::SeqCst);
                if stop.load(Ordering::SeqCst) {
                    break;
                }
            }
        })
    };
    while written.load(Ordering::SeqCst) < 50 {
        tokio::task::yield_now().await;
    }

    let copy = factory.open("copy").await;
    let copied = copy.copy_from(&source.address()).await.unwrap();
    let after_copy = written.load(Ordering::SeqCst);
    stop.store(true, Ordering::SeqCst);
    writer.await.unwrap();

    let start = copied.history.applied.unwrap().0 as usize;
    let consistent_at = copied.consistent_at.unwrap().0 as usize;
    assert!(50 <= start && start <= consistent_at, "{copied:?}");
    assert!(consistent_at <= after_copy + 1, "{copied:?}, {after_copy}");
    assert_eq!(copy.history().await.unwrap(), copied.history);
    for offset in start + 1..=consistent_at {
        apply(&*copy, &batches[offset - 1], offset as u64).await;
    }
    assert_eq!(sum(&*copy).await, 0, "consistent at {consistent_at}");
    let expected = factory.open("expected").await;
    apply(&*expected, &puts(&name("ballast"), &ballast), 0).await;
    let changes: Vec<Change> = batches[..consistent_at].concat();
    apply(&*expected, &changes, consistent_at as u64).await;
    assert_eq!(contents(&*copy).await, contents(&*expected).await);
}

pub(crate) async fn copy_of_an_empty_source_is_empty<F: StoreFactory>(factory: &F) {
    let source = factory.open("source").await;
    let copy = factory.open("copy").await;
    apply(&*copy, &puts(&users(), &numbered(10)), 3).await;
    let copied = copy.copy_from(&source.address()).await.unwrap();
    assert_eq!(copied, Copied { history: History::default(), consistent_at: None });
    assert_eq!(contents(&*copy).await, []);
    assert_eq!(copy.history().await.unwrap(), History::default());
}

pub(crate) async fn copy_that_fails_leaves_the_store_empty<F: StoreFactory>(factory: &F) {
    let copy = factory.open("copy").await;
    apply(&*copy, &puts(&users(), &numbered(10)), 3).await;
    copy.copy_from(&factory.missing_address()).await.unwrap_err();
    assert_eq!(contents(&*copy).await, []);
    assert_eq!(copy.history().await.unwrap(), History::default());
    apply(&*copy, &puts(&users(), &numbered(2)), 0).await;
    assert_eq!(all(&*copy, &users()).await.len(), 2);
}

/// What a future comes to, unless it has to wait that often or that long.
async fn cut_off<T>(future: impl Future<Output = T>, waits: usize, within: Duration) -> Option<T> {
    let mut future = pin!(future);
    let mut left = waits;
    let counted = poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    });
    timeout(within, counted).await.ok().flatten()
}

pub(crate) async fn copy_that_is_cut_off_leaves_the_store_empty<F: StoreFactory>(factory: &F) {
    const MS: Duration = Duration::from_millis(1);
    let source = factory.open("source").await;
    apply(&*source, &[index(&users(), "n")], 0).await;
    apply(&*source, &puts(&users(), &numbered(30_000)), 1).await;
    let mut times_cut_off = 0;
    // A copy that never has to wait cannot be cut off; how fast it is depends on the machine.
    for (waits, within) in [
        (0, 1000 * MS),
        (1, 1000 * MS),
        (3, 1000 * MS),
        (9999, MS),
        (9999, 5 * MS),
        (9999, 20 * MS),
    ] {
        let copy = factory.open("copy").await;
        apply(&*copy, &puts(&name("old"), &numbered(10)), 9).await;
        let address = source.address();
        if cut_off(copy.copy_from(&address), waits, within).await.is_none() {
            times_cut_off += 1;
            drop(copy);
            let copy = factory.open("copy").await;
            let left = contents(&*copy).await;
            // It may have been cut off before it began.
            let untouched = left.len() == 1 && left[0].0 == name("old") && left[0].1.len() == 10;
            assert!(
                left.is_empty() || untouched,
                "{waits}, {within:?}: {} collections",
                left.len()
            );
            let expected = if untouched { history(9) } else { History::default() };
            assert_eq!(copy.history().await.unwrap(), expected);
        }
    }
    assert!(times_cut_off > 0, "no copy ever waited");
    let copy = factory.open("copy").await;
    copy.copy_from(&source.address()).await.unwrap();
    assert_eq!(contents(&*copy).await, contents(&*source).await);
}
