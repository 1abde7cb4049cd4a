//! A worker's database: slow, away for a moment, stopped in the middle of an apply, or set back.
//!
//! What it holds after each apply is compared with what the log says it must hold.

use std::sync::{Arc, Mutex};

use anyhow::anyhow;
use async_trait::async_trait;
use rideshare::adapters::memory::{MemoryStore, MemoryStores};
use rideshare::domain::document::{CollectionName, Document, DocumentId, Value};
use rideshare::domain::filter::Filter;
use rideshare::domain::ids::{DatabaseAddress, Offset};
use rideshare::domain::log::{Change, History};
use rideshare::domain::message::Collection;
use rideshare::domain::query::Query;
use rideshare::ports::store::{Copied, Store, StoreError, Visible};

use crate::host::Host;
use crate::oracle::{digest, documents};
use crate::world::lock;

/// What outlives the process: the database, and an older state that it may be set back to.
pub(crate) struct Disk {
    stores: MemoryStores,
    database: MemoryStore,
    /// The same database at some earlier time.
    earlier: MemoryStore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// It holds less than it did, and nobody has asked for its history since.
    fell_back: bool,
    /// A copy holds parts of what follows its history, up to here.
    consistent_at: Option<Offset>,
    /// The same for the earlier state.
    earlier_consistent_at: Option<Offset>,
    has_earlier: bool,
}

impl Disk {
    pub(crate) fn open(stores: &MemoryStores, name: &str) -> Arc<Self> {
        Arc::new(Self {
            stores: stores.clone(),
            database: stores.open(name),
            earlier: stores.open(&format!("{name}:earlier")),
            state: Mutex::default(),
        })
    }

    pub(crate) async fn contents(&self) -> Result<(History, u64), StoreError> {
        Ok((self.database.history().await?, digest(&self.database).await?))
    }

    /// Keeps this state, to be set back to later. Meanwhile there is none: half of it would be no state.
    async fn remember(&self) {
        {
            let mut state = lock(&self.state);
            if state.fell_back {
                return;
            }
            state.has_earlier = false;
        }
        if self.earlier.copy_from(&self.database.address()).await.is_ok() {
            let mut state = lock(&self.state);
            state.has_earlier = !state.fell_back;
            state.earlier_consistent_at = state.consistent_at;
        }
    }

    /// From where on the log would be needed after that.
    pub(crate) async fn earlier_offset(&self) -> Offset {
        self.earlier.history().await.unwrap_or_default().next_offset()
    }

    /// Loses what was applied last. True if there was anything to lose.
    pub(crate) async fn set_back(&self) -> bool {
        if !lock(&self.state).has_earlier {
            return false;
        }
        {
            let mut state = lock(&self.state);
            state.fell_back = true;
            state.consistent_at = state.earlier_consistent_at;
        }
        let copied = self.database.copy_from(&self.earlier.address()).await.is_ok();
        // The worker may have looked half way, and must look again.
        lock(&self.state).fell_back = true;
        copied
    }

    /// Loses everything.
    pub(crate) async fn wipe(&self) {
        *lock(&self.state) = State { fell_back: true, ..State::default() };
        let empty = self.stores.open("nothing");
        let _ = self.database.copy_from(&empty.address()).await;
    }
}

/// A disk in the hands of a process.
pub(crate) struct SimStore {
    pub(crate) host: Arc<Host>,
    pub(crate) disk: Arc<Disk>,
}

fn away() -> StoreError {
    StoreError::Unavailable(anyhow!("simulated"))
}

impl SimStore {
    fn is_fallen_back(&self) -> bool {
        lock(&self.disk.state).fell_back
    }

    async fn query(&self, step: &'static str) -> Result<(), StoreError> {
        self.host.disk_step(step).await;
        if self.is_fallen_back() {
            return Err(StoreError::FellBack);
        }
        let world = &self.host.world;
        if world.strikes("query failed", world.plan.query_failed) {
            return Err(away());
        }
        Ok(())
    }

    /// Applies only some of the changes, and not the history.
    async fn apply_half(&self, changes: &[Change]) -> Result<(), StoreError> {
        let some = self.host.world.dice.below(changes.len() as u64 + 1);
        self.apply_without_history(&changes[..usize::try_from(some).unwrap_or_default()]).await
    }

    async fn apply_without_history(&self, changes: &[Change]) -> Result<(), StoreError> {
        let history = self.disk.database.history().await?;
        self.disk.database.apply(changes, &history).await
    }

