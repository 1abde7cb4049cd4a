//! Turns requests and the documents they meet into effects and outcomes.
//!
//! The master asks [`needs`] what to fetch, fetches it from its own store, and calls [`plan`].
//! Whatever [`plan`] says is a function of its arguments alone; the entries go into the log.

mod needs;
mod operations;
mod view;
mod window;

#[cfg(test)]
mod tests;

pub use needs::{Needs, Scan, ScanKey, needs, together};
pub use view::View;
pub use window::{DuplicateWindow, Recorded, WindowLimits};

use std::collections::HashMap;

use super::ids::{Offset, RequestId};
use super::log::Entry;
use super::outcome::{Outcome, Refusal};
use super::request::WriteRequest;

/// The most that one request may change, in bytes of documents. Bounds the size of a record.
pub const MAX_ENTRY_BYTES: usize = 16 * 1024 * 1024;
/// A batch is closed once its entries have reached this size.
const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Where a request's answer comes from, once its batch is read back.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// From this entry of the batch.
    Planned(usize),
    /// From an earlier record: the request is a repetition.
    Recorded(Recorded),
    /// From here alone: the refusal is not for the record.
    Unrecorded(Refusal),
}

/// A planned batch.
#[derive(Debug, Default)]
pub struct Plan {
    /// What goes into the log; empty where every request is a repetition.
    pub entries: Vec<Entry>,
    /// One a request, in order. Fewer than there were requests when the batch was full: the rest
    /// is planned next.
    pub answers: Vec<Answer>,
}

impl Answer {
    /// The offset and the outcome to tell, for a batch that was read back at `batch`.
    #[must_use]
    pub fn resolve(self, batch: Offset, entries: &[Entry]) -> Recorded {
        match self {
            Self::Recorded(recorded) => recorded,
            Self::Planned(index) => {
                let outcome = entries.get(index).map(|entry| entry.outcome.clone());
                let forgotten = Outcome::Refused(Refusal::Forgotten);
                Recorded { offset: batch, outcome: outcome.unwrap_or(forgotten) }
            }
            Self::Unrecorded(refusal) => {
                Recorded { offset: batch, outcome: Outcome::Refused(refusal) }
            }
        }
    }
}

/// Plans requests in order, each on top of the ones before it.
///
/// `view` must hold what [`needs`] named for the same requests, read from one state of the store
/// to which all earlier batches were applied.
#[must_use]
pub fn plan(requests: &[&WriteRequest], mut view: View, window: &DuplicateWindow) -> Plan {
    let mut plan = Plan::default();
    let mut planned: HashMap<&RequestId, usize> = HashMap::new();
    let mut bytes = 0;
    for (index, request) in requests.iter().enumerate() {
        if bytes >= MAX_BATCH_BYTES {
            break;
        }
        let answer = if let Some(recorded) = window.find(&request.id) {
            Answer::Recorded(recorded.clone())
        } else if let Some(entry) = planned.get(&request.id) {
            Answer::Planned(*entry)
        } else if request.seen < window.floor() {
            Answer::Unrecorded(Refusal::Forgotten)
        } else {
            let effect = operations::carry_out(&request.operation, index, &mut view);
            bytes += effect.bytes;
            if let Outcome::Refused(refusal) = &effect.outcome
                && !refusal.is_for_the_record()
            {
                plan.answers.push(Answer::Unrecorded(refusal.clone()));
                continue;
            }
            planned.insert(&request.id, plan.entries.len());
            plan.entries.push(Entry {
                request_id: request.id.clone(),
                outcome: effect.outcome,
                changes: effect.changes,
            });
            Answer::Planned(plan.entries.len() - 1)
        };
        plan.answers.push(answer);
    }
    plan
}
