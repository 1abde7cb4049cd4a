//! What the logs tell of a request, and where its ids lead.

use serde_json::{Value, json};

use crate::support::System;

/// From the id that the client was told to the write, and from there to its place in the log.
#[tokio::test]
async fn one_request_can_be_followed_through_the_roles() {
    let variables =
        [("RIDESHARE_LOG__FILTER", "info,rideshare=debug"), ("RIDESHARE_LOG__FORMAT", "json")];
    let system = System::start_with(1, &variables).await;
    let answer = system.insert("logs", json!([{ "_id": 1 }])).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let told = answer.request_id.as_deref().unwrap();

    let log = system.log();
    let lines: Vec<Value> =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let begins = lines
        .iter()
        .find(|line| line["message"] == "write begins" && line["spans"].to_string().contains(told));
    let request = &begins.expect("the write begins within the client's request")["request"];
    let admitted = lines
        .iter()
        .find(|line| line["message"] == "write admitted" && line["request"] == *request)
        .expect("the master tells of the same request");
    assert_eq!(admitted["epoch"], "1");
    assert_eq!(admitted["offset"], answer.offset.unwrap().to_string());
    let place = &admitted["offset"];
    let applied =
        lines.iter().filter(|line| line["message"] == "batch admitted" && line["offset"] == *place);
    assert!(applied.count() >= 1, "and every worker of its place in the log");
}
