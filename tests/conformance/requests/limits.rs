//! Expiry, full queues, and queues that are not there.

use super::*;

const SHORT: Duration = Duration::from_millis(300);
const AFTER_SHORT: Duration = Duration::from_millis(900);

pub(crate) async fn expired_requests_are_not_delivered<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let queue = Queue::Read;
    for number in 0..3 {
        let request = request(&queue, number);
        sender.send(&queue, Correlation(number), request, SHORT).await.unwrap();
    }
    send(&sender, &queue, [3]).await;
    sleep(AFTER_SHORT).await;
    let mut consumer = consume(&carrier.receiver().await, &queue, 10).await;
    assert_eq!(numbers_of(&receive(&mut consumer, 1).await), [3]);
    assert_receives_nothing(&mut consumer).await;
    carrier.finish().await;
}

pub(crate) async fn expired_requests_are_not_delivered_again<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let queue = Queue::Write;
    let mut first = consume(&carrier.receiver().await, &queue, 10).await;
    sender.send(&queue, Correlation(0), request(&queue, 0), 10 * SHORT).await.unwrap();
    send(&sender, &queue, [1]).await;
    assert_eq!(numbers_of(&receive(&mut first, 2).await), [0, 1]);
    sleep(10 * AFTER_SHORT).await;
    drop(first);

    let mut second = consume(&carrier.receiver().await, &queue, 10).await;
    assert_eq!(numbers_of(&receive(&mut second, 1).await), [1]);
    assert_receives_nothing(&mut second).await;
    carrier.finish().await;
}

pub(crate) async fn expiry_is_told_with_the_delivery<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let mut consumer = consume(&carrier.receiver().await, &Queue::Read, 10).await;
    let sent_at = Instant::now();
    send(&sender, &Queue::Read, [1]).await;
    let received = receive(&mut consumer, 1).await;
    let tolerance = Duration::from_secs(5);
    let expires_at = received[0].expires_at;
    assert!(expires_at >= sent_at + LONG - tolerance, "{:?} early", sent_at + LONG - expires_at);
    assert!(expires_at <= Instant::now() + LONG + tolerance);
    carrier.finish().await;
}

pub(crate) async fn what_waits_in_a_queue_is_counted<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    assert_eq!(sender.waiting(&Queue::Read).await.unwrap(), 0);
    send(&sender, &Queue::Read, [0, 1, 2]).await;
    let waiting = sender.waiting(&Queue::Read).await.unwrap();
    assert!((1..=3).contains(&waiting), "{waiting}: they may have been put together");
    assert_eq!(sender.waiting(&Queue::Write).await.unwrap(), 0);
    let mut consumer = consume(&carrier.receiver().await, &Queue::Read, 10).await;
    receive(&mut consumer, 3).await;
    assert_eq!(sender.waiting(&Queue::Read).await.unwrap(), 0, "what is held waits no more");
    carrier.finish().await;
}

/// Sends until the queue refuses; returns how many it took.
async fn fill(sender: &Arc<dyn RequestSender>, queue: &Queue, expires_in: Duration) -> u64 {
    for number in 0..1_000 {
        let sent =
            sender.send(queue, Correlation(number), request(queue, number), expires_in).await;
        match sent {
            Ok(()) => {}
            Err(RequestsError::Full) => return number,
            Err(other) => panic!("send: {other:?}"),
        }
    }
    panic!("a queue of 10 took 1000 requests");
}

pub(crate) async fn full_queue_refuses_and_takes_again_once_it_is_read<F: RequestsFactory>() {
    let carrier = F::start(10).await;
    let sender = carrier.sender().await;
    let queue = Queue::Read;
    let taken = fill(&sender, &queue, LONG).await;
    assert!(taken >= 10, "a queue of 10 took {taken} requests only");

    // What was refused is not there, and what was taken is.
    let mut consumer = consume(&carrier.receiver().await, &queue, 1_000).await;
    let received = receive(&mut consumer, usize::try_from(taken).unwrap()).await;
    assert_eq!(numbers_of(&received), (0..taken).collect::<Vec<_>>());
    assert_receives_nothing(&mut consumer).await;
    consumer.answers.answer(replies_to(&received)).await.unwrap();
    send(&sender, &queue, [taken + 1]).await;
    assert_eq!(numbers_of(&receive(&mut consumer, 1).await), [taken + 1]);
    carrier.finish().await;
}

pub(crate) async fn expired_requests_make_room<F: RequestsFactory>() {
    let carrier = F::start(10).await;
    let sender = carrier.sender().await;
    let queue = Queue::Write;
    fill(&sender, &queue, 5 * SHORT).await;
    let deadline = Instant::now() + BOUND;
    while let Err(error) = sender.send(&queue, Correlation(0), request(&queue, 0), LONG).await {
        assert!(Instant::now() < deadline, "{error:?}");
        sleep(Duration::from_millis(100)).await;
    }
    carrier.finish().await;
}

pub(crate) async fn request_to_a_worker_that_is_not_there_is_dropped_silently<
    F: RequestsFactory,
>() {
    let carrier = F::start(10).await;
    let sender = carrier.sender().await;
    let mut replies = sender.take_replies().unwrap();
    let queue = Queue::Node(NodeId::new("nobody"));
    send(&sender, &queue, 0..100).await;
    assert_no_reply(&mut replies).await;
    carrier.finish().await;
}

pub(crate) async fn queue_of_a_worker_can_be_consumed_again_after_its_consumer_died<
    F: RequestsFactory,
>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let queue = Queue::Node(NodeId::new("n1"));
    let mut first = consume(&carrier.receiver().await, &queue, 10).await;
    send(&sender, &queue, [1]).await;
    receive(&mut first, 1).await;
    drop(first);

    // The first request is gone with the queue; a carrier that is slow to notice may repeat it.
    let mut second = consume(&carrier.receiver().await, &queue, 10).await;
    let deadline = Instant::now() + BOUND;
    loop {
        assert!(Instant::now() < deadline, "the new consumer gets nothing");
        send(&sender, &queue, [2]).await;
        match timeout(QUIET, consumer_step(&mut second)).await {
            Ok(numbers) if numbers.contains(&2) => break,
            _ => {}
        }
    }
    carrier.finish().await;
}

async fn consumer_step(consumer: &mut Consumer) -> Vec<u64> {
    numbers_of(&consumer.deliveries.receive(10).await.unwrap())
}

pub(crate) async fn connected_carrier_says_so<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    assert!(sender.is_connected());
    carrier.finish().await;
}
