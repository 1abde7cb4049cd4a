//! A master's office: where its requests come from, and its answers go.

use tracing::warn;

use super::suspects::Suspects;
use crate::domain::ids::{Epoch, Offset, Sequence};
use crate::domain::log::Entry;
use crate::domain::message::Reply;
use crate::domain::planner::Answer;
use crate::domain::request::WriteRequest;
use crate::ports::requests::{Consumer, Ticket};
use crate::roles::chain;

/// A write with the ticket of its delivery.
pub(super) type Held = (Ticket, WriteRequest);

/// Held for one epoch.
pub(super) struct Leading {
    pub(super) epoch: Epoch,
    pub(super) next_sequence: Sequence,
    pub(super) consumer: Consumer,
    pub(super) suspects: Suspects,
}

impl Leading {
    pub(super) fn begin(epoch: Epoch, next_sequence: Sequence, consumer: Consumer) -> Self {
        Self { epoch, next_sequence, consumer, suspects: Suspects::default() }
    }

    /// Names the next batch.
    pub(super) fn name_batch(&mut self) -> (Epoch, Sequence) {
        let sequence = self.next_sequence;
        self.next_sequence = sequence.next();
        (self.epoch, sequence)
    }

    /// An answer that cannot be sent is asked for again: the request comes back.
    pub(super) async fn answer(&self, replies: Vec<(Ticket, Reply)>) {
        if replies.is_empty() {
            return;
        }
        if let Err(error) = self.consumer.answers.answer(replies).await {
            warn!(error = %chain(error), "answers not sent");
        }
    }

    /// Answers writes whose batch stands at this offset, with these entries.
    pub(super) async fn answer_written(
        &self,
        answers: Vec<(Ticket, Answer)>,
        offset: Offset,
        entries: &[Entry],
    ) {
        let replies = answers.into_iter().map(|(ticket, answer)| {
            let recorded = answer.resolve(offset, entries);
            (ticket, Reply::Written { offset: recorded.offset, outcome: recorded.outcome })
        });
        self.answer(replies.collect()).await;
    }
}
