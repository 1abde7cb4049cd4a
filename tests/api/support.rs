//! A running system, and one helper an endpoint.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Client;
use reqwest::redirect::Policy;
use rideshare::adapters::http_client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::suite::Target;
pub(crate) use crate::suite::client::{Answer, Service as App, answer};

/// How long a system may take to serve.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long anything may take that the system does by itself.
pub(crate) const SETTLE_LIMIT: Duration = Duration::from_secs(30);

/// `rideshare up` in a process of its own.
pub(crate) struct System {
    pub(crate) url: String,
    pub(crate) users: App,
    pub(crate) rides: App,
    pub(crate) client: Client,
    process: Option<Child>,
    data: TempDir,
    slaves: u32,
    environment: Vec<(String, String)>,
}

impl System {
    pub(crate) async fn start(slaves: u32) -> Self {
        Self::start_with(slaves, &[]).await
    }

    pub(crate) async fn start_with(slaves: u32, environment: &[(&str, &str)]) -> Self {
        let trusted = environment.iter().find(|(name, _)| *name == "RIDESHARE_HTTP__CA_FILE");
        let environment =
            environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let client = http_client::builder(Path::new(trusted.map_or("", |(_, file)| file)))
            .unwrap()
            .redirect(Policy::default())
            .timeout(Duration::from_secs(70))
            .build()
            .unwrap();
        let mut system = Self {
            url: String::new(),
            users: App::new(&client, ""),
            rides: App::new(&client, ""),
            client,
            process: None,
            data: tempfile::tempdir().unwrap(),
            slaves,
            environment,
        };
        system.run().await;
        system
    }

    /// Starts the process on the data that there is, which it cannot serve.
    pub(crate) async fn run_unready(&mut self) {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        self.spawn(port);
        self.url = format!("http://127.0.0.1:{port}");
        let health = format!("{}/healthz", self.url);
        let started = Instant::now();
        while self.client.get(&health).send().await.is_err() {
            assert!(started.elapsed() < START_LIMIT, "does not listen\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn addresses_file(&self) -> std::path::PathBuf {
        self.data.path().join("addresses.json")
    }

    fn spawn(&mut self, port: u16) {
        let _ = std::fs::remove_file(self.addresses_file());
        let log = std::fs::File::create(self.data.path().join("stderr.log")).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_rideshare"))
            .args(["up", "--slaves", &self.slaves.to_string()])
            .args(["--orchestrator-port", &port.to_string()])
            .args(["--users-port", "0", "--rides-port", "0"])
            .arg("--data-dir")
            .arg(self.data.path().join("data"))
            .arg("--addresses-file")
            .arg(self.addresses_file())
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
    }

    /// Starts the process on the data that there is.
    pub(crate) async fn run(&mut self) {
        self.spawn(0);
        let addresses = self.addresses_file();
        let started = Instant::now();
        let text = loop {
            if let Ok(text) = std::fs::read_to_string(&addresses) {
                break text;
            }
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "ended with {ended:?}\n{}", self.log());
            assert!(started.elapsed() < START_LIMIT, "does not serve\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let addresses: Value = serde_json::from_str(&text).unwrap();
        self.url = addresses["orchestrator"].as_str().unwrap().to_owned();
        self.users = App::new(&self.client, addresses["users"].as_str().unwrap());
        self.rides = App::new(&self.client, addresses["rides"].as_str().unwrap());
    }

    /// Its addresses, with more instances of the services.
    pub(crate) fn target(&self, more: &[&AppProcess]) -> Target {
        let (users, rides) = ([self.users.url.clone()], [self.rides.url.clone()]);
        let mut target = Target::new(&self.client, &self.url, &users, &rides);
        for process in more {
            match process.name {
                "users" => target.all_users.push(process.app.clone()),
                _ => target.all_rides.push(process.app.clone()),
            }
        }
        target
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.data.path().join("stderr.log")).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    pub(crate) fn data_dir(&self) -> std::path::PathBuf {
        self.data.path().join("data")
    }

    /// SIGKILL, in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// SIGTERM; returns the exit code.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        let mut process = self.process.take().unwrap();
        let pid = process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let started = Instant::now();
        loop {
            if let Some(status) = process.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < SETTLE_LIMIT, "does not stop\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, body, &[]).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.post_bytes(path, body.to_string().into_bytes(), headers).await
    }

    pub(crate) async fn post_bytes(
        &self,
        path: &str,
        body: Vec<u8>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.client.post(format!("{}{path}", self.url)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.client.get(format!("{}{path}", self.url)).send().await.unwrap()).await
    }

    pub(crate) async fn write(&self, body: &Value) -> Answer {
        self.post("/api/v1/db/write", body).await
    }

    pub(crate) async fn read(&self, body: &Value) -> Answer {
        self.post("/api/v1/db/read", body).await
    }

    pub(crate) async fn insert(&self, collection: &str, documents: Value) -> Answer {
        let body = json!({ "op": "insert", "collection": collection, "documents": documents });
        self.write(&body).await
    }

    /// A linearizable read of documents.
    pub(crate) async fn find(&self, collection: &str, filter: Value) -> Vec<Value> {
        let body = json!({
            "collection": collection, "filter": filter, "consistency": "strong", "limit": 10_000,
        });
        let answer = self.read(&body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["documents"].as_array().unwrap().clone()
    }

    pub(crate) async fn workers(&self) -> Vec<Value> {
        self.get("/api/v1/workers").await.body.as_array().unwrap().clone()
    }

    pub(crate) async fn count_role(&self, role: &str) -> usize {
        self.workers().await.iter().filter(|worker| worker["role"] == role).count()
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
            assert!(started.elapsed() < SETTLE_LIMIT, "not settled: {workers:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Looks again and again until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < SETTLE_LIMIT, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A process of one microservice.
pub(crate) struct AppProcess {
    pub(crate) app: App,
    name: &'static str,
    process: Child,
}

impl AppProcess {
    /// Starts `rideshare app NAME` on a free port.
    pub(crate) async fn start(name: &'static str, system: &System, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let addresses = directory.path().join("addresses.json");
        let process = Command::new(env!("CARGO_BIN_EXE_rideshare"))
            .args(["app", name, "--port", "0", "--database-url", &system.url])
            .arg("--addresses-file")
            .arg(&addresses)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        let mut this = Self { app: App::new(&system.client, ""), name, process };
        let text = loop {
            if let Ok(text) = std::fs::read_to_string(&addresses) {
                break text;
            }
            let ended = this.process.try_wait().unwrap();
            assert!(ended.is_none(), "{name} ended with {ended:?}");
            assert!(started.elapsed() < START_LIMIT, "{name} does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let addresses: Value = serde_json::from_str(&text).unwrap();
        this.app = App::new(&system.client, addresses[name].as_str().unwrap());
        assert_eq!(this.app.get("/readyz").await.status, 200, "{name}");
        this
    }

    /// SIGTERM; returns the exit code.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < SETTLE_LIMIT, "does not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for AppProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(60).collect();
            eprintln!("last lines of the system's log:");
            for line in tail.iter().rev() {
                eprintln!("  {line}");
            }
        }
    }
}

/// Runs the binary to its end.
pub(crate) fn command(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    command_in(Path::new("."), arguments, environment)
}

pub(crate) fn command_in(
    directory: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rideshare"))
        .current_dir(directory)
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}
