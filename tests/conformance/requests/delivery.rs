//! How requests get to a consumer.

use std::collections::BTreeSet;

use super::*;

pub(crate) async fn whole_request_and_its_reply_arrive_as_they_were_sent<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let (sender, receiver) = (carrier.sender().await, carrier.receiver().await);
    let mut replies = sender.take_replies().unwrap();
    let mut consumer = consume(&receiver, &Queue::Write, 10).await;
    let collections = ["users", "rides"].map(|name| CollectionName::parse(name).unwrap()).to_vec();
    let sent = Arc::new(write(7, WriteOperation::Clear { collections: collections.clone() }));
    sender.send(&Queue::Write, Correlation(u64::MAX), sent.clone(), LONG).await.unwrap();

    let received = receive(&mut consumer, 1).await;
    assert_eq!(received[0].request, sent);
    let reply = Reply::Written { offset: Offset(9), outcome: Outcome::Cleared { collections } };
    consumer.answers.answer(vec![(received[0].ticket, reply.clone())]).await.unwrap();
    assert_eq!(next_reply(&mut replies).await, (Correlation(u64::MAX), reply));
    carrier.finish().await;
}

pub(crate) async fn ping_of_one_worker_is_answered<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let (sender, receiver) = (carrier.sender().await, carrier.receiver().await);
    let mut replies = sender.take_replies().unwrap();
    let queue = Queue::Node(NodeId::new("n1"));
    let mut consumer = consume(&receiver, &queue, 10).await;
    sender.send(&queue, Correlation(0), Arc::new(Request::Ping), LONG).await.unwrap();

    let received = receive(&mut consumer, 1).await;
    assert_eq!(*received[0].request, Request::Ping);
    consumer.answers.answer(vec![(received[0].ticket, Reply::Pong)]).await.unwrap();
    assert_eq!(next_reply(&mut replies).await, (Correlation(0), Reply::Pong));
    carrier.finish().await;
}

pub(crate) async fn requests_arrive_in_the_order_they_were_sent<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let (sender, receiver) = (carrier.sender().await, carrier.receiver().await);
    send(&sender, &Queue::Write, 0..100).await;
    let mut consumer = consume(&receiver, &Queue::Write, 500).await;
    send(&sender, &Queue::Write, 100..200).await;
    let received = receive(&mut consumer, 200).await;
    assert_eq!(numbers_of(&received), (0..200).collect::<Vec<_>>());
    let tickets: BTreeSet<u64> = received.iter().map(|delivery| delivery.ticket.0).collect();
    assert_eq!(tickets.len(), 200, "each delivery has a ticket of its own");
    carrier.finish().await;
}

pub(crate) async fn receive_waits_for_a_request_that_is_sent_later<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let (sender, receiver) = (carrier.sender().await, carrier.receiver().await);
    let mut consumer = consume(&receiver, &Queue::Read, 10).await;
    assert_receives_nothing(&mut consumer).await;
    let (received, ()) = tokio::join!(receive(&mut consumer, 1), async {
        sleep(Duration::from_millis(50)).await;
        send(&sender, &Queue::Read, [1]).await;
    });
    assert_eq!(numbers_of(&received), [1]);
    carrier.finish().await;
}

pub(crate) async fn receive_returns_at_most_what_was_asked_for<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let (sender, receiver) = (carrier.sender().await, carrier.receiver().await);
    send(&sender, &Queue::Read, 0..10).await;
    let mut consumer = consume(&receiver, &Queue::Read, 100).await;
    let mut received = Vec::new();
    while received.len() < 10 {
        let step = timeout(BOUND, consumer.deliveries.receive(3)).await.unwrap().unwrap();
        assert!((1..=3).contains(&step.len()), "received {} requests at once", step.len());
        received.extend(numbers_of(&step));
    }
    assert_eq!(received, (0..10).collect::<Vec<_>>());
    carrier.finish().await;
}

pub(crate) async fn receive_returns_about_one_mebibyte_at_most<F: RequestsFactory>() {
    const REQUESTS: u64 = 40;
    let carrier = F::start(CAPACITY).await;
    let (sender, receiver) = (carrier.sender().await, carrier.receiver().await);
    for number in 0..REQUESTS {
        let request = large(number);
        sender.send(&Queue::Write, Correlation(number), request, LONG).await.unwrap();
    }
    let mut consumer = consume(&receiver, &Queue::Write, 100).await;
    let mut received = Vec::new();
    while received.len() < 40 {
        let step = timeout(BOUND, consumer.deliveries.receive(100)).await.unwrap().unwrap();
        assert!(step.len() <= 12, "received {} requests of 128 KiB at once", step.len());
        received.extend(numbers_of(&step));
    }
    assert_eq!(received, (0..REQUESTS).collect::<Vec<_>>());
    carrier.finish().await;
}

