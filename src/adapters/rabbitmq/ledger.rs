//! Which requests of which messages a consumption holds.
//!
//! The broker knows messages, the worker knows requests, and a message may hold several. It is
//! acknowledged when all of them are answered, and goes back as a whole when one of them is given
//! back: what was answered already is then answered again, which at-least-once delivery allows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::settlement::{Settlement, settlement};
use crate::ports::requests::Ticket;

/// Where the reply to a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The asker's queue.
    pub(super) queue: String,
    pub(super) to: Correlation,
}

/// The asker's number for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Correlation {
    /// Of a message with one request.
    Alone(String),
    /// Of one of several. Its asker takes several replies in one message.
    Bundled(u64),
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    Back,
}

/// What is to be said to the broker.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) acknowledge: Settlement,
    pub(super) give_back: Settlement,
}

#[derive(Debug, Default)]
struct Message {
    open: usize,
    goes_back: bool,
}

struct Request {
    tag: u64,
    /// Taken out when the reply was sent; nothing where the request does not say.
    address: Option<Address>,
}

/// Everything delivered and not settled yet.
#[derive(Default)]
pub(super) struct Ledger {
    /// By delivery tag.
    messages: BTreeMap<u64, Message>,
    requests: HashMap<Ticket, Request>,
    last_ticket: u64,
}

impl Ledger {
    /// Enters a request of the message with this tag.
    pub(super) fn enter(&mut self, tag: u64, address: Option<Address>) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.messages.entry(tag).or_default().open += 1;
        self.requests.insert(ticket, Request { tag, address });
        ticket
    }

    /// Where the reply to an open request goes. `None` for one that is settled already; once at the
    /// most for each.
    pub(super) fn take_address(&mut self, ticket: Ticket) -> Option<Option<Address>> {
        self.requests.get_mut(&ticket).map(|request| request.address.take())
    }

    /// How many requests are open.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Strikes out what is open of these, and says what to tell the broker.
    pub(super) fn settle(&mut self, tickets: Vec<Ticket>, fate: Fate) -> Verdict {
        let (mut done, mut back) = (BTreeSet::new(), BTreeSet::new());
        for ticket in tickets {
            let Some(Request { tag, .. }) = self.requests.remove(&ticket) else { continue };
            let Some(message) = self.messages.get_mut(&tag) else { continue };
            message.open -= 1;
            message.goes_back |= fate == Fate::Back;
            if message.open == 0 {
                let settled = if message.goes_back { &mut back } else { &mut done };
                settled.insert(tag);
                self.messages.remove(&tag);
            }
        }
        let lowest_open = self.messages.keys().next().copied();
        let lowest_back = back.first().copied();
        let lowest_not_done = lowest_open.into_iter().chain(lowest_back).min();
        Verdict {
            acknowledge: settlement(&done, lowest_not_done),
            // Acknowledged before, the others are not among "all up to this one" any more.
            give_back: settlement(&back, lowest_open),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Settlement {
        Settlement { all_up_to: None, single: vec![] }
    }

    fn all_up_to(tag: u64) -> Settlement {
        Settlement { all_up_to: Some(tag), single: vec![] }
    }

    #[test]
    fn message_is_acknowledged_with_its_last_request() {
        let mut ledger = Ledger::default();
        let [first, second] = [ledger.enter(7, None), ledger.enter(7, None)];
        let verdict = ledger.settle(vec![first], Fate::Done);
        assert_eq!(verdict, Verdict { acknowledge: nothing(), give_back: nothing() });
        let verdict = ledger.settle(vec![second], Fate::Done);
        assert_eq!(verdict, Verdict { acknowledge: all_up_to(7), give_back: nothing() });
        assert_eq!(ledger.len(), 0);
    }

    #[test]
    fn message_goes_back_when_one_of_its_requests_does() {
        let mut ledger = Ledger::default();
        let [first, second] = [ledger.enter(1, None), ledger.enter(1, None)];
        ledger.settle(vec![first], Fate::Back);
        let verdict = ledger.settle(vec![second], Fate::Done);
        assert_eq!(verdict, Verdict { acknowledge: nothing(), give_back: all_up_to(1) });
    }

    #[test]
    fn messages_of_both_fates_are_told_apart() {
        let mut ledger = Ledger::default();
        let tickets: Vec<_> = [1, 1, 2, 3].map(|tag| ledger.enter(tag, None)).into();
        ledger.settle(vec![tickets[0]], Fate::Back);
        let verdict = ledger.settle(tickets, Fate::Done);
        let acknowledge = Settlement { all_up_to: None, single: vec![2, 3] };
        assert_eq!(verdict, Verdict { acknowledge, give_back: all_up_to(1) });
    }

    #[test]
    fn request_is_settled_once_and_has_its_address_once() {
        let mut ledger = Ledger::default();
        let address = Address { queue: "asker".to_owned(), to: Correlation::Bundled(1) };
        let ticket = ledger.enter(1, Some(address.clone()));
        assert_eq!(ledger.take_address(ticket), Some(Some(address)));
        assert_eq!(ledger.take_address(ticket), Some(None));
        ledger.settle(vec![ticket], Fate::Done);
        assert_eq!(ledger.take_address(ticket), None);
        let verdict = ledger.settle(vec![ticket], Fate::Back);
        assert_eq!(verdict, Verdict { acknowledge: nothing(), give_back: nothing() });
    }
}
