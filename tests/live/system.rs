//! A whole system of processes on the servers of the environment, with names of its own.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rideshare::adapters::rabbitmq::RabbitmqSettings;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;
use zookeeper_async::{ZooKeeper, ZooKeeperExt};

use crate::broker::{self, Stranger};

/// How long a system may take to settle. Only a failing test waits as long.
pub(crate) const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// Everything that one system has of the servers.
pub(crate) struct System {
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    pub(crate) directory: TempDir,
    orchestrator: Option<Child>,
    environment: Vec<(String, String)>,
    broker: RabbitmqSettings,
    root: String,
    prefix: String,
}

impl System {
    /// An orchestrator that keeps so many slaves, and waits until all are there.
    pub(crate) async fn start(slaves: usize) -> Self {
        let mut system = Self::prepare(slaves);
        system.run().await;
        system.settle(slaves).await;
        system
    }

    /// Names and settings; nothing runs yet.
    pub(crate) fn prepare(slaves: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let broker = broker::settings();
        let unique = Uuid::now_v7().simple().to_string();
        let (root, prefix) = (format!("/live-{unique}"), format!("live{}_", &unique[20..]));
        let environment = [
            ("RIDESHARE_RABBITMQ__PREFIX", broker.prefix.clone()),
            ("RIDESHARE_ZOOKEEPER__ROOT", root.clone()),
            ("RIDESHARE_MONGODB__DATABASE_PREFIX", prefix.clone()),
            (
                "RIDESHARE_CONTAINERS__STATE_DIR",
                directory.path().join("state").display().to_string(),
            ),
            ("RIDESHARE_SCALING__MIN_SLAVES", slaves.to_string()),
            ("RIDESHARE_HTTP__PORT", "0".to_owned()),
        ];
        Self {
            url: String::new(),
            client: reqwest::Client::builder().timeout(Duration::from_secs(70)).build().unwrap(),
            directory,
            orchestrator: None,
            environment: environment.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            broker,
            root,
            prefix,
        }
    }

    /// Starts the orchestrator and waits until it listens.
    pub(crate) async fn run(&mut self) {
        let addresses = self.directory.path().join("addresses.json");
        let _ = std::fs::remove_file(&addresses);
        let log = std::fs::File::options().create(true).append(true).open(self.log_file()).unwrap();
        let child = self
            .command(&["orchestrator", "--addresses-file", addresses.to_str().unwrap()])
            .stderr(log)
            .spawn()
            .unwrap();
        self.orchestrator = Some(child);
        let started = Instant::now();
        let text = loop {
            if let Ok(text) = std::fs::read_to_string(&addresses) {
                break text;
            }
            assert!(started.elapsed() < SETTLE_LIMIT, "does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let addresses: Value = serde_json::from_str(&text).unwrap();
        self.url = addresses["orchestrator"].as_str().unwrap().to_owned();
    }

    /// The binary with this system's settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rideshare"));
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::null());
        command
    }

    /// SIGTERM; returns the exit code.
    pub(crate) async fn terminate_orchestrator(&mut self) -> Option<i32> {
        let orchestrator = self.orchestrator.take().unwrap();
        terminate(orchestrator).await
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

    /// Waits until there are a master and so many slaves, nobody else, and no dead.
    pub(crate) async fn settle(&self, slaves: usize) {
        let started = Instant::now();
        loop {
            let workers = self.workers().await;
            let with = |role: &str| workers.iter().filter(|it| it["role"] == role).count();
            if with("master") == 1 && with("slave") == slaves && workers.len() == slaves + 1 {
                return;
            }
            assert!(started.elapsed() < SETTLE_LIMIT, "not settled: {workers:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn log_file(&self) -> std::path::PathBuf {
        self.directory.path().join("orchestrator.log")
    }

    /// Stops everything and removes what it had on the servers.
    pub(crate) async fn finish(mut self) {
        if self.orchestrator.is_some() {
            assert_eq!(self.terminate_orchestrator().await, Some(0));
        }
        let stranger = Stranger::connect(&self.broker).await;
        stranger.remove(&self.broker).await;
        let nobody = |_: zookeeper_async::WatchedEvent| {};
        let hosts = std::env::var("RIDESHARE_ZOOKEEPER__HOSTS").unwrap();
        let patience = Duration::from_secs(10);
        let cleaner = ZooKeeper::connect(&hosts, patience, nobody).await.unwrap();
        cleaner.delete_recursive(&self.root).await.unwrap();
        cleaner.close().await.unwrap();
        let uri = std::env::var("RIDESHARE_MONGODB__URL").unwrap();
        let client = mongodb::Client::with_uri_str(uri).await.unwrap();
        for name in client.list_database_names().await.unwrap() {
            if name.starts_with(&self.prefix) {
                client.database(&name).drop().await.unwrap();
            }
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let Some(mut orchestrator) = self.orchestrator.take() else { return };
        // A test that failed: the workers are ended by their parent's orderly end.
        let pid = orchestrator.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = orchestrator.wait();
        let kept = self.directory.path().with_extension("failed");
        let _ = std::fs::rename(self.directory.path(), &kept);
        eprintln!("logs are kept in {}", kept.display());
    }
}

/// SIGTERM; returns the exit code.
pub(crate) async fn terminate(mut child: Child) -> Option<i32> {
    signal("TERM", u64::from(child.id()));
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(started.elapsed() < SETTLE_LIMIT, "does not stop");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(name: &str, pid: u64) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "no process {pid}");
}
