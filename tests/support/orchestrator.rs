//! An orchestrator at an address, and one helper an endpoint.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::Path;
use std::time::{Duration, Instant};

use rideshare::adapters::http_client;
use serde_json::{Value, json};

/// How long a system may take to settle. Only a failing test waits as long.
pub(crate) const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// The pause between two looks at something that tells nobody when it changes.
pub(crate) const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Where it is, and a client with more patience than any request may take.
pub(crate) struct Orchestrator {
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
}

impl Orchestrator {
    pub(crate) fn new(url: String) -> Self {
        let client = http_client::builder(Path::new(""))
            .unwrap()
            .timeout(Duration::from_secs(70))
            .build()
            .unwrap();
        Self { url, client }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.url)).body(body.to_string());
        match request.send().await {
            Err(error) => (0, json!(format!("{error:?}"))),
            Ok(response) => {
                let status = response.status().as_u16();
                (status, response.json().await.unwrap_or_default())
            }
        }
    }

    pub(crate) async fn write(&self, body: &Value) -> (u16, Value) {
        self.post("/api/v1/db/write", body).await
    }

    pub(crate) async fn read(&self, body: &Value) -> Value {
        let (status, body) = self.post("/api/v1/db/read", body).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let response = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        response.json().await.unwrap()
    }

    /// Why `/readyz` is red; nothing when it is green.
    pub(crate) async fn unready(&self) -> Option<String> {
        let readiness = self.get("/readyz").await;
        (readiness["status"] != "ready").then(|| readiness["reasons"].to_string())
    }

    pub(crate) async fn workers(&self) -> Vec<Value> {
        self.get("/api/v1/workers").await.as_array().unwrap().clone()
    }

    pub(crate) async fn master(&self) -> Option<Value> {
        self.workers().await.into_iter().find(|worker| worker["role"] == "master")
    }

    /// The pids of the slaves, ascending.
    pub(crate) async fn slaves(&self) -> Vec<u64> {
        let workers = self.workers().await;
        let slaves = workers.iter().filter(|worker| worker["role"] == "slave");
        let mut pids: Vec<_> = slaves.map(|worker| worker["pid"].as_u64().unwrap()).collect();
        pids.sort_unstable();
        pids
    }

    /// Waits until another worker than that of this pid is master, and returns it.
    pub(crate) async fn successor(&self, of: u64) -> Value {
        eventually("another master", SETTLE_LIMIT, async || {
            let mut workers = self.workers().await.into_iter();
            workers.find(|worker| worker["role"] == "master" && worker["pid"] != of)
        })
        .await
    }

    /// Waits until there are a master and so many slaves, nobody else, and no dead.
    pub(crate) async fn settle(&self, slaves: usize) {
        self.settle_without(None, slaves).await;
    }

    /// The same, once the worker of this pid is known to be dead.
    pub(crate) async fn replaced(&self, pid: u64, slaves: usize) {
        self.settle_without(Some(pid), slaves).await;
    }

    async fn settle_without(&self, dead: Option<u64>, slaves: usize) {
        eventually(&format!("a master and {slaves} slaves"), SETTLE_LIMIT, async || {
            let workers = self.workers().await;
            let with = |role: &str| workers.iter().filter(|it| it["role"] == role).count();
            let is_dead = |worker: &Value| dead.is_some() && worker["pid"].as_u64() == dead;
            let settled = with("master") == 1
                && with("slave") == slaves
                && workers.len() == slaves + 1
                && !workers.iter().any(is_dead);
            settled.then_some(())
        })
        .await;
    }
}

/// Looks again and again until there is something to see.
pub(crate) async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(started.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}
