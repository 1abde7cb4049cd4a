//! Workers that somebody starts by hand beside those of the runtime.

use serde_json::{Value, json};

use crate::front::{SETTLE_LIMIT, eventually, signal};
use crate::system::System;

async fn list(system: &System) -> Vec<Value> {
    system.get("/api/v1/worker/list").await.as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_started_by_hand_joins_counts_serves_and_leaves() {
    let system = System::start(1).await;
    let body = json!({ "op": "insert", "collection": "users", "documents": [{ "_id": "ann" }] });
    assert_eq!(system.write(&body).await.0, 201);
    // As the first RideShare named them.
    let mut command = system.command(&["worker"]);
    command.env_remove("RIDESHARE_MONGODB__URL").env("DB_NAME", system.database_host());
    command.env("NODE_NAME", "by-hand-1").env("WORKER_TYPE", "slave");
    let worker = system.worker_of(command);
    worker.says("serving reads").await;
    system.settle(2).await;
    let workers = system.workers().await;
    let it = workers.iter().find(|it| it["node"] == "by-hand-1").expect("it is listed by name");
    assert_eq!((&it["role"], &it["pid"]), (&json!("slave"), &json!(worker.pid())));
    assert!(list(&system).await.contains(&json!(worker.pid())));
    system.level().await;

    // For a moment it is the only slave.
    let slaves = system.slaves().await;
    let other = *slaves.iter().find(|pid| **pid != worker.pid()).unwrap();
    signal("KILL", other);
    for _ in 0..20 {
        let read = system.read(&json!({ "collection": "users" })).await;
        assert_eq!(read["documents"], json!([{ "_id": "ann" }]));
    }
    assert_eq!(worker.leave(&system).await, Some(0));
    system.settle(1).await;
    system.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn second_master_started_by_hand_joins_as_a_slave() {
    let system = System::start(1).await;
    let master = system.master().await.unwrap()["pid"].clone();
    let worker = system.worker("master");
    worker.says("serving reads").await;
    system.settle(2).await;
    assert!(system.slaves().await.contains(&worker.pid()));
    assert_eq!(system.master().await.unwrap()["pid"], master, "nobody was deposed");
    assert_eq!(worker.leave(&system).await, Some(0));
    system.settle(1).await;
    system.finish().await;
}

impl crate::system::HandWorker {
    /// SIGTERM; returns the exit code once nobody counts it any more.
    async fn leave(self, system: &System) -> Option<i32> {
        let pid = self.pid();
        let code = self.terminate().await;
        system.forgets(pid).await;
        code
    }
}

impl System {
    /// Waits until nobody counts a worker that has ended.
    pub(super) async fn forgets(&self, pid: u64) {
        let left = async || (!list(self).await.contains(&json!(pid))).then_some(());
        eventually("a list without it", SETTLE_LIMIT, left).await;
    }
}
