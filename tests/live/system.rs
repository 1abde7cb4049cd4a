//! A whole system of processes on real servers, with names of its own.

use std::fs::File;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use mongodb::Database;
use rideshare::adapters::rabbitmq::RabbitmqSettings;
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;
use zookeeper_async::{ZooKeeper, ZooKeeperExt};

use crate::broker::Stranger;
use crate::front::{Front, SETTLE_LIMIT, eventually, runs, signal, terminate};
use crate::replicas::{self, Replica, Replicated};
use crate::servers::Servers;

/// Everything that one system has of the servers, and its first orchestrator, to whose helpers it
/// lends its name.
pub(crate) struct System {
    pub(crate) directory: TempDir,
    front: Option<Front>,
    fronts: AtomicU32,
    environment: Vec<(String, String)>,
    servers: Servers,
    pub(crate) broker: RabbitmqSettings,
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

    /// Names and settings on the servers of the environment; nothing runs yet.
    pub(crate) fn prepare(slaves: usize) -> Self {
        Self::prepare_on(Servers::of_environment(), slaves)
    }

    /// Names and settings; nothing runs yet.
    pub(crate) fn prepare_on(servers: Servers, slaves: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let unique = Uuid::now_v7().simple().to_string();
        let (root, prefix) = (format!("/live-{unique}"), format!("live{}_", &unique[20..]));
        let broker = RabbitmqSettings {
            url: servers.rabbitmq.clone(),
            prefix: format!("test.{unique}."),
            ..Default::default()
        };
        let state = directory.path().join("state").display().to_string();
        let environment = [
            ("RIDESHARE_RABBITMQ__URL", servers.rabbitmq.clone()),
            ("RIDESHARE_ZOOKEEPER__HOSTS", servers.zookeeper.clone()),
            ("RIDESHARE_MONGODB__URL", servers.mongodb.clone()),
            ("RIDESHARE_RABBITMQ__PREFIX", broker.prefix.clone()),
            ("RIDESHARE_ZOOKEEPER__ROOT", root.clone()),
            ("RIDESHARE_MONGODB__DATABASE_PREFIX", prefix.clone()),
            ("RIDESHARE_CONTAINERS__STATE_DIR", state),
            ("RIDESHARE_SCALING__MIN_SLAVES", slaves.to_string()),
            ("RIDESHARE_SCALING__MAX_SLAVES", slaves.to_string()),
            ("RIDESHARE_HTTP__PORT", "0".to_owned()),
        ];
        Self {
            directory,
            front: None,
            fronts: AtomicU32::new(0),
            environment: environment.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            servers,
            broker,
            root,
            prefix,
        }
    }

    /// Changes a setting for what is started from now on.
    pub(crate) fn set(&mut self, variable: &str, value: &str) {
        self.environment.push((variable.to_owned(), value.to_owned()));
    }

    /// Starts the first orchestrator and waits until it listens.
    pub(crate) async fn run(&mut self) {
        self.front = Some(self.orchestrator().await);
    }

    /// Starts an orchestrator and waits until it listens.
    pub(crate) async fn orchestrator(&self) -> Front {
        let number = self.fronts.fetch_add(1, Ordering::Relaxed);
        let addresses = self.directory.path().join(format!("addresses-{number}.json"));
        let mut process = self
            .command(&["orchestrator", "--addresses-file", addresses.to_str().unwrap()])
            .stderr(self.log(&format!("orchestrator-{number}")))
            .spawn()
            .unwrap();
        let text = eventually("an orchestrator that listens", SETTLE_LIMIT, async || {
            assert_eq!(process.try_wait().unwrap(), None, "the orchestrator goes on");
            std::fs::read_to_string(&addresses).ok()
        })
        .await;
        let addresses: Value = serde_json::from_str(&text).unwrap();
        Front::new(addresses["orchestrator"].as_str().unwrap().to_owned(), process)
    }

    /// Starts a worker by hand.
    pub(crate) fn worker(&self, start_as: &str) -> HandWorker {
        self.worker_of(self.command(&["worker", "--type", start_as]))
    }

    /// The same with a command that was changed.
    pub(crate) fn worker_of(&self, mut command: Command) -> HandWorker {
        let log = format!("by-hand-{}", Uuid::now_v7().simple());
        let process = command.stderr(self.log(&log)).spawn().unwrap();
        HandWorker { process: Some(process), log: self.log_path(&log) }
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
        self.front.take().unwrap().terminate().await
    }

    /// SIGKILL.
    pub(crate) fn kill_orchestrator(&mut self) {
        self.front.take().unwrap().kill();
    }

    /// Makes this the orchestrator that the system is spoken to through.
    pub(crate) fn adopt(&mut self, front: Front) {
        self.front = Some(front);
    }

    /// Waits until the databases of all workers stand at the same place in the log. Nothing may be
    /// written meanwhile.
    pub(crate) async fn level(&self) {
        replicas::level(&self.databases().await).await;
    }

    async fn databases(&self) -> Vec<Database> {
        let mut databases = Vec::new();
        for worker in self.workers().await {
            let name = format!("{}{}", self.prefix, worker["node"].as_str().unwrap());
            databases.push(replicas::open(&self.servers.mongodb, &name).await);
        }
        databases
    }

