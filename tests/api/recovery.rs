//! A log that has lost its data: nobody goes on with less than there was, unless somebody says from
//! what.

use serde_json::{Value, json};

use crate::support::{System, command, until};

/// Ends the system, and the log with it.
async fn lose_log(system: &mut System) {
    assert_eq!(system.terminate().await, Some(0));
    for file in ["log.sqlite", "log.sqlite-wal", "log.sqlite-shm"] {
        let _ = std::fs::remove_file(system.data_dir().join(file));
    }
}

/// Waits until the system says that its log is lost.
async fn await_complaint(system: &System) {
    until("the loss is told", async || {
        let answer = system.get("/readyz").await;
        answer.status == 503 && answer.body["reasons"].to_string().contains("ctl recover")
    })
    .await;
}

fn recover(system: &System, from: &str) -> (Option<i32>, String) {
    command(&["ctl", "--url", &system.url, "recover", "--from", from], &[])
}

fn names(workers: &[Value]) -> Vec<String> {
    workers.iter().map(|worker| worker["node"].as_str().unwrap().to_owned()).collect()
}

async fn fill(system: &System) {
    for batch in 0..5 {
        let documents: Vec<_> = (0..100).map(|n| json!({ "_id": batch * 100 + n })).collect();
        assert_eq!(system.insert("kept", json!(documents)).await.status, 201);
    }
    let index = json!({ "op": "index", "collection": "kept", "field": "name" });
    assert_eq!(system.write(&index).await.status, 200);
}

/// Reads from the master and from every slave.
async fn check(system: &System, expected: u64) {
    let fresh = system.insert("fresh", json!([{}])).await;
    assert_eq!(fresh.status, 201, "{fresh:?}");
    for round in 0..12 {
        let consistency = if round < 2 { "strong" } else { "session" };
        let read = json!({
            "collection": "kept", "count": true, "consistency": consistency,
            "min_offset": (round >= 2).then_some(fresh.offset.unwrap()),
        });
        let answer = system.read(&read).await;
        assert_eq!(answer.body["count"], expected, "{consistency}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn system_whose_log_is_lost_goes_on_from_the_data_that_it_is_told_to() {
    let mut system = System::start(2).await;
    system.settle(2).await;
    fill(&system).await;
    let before = names(&system.workers().await);
    let (code, text) = recover(&system, &before[0]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("does not say that the log has lost its data"), "{text}");

    lose_log(&mut system).await;
    system.run_unready().await;
    await_complaint(&system).await;
    let refused = system.insert("kept", json!([{ "_id": "too early" }])).await;
    assert!(refused.status.is_server_error(), "{refused:?}");
    assert_eq!(system.count_role("master").await, 0);
    assert_eq!(names(&system.workers().await).len(), 3, "nobody is removed");
    let (code, text) = recover(&system, "nobody");
    assert_eq!(code, Some(1), "{text}");
    assert!(before.iter().all(|node| text.contains(node.as_str())), "{text}");
    for wrong in [json!(null), json!({}), json!({ "from": 7 }), json!({ "to": "worker" })] {
        assert_eq!(system.post("/api/v1/recover", &wrong).await.status, 400, "{wrong}");
    }

    let (code, text) = recover(&system, &before[1]);
    assert_eq!(code, Some(0), "{text}\n{}", system.log());
    assert!(text.starts_with(&format!("{} is master in epoch ", before[1])), "{text}");
    system.settle(2).await;
    let after = system.workers().await;
    let master = after.iter().find(|worker| worker["role"] == "master").unwrap();
    assert_eq!(master["node"], json!(before[1]));
    assert!(after.iter().all(|worker| worker["lag"].as_u64() < Some(1_000)), "{after:?}");
    check(&system, 500).await;
    let events = system.get("/api/v1/events").await.body;
    assert!(events.as_array().unwrap().iter().any(|it| it["kind"] == "recovered"), "{events}");

    // The new history outlives its first master, and a restart of everything.
    assert_eq!(system.post("/api/v1/crash/master", &Value::Null).await.status, 200);
    until("another master", async || {
        let workers = system.workers().await;
        workers.iter().any(|it| it["role"] == "master" && it["node"] != json!(before[1]))
    })
    .await;
    system.settle(2).await;
    check(&system, 500).await;
    assert_eq!(system.terminate().await, Some(0));
    system.run().await;
    system.settle(2).await;
    check(&system, 500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn system_without_workers_goes_on_from_a_database_that_was_kept() {
    let mut system = System::start(1).await;
    system.settle(1).await;
    fill(&system).await;
    let killed = system.workers().await.into_iter().find(|it| it["role"] == "master").unwrap();
    let killed = killed["node"].as_str().unwrap().to_owned();
    assert_eq!(system.post("/api/v1/crash/master", &Value::Null).await.status, 200);
    until("it is removed", async || {
        !names(&system.workers().await).contains(&killed) && system.count_role("slave").await == 1
    })
    .await;
    assert_eq!(system.insert("kept", json!([{ "_id": "later" }])).await.status, 201);

    lose_log(&mut system).await;
    for entry in std::fs::read_dir(system.data_dir().join("workers")).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_str().unwrap().starts_with('.') {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    system.run_unready().await;
    // A new worker finds an empty log, and takes no office: there was more than that.
    await_complaint(&system).await;
    let (code, text) = recover(&system, &killed);
    assert_eq!(code, Some(0), "{text}\n{}", system.log());
    system.settle(1).await;
    check(&system, 500).await;
}
