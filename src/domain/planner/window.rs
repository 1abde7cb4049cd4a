//! Remembers what recent requests came to, so that a repetition is answered and not repeated.
//!
//! Fed by the log alone, so every worker remembers the same.

use std::collections::{HashMap, VecDeque};

use crate::domain::document::{CollectionName, Document, DocumentId};
use crate::domain::ids::{Offset, RequestId};
use crate::domain::log::Entry;
use crate::domain::outcome::{Outcome, Refusal};

/// What a request came to, and where that stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The offset of the record.
    pub offset: Offset,
    /// The outcome in it.
    pub outcome: Outcome,
}

/// How much a window remembers. The oldest records are forgotten first, whole.
#[derive(Clone, Copy, Debug)]
pub struct WindowLimits {
    /// Records with at least one entry.
    pub records: usize,
    /// Requests.
    pub requests: usize,
    /// Bytes of outcomes, about.
    pub bytes: usize,
}

impl Default for WindowLimits {
    fn default() -> Self {
        Self { records: DuplicateWindow::RECORDS as usize, requests: 400_000, bytes: 64 << 20 }
    }
}

/// The outcomes of the most recent requests.
#[derive(Debug)]
pub struct DuplicateWindow {
    limits: WindowLimits,
    floor: Offset,
    outcomes: HashMap<RequestId, Recorded>,
    records: VecDeque<(Offset, Vec<RequestId>)>,
    bytes: usize,
}

impl DuplicateWindow {
    /// How many offsets before its own position a worker starts to read after a restart, to
    /// fill its window.
    pub const RECORDS: u64 = 50_000;

    /// An empty window that will be fed every record from `floor` on.
    #[must_use]
    pub fn starting_at(floor: Offset) -> Self {
        Self::with_limits(floor, WindowLimits::default())
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(floor: Offset, limits: WindowLimits) -> Self {
        Self { limits, floor, outcomes: HashMap::new(), records: VecDeque::new(), bytes: 0 }
    }

    /// Every request that was recorded at this offset or later is remembered.
    #[must_use]
    pub const fn floor(&self) -> Offset {
        self.floor
    }

    /// What this request came to, if it was recorded lately.
    #[must_use]
    pub fn find(&self, id: &RequestId) -> Option<&Recorded> {
        self.outcomes.get(id)
    }

    /// How many requests are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.outcomes.len()
    }

    /// Nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    /// Takes in the entries of an admitted batch.
    pub fn record(&mut self, offset: Offset, entries: &[Entry]) {
        if entries.is_empty() {
            return;
        }
        for entry in entries {
            self.bytes += weight(&entry.outcome);
            let recorded = Recorded { offset, outcome: entry.outcome.clone() };
            // Whoever remembered less than this worker may have carried out a request again.
            if let Some(earlier) = self.outcomes.insert(entry.request_id.clone(), recorded) {
                self.bytes -= weight(&earlier.outcome);
            }
        }
        let ids = entries.iter().map(|entry| entry.request_id.clone()).collect();
        self.records.push_back((offset, ids));
        while self.is_overfull() {
            self.forget_oldest();
        }
    }

    fn is_overfull(&self) -> bool {
        self.records.len() > self.limits.records
            || self.outcomes.len() > self.limits.requests
            || self.bytes > self.limits.bytes
    }

    fn forget_oldest(&mut self) {
        let Some((offset, ids)) = self.records.pop_front() else {
            return;
        };
        self.floor = offset.next();
        for id in ids {
            let Some(recorded) = self.outcomes.get(&id) else { continue };
            if recorded.offset == offset {
                self.bytes -= weight(&recorded.outcome);
                self.outcomes.remove(&id);
            }
        }
    }
}

/// The bytes of an outcome, about.
fn weight(outcome: &Outcome) -> usize {
    let content = match outcome {
        Outcome::Updated { documents, upserted_id, .. } => {
            let documents: usize = documents.iter().map(Document::encoded_size).sum();
            documents + upserted_id.as_ref().map_or(0, id_weight)
        }
        Outcome::Inserted { ids } => ids.iter().map(id_weight).sum(),
        Outcome::Batch { results } => results.iter().map(weight).sum(),
        Outcome::Refused(refusal) => refusal_weight(refusal),
        Outcome::Cleared { collections } => collections.len() * size_of::<CollectionName>(),
        Outcome::Deleted { .. } | Outcome::Indexed => 0,
    };
    size_of::<Outcome>() + content
}

fn refusal_weight(refusal: &Refusal) -> usize {
    match refusal {
        Refusal::Conflict { ids } => ids.iter().map(id_weight).sum(),
        Refusal::Unfit { detail } => detail.len(),
        Refusal::Forgotten | Refusal::TimedOut => 0,
        Refusal::InBatch { refusal, .. } => size_of::<Refusal>() + refusal_weight(refusal),
    }
}

fn id_weight(id: &DocumentId) -> usize {
    let text = match id {
        DocumentId::Integer(_) => 0,
        DocumentId::String(text) => text.len(),
    };
    size_of::<DocumentId>() + text
}
