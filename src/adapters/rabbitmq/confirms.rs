//! Which published messages wait for the broker's confirmation, and who waits with them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// Messages that may be unconfirmed at a time.
const WINDOW: usize = 2_048;

/// With a message unconfirmed for so long, no more are sent: the broker has stopped reading,
/// and what is held back can still be refused with certainty.
const STALLED: Duration = Duration::from_secs(2);

/// What the broker says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirmation {
    /// It has it, as safely as its queue keeps it.
    Taken,
    /// The queue refused it.
    Refused,
    /// It had no queue to put it in.
    Unroutable,
}

/// The unconfirmed messages of one channel, in the order of their numbers.
#[derive(Default)]
pub(super) struct Confirms {
    waiting: Mutex<Waiting>,
    /// Told when a message was confirmed.
    pub(super) freed: Notify,
    /// Told when a message had no queue to go to.
    pub(super) unroutable: Notify,
}

#[derive(Default)]
struct Waiting {
    /// The broker numbers the messages of a channel from 1.
    before_first: u64,
    messages: VecDeque<Message>,
}

struct Message {
    /// Taken out when confirmed out of order.
    waiter: Option<oneshot::Sender<Confirmation>>,
    sent_at: Instant,
    returned: bool,
}

impl Confirms {
    /// Numbers a message that is published next.
    pub(super) fn expect(&self, waiter: oneshot::Sender<Confirmation>) -> u64 {
        let mut waiting = self.lock();
        let sent_at = Instant::now();
        waiting.messages.push_back(Message { waiter: Some(waiter), sent_at, returned: false });
        waiting.before_first + waiting.messages.len() as u64
    }

    /// Whether the broker keeps up with what it is sent.
    pub(super) fn keeps_up(&self) -> bool {
        let waiting = self.lock();
        let oldest = waiting.messages.front();
        waiting.messages.len() < WINDOW
            && oldest.is_none_or(|message| message.sent_at.elapsed() < STALLED)
    }

    /// Takes in a confirmation: of this message, or of all up to it.
    pub(super) fn settle(&self, tag: u64, multiple: bool, taken: bool) {
        let mut waiting = self.lock();
        let Some(index) = waiting.index(tag) else { return };
        if multiple {
            for message in waiting.messages.iter_mut().take(index + 1) {
                message.settle(taken);
            }
        } else {
            waiting.messages[index].settle(taken);
        }
        waiting.forget_settled();
        drop(waiting);
        self.freed.notify_one();
    }

    /// Takes in that a message had no queue to go to; its confirmation follows.
    pub(super) fn returned(&self, tag: u64) {
        let mut waiting = self.lock();
        if let Some(index) = waiting.index(tag) {
            waiting.messages[index].returned = true;
        }
        drop(waiting);
        self.unroutable.notify_one();
    }

    /// The channel is gone: nobody will ever know of the rest.
    pub(super) fn give_up(&self) {
        self.lock().messages.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        // Every change is complete by itself, so a panic elsewhere leaves nothing half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn index(&self, tag: u64) -> Option<usize> {
        let index = usize::try_from(tag.checked_sub(self.before_first + 1)?).ok()?;
        (index < self.messages.len()).then_some(index)
    }

    fn forget_settled(&mut self) {
        while self.messages.front().is_some_and(|message| message.waiter.is_none()) {
            self.messages.pop_front();
            self.before_first += 1;
        }
    }
}

impl Message {
    fn settle(&mut self, taken: bool) {
        let confirmation = match (taken, self.returned) {
            (_, true) => Confirmation::Unroutable,
            (true, false) => Confirmation::Taken,
            (false, false) => Confirmation::Refused,
        };
        if let Some(waiter) = self.waiter.take() {
            // Whoever waited may have left.
            let _ = waiter.send(confirmation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(confirms: &Confirms, count: u64) -> Vec<oneshot::Receiver<Confirmation>> {
        let expect = |_| {
            let (waiter, confirmed) = oneshot::channel();
            confirms.expect(waiter);
            confirmed
        };
        (0..count).map(expect).collect()
    }

    fn heard(waiters: &mut [oneshot::Receiver<Confirmation>]) -> Vec<Option<Confirmation>> {
        waiters.iter_mut().map(|waiter| waiter.try_recv().ok()).collect()
    }

    #[test]
    fn confirmations_reach_the_messages_they_name() {
        use Confirmation::{Refused, Taken, Unroutable};
        let confirms = Confirms::default();
        let mut waiters = expect(&confirms, 5);
        confirms.settle(4, false, false);
        assert_eq!(heard(&mut waiters), [None, None, None, Some(Refused), None]);
        confirms.returned(2);
        confirms.settle(3, true, true);
        assert_eq!(heard(&mut waiters)[..3], [Some(Taken), Some(Unroutable), Some(Taken)]);
        confirms.settle(5, true, true);
        assert_eq!(heard(&mut waiters)[4], Some(Taken));
        let mut later = expect(&confirms, 1);
        confirms.settle(5, false, true);
        confirms.settle(7, false, true);
        assert_eq!(heard(&mut later), [None], "numbers that nobody waits for change nothing");
        confirms.settle(6, false, true);
        assert_eq!(heard(&mut later), [Some(Taken)]);
    }

    #[tokio::test(start_paused = true)]
    async fn broker_that_confirms_nothing_is_sent_no_more() {
        let confirms = Confirms::default();
        assert!(confirms.keeps_up());
        let mut waiters = expect(&confirms, 1);
        tokio::time::advance(STALLED).await;
        assert!(!confirms.keeps_up());
        confirms.settle(1, false, true);
        assert!(confirms.keeps_up());
        assert_eq!(heard(&mut waiters), [Some(Confirmation::Taken)]);

        let _many = expect(&confirms, WINDOW as u64);
        assert!(!confirms.keeps_up());
        confirms.give_up();
        assert!(confirms.keeps_up());
    }
}