    async fn check_state(&self, history: &History) -> Result<(), StoreError> {
        let consistent_at = lock(&self.disk.state).consistent_at;
        let digest = digest(&self.disk.database).await?;
        let world = &self.host.world;
        let is_whole = history.applied >= consistent_at;
        let verdict = world.oracle().check_state(history, is_whole.then_some(digest));
        world.require(verdict.map_err(|what| format!("{}: {what}", self.host.name)));
        Ok(())
    }
}

#[async_trait]
impl Store for SimStore {
    async fn history(&self) -> Result<History, StoreError> {
        self.host.disk_step("history").await;
        lock(&self.disk.state).fell_back = false;
        let history = self.disk.database.history().await?;
        self.host.set_applied(history.applied);
        Ok(history)
    }

    async fn apply_telling(
        &self,
        changes: &[Change],
        history: &History,
        visible: Visible<'_>,
    ) -> Result<(), StoreError> {
        self.host.disk_step("apply").await;
        let (world, plan) = (&self.host.world, &self.host.world.plan);
        if !world.is_calm() && world.dice.chance(20) {
            self.disk.remember().await;
        }
        if self.is_fallen_back() {
            return Err(StoreError::FellBack);
        }
        if world.strikes("apply failed", plan.apply_failed) {
            return Err(away());
        }
        if world.strikes("apply halved", plan.apply_halved) {
            self.apply_half(changes).await?;
            self.host.gate("half applied").await;
            return Err(away());
        }
        if history.begins_on_own_data() {
            // It is stored for good, and what was before is no state to be set back to.
            lock(&self.disk.state).has_earlier = false;
            let documents = documents(&self.disk.database).await?;
            if let Some(id) = history.log_id.clone() {
                world.oracle().note_base(id, documents);
            }
        }
        if world.strikes("history late", plan.history_late) {
            self.apply_without_history(changes).await?;
            self.host.set_applied(history.applied);
            visible();
            self.host.disk_step("visible").await;
            if self.is_fallen_back() {
                return Err(StoreError::FellBack);
            }
        }
        self.disk.database.apply_telling(changes, history, visible).await?;
        self.host.set_applied(history.applied);
        world.note(&self.host.name, "applied", || format!("{:?}", history.applied));
        self.check_state(history).await?;
        self.host.gate("applied").await;
        Ok(())
    }

    async fn get(
        &self,
        collection: &CollectionName,
        ids: &[DocumentId],
    ) -> Result<Vec<Document>, StoreError> {
        self.query("get").await?;
        self.disk.database.get(collection, ids).await
    }

    async fn find(&self, query: &Query, max_bytes: usize) -> Result<Vec<Document>, StoreError> {
        self.query("find").await?;
        self.disk.database.find(query, max_bytes).await
    }

    async fn count(&self, query: &Query) -> Result<u64, StoreError> {
        self.query("count").await?;
        self.disk.database.count(query).await
    }

    async fn distinct(
        &self,
        collection: &CollectionName,
        filter: &Filter,
        field: &str,
        max_bytes: usize,
    ) -> Result<Vec<Value>, StoreError> {
        self.query("distinct").await?;
        self.disk.database.distinct(collection, filter, field, max_bytes).await
    }

    async fn collections(&self) -> Result<Vec<CollectionName>, StoreError> {
        self.query("collections").await?;
        self.disk.database.collections().await
    }

    async fn catalog(&self) -> Result<Vec<Collection>, StoreError> {
        self.query("catalog").await?;
        self.disk.database.catalog().await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.host.disk_step("check").await;
        if self.is_fallen_back() { Err(StoreError::FellBack) } else { Ok(()) }
    }

    fn address(&self) -> DatabaseAddress {
        self.disk.database.address()
    }

    async fn copy_from(&self, source: &DatabaseAddress) -> Result<Copied, StoreError> {
        self.host.disk_step("copy").await;
        let (world, plan) = (&self.host.world, &self.host.world.plan);
        if world.strikes("copy failed", plan.copy_failed) {
            // What a copy that was cut off leaves is empty.
            let empty = self.disk.stores.open("nothing");
            self.disk.database.copy_from(&empty.address()).await?;
            return Err(away());
        }
        let copied = self.disk.database.copy_from(source).await?;
        {
            let mut state = lock(&self.disk.state);
            *state = State { consistent_at: copied.consistent_at, ..State::default() };
        }
        self.host.set_applied(copied.history.applied);
        world.note(&self.host.name, "copied", || format!("{copied:?}"));
        self.host.step("copied").await;
        Ok(copied)
    }
}
