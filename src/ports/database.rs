//! The database as a service, as an application calls it.

use async_trait::async_trait;
use tokio::time::Instant;

use crate::domain::document::{Document, DocumentId};
use crate::domain::ids::Offset;
use crate::domain::message::ReadResult;
use crate::domain::outcome::Outcome;
use crate::domain::request::Consistency;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It could not be reached or did not carry the request out within its time. A write certainly
    /// did not happen.
    #[error("the database is unavailable")]
    Unavailable(#[source] anyhow::Error),
    /// A write was not answered in time and may have happened or may still happen.
    #[error("the database did not answer in time; the write may have happened")]
    Unknown(#[source] anyhow::Error),
    /// An insert met documents with these ids; it wrote nothing.
    #[error("documents with these ids exist already")]
    Conflict {
        /// In the order of the insert.
        ids: Vec<DocumentId>,
    },
    /// The request cannot be carried out as it is; nothing was written.
    #[error("{0}")]
    Invalid(String),
    /// The request is larger than the database takes; nothing was written.
    #[error("the request is larger than the database takes")]
    TooLarge,
    /// What came back is no answer of such a database: a wrong address, or a defect.
    #[error("the database gave an unexpected answer")]
    Unexpected(#[source] anyhow::Error),
}

/// What to write. Filters and updates are in the database's own terms.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// All of these documents or none.
    Insert {
        /// Into this collection.
        collection: &'static str,
        /// Each with its `_id`.
        documents: Vec<Document>,
    },
    /// One document that the filter meets.
    Update {
        /// In this collection.
        collection: &'static str,
        /// Which one.
        filter: Document,
        /// How.
        update: Document,
        /// Make it where there is none.
        upsert: bool,
        /// Give it back as it is afterwards.
        return_after: bool,
    },
    /// One document that the filter meets.
    Delete {
        /// From this collection.
        collection: &'static str,
        /// Which one.
        filter: Document,
    },
    /// Everything in these collections.
    Clear {
        /// Their names.
        collections: &'static [&'static str],
    },
    /// An index that is not unique; idempotent.
    Index {
        /// On this collection.
        collection: &'static str,
        /// By this field.
        field: &'static str,
    },
}

/// The direction of a sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

/// What to read.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// From this collection.
    pub collection: &'static str,
    /// Which documents, in the database's own terms.
    pub filter: Document,
    /// These fields and `_id`; all where it is empty.
    pub projection: &'static [&'static str],
    /// By these fields, the first one first.
    pub sort: &'static [(&'static str, Order)],
    /// No more than this.
    pub limit: u32,
    /// How many there are instead of the documents; then projection, sort and limit do not count.
    pub count: bool,
    /// How current.
    pub consistency: Consistency,
}

/// An answer, and how far the state behind it had come.
#[derive(Clone, Debug, PartialEq)]
pub struct At<T> {
    /// The state holds everything up to here.
    pub offset: Offset,
    /// What was answered.
    pub answer: T,
}

/// The database. Cheap to call from many tasks at once.
#[async_trait]
pub trait Database: Send + Sync {
    /// Writes once: the same key again, also from another process, gives the first outcome and
    /// writes nothing. Tries again by itself until `deadline`; returns soon after it at the latest.
    ///
    /// A future that is dropped leaves the write as `Unknown` does.
    async fn write(
        &self,
        key: &str,
        write: &Write,
        deadline: Instant,
    ) -> Result<At<Outcome>, DatabaseError>;

    /// Reads. Tries again by itself until `deadline`. Never `Unknown` or `Conflict`.
    async fn read(&self, read: &Read, deadline: Instant) -> Result<At<ReadResult>, DatabaseError>;

    /// Whether it is ready to take reads and writes. Asks once, counts as no read.
    async fn check(&self, deadline: Instant) -> Result<(), DatabaseError>;
}
