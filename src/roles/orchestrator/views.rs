//! What the coordination service shows, for all parts of an orchestrator that wait for it to change.
//!
//! The port's own receivers are woken by lot where several wait; see [`latest`].

use std::sync::Arc;

use tokio::sync::watch;

use crate::ports::coordination::{Coordination, CoordinationView};
use crate::roles::latest;

/// The newest view.
pub(super) type Views = latest::Receiver<CoordinationView>;

/// Passes on every view that comes.
pub(super) struct Carrier {
    from: watch::Receiver<CoordinationView>,
    to: latest::Sender<CoordinationView>,
}

impl Carrier {
    pub(super) fn new(coordination: &Arc<dyn Coordination>) -> Self {
        let mut from = coordination.view();
        let to = latest::Sender::new(from.borrow_and_update().clone());
        Self { from, to }
    }

    pub(super) fn views(&self) -> Views {
        self.to.subscribe()
    }

    /// Runs until the service is closed.
    pub(super) async fn run(mut self) {
        while self.from.changed().await.is_ok() {
            let view = self.from.borrow_and_update().clone();
            self.to.send(view);
        }
    }
}
