//! A broker that comes late, dies, or stops reading.

use std::sync::Arc;
use std::time::Duration;

use rideshare::adapters::rabbitmq::{Rabbitmq, RabbitmqSettings};
use rideshare::domain::ids::{Epoch, NodeId, Offset};
use rideshare::domain::message::{Progress, Reply, Role};
use rideshare::ports::log::{Log, LogError};
use rideshare::ports::progress::ProgressFeed;
use rideshare::ports::requests::{Queue, RequestReceiver, RequestSender, RequestsError};
use tokio::time::{Instant, sleep, timeout};

use crate::broker::{BOUND, OwnBroker};
use crate::rabbitmq::{numbers, ping, receive, record};

async fn until<T, E: std::fmt::Debug>(mut attempt: impl AsyncFnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn brokers_that_do_not_run_yet_have_addresses_of_their_own() {
    let (one, other) = (OwnBroker::prepare().await, OwnBroker::prepare().await);
    assert_ne!(one.settings.url, other.settings.url);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_starts_before_its_broker_works_once_it_is_there() {
    let broker = OwnBroker::prepare().await;
    let settings = RabbitmqSettings { wait_ms: 200, ..broker.settings.clone() };
    let rabbitmq = Rabbitmq::start(settings).unwrap();
    let (log, sender) = (rabbitmq.log(), rabbitmq.request_sender());
    let started = Instant::now();
    assert!(matches!(log.append(record(0)).await, Err(LogError::Unavailable(_))));
    assert!(matches!(log.bounds().await, Err(LogError::Unavailable(_))));
    let sent = ping(&sender, &Queue::Read).await;
    assert!(matches!(sent, Err(RequestsError::Unavailable(_))), "{sent:?}");
    assert!(!sender.is_connected());
    assert!(started.elapsed() < Duration::from_secs(10), "waits are bounded");

    broker.start().await;
    assert!(rabbitmq.connected(BOUND).await);
    until(async || log.append(record(1)).await).await;
    let mut tail = log.tail(Offset(0)).await.unwrap();
    assert_eq!(numbers(&mut *tail, 1).await, [Some(1)], "what was refused never arrives");
    until(async || ping(&sender, &Queue::Read).await).await;
    assert!(sender.is_connected());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_broker_loses_no_confirmed_record_and_everyone_comes_back() {
    let broker = OwnBroker::prepare().await;
    broker.start().await;
    let rabbitmq = Rabbitmq::start(broker.settings.clone()).unwrap();
    let (log, sender) = (rabbitmq.log(), rabbitmq.request_sender());
    let (receiver, feed) = (rabbitmq.request_receiver(), rabbitmq.progress_feed());
    let mut replies = sender.take_replies().unwrap();
    let mut heard = feed.subscribe();
    for number in 0..100 {
        until(async || log.append(record(number)).await).await;
    }
    let mut tail = log.tail(Offset(0)).await.unwrap();
    assert_eq!(numbers(&mut *tail, 100).await.len(), 100);
    let before = log.bounds().await.unwrap();
    let mut consumer = receiver.consume(&Queue::Write, 10).await.unwrap();
    until(async || ping(&sender, &Queue::Write).await).await;
    let held = receive(&mut consumer).await;

    // RabbitMQ 3.10 writes down the first stream that it ever makes only some moments later.
    sleep(Duration::from_secs(5)).await;
    broker.kill().await;
    let ended = timeout(BOUND, tail.next()).await.unwrap();
    assert!(matches!(ended, Err(LogError::Unavailable(_))), "{ended:?}");
    let ended = timeout(BOUND, consumer.deliveries.receive(1)).await.unwrap();
    assert!(matches!(ended, Err(RequestsError::Unavailable(_))), "{ended:?}");
    let answered = consumer.answers.answer(vec![(held[0].ticket, Reply::Pong)]).await;
    assert!(matches!(answered, Err(RequestsError::Unavailable(_))), "{answered:?}");
    let appended = timeout(BOUND, log.append(record(1_000))).await.unwrap();
    assert!(appended.is_err());
    broker.start().await;

    until(async || log.append(record(100)).await).await;
    let mut tail = log.tail(Offset(0)).await.unwrap();
    let kept = numbers(&mut *tail, 101).await;
    assert!(kept.iter().copied().take(100).eq((0..100).map(Some)), "{kept:?}");
    assert!(log.bounds().await.unwrap().next > before.next);

    let mut consumer = until(async || receiver.consume(&Queue::Write, 10).await).await;
    until(async || ping(&sender, &Queue::Write).await).await;
    let received = receive(&mut consumer).await;
    consumer.answers.answer(vec![(received[0].ticket, Reply::Pong)]).await.unwrap();
    let (_, reply) = timeout(BOUND, replies.recv()).await.unwrap().unwrap();
    assert_eq!(reply, Reply::Pong);

    let progress = Progress {
        node: NodeId::new("n1"),
        role: Role::Slave,
        epoch: Epoch(1),
        applied: None,
        stalled: false,
    };
    until(async || {
        let _ = feed.publish(&progress).await;
        timeout(Duration::from_millis(100), heard.recv()).await
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broker_that_stops_reading_keeps_nobody_waiting_and_no_tail_from_reading() {
    let broker = OwnBroker::prepare().await;
    broker.start().await;
    let bound = Duration::from_secs(8);
    let settings =
        RabbitmqSettings { wait_ms: 500, confirm_timeout_ms: 3_000, ..broker.settings.clone() };
    let rabbitmq = Rabbitmq::start(settings).unwrap();
    let log = Arc::new(rabbitmq.log());
    for number in 0..10 {
        until(async || log.append(record(number)).await).await;
    }
    broker.control(&["set_vm_memory_high_watermark", "absolute", "1MB"]).await;

    // What was sent is in doubt. Once that is noticed, the next are refused with certainty.
    let mut refused = None;
    for number in 100..120 {
        match timeout(bound, log.append(record(number))).await.expect("appends are bounded") {
            Ok(()) | Err(LogError::Unknown(_)) => {}
            Err(LogError::Unavailable(_)) => {
                refused = Some(number);
                break;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(refused.is_some(), "appends go on being sent");
    let mut tail = log.tail(Offset(0)).await.unwrap();
    assert_eq!(numbers(&mut *tail, 10).await.len(), 10);

    broker.control(&["set_vm_memory_high_watermark", "absolute", "1GB"]).await;
    until(async || log.append(record(400)).await).await;
    let mut rest = Vec::new();
    while rest.last() != Some(&Some(400)) {
        rest.extend(numbers(&mut *tail, 1).await);
    }
    assert!(!rest.contains(&refused), "what was refused never arrives: {rest:?}");
}
