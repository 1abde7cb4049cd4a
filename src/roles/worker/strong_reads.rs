//! Strong reads: carried out on the master, behind a barrier in the log, beside the sequencer's loop.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::Parts;
use super::reader::read;
use super::replica::{Position, still_holds};
use crate::domain::ids::Offset;
use crate::domain::request::ReadOperation;
use crate::ports::requests::{Answers, Ticket};
use crate::roles::latest;

/// Strong reads that are carried out at a time: few, since the loop itself reads too.
const RUNNING: usize = 2;
/// Strong reads that may wait; further ones are told to try again.
const WAITING: usize = 256;

/// A read that has its barrier behind it.
pub(super) struct StrongRead {
    pub(super) ticket: Ticket,
    pub(super) operation: ReadOperation,
    pub(super) expires_at: Instant,
    pub(super) answers: Arc<dyn Answers>,
}

/// Those under way and those that wait.
#[derive(Default)]
pub(super) struct StrongReads {
    running: JoinSet<()>,
    waiting: VecDeque<StrongRead>,
}

impl StrongReads {
    /// Takes one in; gives its ticket back when too many wait.
    pub(super) fn take(&mut self, read: StrongRead) -> Result<(), Ticket> {
        if self.waiting.len() >= WAITING {
            return Err(read.ticket);
        }
        self.waiting.push_back(read);
        Ok(())
    }

    /// Begins with as many as may run. A state newer than their barrier is current too.
    pub(super) fn run(
        &mut self,
        parts: &Parts,
        position: &latest::Receiver<Position>,
        offset: Offset,
    ) {
        while self.running.len() < RUNNING {
            let Some(waiting) = self.waiting.pop_front() else { return };
            // With it goes everything that must be dropped before the worker counts as ended.
            self.running.spawn(waiting.carry_out(parts.clone(), position.clone(), offset));
        }
    }

    /// Waits until one has ended. `None` when none runs. Cancel safe.
    pub(super) async fn ended(&mut self) -> Option<()> {
        self.running.join_next().await.map(|_| ())
    }
}

impl StrongRead {
    async fn carry_out(self, parts: Parts, position: latest::Receiver<Position>, offset: Offset) {
        let reading = read(parts.store.as_ref(), &self.operation, offset);
        match timeout_at(self.expires_at, reading).await {
            Ok(Some(reply)) if still_holds(&position, offset) => {
                let _ = self.answers.answer(vec![(self.ticket, reply)]).await;
            }
            // The asker has given up, or somebody else is to answer.
            Ok(_) | Err(_) => self.answers.release(vec![self.ticket]).await,
        }
    }
}
