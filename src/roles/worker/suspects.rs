//! Writes that came back more than once: masters may have died of one of them.
//!
//! They wait until all that a dead master held has come in, and are then carried out one by one: who
//! came back least often first, and of those who came back equally often the last one first. The one
//! that kills was most likely the first that a master had in its hands, so that the others are
//! answered before it strikes again, and are not set aside together with it.
//!
//! A request may be there several times, as whoever sent it sends it again when a master has died.
//! Its copies wait together and count as often as that of them which came back most often.

use std::cmp::Reverse;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::leading::Held;
use crate::domain::ids::RequestId;

/// How often a write has come back that is suspected. After an ordinary failover each one that the
/// dead master held has done so once.
const OFTEN: u32 = 2;
/// Within this, what a dead master held comes in.
const WAIT: Duration = Duration::from_millis(100);

/// A write and how often it has come back.
pub(super) type Returned = (u32, Held);

struct Suspect {
    id: RequestId,
    tried: u32,
    copies: Vec<Held>,
}

#[derive(Default)]
pub(super) struct Suspects {
    /// In the order in which they came in.
    held: Vec<Suspect>,
    due: Option<Instant>,
}

impl Suspects {
    /// Keeps those that are suspected, and gives back the others. While there is a suspect, whatever
    /// came back at all may be a copy of it.
    pub(super) fn keep(&mut self, writes: Vec<Returned>) -> Vec<Held> {
        let on_guard = !self.held.is_empty() || writes.iter().any(|(tried, _)| *tried >= OFTEN);
        let mut clear = Vec::with_capacity(writes.len());
        for (tried, held) in writes {
            if on_guard && (tried > 0 || self.position(&held.1.id).is_some()) {
                self.hold(tried, held);
            } else {
                clear.push(held);
            }
        }
        clear
    }

    fn position(&self, id: &RequestId) -> Option<usize> {
        self.held.iter().position(|suspect| suspect.id == *id)
    }

    fn hold(&mut self, tried: u32, held: Held) {
        self.due.get_or_insert_with(|| Instant::now() + WAIT);
        match self.position(&held.1.id) {
            Some(index) => {
                let suspect = &mut self.held[index];
                suspect.tried = suspect.tried.max(tried);
                suspect.copies.push(held);
            }
            None => self.held.push(Suspect { id: held.1.id.clone(), tried, copies: vec![held] }),
        }
    }

    /// Waits until one is to be carried out; forever where there is none. Cancel safe.
    pub(super) async fn due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// All copies of the next one.
    pub(super) fn next(&mut self) -> Vec<Held> {
        let key = |index: &usize| (self.held[*index].tried, Reverse(*index));
        let Some(next) = (0..self.held.len()).min_by_key(key) else { return Vec::new() };
        let suspect = self.held.remove(next);
        if self.held.is_empty() {
            self.due = None;
        }
        suspect.copies
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Offset;
    use crate::domain::request::{Acknowledgement, WriteOperation, WriteRequest};
    use crate::ports::requests::Ticket;

    fn returned(tried: u32, ticket: u64, id: &str) -> Returned {
        let request = WriteRequest {
            id: RequestId::new(id),
            seen: Offset(0),
            acknowledgement: Acknowledgement::Applied,
            operation: WriteOperation::Clear { collections: Vec::new() },
        };
        (tried, (Ticket(ticket), request))
    }

    fn tickets(held: &[Held]) -> Vec<u64> {
        held.iter().map(|(ticket, _)| ticket.0).collect()
    }

    #[tokio::test]
    async fn what_came_back_once_is_clear_while_nothing_is_suspected() {
        let mut suspects = Suspects::default();
        let clear = suspects.keep(vec![returned(1, 0, "a"), returned(0, 1, "b")]);
        assert_eq!(tickets(&clear), [0, 1]);
        assert!(suspects.next().is_empty());
    }

    #[tokio::test]
    async fn copies_of_a_suspect_are_carried_out_with_it_and_after_the_others() {
        let mut suspects = Suspects::default();
        // A copy of the one that kills comes in first, and has come back less often than the rest.
        let batch = vec![
            returned(1, 0, "killer"),
            returned(2, 1, "killer"),
            returned(2, 2, "innocent"),
            returned(0, 3, "new"),
        ];
        assert_eq!(tickets(&suspects.keep(batch)), [3]);
        let later =
            vec![returned(0, 4, "killer"), returned(1, 5, "another"), returned(0, 6, "new too")];
        assert_eq!(tickets(&suspects.keep(later)), [6]);
        let order: Vec<_> = (0..4).map(|_| tickets(&suspects.next())).collect();
        assert_eq!(order, [vec![5], vec![2], vec![0, 1, 4], vec![]]);
    }
}
