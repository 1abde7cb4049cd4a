//! The cache before a store: it keeps what every store keeps, and answers from memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use rideshare::adapters::cache::CachedStore;
use rideshare::adapters::memory::{MemoryStore, MemoryStores};
use rideshare::domain::document::{CollectionName, Document, DocumentId, Value};
use rideshare::domain::filter::Filter;
use rideshare::domain::ids::DatabaseAddress;
use rideshare::domain::log::{Change, History};
use rideshare::domain::message::Collection;
use rideshare::domain::query::Query;
use rideshare::ports::store::{Copied, Store, StoreError, Visible};
use tokio::sync::{Notify, Semaphore};

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

/// A database that counts questions, and that answers the next one when it is told to, with what it
/// held when it was asked.
struct Slow {
    store: MemoryStore,
    asked: AtomicUsize,
    /// Where set, answers and changes wait for it.
    hold: Option<Arc<Notify>>,
    fails: bool,
    cannot_read: bool,
    /// Where set, an apply takes a permit before the changes, and one before its end.
    steps: Option<Arc<Semaphore>>,
}

impl Slow {
    fn new() -> Self {
        let store = MemoryStores::new().open("n1");
        Self {
            store,
            asked: AtomicUsize::new(0),
            hold: None,
            fails: false,
            cannot_read: false,
            steps: None,
        }
    }

    async fn step(&self) {
        if let Some(steps) = &self.steps {
            steps.acquire().await.unwrap().forget();
        }
    }
}

#[async_trait]
impl Store for Slow {
    async fn history(&self) -> Result<History, StoreError> {
        self.store.history().await
    }

    async fn apply_telling(
        &self,
        changes: &[Change],
        history: &History,
        visible: Visible<'_>,
    ) -> Result<(), StoreError> {
        self.step().await;
        self.store.apply_telling(changes, history, visible).await?;
        self.step().await;
        if self.fails {
            return Err(StoreError::Unavailable(anyhow::anyhow!("no answer")));
        }
        Ok(())
    }

    async fn get(
        &self,
        collection: &CollectionName,
        ids: &[DocumentId],
    ) -> Result<Vec<Document>, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let found = self.store.get(collection, ids).await;
        if let Some(hold) = &self.hold {
            hold.notified().await;
        }
        if self.cannot_read {
            return Err(StoreError::Unavailable(anyhow::anyhow!("no answer")));
        }
        found
    }

    async fn find(&self, query: &Query, max_bytes: usize) -> Result<Vec<Document>, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.store.find(query, max_bytes).await
    }

    async fn count(&self, query: &Query) -> Result<u64, StoreError> {
        self.store.count(query).await
    }

    async fn distinct(
        &self,
        collection: &CollectionName,
        filter: &Filter,
        field: &str,
        max_bytes: usize,
    ) -> Result<Vec<Value>, StoreError> {
        self.store.distinct(collection, filter, field, max_bytes).await
    }

    async fn collections(&self) -> Result<Vec<CollectionName>, StoreError> {
        self.store.collections().await
    }

    async fn catalog(&self) -> Result<Vec<Collection>, StoreError> {
        self.store.catalog().await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.store.check().await
    }

    fn address(&self) -> DatabaseAddress {
        self.store.address()
    }

    async fn copy_from(&self, source: &DatabaseAddress) -> Result<Copied, StoreError> {
        self.store.copy_from(source).await
    }
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
    let steps = Arc::new(Semaphore::new(0));
    let slow = Slow { steps: Some(Arc::clone(&steps)), ..Slow::new() };
    slow.store.apply(&[put(1, 1)], &History::default()).await.unwrap();
    let store = CachedStore::new(Arc::new(slow), ROOM);
    let (changes, history, visible) = ([put(1, 2)], History::default(), Notify::new());
    let tell = || visible.notify_one();
    let reading = async {
        assert_eq!(read(&store, 1).await, Some(1));
        steps.add_permits(1);
        visible.notified().await;
        assert_eq!(read(&store, 1).await, Some(2), "before the apply has ended");
        steps.add_permits(1);
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