    /// Where to write the history of a test: where somebody wants to have it afterwards, or among
    /// the other files of this system.
    pub(crate) fn history_file(&self, name: &str) -> PathBuf {
        let wanted = std::env::var_os("RIDESHARE_TEST_HISTORIES").map(PathBuf::from);
        let directory = wanted.unwrap_or_else(|| self.directory.path().to_owned());
        directory.join(format!("{name}.jsonl"))
    }

    /// What the orchestrator of this number, counted from 0, has said so far.
    pub(crate) fn orchestrator_log(&self, number: u32) -> String {
        std::fs::read_to_string(self.log_path(&format!("orchestrator-{number}"))).unwrap()
    }

    /// host:port of the MongoDB server.
    pub(crate) fn database_host(&self) -> &str {
        self.servers.mongodb.strip_prefix("mongodb://").unwrap()
    }

    /// The node in the coordination service that everything of this system is below.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// Looks at all that the orchestrators and the workers of the runtime have said.
    pub(crate) fn each_log(&self, look: impl Fn(&str)) {
        for directory in [self.directory.path().to_owned(), self.directory.path().join("state")] {
            let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
            for log in files.filter(|path| path.extension().is_some_and(|it| it == "log")) {
                look(&std::fs::read_to_string(log).unwrap());
            }
        }
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.log"))
    }

    fn log(&self, name: &str) -> File {
        File::options().create(true).append(true).open(self.log_path(name)).unwrap()
    }

    /// The pids in the records of the workers.
    fn recorded_pids(&self) -> Vec<u64> {
        let state = std::fs::read_dir(self.directory.path().join("state"));
        let files = state.into_iter().flatten().flatten().map(|entry| entry.path());
        let records = files.filter(|path| path.extension().is_some_and(|it| it == "json"));
        let records = records.filter_map(|path| std::fs::read(path).ok());
        let records = records.filter_map(|text| serde_json::from_slice::<Value>(&text).ok());
        records.filter_map(|record| record["process"]["pid"].as_u64()).collect()
    }

    /// Stops everything and removes what it had on the servers.
    pub(crate) async fn finish(mut self) {
        if self.front.is_some() {
            assert_eq!(self.terminate_orchestrator().await, Some(0));
        }
        let left: Vec<_> = self.recorded_pids().into_iter().filter(|pid| runs(*pid)).collect();
        assert_eq!(left, [0; 0], "an orderly end ends the workers");
        let stranger = Stranger::connect(&self.broker).await;
        stranger.remove(&self.broker).await;
        let nobody = |_: zookeeper_async::WatchedEvent| {};
        let cleaner =
            ZooKeeper::connect(&self.servers.zookeeper, SETTLE_LIMIT, nobody).await.unwrap();
        cleaner.delete_recursive(&self.root).await.unwrap();
        cleaner.close().await.unwrap();
        let client = mongodb::Client::with_uri_str(&self.servers.mongodb).await.unwrap();
        for name in client.list_database_names().await.unwrap() {
            if name.starts_with(&self.prefix) {
                client.database(&name).drop().await.unwrap();
            }
        }
    }
}

impl Replicated for System {
    async fn replicas(&self) -> Vec<Replica> {
        let databases = self.databases().await;
        replicas::level(&databases).await;
        replicas::read(&databases).await
    }
}

impl Deref for System {
    type Target = Front;

    fn deref(&self) -> &Front {
        self.front.as_ref().expect("an orchestrator runs")
    }
}

impl Drop for System {
    fn drop(&mut self) {
        drop(self.front.take());
        // What is left where an orchestrator was killed and the test failed.
        for pid in self.recorded_pids().into_iter().filter(|pid| runs(*pid)) {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            if String::from_utf8_lossy(&environment).contains(&self.prefix) {
                signal("KILL", pid);
            }
        }
        if std::thread::panicking() {
            let kept = self.directory.path().with_extension("failed");
            let _ = std::fs::rename(self.directory.path(), &kept);
            eprintln!("logs are kept in {}", kept.display());
        }
    }
}

/// A worker that nobody watches over; killed when dropped.
pub(crate) struct HandWorker {
    process: Option<Child>,
    log: PathBuf,
}

impl HandWorker {
    pub(crate) fn pid(&self) -> u64 {
        u64::from(self.process.as_ref().unwrap().id())
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has said this.
    pub(crate) async fn says(&self, what: &str) {
        let said = async || self.log().contains(what).then_some(());
        eventually(&format!("a worker that says {what:?}"), SETTLE_LIMIT, said).await;
    }

    /// Waits until it has ended by itself; returns the exit code.
    pub(crate) async fn ended(mut self) -> Option<i32> {
        let mut process = self.process.take().unwrap();
        let end = async || process.try_wait().unwrap();
        eventually("a worker that ends by itself", SETTLE_LIMIT, end).await.code()
    }

    /// SIGTERM; returns the exit code.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        terminate(self.process.take().unwrap()).await
    }
}

impl Drop for HandWorker {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
