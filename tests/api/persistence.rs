//! What was acknowledged is still there when the process is not.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::System;

#[tokio::test]
async fn killed_in_the_middle_of_writes_it_loses_none_that_were_answered() {
    let mut system = System::start(2).await;
    let (mut acknowledged, mut last_offset, mut next) = (Vec::new(), 0, 0);
    for _ in 0..3 {
        let url = format!("{}/api/v1/db/write", system.url);
        let (sender, mut answered) = tokio::sync::mpsc::unbounded_channel();
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let (client, url, sender) = (system.client.clone(), url.clone(), sender.clone());
                tokio::spawn(async move {
                    for number in (next + writer..).step_by(8) {
                        let body = json!({
                            "op": "insert", "collection": "users", "documents": [{ "_id": number }],
                        });
                        let sent = client.post(&url).body(body.to_string()).send().await;
                        let Ok(response) = sent else { return number };
                        assert_eq!(response.status(), 201);
                        let Ok(text) = response.bytes().await else { return number };
                        let body: Value = serde_json::from_slice(&text).unwrap();
                        sender.send((number, body["offset"].as_u64().unwrap())).unwrap();
                    }
                    unreachable!("numbers do not end")
                })
            })
            .collect();
        drop(sender);
        tokio::time::sleep(Duration::from_millis(700)).await;
        system.kill();
        for writer in writers {
            next = next.max(writer.await.unwrap() + 1);
        }
        let before = acknowledged.len();
        while let Some((number, offset)) = answered.recv().await {
            assert!(offset > last_offset || before < acknowledged.len(), "offsets rise");
            acknowledged.push(number);
            last_offset = last_offset.max(offset);
        }
        assert!(acknowledged.len() > before + 20, "too few writes to prove anything");
        system.run().await;
    }
    let fresh = system.insert("after", json!([{}])).await;
    assert!(fresh.offset.unwrap() > last_offset, "{fresh:?} after {last_offset}");
    for number in &acknowledged {
        let found = system.find("users", json!({ "_id": number })).await;
        assert_eq!(found.len(), 1, "write {number} of {} is lost", acknowledged.len());
    }
}

#[tokio::test]
async fn stopped_in_order_it_exits_with_0_and_starts_again() {
    let mut system = System::start(1).await;
    system.insert("users", json!([{ "_id": "ann" }])).await;
    assert_eq!(system.terminate().await, Some(0), "{}", system.log());
    system.run().await;
    assert_eq!(system.find("users", json!({})).await, [json!({ "_id": "ann" })]);
    system.settle(1).await;
}

#[tokio::test]
async fn data_directory_is_used_by_one_process_alone() {
    let system = System::start(1).await;
    let data = system.data_dir();
    let arguments = ["up", "--orchestrator-port", "0", "--data-dir", data.to_str().unwrap()];
    let (code, text) = crate::support::command(&arguments, &[]);
    assert_eq!(code, Some(1));
    assert!(text.contains("used by another process"), "{text}");
}
