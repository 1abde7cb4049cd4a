//! What was decided and why, kept where all orchestrators find it.
//!
//! An event is noted at once and kept soon: whoever notes one never waits for the coordination
//! service.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::views::Views;
use crate::domain::events::{Cause, Event, Events, Kind};
use crate::domain::ids::{Epoch, NodeId};
use crate::ports::coordination::{Coordination, CoordinationError, CoordinationView};
use crate::roles::ambient::Ambient;
use crate::roles::chain;

/// Events that may wait to be kept.
const MOST_WAITING: usize = 1_000;
/// The pause after a failure to keep events.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the view may take to show what was written.
const VIEW_LIMIT: Duration = Duration::from_secs(5);

/// The newest events; cheap to clone.
#[derive(Clone)]
pub struct Journal {
    ambient: Ambient,
    coordination: Arc<dyn Coordination>,
    views: Views,
    waiting: Arc<Mutex<VecDeque<Event>>>,
    noted: Arc<Notify>,
}

impl Journal {
    pub(super) fn new(ambient: Ambient, coordination: Arc<dyn Coordination>, views: Views) -> Self {
        Self { ambient, coordination, views, waiting: Arc::default(), noted: Arc::default() }
    }

    /// The events kept, and those that are yet to be; oldest first.
    #[must_use]
    pub fn events(&self) -> Events {
        self.kept().with(&self.waiting())
    }

    /// Follows the events.
    #[must_use]
    pub fn follow(&self) -> Follower {
        Follower { views: self.views.clone() }
    }

    fn kept(&self) -> Events {
        kept(&self.coordination.view().borrow())
    }

    fn waiting(&self) -> Vec<Event> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Event>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, kind: Kind, node: Option<&NodeId>, cause: Cause) {
        self.add(kind, node, cause, |_| {});
    }

    pub(super) fn note_election(&self, node: &NodeId, from: Epoch, to: Epoch, cause: Cause) {
        self.note_naming(Kind::Elected, node, (from, to), cause);
    }

    pub(super) fn note_recovery(&self, node: &NodeId, from: Epoch, to: Epoch) {
        self.note_naming(Kind::Recovered, node, (from, to), Cause::Asked);
    }

    fn note_naming(&self, kind: Kind, node: &NodeId, epochs: (Epoch, Epoch), cause: Cause) {
        self.add(kind, Some(node), cause, |event| {
            (event.from_epoch, event.to_epoch) = (Some(epochs.0), Some(epochs.1));
        });
    }

    pub(super) fn note_office(&self, node: &NodeId, epoch: Epoch, took: Option<Duration>) {
        self.add(Kind::InOffice, Some(node), Cause::NoMaster, |event| {
            event.to_epoch = Some(epoch);
            event.took_ms = took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        });
    }

    pub(super) fn note_scale(&self, slaves: u32, cause: Cause) {
        self.add(Kind::Scaled, None, cause, |event| event.slaves = Some(slaves));
    }

    fn add(
        &self,
        kind: Kind,
        node: Option<&NodeId>,
        cause: Cause,
        detail: impl FnOnce(&mut Event),
    ) {
        let mut event = Event {
            id: 0,
            at_ms: self.ambient.now_ms(),
            kind,
            node: node.cloned(),
            cause,
            took_ms: None,
            from_epoch: None,
            to_epoch: None,
            slaves: None,
        };
        detail(&mut event);
        tracing::info!(?kind, node = ?node.map(NodeId::as_str), cause = ?event.cause, "event");
        metrics::counter!("rideshare_orchestrator_events_total", "kind" => kind.as_str())
            .increment(1);
        let mut waiting = self.lock();
        if waiting.len() == MOST_WAITING {
            warn!("an event is forgotten: too many wait to be kept");
            waiting.pop_front();
        }
        waiting.push_back(event);
        drop(waiting);
        self.noted.notify_one();
    }

    /// Keeps what is noted, until aborted.
    pub(super) async fn keep(self) {
        loop {
            let waiting = self.waiting();
            if waiting.is_empty() {
                self.noted.notified().await;
            } else if let Err(error) = self.write(&waiting).await {
                debug!(error = %chain(error), "events are not kept yet");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Keeps what is still waiting, once, at the end.
    pub(super) async fn flush(&self) {
        let waiting = self.waiting();
        if !waiting.is_empty() && self.write(&waiting).await.is_err() {
            warn!(events = waiting.len(), "events are not kept");
        }
    }

    /// Writes events and waits to see them; only then they wait no more. An attempt whose end is
    /// unknown is followed by another: what has arrived is not added again.
    async fn write(&self, waiting: &[Event]) -> Result<(), CoordinationError> {
        let mut views = self.views.clone();
        drop(views.borrow_and_update());
        let current = self.coordination.view().borrow().events.clone();
        let kept = current.as_ref().map(|it| it.value.clone()).unwrap_or_default();
        if !kept.has(waiting) {
            let expected = current.map(|it| it.version);
            match self.coordination.set_events(&kept.with(waiting), expected).await {
                // Somebody else was faster; the view will show it.
                Ok(()) | Err(CoordinationError::Conflict) => {}
                Err(error) => return Err(error),
            }
            let _ = timeout(VIEW_LIMIT, views.changed()).await;
        }
        if self.kept().has(waiting) {
            let mut all = self.lock();
            all.retain(|event| !waiting.contains(event));
        }
        Ok(())
    }
}

fn kept(view: &CoordinationView) -> Events {
    view.events.as_ref().map(|it| it.value.clone()).unwrap_or_default()
}

/// Sees events come.
pub struct Follower {
    views: Views,
}

impl Follower {
    /// Waits until there are kept events after the one with this id. Cancel safe. Nothing when
    /// there will be none any more.
    pub async fn after(&mut self, id: u64) -> Option<Vec<Event>> {
        loop {
            let events = kept(&self.views.borrow_and_update());
            let new: Vec<_> = events.as_slice().iter().filter(|it| it.id > id).cloned().collect();
            if !new.is_empty() {
                return Some(new);
            }
            self.views.changed().await.ok()?;
        }
    }
}
