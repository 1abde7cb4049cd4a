//! What a write came to: the part of an answer that stands in the log.

use serde::{Deserialize, Serialize};

use super::document::{CollectionName, Document, DocumentId};

/// The result of one write operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// All documents of an insert are there now, under these ids, in the order given.
    Inserted {
        /// One id a document.
        ids: Vec<DocumentId>,
    },
    /// An update or a replacement was carried out.
    Updated {
        /// How many documents the filter met.
        matched: u64,
        /// How many of them differ now.
        modified: u64,
        /// The id of the document that an upsert made.
        upserted_id: Option<DocumentId>,
        /// The documents asked back, before or after the update.
        documents: Vec<Document>,
    },
    /// A delete was carried out.
    Deleted {
        /// How many documents are gone.
        deleted: u64,
    },
    /// These collections are empty now.
    Cleared {
        /// As they were named in the request.
        collections: Vec<CollectionName>,
    },
    /// The index is there now.
    Indexed,
    /// Every operation of a batch was carried out.
    Batch {
        /// One outcome an operation.
        results: Vec<Outcome>,
    },
    /// Nothing was written.
    Refused(Refusal),
}

/// Why a valid request was not carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Refusal {
    /// Documents with these ids exist already.
    Conflict {
        /// The ids of the request that are taken.
        ids: Vec<DocumentId>,
    },
    /// The request does not fit the documents that it meets, say `$inc` of a string.
    Unfit {
        /// The reason and the place.
        detail: String,
    },
    /// The request is so old that nobody knows any more whether it was carried out.
    Forgotten,
    /// The database took too long to find what the request is about. Not put on record: the same
    /// request may well succeed later.
    TimedOut,
    /// An operation of a batch failed, and with it the whole batch.
    InBatch {
        /// Its place in the batch, from 0.
        index: usize,
        /// Why.
        refusal: Box<Refusal>,
    },
}

impl Refusal {
    /// Whether repetitions of the request are to get this refusal again.
    #[must_use]
    pub fn is_for_the_record(&self) -> bool {
        match self {
            Self::TimedOut => false,
            Self::InBatch { refusal, .. } => refusal.is_for_the_record(),
            Self::Conflict { .. } | Self::Unfit { .. } | Self::Forgotten => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_succeed_later_is_not_for_the_record() {
        let within = |refusal| Refusal::InBatch { index: 3, refusal: Box::new(refusal) };
        for (refusal, expected) in [
            (Refusal::TimedOut, false),
            (within(Refusal::TimedOut), false),
            (Refusal::Forgotten, true),
            (Refusal::Conflict { ids: Vec::new() }, true),
            (within(Refusal::Unfit { detail: String::new() }), true),
        ] {
            assert_eq!(refusal.is_for_the_record(), expected, "{refusal:?}");
        }
    }
}
