//! A database that goes on with an apply only while the test lets it, and who waits for how much of it.

use async_trait::async_trait;
use rideshare::adapters::memory::{MemoryRequests, MemoryStore, MemoryStores, RequestsSettings};
use rideshare::domain::document::{CollectionName, Document, DocumentId, Value};
use rideshare::domain::filter::Filter;
use rideshare::domain::ids::DatabaseAddress;
use rideshare::domain::log::{Change, History};
use rideshare::domain::message::{Collection, ReadResult, Reply};
use rideshare::domain::query::Query;
use rideshare::domain::request::Consistency;
use rideshare::ports::requests::{Correlation, Queue};
use rideshare::ports::store::{Copied, Store, StoreError, Visible};
use tokio::sync::watch;

use super::{World, count, insert};

/// How far an apply may go.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Leave {
    Nothing,
    Changes,
    History,
}

struct HeldStore {
    store: MemoryStore,
    leave: watch::Receiver<Leave>,
}

impl HeldStore {
    async fn wait_for(&self, wanted: Leave) {
        let mut leave = self.leave.clone();
        leave.wait_for(|given| *given >= wanted).await.unwrap();
    }
}

#[async_trait]
impl Store for HeldStore {
    async fn apply_telling(
        &self,
        changes: &[Change],
        history: &History,
        visible: Visible<'_>,
    ) -> Result<(), StoreError> {
        self.wait_for(Leave::Changes).await;
        let before = self.store.history().await?;
        self.store.apply(changes, &before).await?;
        visible();
        self.wait_for(Leave::History).await;
        self.store.apply(&[], history).await
    }

    async fn history(&self) -> Result<History, StoreError> {
        self.store.history().await
    }

    async fn get(
        &self,
        collection: &CollectionName,
        ids: &[DocumentId],
    ) -> Result<Vec<Document>, StoreError> {
        self.store.get(collection, ids).await
    }

    async fn find(&self, query: &Query, max_bytes: usize) -> Result<Vec<Document>, StoreError> {
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

#[tokio::test(start_paused = true)]
async fn write_waits_for_its_changes_and_what_is_read_or_written_next_for_the_history_too() {
    let requests = MemoryRequests::new(RequestsSettings::default());
    let leave = watch::Sender::new(Leave::History);
    let store = HeldStore { store: MemoryStores::new().open("n1"), leave: leave.subscribe() };
    let mut world = World::start_over(requests.sender(), requests.receiver(), store, true);
    world.send(Queue::Write, 1, insert(1)).await;
    world.reply().await.unwrap();

    leave.send_replace(Leave::Nothing);
    world.send(Queue::Write, 2, insert(2)).await;
    assert_eq!(world.reply().await, None, "the document cannot be read yet");
    leave.send_replace(Leave::Changes);
    assert!(matches!(world.reply().await, Some((Correlation(2), Reply::Written { .. }))));

    world.send(Queue::Write, 3, count(Consistency::Strong)).await;
    world.send(Queue::Write, 4, insert(4)).await;
    assert_eq!(world.reply().await, None, "a database that is set back now would not be noticed");
    leave.send_replace(Leave::History);
    let mut replies = [world.reply().await.unwrap(), world.reply().await.unwrap()];
    replies.sort_by_key(|(correlation, _)| correlation.0);
    let [(Correlation(3), Reply::Read { result, .. }), (Correlation(4), Reply::Written { .. })] =
        replies
    else {
        panic!("{replies:?}");
    };
    assert!([2, 3].map(ReadResult::Count).contains(&result), "{result:?}");
}
