//! One queue and its consumers: who gets what, and what becomes of it.
//!
//! Pure bookkeeping: no locks, no waiting. A request is in one of three places: `waiting` in the
//! queue, assigned to a consumer in its `buffer`, or received and `held`. Requests keep their
//! number in all of them, so what comes back finds its old place.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::domain::message::{Reply, Request};
use crate::ports::requests::{Correlation, Delivery, Rank, Ticket};

/// About how many bytes of requests are received at once.
const RECEIVE_BYTES: usize = 1024 * 1024;
/// How often a full queue is searched for expired requests.
const SEARCH_EVERY: Duration = Duration::from_millis(50);

/// A request on its way.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) request: Arc<Request>,
    pub(super) bytes: usize,
    pub(super) expires_at: Instant,
    /// How often it was received.
    pub(super) tried: u32,
    pub(super) correlation: Correlation,
    pub(super) reply_to: mpsc::Sender<(Correlation, Reply)>,
}

/// Names one consumer of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConsumerId(u64);

#[derive(Debug)]
struct Slot {
    id: ConsumerId,
    unanswered: usize,
    rank: Rank,
    /// Still takes requests.
    is_open: bool,
    buffer: VecDeque<(u64, Item)>,
    /// By ticket.
    held: BTreeMap<u64, (u64, Item)>,
    /// Rung when something was put into the buffer.
    bell: Arc<Notify>,
}

impl Slot {
    fn has_room(&self) -> bool {
        self.is_open && self.buffer.len() + self.held.len() < self.unanswered
    }
}

/// A bounded queue with competing consumers; those of one rank are served in turn.
#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    waiting: VecDeque<(u64, Item)>,
    consumers: Vec<Slot>,
    /// The place in `consumers` that is served next.
    turn: usize,
    next_number: u64,
    next_consumer: u64,
    next_ticket: u64,
    search_at: Option<Instant>,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            waiting: VecDeque::new(),
            consumers: Vec::new(),
            turn: 0,
            next_number: 0,
            next_consumer: 0,
            next_ticket: 0,
            search_at: None,
        }
    }

    pub(super) fn count_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a request in; false when the queue is full.
    pub(super) fn offer(&mut self, item: Item, now: Instant) -> bool {
        if self.waiting.len() >= self.capacity {
            self.drop_expired(now);
        }
        if self.waiting.len() >= self.capacity {
            return false;
        }
        self.waiting.push_back((self.next_number, item));
        self.next_number += 1;
        self.assign(now);
        true
    }

    pub(super) fn add_consumer(
        &mut self,
        unanswered: u16,
        rank: Rank,
        bell: Arc<Notify>,
        now: Instant,
    ) -> ConsumerId {
        let id = ConsumerId(self.next_consumer);
        self.next_consumer += 1;
        self.consumers.push(Slot {
            id,
            unanswered: usize::from(unanswered.max(1)),
            rank,
            is_open: true,
            buffer: VecDeque::new(),
            held: BTreeMap::new(),
            bell,
        });
        self.assign(now);
        id
    }

    /// What the consumer can receive now, possibly nothing; `None` when it is closed.
    pub(super) fn receive(
        &mut self,
        id: ConsumerId,
        most: usize,
        now: Instant,
    ) -> Option<Vec<Delivery>> {
        let slot = self.consumers.iter_mut().find(|slot| slot.id == id && slot.is_open)?;
        let mut received = Vec::new();
        let (mut bytes, mut expired) = (0, false);
        while let Some((number, mut item)) = slot.buffer.pop_front() {
            if item.expires_at <= now {
                expired = true;
                continue;
            }
            bytes += item.bytes;
            if !received.is_empty() && bytes > RECEIVE_BYTES {
                slot.buffer.push_front((number, item));
                break;
            }
            let ticket = Ticket(self.next_ticket);
            self.next_ticket += 1;
            let (request, expires_at) = (Arc::clone(&item.request), item.expires_at);
            received.push(Delivery { ticket, request, expires_at, tried: item.tried });
            item.tried += 1;
            slot.held.insert(ticket.0, (number, item));
            if received.len() >= most.max(1) {
                break;
            }
        }
        if expired {
            self.assign(now);
        }
        Some(received)
    }

    /// Settles deliveries; gives those of them that were not settled before.
    pub(super) fn settle<T>(
        &mut self,
        id: ConsumerId,
        tickets: impl IntoIterator<Item = (Ticket, T)>,
        now: Instant,
    ) -> Vec<(Item, T)> {
        let Some(slot) = self.consumers.iter_mut().find(|slot| slot.id == id) else {
            return Vec::new();
        };
        let settle_one = |(ticket, answer): (Ticket, T)| {
            let (_, item) = slot.held.remove(&ticket.0)?;
            Some((item, answer))
        };
        let settled = tickets.into_iter().filter_map(settle_one).collect();
        self.assign(now);
        settled
    }

    /// Puts received requests back to their old places.
    pub(super) fn release(&mut self, id: ConsumerId, tickets: &[Ticket], now: Instant) {
        let Some(slot) = self.consumers.iter_mut().find(|slot| slot.id == id) else { return };
        for ticket in tickets {
            if let Some(released) = slot.held.remove(&ticket.0) {
                insert_in_order(&mut self.waiting, released);
            }
        }
        self.assign(now);
    }

    /// The consumer takes no more; what it has not received goes back.
    pub(super) fn close(&mut self, id: ConsumerId, now: Instant) {
        let Some(slot) = self.consumers.iter_mut().find(|slot| slot.id == id) else { return };
        slot.is_open = false;
        slot.bell.notify_one();
        for unreceived in slot.buffer.drain(..) {
            insert_in_order(&mut self.waiting, unreceived);
        }
        self.assign(now);
    }

    /// The consumer is gone; everything it has not answered goes back.
    pub(super) fn remove(&mut self, id: ConsumerId, now: Instant) {
        let Some(index) = self.consumers.iter().position(|slot| slot.id == id) else { return };
        let slot = self.consumers.remove(index);
        if index < self.turn {
            self.turn -= 1;
        }
        for unanswered in slot.buffer.into_iter().chain(slot.held.into_values()) {
            insert_in_order(&mut self.waiting, unanswered);
        }
        self.assign(now);
    }

    /// Whether anybody takes requests from this queue.
    pub(super) fn is_consumed(&self) -> bool {
        self.consumers.iter().any(|slot| slot.is_open)
    }

    /// Gives waiting requests to the highest consumers with room, to one after the other.
    /// Afterwards either nothing waits or nobody has room.
    fn assign(&mut self, now: Instant) {
        while let Some((_, first)) = self.waiting.front() {
            if first.expires_at <= now {
                self.waiting.pop_front();
                continue;
            }
            let count = self.consumers.len();
            let in_turn = (0..count).map(|step| (self.turn + step) % count);
            let with_room = in_turn.filter(|index| self.consumers[*index].has_room());
            // Of equals the last to be visited is chosen, so the first in turn comes last.
            let chosen = with_room.rev().max_by_key(|index| self.consumers[*index].rank);
            let Some(index) = chosen else { return };
            self.turn = index + 1;
            if let Some(first) = self.waiting.pop_front() {
                let slot = &mut self.consumers[index];
                insert_in_order(&mut slot.buffer, first);
                slot.bell.notify_one();
            }
        }
    }

    fn drop_expired(&mut self, now: Instant) {
        if self.search_at.is_none_or(|search_at| search_at <= now) {
            self.waiting.retain(|(_, item)| item.expires_at > now);
            self.search_at = Some(now + SEARCH_EVERY);
        }
    }
}

