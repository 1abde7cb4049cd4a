//! Requests, validated: what a client wants written or read.
//!
//! [`native`] reads the bodies of our own interface, [`original`] those of the first RideShare.
//! Invariant: whoever holds a [`WriteOperation`] or a [`ReadOperation`] need not check it again.
//! Where one comes in as bytes that a stranger may have written, [`WriteRequest::check`] and
//! [`ReadOperation::check`] uphold that.

mod check;
pub mod native;
pub mod original;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::document::{CollectionName, Document, DocumentId};
use super::filter::Filter;
use super::ids::{Offset, RequestId};
use super::query::Query;
use super::update::Update;

/// Most operations in one `batch`, documents in one `insert` and collections in one `clear`.
pub const MAX_OPERATIONS: usize = 10_000;

/// Which documents an update gives back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Returning {
    /// None.
    #[default]
    None,
    /// As they were.
    Before,
    /// As they are now.
    After,
}

/// What to write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WriteOperation {
    /// Add documents, each with an `_id` by now; all of them or none.
    Insert {
        /// Where to.
        collection: CollectionName,
        /// At least one.
        documents: Vec<Document>,
    },
    /// Change what a filter meets.
    Update {
        /// Where.
        collection: CollectionName,
        /// Which documents.
        filter: Filter,
        /// What to do with each.
        update: Update,
        /// All that match, or the first by `_id`.
        many: bool,
        /// Make one where none matches.
        upsert: bool,
        /// What to give back.
        returning: Returning,
        /// The id for a document made by an upsert whose filter and update name none.
        /// Drawn with the request, so that every delivery means the same document.
        fresh_id: DocumentId,
    },
    /// Put a whole document in the place of the one with its `_id`.
    Replace {
        /// Where.
        collection: CollectionName,
        /// With an `_id`.
        document: Document,
        /// Make it where there is none.
        upsert: bool,
    },
    /// Remove what a filter meets.
    Delete {
        /// Where.
        collection: CollectionName,
        /// Which documents.
        filter: Filter,
        /// All that match, or the first by `_id`.
        many: bool,
    },
    /// Empty whole collections.
    Clear {
        /// Which.
        collections: Vec<CollectionName>,
    },
    /// Have a plain index.
    EnsureIndex {
        /// Where.
        collection: CollectionName,
        /// A dotted path.
        field: String,
    },
    /// Several of insert, update, replace and delete: all of them or none.
    Batch {
        /// In this order; each sees what the ones before it did.
        operations: Vec<WriteOperation>,
    },
}

/// When a write is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acknowledgement {
    /// Read back from the log, so it will happen on every worker.
    Logged,
    /// And readable at the master.
    #[default]
    Applied,
    /// And applied by this many slaves.
    Replicas(u32),
}

/// A write on its way to the master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WriteRequest {
    /// The same at every delivery and retry.
    pub id: RequestId,
    /// A place in the log that was already reached before the request was first sent: whatever
    /// became of the request stands behind it.
    pub seen: Offset,
    /// When to answer.
    pub acknowledgement: Acknowledgement,
    /// What to do.
    pub operation: WriteOperation,
}

/// How current a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Consistency {
    /// Any slave, as it is.
    #[default]
    Eventual,
    /// Any slave that has applied this offset.
    Session(Offset),
    /// Linearizable: answered by the master behind a barrier in the log.
    Strong,
}

/// What a read gives back of the documents it meets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum ReadShape {
    /// The documents.
    #[default]
    Documents,
    /// How many there are.
    Count,
    /// The different values of a field.
    Distinct(String),
}

/// What to read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadOperation {
    /// Which documents.
    pub query: Query,
    /// What of them.
    pub shape: ReadShape,
    /// How current.
    pub consistency: Consistency,
}

/// A body that is not a valid request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct InvalidRequest {
    /// The place in the body, such as `operations[2].filter`.
    pub place: String,
    /// What is wrong there.
    pub reason: String,
}

impl InvalidRequest {
    /// An error at a place.
    pub fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: place.into(), reason: reason.into() }
    }

    /// The same error, seen from outside.
    #[must_use]
    fn within(self, place: &str) -> Self {
        Self { place: format!("{place}.{}", self.place), ..self }
    }
}