/// A request of about 128 KiB.
fn large(number: u64) -> Arc<Request> {
    let body = serde_json::json!({ "_id": number, "text": "x".repeat(128 * 1024) });
    let document = serde_json::from_value(body).unwrap();
    let collection = CollectionName::parse("users").unwrap();
    Arc::new(write(number, WriteOperation::Insert { collection, documents: vec![document] }))
}

pub(crate) async fn receive_that_is_cancelled_loses_nothing<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let (sender, receiver) = (carrier.sender().await, carrier.receiver().await);
    let mut consumer = consume(&receiver, &Queue::Read, 500).await;
    let sending = tokio::spawn(async move { send(&sender, &Queue::Read, 0..200).await });
    let deadline = Instant::now() + BOUND;
    let mut received = Vec::new();
    while received.len() < 200 && Instant::now() < deadline {
        tokio::select! {
            biased;
            step = consumer.deliveries.receive(3) => received.extend(numbers_of(&step.unwrap())),
            () = tokio::task::yield_now() => {}
        }
    }
    sending.await.unwrap();
    assert_eq!(received, (0..200).collect::<Vec<_>>());
    carrier.finish().await;
}

pub(crate) async fn queues_do_not_mix<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let (sender, receiver) = (carrier.sender().await, carrier.receiver().await);
    let nodes = ["n1", "n2"].map(|name| Queue::Node(NodeId::new(name)));
    let queues = [Queue::Read, Queue::Write, nodes[0].clone(), nodes[1].clone()];
    let mut consumers = Vec::new();
    for queue in &queues {
        consumers.push(consume(&receiver, queue, 10).await);
    }
    for (queue, number) in queues.iter().zip(0..) {
        send(&sender, queue, [number]).await;
    }
    for (consumer, number) in consumers.iter_mut().zip(0..) {
        assert_eq!(numbers_of(&receive(consumer, 1).await), [number]);
        assert_receives_nothing(consumer).await;
    }
    carrier.finish().await;
}

pub(crate) async fn each_request_goes_to_one_of_the_competing_consumers<F: RequestsFactory>() {
    const REQUESTS: u64 = 60;
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let (results, mut received) = mpsc::channel(1_000);
    for worker in 0..3 {
        let mut consumer = consume(&carrier.receiver().await, &Queue::Read, 10).await;
        let results = results.clone();
        tokio::spawn(async move {
            while let Ok(deliveries) = consumer.deliveries.receive(10).await {
                consumer.answers.answer(replies_to(&deliveries)).await.unwrap();
                for number in numbers_of(&deliveries) {
                    if results.send((worker, number)).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
    let mut replies = sender.take_replies().unwrap();
    send(&sender, &Queue::Read, 0..REQUESTS).await;
    let mut by_worker = [0; 3];
    let mut numbers = Vec::new();
    for _ in 0..REQUESTS {
        let (worker, number) = timeout(BOUND, received.recv()).await.unwrap().unwrap();
        by_worker[worker] += 1;
        numbers.push(number);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..REQUESTS).collect::<Vec<_>>());
    assert!(by_worker.iter().all(|share| *share > 0), "shares {by_worker:?}");
    assert_eq!(replied(&mut replies, 60).await, numbers);
    assert_no_reply(&mut replies).await;
    carrier.finish().await;
}

pub(crate) async fn consumers_of_a_lower_rank_get_what_those_above_have_no_room_for<
    F: RequestsFactory,
>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    // The old one is there first, as a deposed master is.
    let mut low = consume(&carrier.receiver().await, &Queue::Write, 10).await;
    let receiver = carrier.receiver().await;
    let mut high = receiver.consume_ranked(&Queue::Write, 3, Rank(1)).await.unwrap();
    send(&sender, &Queue::Write, 0..3).await;
    let held = receive(&mut high, 3).await;
    assert_eq!(numbers_of(&held), [0, 1, 2]);

    send(&sender, &Queue::Write, 3..5).await;
    assert_eq!(numbers_of(&receive(&mut low, 2).await), [3, 4]);
    high.answers.answer(replies_to(&held)).await.unwrap();
    let mut replies = sender.take_replies().unwrap();
    assert_eq!(replied(&mut replies, 3).await, [0, 1, 2]);
    // The acknowledgements follow the replies.
    sleep(QUIET).await;
    send(&sender, &Queue::Write, 5..8).await;
    assert_eq!(numbers_of(&receive(&mut high, 3).await), [5, 6, 7]);
    assert_receives_nothing(&mut low).await;
    carrier.finish().await;
}