/// What is new belongs at the back and what comes back near the front, so this moves little.
fn insert_in_order(items: &mut VecDeque<(u64, Item)>, item: (u64, Item)) {
    if items.back().is_none_or(|(last, _)| *last < item.0) {
        items.push_back(item);
    } else {
        let place = items.partition_point(|(number, _)| *number < item.0);
        items.insert(place, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(expires_at: Instant, bytes: usize) -> Item {
        let (reply_to, _) = mpsc::channel(1);
        let request = Arc::new(Request::Ping);
        Item { request, bytes, expires_at, tried: 0, correlation: Correlation(0), reply_to }
    }

    fn filled(capacity: usize, count: usize, now: Instant) -> Queue {
        let mut queue = Queue::new(capacity);
        for _ in 0..count {
            assert!(queue.offer(item(now + Duration::from_secs(10), 1), now));
        }
        queue
    }

    fn held(queue: &Queue, id: ConsumerId) -> Vec<u64> {
        let slot = queue.consumers.iter().find(|slot| slot.id == id).unwrap();
        slot.held.values().map(|(number, _)| *number).collect()
    }

    fn consumer(queue: &mut Queue, unanswered: u16, now: Instant) -> ConsumerId {
        queue.add_consumer(unanswered, Rank::default(), Arc::default(), now)
    }

    fn receive(queue: &mut Queue, id: ConsumerId, most: usize, now: Instant) -> Vec<Ticket> {
        let received = queue.receive(id, most, now).unwrap();
        received.iter().map(|delivery| delivery.ticket).collect()
    }

    #[test]
    fn consumers_with_room_are_served_in_turn() {
        let now = Instant::now();
        let mut queue = Queue::new(100);
        let [a, b, c] = [10, 2, 10].map(|unanswered| consumer(&mut queue, unanswered, now));
        for _ in 0..10 {
            queue.offer(item(now + SEARCH_EVERY, 1), now);
        }
        for (id, expected) in [(a, vec![0, 3, 6, 8]), (b, vec![1, 4]), (c, vec![2, 5, 7, 9])] {
            receive(&mut queue, id, 100, now);
            assert_eq!(held(&queue, id), expected);
        }
    }

    #[test]
    fn consumers_of_a_lower_rank_get_what_is_left() {
        let now = Instant::now();
        let mut queue = Queue::new(100);
        let low = consumer(&mut queue, 10, now);
        let [a, b] = [3, 1].map(|room| queue.add_consumer(room, Rank(1), Arc::default(), now));
        for _ in 0..6 {
            queue.offer(item(now + SEARCH_EVERY, 1), now);
        }
        for (id, expected) in [(low, vec![4, 5]), (a, vec![0, 2, 3]), (b, vec![1])] {
            receive(&mut queue, id, 100, now);
            assert_eq!(held(&queue, id), expected);
        }
    }

    #[test]
    fn what_comes_back_finds_its_old_place_among_what_waits() {
        let now = Instant::now();
        let mut queue = filled(100, 10, now);
        let a = consumer(&mut queue, 3, now);
        let b = consumer(&mut queue, 3, now);
        let tickets = receive(&mut queue, a, 2, now);
        queue.release(b, &tickets, now);
        assert_eq!(held(&queue, a), [0, 1], "the tickets are not b's");
        queue.close(b, now);
        queue.close(a, now);
        queue.release(a, &[tickets[1], tickets[0]], now);
        let numbers: Vec<u64> = queue.waiting.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (0..10).collect::<Vec<_>>());
        queue.remove(a, now);
        queue.remove(b, now);
        assert!(!queue.is_consumed());
    }

    #[test]
    fn expired_requests_free_their_consumer_for_others() {
        let now = Instant::now();
        let mut queue = Queue::new(100);
        let a = consumer(&mut queue, 2, now);
        for seconds in [1, 1, 10, 10] {
            queue.offer(item(now + Duration::from_secs(seconds), 1), now);
        }
        let later = now + Duration::from_secs(5);
        assert_eq!(queue.receive(a, 10, later).unwrap().len(), 0);
        assert_eq!(receive(&mut queue, a, 10, later).len(), 2);
        assert_eq!(held(&queue, a), [2, 3]);
    }

    #[test]
    fn full_queue_drops_what_expired_behind_what_did_not() {
        let now = Instant::now();
        let mut queue = filled(3, 1, now);
        for _ in 0..2 {
            assert!(queue.offer(item(now + Duration::from_secs(1), 1), now));
        }
        assert!(!queue.offer(item(now + Duration::from_secs(9), 1), now));
        let later = now + Duration::from_secs(2);
        for _ in 0..2 {
            assert!(queue.offer(item(now + Duration::from_secs(9), 1), later));
        }
        assert!(!queue.offer(item(now + Duration::from_secs(9), 1), later));
    }

    #[test]
    fn receive_stops_before_it_exceeds_its_bytes_but_takes_one_in_any_case() {
        let now = Instant::now();
        let mut queue = Queue::new(100);
        let a = consumer(&mut queue, 100, now);
        for bytes in [RECEIVE_BYTES / 2, RECEIVE_BYTES / 2, 1, RECEIVE_BYTES * 3, 1] {
            queue.offer(item(now + SEARCH_EVERY, bytes), now);
        }
        let counts = [0; 4].map(|_| receive(&mut queue, a, 100, now).len());
        assert_eq!(counts, [2, 1, 1, 1]);
    }

    #[test]
    fn consumers_that_leave_do_not_upset_the_turn() {
        let now = Instant::now();
        let mut queue = Queue::new(100);
        let ids = [1, 1, 1].map(|unanswered| consumer(&mut queue, unanswered, now));
        for _ in 0..5 {
            queue.offer(item(now + SEARCH_EVERY, 1), now);
        }
        queue.remove(ids[2], now);
        queue.remove(ids[0], now);
        assert_eq!(receive(&mut queue, ids[1], 9, now).len(), 1);
        assert_eq!(held(&queue, ids[1]), [1]);
        let late = consumer(&mut queue, 9, now);
        receive(&mut queue, late, 9, now);
        assert_eq!(held(&queue, late), [0, 2, 3, 4]);
    }
}
