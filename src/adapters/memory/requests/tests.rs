//! What the suite leaves open to other carriers.

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn carrier(replies: usize) -> MemoryRequests {
    MemoryRequests::new(RequestsSettings { capacity: 100, replies })
}

async fn send(sender: &MemorySender, queue: &Queue, correlations: std::ops::Range<u64>) {
    for correlation in correlations {
        let correlation = Correlation(correlation);
        sender.send(queue, correlation, Arc::new(Request::Ping), LONG).await.unwrap();
    }
}

async fn answer_all(consumer: &mut Consumer, count: usize) {
    let received = consumer.deliveries.receive(100).await.unwrap();
    assert_eq!(received.len(), count);
    let answers = received.iter().map(|delivery| (delivery.ticket, Reply::Pong)).collect();
    consumer.answers.answer(answers).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn queue_of_a_worker_is_gone_with_its_last_consumer_and_all_it_held() {
    let carrier = carrier(100);
    let (sender, receiver) = (carrier.sender(), carrier.receiver());
    let queue = Queue::Node(NodeId::new("n1"));
    send(&sender, &queue, 0..1).await;
    let mut first = receiver.consume(&queue, 1).await.unwrap();
    send(&sender, &queue, 1..4).await;
    assert_eq!(first.deliveries.receive(10).await.unwrap().len(), 1);
    first.deliveries.close().await;
    assert!(lock(&carrier.broker.nodes).is_empty());

    let mut second = receiver.consume(&queue, 10).await.unwrap();
    drop(first);
    assert_eq!(lock(&carrier.broker.nodes).len(), 1, "the later queue is another one");
    send(&sender, &queue, 9..10).await;
    answer_all(&mut second, 1).await;
    let (correlation, _) = sender.take_replies().unwrap().recv().await.unwrap();
    assert_eq!(correlation, Correlation(9));
}

#[tokio::test(start_paused = true)]
async fn replies_beyond_the_bound_of_a_sender_are_dropped_and_disturb_nobody() {
    let carrier = carrier(2);
    let (idle, busy) = (carrier.sender(), carrier.sender());
    let mut consumer = carrier.receiver().consume(&Queue::Read, 100).await.unwrap();
    send(&idle, &Queue::Read, 0..5).await;
    send(&busy, &Queue::Read, 5..6).await;
    answer_all(&mut consumer, 6).await;
    let mut kept = idle.take_replies().unwrap();
    for correlation in 0..2 {
        assert_eq!(kept.recv().await, Some((Correlation(correlation), Reply::Pong)));
    }
    assert!(kept.try_recv().is_err());
    assert_eq!(busy.take_replies().unwrap().recv().await, Some((Correlation(5), Reply::Pong)));
}

#[tokio::test(start_paused = true)]
async fn closed_consumer_receives_nothing_more() {
    let carrier = carrier(1);
    let mut consumer = carrier.receiver().consume(&Queue::Write, 1).await.unwrap();
    consumer.deliveries.close().await;
    let refused = consumer.deliveries.receive(1).await;
    assert!(matches!(refused, Err(RequestsError::Unavailable(_))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn longest_expiry_is_no_overflow() {
    let carrier = carrier(1);
    let request = Arc::new(Request::Ping);
    let sent = carrier.sender().send(&Queue::Read, Correlation(0), request, Duration::MAX).await;
    assert!(sent.is_ok());
}
