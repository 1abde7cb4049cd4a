//! What the controller did and why: the newest events, for people and for tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::domain::ids::{Epoch, NodeId};
use crate::roles::ambient::Ambient;

/// How many events are kept.
const CAPACITY: usize = 1_000;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A slave was chosen to be master.
    Elected,
    /// A master took office.
    InOffice,
    /// A worker was started.
    Started,
    /// An exited worker was started again, with its data.
    Restarted,
    /// A worker was asked to finish and go.
    Drained,
    /// An exited worker and its data were removed.
    Removed,
    /// A worker was killed because it was suspected.
    Fenced,
    /// A worker was killed on request.
    Crashed,
    /// The wanted number of slaves changed.
    Scaled,
    /// The controller was told to keep its hands off.
    Paused,
    /// The controller was told to go on.
    Resumed,
}

/// Why it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Somebody asked for it.
    Asked,
    /// The number of slaves was not the wanted one.
    Wanted,
    /// There was no master.
    NoMaster,
    /// The worker had exited.
    Exited,
    /// Two observers missed the worker.
    Suspected,
    /// The reads of the last window called for it.
    Reads(u64),
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalEntry {
    /// Ascending from 1 since this orchestrator started.
    pub id: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub kind: Kind,
    /// Whom it was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Why.
    pub cause: Cause,
    /// How long it took, in milliseconds: from noticing to being done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// The epoch before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_epoch: Option<Epoch>,
    /// The epoch after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_epoch: Option<Epoch>,
    /// The wanted number of slaves, where that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slaves: Option<u32>,
}

/// The newest events; cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    ambient: Ambient,
    entries: Arc<Mutex<VecDeque<JournalEntry>>>,
}

impl Journal {
    pub(super) fn new(ambient: Ambient) -> Self {
        Self { ambient, entries: Arc::default() }
    }

    /// The events kept, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<JournalEntry> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().cloned().collect()
    }

    pub(super) fn note(&self, kind: Kind, node: Option<&NodeId>, cause: Cause) {
        self.add(kind, node, cause, |_| {});
    }

    pub(super) fn note_election(&self, node: &NodeId, from: Epoch, to: Epoch, cause: Cause) {
        self.add(Kind::Elected, Some(node), cause, |entry| {
            entry.from_epoch = Some(from);
            entry.to_epoch = Some(to);
        });
    }

    pub(super) fn note_office(&self, node: &NodeId, epoch: Epoch, took: Option<Duration>) {
        self.add(Kind::InOffice, Some(node), Cause::NoMaster, |entry| {
            entry.to_epoch = Some(epoch);
            entry.took_ms = took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        });
    }

    pub(super) fn note_scale(&self, slaves: u32, cause: Cause) {
        self.add(Kind::Scaled, None, cause, |entry| entry.slaves = Some(slaves));
    }

    fn add(
        &self,
        kind: Kind,
        node: Option<&NodeId>,
        cause: Cause,
        detail: impl FnOnce(&mut JournalEntry),
    ) {
        let at_ms = self.ambient.now_ms();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let id = entries.back().map_or(1, |last| last.id + 1);
        let mut entry = JournalEntry {
            id,
            at_ms,
            kind,
            node: node.cloned(),
            cause,
            took_ms: None,
            from_epoch: None,
            to_epoch: None,
            slaves: None,
        };
        detail(&mut entry);
        tracing::info!(?kind, node = ?node.map(NodeId::as_str), cause = ?entry.cause, "event");
        if entries.len() == CAPACITY {
            entries.pop_front();
        }
        entries.push_back(entry);
    }
}
