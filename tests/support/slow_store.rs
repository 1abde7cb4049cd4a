//! A database in memory that counts questions, and that answers and changes only as far as a test lets it.
//!
//! Bring it into a test with `#[path = "../support/slow_store.rs"] mod slow_store;`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use rideshare::adapters::memory::{MemoryStore, MemoryStores};
use rideshare::domain::document::{CollectionName, Document, DocumentId, Value};
use rideshare::domain::filter::Filter;
use rideshare::domain::ids::DatabaseAddress;
use rideshare::domain::log::{Change, History};
use rideshare::domain::message::Collection;
use rideshare::domain::query::Query;
use rideshare::ports::store::{Copied, Store, StoreError, Visible};
use tokio::sync::{Notify, watch};

/// How far an apply may go.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(crate) enum Leave {
    Nothing,
    Changes,
    History,
}

/// It answers the next question when it is told to, with what it held when it was asked.
pub(crate) struct Slow {
    pub(crate) store: MemoryStore,
    pub(crate) asked: AtomicUsize,
    /// Where set, answers wait for it.
    pub(crate) hold: Option<Arc<Notify>>,
    pub(crate) leave: watch::Receiver<Leave>,
    pub(crate) fails: bool,
    pub(crate) cannot_read: bool,
}

impl Slow {
    pub(crate) fn new() -> Self {
        Self {
            store: MemoryStores::new().open("n1"),
            asked: AtomicUsize::new(0),
            hold: None,
            leave: watch::Sender::new(Leave::History).subscribe(),
            fails: false,
            cannot_read: false,
        }
    }

    async fn wait_for(&self, wanted: Leave) {
        let mut leave = self.leave.clone();
        leave.wait_for(|given| *given >= wanted).await.unwrap();
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
        self.wait_for(Leave::Changes).await;
        let before = self.store.history().await?;
        self.store.apply(changes, &before).await?;
        visible();
        self.wait_for(Leave::History).await;
        self.store.apply(&[], history).await?;
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
