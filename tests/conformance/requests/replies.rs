//! How replies get back to their senders.

use super::*;

pub(crate) async fn ticket_is_settled_once<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let mut replies = sender.take_replies().unwrap();
    let mut consumer = consume(&carrier.receiver().await, &Queue::Write, 10).await;
    send(&sender, &Queue::Write, 0..2).await;
    let held = receive(&mut consumer, 2).await;
    let first = replies_to(&held[..1]);
    consumer.answers.answer([first.clone(), first.clone()].concat()).await.unwrap();
    assert_eq!(replied(&mut replies, 1).await, [0]);

    consumer.answers.answer(first).await.unwrap();
    consumer.answers.release(vec![held[0].ticket]).await;
    consumer.answers.answer(vec![(Ticket(u64::MAX), reply(9))]).await.unwrap();
    consumer.answers.release(vec![Ticket(u64::MAX)]).await;
    assert_no_reply(&mut replies).await;
    assert_receives_nothing(&mut consumer).await;

    // None of this disturbed the other delivery.
    consumer.answers.answer(replies_to(&held[1..])).await.unwrap();
    assert_eq!(replied(&mut replies, 1).await, [1]);
    carrier.finish().await;
}

pub(crate) async fn answers_can_be_given_from_several_tasks<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let mut replies = sender.take_replies().unwrap();
    let mut consumer = consume(&carrier.receiver().await, &Queue::Read, 100).await;
    send(&sender, &Queue::Read, 0..40).await;
    let mut tasks = tokio::task::JoinSet::new();
    for delivery in receive(&mut consumer, 40).await {
        let answers = consumer.answers.clone();
        tasks.spawn(async move { answers.answer(replies_to(&[delivery])).await.unwrap() });
    }
    tasks.join_all().await;
    assert_eq!(replied(&mut replies, 40).await, (0..40).collect::<Vec<_>>());
    carrier.finish().await;
}

pub(crate) async fn request_sent_twice_is_delivered_twice_and_answered_twice<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let mut replies = sender.take_replies().unwrap();
    let mut consumer = consume(&carrier.receiver().await, &Queue::Write, 10).await;
    send(&sender, &Queue::Write, [5, 5]).await;
    let received = receive(&mut consumer, 2).await;
    assert_eq!(numbers_of(&received), [5, 5]);
    consumer.answers.answer(replies_to(&received)).await.unwrap();
    assert_eq!(replied(&mut replies, 2).await, [5, 5]);
    carrier.finish().await;
}

pub(crate) async fn senders_get_the_replies_to_their_own_requests_only<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let (first, second) = (carrier.sender().await, carrier.sender().await);
    let mut first_replies = first.take_replies().unwrap();
    let mut second_replies = second.take_replies().unwrap();
    let mut consumer = consume(&carrier.receiver().await, &Queue::Write, 10).await;
    let queue = Queue::Write;
    first.send(&queue, Correlation(1), request(&queue, 10), LONG).await.unwrap();
    second.send(&queue, Correlation(1), request(&queue, 20), LONG).await.unwrap();
    let received = receive(&mut consumer, 2).await;
    consumer.answers.answer(replies_to(&received)).await.unwrap();
    assert_eq!(next_reply(&mut first_replies).await, (Correlation(1), reply(10)));
    assert_eq!(next_reply(&mut second_replies).await, (Correlation(1), reply(20)));
    assert_no_reply(&mut first_replies).await;
    assert_no_reply(&mut second_replies).await;
    carrier.finish().await;
}

pub(crate) async fn replies_can_be_taken_once<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    assert!(sender.take_replies().is_some());
    assert!(sender.take_replies().is_none());
    carrier.finish().await;
}

pub(crate) async fn answer_to_a_sender_that_is_gone_settles_its_request<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let mut first = consume(&carrier.receiver().await, &Queue::Write, 10).await;
    send(&sender, &Queue::Write, [1]).await;
    let held = receive(&mut first, 1).await;
    drop(sender);
    first.answers.answer(replies_to(&held)).await.unwrap();
    drop(first);

    let mut second = consume(&carrier.receiver().await, &Queue::Write, 10).await;
    assert_receives_nothing(&mut second).await;
    carrier.finish().await;
}

pub(crate) async fn requests_survive_their_sender<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    send(&sender, &Queue::Write, 0..3).await;
    drop(sender);
    let mut consumer = consume(&carrier.receiver().await, &Queue::Write, 10).await;
    assert_eq!(numbers_of(&receive(&mut consumer, 3).await), [0, 1, 2]);
    carrier.finish().await;
}
