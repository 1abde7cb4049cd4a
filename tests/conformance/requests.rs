//! The conformance suite of the port `Requests`.

use std::sync::Arc;
use std::time::Duration;

use rideshare::domain::document::CollectionName;
use rideshare::domain::ids::{NodeId, Offset, RequestId};
use rideshare::domain::message::{Reply, Request};
use rideshare::domain::outcome::Outcome;
use rideshare::domain::query::Query;
use rideshare::domain::request::{
    Acknowledgement, Consistency, ReadOperation, ReadShape, WriteOperation, WriteRequest,
};
use rideshare::ports::requests::{
    Consumer, Correlation, Delivery, Queue, Rank, RequestReceiver, RequestSender, RequestsError,
    Ticket,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::cases::{BOUND, QUIET};

mod delivery;
mod limits;
mod replies;
mod settling;

pub(crate) use delivery::*;
pub(crate) use limits::*;
pub(crate) use replies::*;
pub(crate) use settling::*;

/// Makes carriers to test. A factory is one carrier, with queues of its own that are empty.
pub(crate) trait RequestsFactory: Sized {
    /// Whether what comes back to a queue comes back to its front, in its old order.
    const REQUEUES_IN_ORDER: bool;

    /// A new carrier whose queues hold about `capacity` requests each.
    async fn start(capacity: usize) -> Self;

    /// The end of one more orchestrator.
    async fn sender(&self) -> Arc<dyn RequestSender>;

    /// The end of one more worker.
    async fn receiver(&self) -> Arc<dyn RequestReceiver>;

    /// Removes what the carrier left behind. Not called when a case fails.
    async fn finish(self);
}

/// Makes a test of every case: `requests_suite!(tokio::test, Factory)`.
macro_rules! requests_suite {
    ($attribute:meta, $factory:ty) => {
        cases!(
            $attribute,
            requests,
            $factory,
            [
                whole_request_and_its_reply_arrive_as_they_were_sent,
                ping_of_one_worker_is_answered,
                requests_arrive_in_the_order_they_were_sent,
                receive_waits_for_a_request_that_is_sent_later,
                receive_returns_at_most_what_was_asked_for,
                receive_returns_about_one_mebibyte_at_most,
                receive_that_is_cancelled_loses_nothing,
                queues_do_not_mix,
                each_request_goes_to_one_of_the_competing_consumers,
                consumers_of_a_lower_rank_get_what_those_above_have_no_room_for,
                consumer_holds_no_more_than_its_unanswered_bound,
                unanswered_requests_of_a_dropped_consumer_come_again,
                answered_requests_do_not_come_again,
                received_requests_can_be_answered_when_only_deliveries_are_dropped,
                closed_consumer_gives_back_what_it_has_not_received,
                closed_consumer_can_still_answer_what_it_received,
                closed_consumer_that_is_dropped_gives_back_what_it_has_not_answered,
                released_requests_come_again,
                released_requests_go_to_another_consumer_when_the_own_is_closed,
                ticket_is_settled_once,
                answers_can_be_given_from_several_tasks,
                request_sent_twice_is_delivered_twice_and_answered_twice,
                senders_get_the_replies_to_their_own_requests_only,
                replies_can_be_taken_once,
                answer_to_a_sender_that_is_gone_settles_its_request,
                requests_survive_their_sender,
                what_waits_in_a_queue_is_counted,
                expired_requests_are_not_delivered,
                expired_requests_are_not_delivered_again,
                expiry_is_told_with_the_delivery,
                full_queue_refuses_and_takes_again_once_it_is_read,
                expired_requests_make_room,
                request_to_a_worker_that_is_not_there_is_dropped_silently,
                queue_of_a_worker_can_be_consumed_again_after_its_consumer_died,
                connected_carrier_says_so,
            ]
        );
    };
}
pub(crate) use requests_suite;

const CAPACITY: usize = 10_000;
const LONG: Duration = Duration::from_secs(120);

/// A request that can be told from others by its number.
fn request(queue: &Queue, number: u64) -> Arc<Request> {
    Arc::new(match queue {
        Queue::Read => Request::Read(ReadOperation {
            query: Query::all(CollectionName::parse("users").unwrap()),
            shape: ReadShape::Count,
            consistency: Consistency::Session(Offset(number)),
        }),
        Queue::Write | Queue::Node(_) => {
            write(number, WriteOperation::Clear { collections: Vec::new() })
        }
    })
}

fn write(number: u64, operation: WriteOperation) -> Request {
    Request::Write(WriteRequest {
        id: RequestId::new(number.to_string()),
        seen: Offset(0),
        acknowledgement: Acknowledgement::Applied,
        operation,
    })
}

fn number_of(delivery: &Delivery) -> u64 {
    match &*delivery.request {
        Request::Read(ReadOperation { consistency: Consistency::Session(offset), .. }) => offset.0,
        Request::Write(write) => write.id.as_str().parse().unwrap(),
        other => panic!("not a request of these tests: {other:?}"),
    }
}

fn numbers_of(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(number_of).collect()
}

fn reply(number: u64) -> Reply {
    Reply::Written { offset: Offset(number), outcome: Outcome::Indexed }
}

/// The replies that say which request they answer.
fn replies_to(deliveries: &[Delivery]) -> Vec<(Ticket, Reply)> {
    deliveries.iter().map(|delivery| (delivery.ticket, reply(number_of(delivery)))).collect()
}

/// Sends requests with these numbers, which are their correlations too.
async fn send(
    sender: &Arc<dyn RequestSender>,
    queue: &Queue,
    numbers: impl IntoIterator<Item = u64>,
) {
    for number in numbers {
        let correlation = Correlation(number);
        sender.send(queue, correlation, request(queue, number), LONG).await.unwrap();
    }
}

/// Starts to consume. A carrier may need a moment to let go of an earlier consumer.
async fn consume(receiver: &Arc<dyn RequestReceiver>, queue: &Queue, unanswered: u16) -> Consumer {
    let deadline = Instant::now() + BOUND;
    loop {
        match receiver.consume(queue, unanswered).await {
            Ok(consumer) => return consumer,
            Err(error) if Instant::now() > deadline => panic!("consume: {error:?}"),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Receives so many requests, in however many steps they come.
async fn receive(consumer: &mut Consumer, count: usize) -> Vec<Delivery> {
    let mut received = Vec::new();
    while received.len() < count {
        let step = consumer.deliveries.receive(count - received.len());
        let step = timeout(BOUND, step).await.unwrap_or_else(|_| {
            panic!("received only {:?} of {count} requests", numbers_of(&received))
        });
        let step = step.unwrap();
        assert!(!step.is_empty(), "receive returned without a request");
        received.extend(step);
    }
    received
}

async fn assert_receives_nothing(consumer: &mut Consumer) {
    if let Ok(received) = timeout(QUIET, consumer.deliveries.receive(1)).await {
        panic!("received {received:?}");
    }
}

async fn next_reply(replies: &mut mpsc::Receiver<(Correlation, Reply)>) -> (Correlation, Reply) {
    timeout(BOUND, replies.recv()).await.expect("no reply came").expect("the replies ended")
}

/// Awaits so many replies and returns their correlations, sorted. Each must hold its number.
async fn replied(replies: &mut mpsc::Receiver<(Correlation, Reply)>, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        let (correlation, content) = next_reply(replies).await;
        assert_eq!(content, reply(correlation.0));
        numbers.push(correlation.0);
    }
    numbers.sort_unstable();
    numbers
}

async fn assert_no_reply(replies: &mut mpsc::Receiver<(Correlation, Reply)>) {
    if let Ok(reply) = timeout(QUIET, replies.recv()).await {
        panic!("got {reply:?}");
    }
}

fn assert_came_again<F: RequestsFactory>(received: &[u64], expected: &[u64]) {
    let mut received = received.to_vec();
    if !F::REQUEUES_IN_ORDER {
        received.sort_unstable();
    }
    assert_eq!(received, expected);
}
