//! One orchestrator process, and one helper an endpoint.

use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long a system may take to settle. Only a failing test waits as long.
pub(crate) const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// The pause between two looks at something that tells nobody when it changes.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// A running orchestrator; ended in order when dropped.
pub(crate) struct Front {
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    process: Option<Child>,
}

impl Front {
    pub(super) fn new(url: String, process: Child) -> Self {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(70)).build().unwrap();
        Self { url, client, process: Some(process) }
    }

    /// SIGKILL, in the middle of whatever it does. Returns once it is gone.
    pub(crate) fn kill(mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// SIGTERM; returns the exit code.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        terminate(self.process.take().unwrap()).await
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

impl Drop for Front {
    /// A test that failed: the workers are ended by their parent's orderly end.
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let _ = std::process::Command::new("kill").arg(process.id().to_string()).status();
        let started = Instant::now();
        while matches!(process.try_wait(), Ok(None)) {
            if started.elapsed() > SETTLE_LIMIT {
                let _ = process.kill();
            }
            std::thread::sleep(LOOK_PAUSE);
        }
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

/// SIGTERM; returns the exit code.
pub(crate) async fn terminate(mut child: Child) -> Option<i32> {
    signal("TERM", u64::from(child.id()));
    eventually("the end of a process", SETTLE_LIMIT, async || child.try_wait().unwrap())
        .await
        .code()
}

/// Sends a signal to a process.
pub(crate) fn signal(name: &str, pid: u64) {
    let sent =
        std::process::Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "no process {pid}");
}

/// Whether a process of this pid runs; one that has ended and was not waited for does not.
pub(crate) fn runs(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
