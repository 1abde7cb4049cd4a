//! A worker's own database.

use async_trait::async_trait;

use crate::domain::document::{CollectionName, Document, DocumentId, Value};
use crate::domain::filter::Filter;
use crate::domain::ids::{DatabaseAddress, Offset};
use crate::domain::log::{Change, History};
use crate::domain::message::Collection;
use crate::domain::query::Query;

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or is busy; retrying may help. An apply may be half done:
    /// repeat it before anything else.
    #[error("the database is unavailable")]
    Unavailable(#[source] anyhow::Error),
    /// The answer would hold more than the caller allows; nothing is returned.
    #[error("the answer is larger than {bytes} bytes; narrow the filter or lower the limit")]
    TooLarge {
        /// The bound.
        bytes: usize,
    },
    /// The database took longer than a query may; nothing is returned.
    #[error("the query took too long")]
    TimedOut,
    /// The database holds less than what was applied, as after a crash of its server. Nothing else
    /// works until `history` was asked again: go on from what it says.
    #[error("the database has lost what was applied last")]
    FellBack,
    /// The database is broken in a way that retrying does not mend.
    #[error("the database failed")]
    Internal(#[source] anyhow::Error),
}

/// How far the source of a copy had come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// What the copy holds at least; stored as the copy's own history.
    pub history: History,
    /// What it may hold in parts: the copy is consistent once everything up to here is applied.
    pub consistent_at: Option<Offset>,
}

/// Told when changes can be read, maybe more than once.
pub type Visible<'a> = &'a (dyn Fn() + Send + Sync);

/// A database with collections of documents, as every worker has one.
///
/// Contract:
/// - `apply` keeps the changes in order and stores the history with or after them, never before:
///   after a crash the stored history is one that was given, and every change up to it is there.
///   Repeating changes is harmless. Readers see each document whole, and no document older than
///   the history that `apply` has returned for: a database that fell back says so instead.
/// - `apply_telling` calls `visible` before it returns `Ok`, and not before readers see all changes.
///   The history may not be stored by then, so that a database which is set back right after it is not
///   noticed: what is read or written next has to wait for the end.
/// - Reads mean what `domain::filter` and `domain::query` say, in the order they say.
#[async_trait]
pub trait Store: Send + Sync {
    /// What was stored last; default for a new database.
    async fn history(&self) -> Result<History, StoreError>;

    /// Carries out changes in order and then records `history`. Idempotent.
    async fn apply(&self, changes: &[Change], history: &History) -> Result<(), StoreError> {
        self.apply_telling(changes, history, &|| ()).await
    }

    /// Like [`Store::apply`], for those who wait for the changes only.
    async fn apply_telling(
        &self,
        changes: &[Change],
        history: &History,
        visible: Visible<'_>,
    ) -> Result<(), StoreError>;

    /// The documents with these ids, in any order; missing ones are left out.
    async fn get(
        &self,
        collection: &CollectionName,
        ids: &[DocumentId],
    ) -> Result<Vec<Document>, StoreError>;

    /// Documents in the query's order, at most `max_bytes` of them.
    async fn find(&self, query: &Query, max_bytes: usize) -> Result<Vec<Document>, StoreError>;

    /// How many documents match, from the query's filter, skip and limit alone.
    async fn count(&self, query: &Query) -> Result<u64, StoreError>;

    /// The different values of a field (a dotted path) in the documents that match, ascending.
    async fn distinct(
        &self,
        collection: &CollectionName,
        filter: &Filter,
        field: &str,
        max_bytes: usize,
    ) -> Result<Vec<Value>, StoreError>;

    /// Every collection that holds documents, ascending.
    async fn collections(&self) -> Result<Vec<CollectionName>, StoreError>;

    /// Every collection that holds documents or has an index, ascending. An index that this
    /// database cannot have is left out.
    async fn catalog(&self) -> Result<Vec<Collection>, StoreError>;

    /// Whether the database answers and still holds what was applied. Cheap.
    async fn check(&self) -> Result<(), StoreError>;

    /// Where other workers can copy this database from.
    fn address(&self) -> DatabaseAddress;

    /// Replaces everything by a copy of the database at `source`, indexes included, while the
    /// source goes on working. A copy that failed or was cut off leaves this store empty.
    async fn copy_from(&self, source: &DatabaseAddress) -> Result<Copied, StoreError>;
}
