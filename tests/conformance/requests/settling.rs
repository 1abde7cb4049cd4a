//! What becomes of a delivery: answered, given back, or lost with its consumer.

use super::*;

pub(crate) async fn consumer_holds_no_more_than_its_unanswered_bound<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let mut first = consume(&carrier.receiver().await, &Queue::Read, 2).await;
    send(&sender, &Queue::Read, 0..5).await;
    let held = receive(&mut first, 2).await;
    assert_eq!(numbers_of(&held), [0, 1]);
    assert_receives_nothing(&mut first).await;

    first.answers.answer(replies_to(&held[..1])).await.unwrap();
    assert_eq!(numbers_of(&receive(&mut first, 1).await), [2]);

    let mut second = consume(&carrier.receiver().await, &Queue::Read, 10).await;
    assert_eq!(numbers_of(&receive(&mut second, 2).await), [3, 4]);
    carrier.finish().await;
}

pub(crate) async fn unanswered_requests_of_a_dropped_consumer_come_again<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    send(&sender, &Queue::Write, 0..5).await;
    let mut first = consume(&carrier.receiver().await, &Queue::Write, 10).await;
    let held = receive(&mut first, 3).await;
    drop(first);

    let mut second = consume(&carrier.receiver().await, &Queue::Write, 10).await;
    let received = receive(&mut second, 5).await;
    assert_came_again::<F>(&numbers_of(&received), &[0, 1, 2, 3, 4]);
    assert_eq!(numbers_of(&held), [0, 1, 2]);
    carrier.finish().await;
}

pub(crate) async fn answered_requests_do_not_come_again<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let mut replies = sender.take_replies().unwrap();
    send(&sender, &Queue::Write, 0..4).await;
    let mut first = consume(&carrier.receiver().await, &Queue::Write, 10).await;
    let held = receive(&mut first, 4).await;
    let answered = [replies_to(&held[..1]), replies_to(&held[2..3])].concat();
    first.answers.answer(answered).await.unwrap();
    assert_eq!(replied(&mut replies, 2).await, [0, 2]);
    drop(first);

    let mut second = consume(&carrier.receiver().await, &Queue::Write, 10).await;
    let received = receive(&mut second, 2).await;
    assert_came_again::<F>(&numbers_of(&received), &[1, 3]);
    assert_receives_nothing(&mut second).await;
    carrier.finish().await;
}

pub(crate) async fn received_requests_can_be_answered_when_only_deliveries_are_dropped<
    F: RequestsFactory,
>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let mut replies = sender.take_replies().unwrap();
    send(&sender, &Queue::Read, [1]).await;
    let mut consumer = consume(&carrier.receiver().await, &Queue::Read, 10).await;
    let held = receive(&mut consumer, 1).await;
    let Consumer { deliveries, answers } = consumer;
    drop(deliveries);
    answers.answer(replies_to(&held)).await.unwrap();
    assert_eq!(replied(&mut replies, 1).await, [1]);
    carrier.finish().await;
}

pub(crate) async fn closed_consumer_gives_back_what_it_has_not_received<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let mut first = consume(&carrier.receiver().await, &Queue::Read, 10).await;
    send(&sender, &Queue::Read, 0..5).await;
    let held = receive(&mut first, 2).await;
    first.deliveries.close().await;
    send(&sender, &Queue::Read, 5..7).await;

    let mut second = consume(&carrier.receiver().await, &Queue::Read, 10).await;
    let received = receive(&mut second, 5).await;
    assert_came_again::<F>(&numbers_of(&received), &[2, 3, 4, 5, 6]);
    assert_eq!(numbers_of(&held), [0, 1]);
    assert_receives_nothing(&mut second).await;
    carrier.finish().await;
}

pub(crate) async fn closed_consumer_can_still_answer_what_it_received<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let mut replies = sender.take_replies().unwrap();
    let mut first = consume(&carrier.receiver().await, &Queue::Read, 10).await;
    send(&sender, &Queue::Read, 0..2).await;
    let held = receive(&mut first, 2).await;
    first.deliveries.close().await;
    first.deliveries.close().await;
    first.answers.answer(replies_to(&held)).await.unwrap();
    assert_eq!(replied(&mut replies, 2).await, [0, 1]);
    drop(first);

    let mut second = consume(&carrier.receiver().await, &Queue::Read, 10).await;
    assert_receives_nothing(&mut second).await;
    carrier.finish().await;
}

pub(crate) async fn closed_consumer_that_is_dropped_gives_back_what_it_has_not_answered<
    F: RequestsFactory,
>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let mut first = consume(&carrier.receiver().await, &Queue::Read, 10).await;
    send(&sender, &Queue::Read, 0..2).await;
    receive(&mut first, 2).await;
    first.deliveries.close().await;
    drop(first);

    let mut second = consume(&carrier.receiver().await, &Queue::Read, 10).await;
    let received = receive(&mut second, 2).await;
    assert_came_again::<F>(&numbers_of(&received), &[0, 1]);
    carrier.finish().await;
}

pub(crate) async fn released_requests_come_again<F: RequestsFactory>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let mut replies = sender.take_replies().unwrap();
    let mut consumer = consume(&carrier.receiver().await, &Queue::Write, 3).await;
    send(&sender, &Queue::Write, 0..3).await;
    let held = receive(&mut consumer, 3).await;
    consumer.answers.release(vec![held[1].ticket]).await;

    let again = receive(&mut consumer, 1).await;
    assert_eq!(numbers_of(&again), [1]);
    // The ticket of a delivery that was given back names nothing any more.
    consumer.answers.answer(replies_to(&held[1..2])).await.unwrap();
    assert_no_reply(&mut replies).await;
    consumer.answers.answer(replies_to(&again)).await.unwrap();
    assert_eq!(replied(&mut replies, 1).await, [1]);
    carrier.finish().await;
}

pub(crate) async fn released_requests_go_to_another_consumer_when_the_own_is_closed<
    F: RequestsFactory,
>() {
    let carrier = F::start(CAPACITY).await;
    let sender = carrier.sender().await;
    let mut replies = sender.take_replies().unwrap();
    let mut first = consume(&carrier.receiver().await, &Queue::Write, 10).await;
    send(&sender, &Queue::Write, 0..4).await;
    let held = receive(&mut first, 4).await;
    first.deliveries.close().await;
    first.answers.release([2, 0, 3].map(|index: usize| held[index].ticket).to_vec()).await;

    let mut second = consume(&carrier.receiver().await, &Queue::Write, 10).await;
    let received = receive(&mut second, 3).await;
    assert_came_again::<F>(&numbers_of(&received), &[0, 2, 3]);
    second.answers.answer(replies_to(&received)).await.unwrap();
    first.answers.answer(replies_to(&held[1..2])).await.unwrap();
    assert_eq!(replied(&mut replies, 4).await, [0, 1, 2, 3]);
    carrier.finish().await;
}
