//! The broker loses the log, under workers that hold more than it.

use amqprs::channel::QueueDeleteArguments;
use serde_json::{Value, json};

use crate::broker::Stranger;
use crate::front::{SETTLE_LIMIT, eventually};
use crate::replicas::Replicated;
use crate::system::System;

const DOCUMENTS: usize = 300;

async fn insert(system: &System, id: impl Into<Value>) {
    let documents = json!([{ "_id": id.into(), "text": "x".repeat(100) }]);
    let body = json!({ "op": "insert", "collection": "kept", "documents": documents });
    let (status, answer) = system.write(&body).await;
    assert_eq!(status, 201, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_leads_a_log_that_was_lost_until_somebody_says_from_whose_data() {
    let system = System::start(2).await;
    for number in 0..DOCUMENTS {
        insert(&system, number).await;
    }
    system.level().await;
    let before = system.workers().await;
    let stranger = Stranger::connect(&system.broker).await;
    let log = stranger.named(&system.broker.log_queue);
    stranger.channel.queue_delete(QueueDeleteArguments::new(&log)).await.unwrap();

    eventually("the loss is told", SETTLE_LIMIT, async || {
        system.unready().await.filter(|reasons| reasons.contains("ctl recover"))
    })
    .await;
    let from = &before[1]["node"];
    let (status, answer) = system.post("/api/v1/recover", &json!({ "from": from })).await;
    assert_eq!(status, 200, "{answer}");
    let epochs = before.iter().map(|worker| worker["epoch"].as_u64().unwrap());
    assert!(answer["epoch"].as_u64() > epochs.max(), "{answer} after {before:?}");
    system.settle(2).await;
    assert_eq!(system.master().await.unwrap()["node"], *from);
    insert(&system, "later").await;
    let replicas = system.replicas().await;
    assert_eq!(replicas.len(), 3);
    for replica in &replicas {
        assert_eq!(replica.documents("kept").len(), DOCUMENTS + 1, "{}", replica.name);
        assert_eq!(replica.collections, replicas[0].collections);
    }
    drop(stranger);
    system.finish().await;
}
