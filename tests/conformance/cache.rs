//! The cache before a store: it keeps what every store keeps, and answers from memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use rideshare::adapters::cache::CachedStore;
use rideshare::adapters::memory::MemoryStores;
use rideshare::domain::document::{CollectionName, Document};
use rideshare::domain::filter::Filter;
use rideshare::domain::ids::DatabaseAddress;
use rideshare::domain::log::{Change, History};
use rideshare::domain::query::Query;
use rideshare::ports::store::Store;
use tokio::sync::{Notify, watch};

use crate::slow_store::{Leave, Slow};
use crate::store::{PLENTY, StoreFactory};

const ROOM: usize = 1 << 20;

mod lookups;

mod with_room {
    crate::store::store_conformance!(super::Cached<{ super::ROOM }>);
}

/// So small that it forgets at once.
mod without_room {
    crate::store::store_conformance!(super::Cached<600>);
}

struct Cached<const BYTES: usize>(MemoryStores);

#[async_trait]
impl<const BYTES: usize> StoreFactory for Cached<BYTES> {
    async fn start() -> Self {
        Self(MemoryStores::new())
    }

    async fn open(&self, name: &str) -> Arc<dyn Store> {
        Arc::new(CachedStore::new(Arc::new(self.0.open(name)), BYTES))
    }

    fn missing_address(&self) -> DatabaseAddress {
        DatabaseAddress::new("memory:missing")
    }

    async fn clean_up(self) {}
}

fn collection() -> CollectionName {
    CollectionName::parse("c").unwrap()
}

fn query(id: i64) -> Query {
    Query { filter: Filter::by_id(id.into()), ..Query::all(collection()) }
}

fn put(id: i64, n: i64) -> Change {
    let document = Document::from([("n", n.into())]).with_id(id.into());
    Change::Put { collection: collection(), id: id.into(), document: Arc::new(document) }
}

async fn apply(store: &CachedStore, change: Change) {
    store.apply(&[change], &History::default()).await.unwrap();
}

async fn read(store: &CachedStore, id: i64) -> Option<i64> {
    let found = store.find(&query(id), PLENTY).await.unwrap();
    found.first().and_then(|document| document.get("n")?.as_integer())
}

#[tokio::test]
async fn document_is_asked_for_once_and_what_was_written_not_at_all() {
    let database = Arc::new(Slow::new());
    let store = CachedStore::new(database.clone(), ROOM);
    let asked = || database.asked.swap(0, Ordering::SeqCst);
    apply(&store, put(1, 1)).await;
    assert_eq!((read(&store, 1).await, asked()), (Some(1), 0));
    apply(&store, put(1, 2)).await;
    assert_eq!((read(&store, 1).await, asked()), (Some(2), 0));
    store.history().await.unwrap();
    assert_eq!((read(&store, 1).await, read(&store, 1).await, asked()), (Some(2), Some(2), 1));
    assert_eq!((read(&store, 2).await, read(&store, 2).await, asked()), (None, None, 1));
    apply(&store, put(2, 3)).await;
    assert_eq!((read(&store, 2).await, asked()), (Some(3), 0));
    apply(&store, Change::Clear { collection: collection() }).await;
    assert_eq!((read(&store, 1).await, read(&store, 2).await, asked()), (None, None, 2));
}

/// What a read found before a change, and brings back after it, is not remembered.
#[tokio::test]
async fn answer_that_a_change_has_overtaken_is_not_remembered() {
    let hold = Arc::new(Notify::new());
    let changes = [
        (put(1, 2), Some(2)),
        (Change::Delete { collection: collection(), id: 1.into() }, None),
        (Change::Clear { collection: collection() }, None),
    ];
    for (change, expected) in changes {
        let slow = Slow { hold: Some(hold.clone()), ..Slow::new() };
        slow.store.apply(&[put(1, 1)], &History::default()).await.unwrap();
        let store = Arc::new(CachedStore::new(Arc::new(slow), ROOM));
        let reading = tokio::spawn({
            let store = store.clone();
            async move { read(&store, 1).await }
        });
        tokio::task::yield_now().await;
        apply(&store, change.clone()).await;
        hold.notify_one();
        assert_eq!(reading.await.unwrap(), Some(1), "as it was when the read began");
        hold.notify_one();
        assert_eq!(read(&store, 1).await, expected, "after {change:?}");
    }
}

/// Nor what a read found after the change had begun and before it was made.
#[tokio::test]
async fn read_sees_what_was_told_to_be_visible_whatever_was_read_before() {
    let leave = watch::Sender::new(Leave::Nothing);
    let slow = Slow { leave: leave.subscribe(), ..Slow::new() };
    slow.store.apply(&[put(1, 1)], &History::default()).await.unwrap();
    let store = CachedStore::new(Arc::new(slow), ROOM);
    let (changes, history, visible) = ([put(1, 2)], History::default(), Notify::new());
    let tell = || visible.notify_one();
    let reading = async {
        assert_eq!(read(&store, 1).await, Some(1));
        leave.send_replace(Leave::Changes);
        visible.notified().await;
        assert_eq!(read(&store, 1).await, Some(2), "before the apply has ended");
        leave.send_replace(Leave::History);
    };
    let (applied, ()) = tokio::join!(store.apply_telling(&changes, &history, &tell), reading);
    applied.unwrap();
}

#[tokio::test]
async fn nothing_is_remembered_when_it_is_unknown_what_was_changed() {
    let database = Slow { fails: true, ..Slow::new() };
    let store = CachedStore::new(Arc::new(database), ROOM);
    assert_eq!(read(&store, 1).await, None);
    store.apply(&[put(1, 1)], &History::default()).await.unwrap_err();
    assert_eq!(read(&store, 1).await, Some(1));
}

#[tokio::test]
async fn large_document_is_not_remembered_and_not_mixed_up_with_an_earlier_one() {
    let database = Arc::new(Slow::new());
    let store = CachedStore::new(database.clone(), ROOM);
    apply(&store, put(1, 1)).await;
    let text = "x".repeat(100_000);
    let document = Document::from([("n", 2.into()), ("text", text.into())]).with_id(1.into());
    let (collection, id) = (collection(), 1.into());
    apply(&store, Change::Put { collection, id, document: Arc::new(document) }).await;
    assert_eq!((read(&store, 1).await, read(&store, 1).await), (Some(2), Some(2)));
    assert_eq!(database.asked.load(Ordering::SeqCst), 2);
}
