//! One system of `compose.yaml`, with names and ports of its own.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::ops::Deref;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use mongodb::Database;
use rideshare::adapters::http_client;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::engine::{docker, inspect, list, output};
use crate::image;
use crate::orchestrator::{Orchestrator, SETTLE_LIMIT, eventually};
use crate::replicas::{self, Replica, Replicated};

const CHECKOUT: &str = env!("CARGO_MANIFEST_DIR");
/// So many databases of removed workers are kept (`containers.keep_databases`).
const KEPT: usize = 2;
/// From nothing to serving, on a machine that does other things too.
const START_LIMIT: Duration = Duration::from_secs(180);
/// The ports that are published, by the variable that moves each.
const PORTS: [&str; 4] = ["DATABASE_PORT", "USERS_PORT", "RIDES_PORT", "GATEWAY_PORT"];
/// Images that may stand in for those that are named by default.
const IMAGES: [(&str, &str); 4] = [
    ("RABBITMQ_IMAGE", "RIDESHARE_TEST_RABBITMQ_IMAGE"),
    ("ZOOKEEPER_IMAGE", "RIDESHARE_TEST_ZOOKEEPER_IMAGE"),
    ("NGINX_IMAGE", "RIDESHARE_TEST_NGINX_IMAGE"),
    ("RIDESHARE_DOCKER__DATABASE_IMAGE", "RIDESHARE_TEST_MONGODB_IMAGE"),
];

/// What the project has on the engine, and its orchestrator, to whose helpers it lends its name.
pub(crate) struct System {
    pub(crate) project: String,
    pub(crate) image: String,
    directory: TempDir,
    ports: [u16; 4],
    orchestrator: Orchestrator,
}

impl System {
    /// A system that keeps so many slaves, without the services on top, and waits until it serves.
    pub(crate) async fn start(slaves: usize) -> Self {
        Self::start_with(slaves, &[]).await
    }

    /// The same with other settings of the orchestrator.
    pub(crate) async fn start_with(slaves: usize, settings: &[(&str, &str)]) -> Self {
        let system = Self::prepare(slaves, settings);
        system.compose(&["up", "--detach", "--no-build", "orchestrator"]);
        system.settle(slaves).await;
        system
    }

    /// Names, ports, and settings of the orchestrator; nothing runs yet.
    pub(crate) fn prepare(slaves: usize, settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let unique = Uuid::now_v7().simple().to_string();
        let project = format!("t{}", &unique[unique.len() - 10..]);
        let mut environment = json!({
            "RIDESHARE_SCALING__MIN_SLAVES": slaves.to_string(),
            "RIDESHARE_SCALING__MAX_SLAVES": slaves.to_string(),
        });
        for (name, value) in settings {
            environment[name] = json!(value);
        }
        let own = json!({ "services": { "orchestrator": { "environment": environment } } });
        std::fs::write(directory.path().join("own.yaml"), own.to_string()).unwrap();
        let ports = free_ports();
        let orchestrator = Orchestrator::new(format!("http://127.0.0.1:{}", ports[0]));
        Self { project, image: image::provide(), directory, ports, orchestrator }
    }

    /// Starts what does not run, and waits until all of it is healthy or need not be.
    pub(crate) fn up(&self) {
        output(&mut self.up_command()).unwrap();
    }

    pub(crate) fn up_command(&self) -> Command {
        self.compose_command(&["up", "--detach", "--no-build"])
    }

    /// One command on the system.
    pub(crate) fn compose(&self, arguments: &[&str]) -> String {
        output(&mut self.compose_command(arguments)).unwrap()
    }

    fn compose_command(&self, arguments: &[&str]) -> Command {
        let mut command = compose();
        command.args(["--project-name", &self.project, "--project-directory", CHECKOUT]);
        command.arg("--file").arg(PathBuf::from(CHECKOUT).join("compose.yaml"));
        command.arg("--file").arg(self.directory.path().join("own.yaml"));
        command.env("RIDESHARE_DOCKER__PROJECT", &self.project);
        command.env("RIDESHARE_DOCKER__WORKER_IMAGE", &self.image);
        command.envs(PORTS.iter().zip(self.ports.map(|port| port.to_string())));
        for (variable, ours) in IMAGES {
            command.envs(std::env::var(ours).map(|image| (variable, image)));
        }
        command.args(arguments);
        command
    }

    pub(crate) fn users_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[1])
    }

    pub(crate) fn rides_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[2])
    }

    pub(crate) fn gateway_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[3])
    }

    /// The container of a service.
    pub(crate) fn service(&self, name: &str) -> String {
        let service = format!("label=com.docker.compose.service={name}");
        let found = list(&["ps", "-aq", "--filter", &self.of_compose(), "--filter", &service]);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found[0].clone()
    }

    /// The name of something of a worker, or of the master.
    pub(crate) fn named(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.project)
    }

    /// A part of all workers, by name.
    pub(crate) fn containers(&self, part: &str) -> Vec<String> {
        let part = format!("label=rideshare.part={part}");
        let filters = ["--filter", &self.of_workers(), "--filter", &part];
        list(&[&["ps", "-a", "--format", "{{.Names}}"], &filters[..]].concat())
    }

    /// The pids that the engine has for the workers that run, ascending.
    pub(crate) fn pids(&self) -> Vec<u64> {
        let names = self.containers("worker");
        let mut pids: Vec<u64> =
            names.iter().filter_map(|it| inspect(it, "{{.State.Pid}}").parse().ok()).collect();
        pids.retain(|pid| *pid > 0);
        pids.sort_unstable();
        pids
    }

    /// The pid that the engine has for a container; 0 where it does not run.
    pub(crate) fn pid(&self, suffix: &str) -> u64 {
        inspect(&self.named(suffix), "{{.State.Pid}}").parse().unwrap_or_default()
    }

    /// Waits until the container of that name is that of the worker with this pid.
    pub(crate) async fn is_master(&self, pid: u64) {
        let has_name = async || (self.pid("master") == pid).then_some(());
        eventually("the master's name on its container", SETTLE_LIMIT, has_name).await;
    }

    /// Asserts that there are the containers, volumes and networks of so many slaves, a master and
    /// the services, that all run, and nothing else but the last volumes of those that were removed.
    pub(crate) async fn assert_no_stray(&self, slaves: usize) {
        let count = slaves + 1;
        let is_tidy = async || {
            let runs = |name: &String| inspect(name, "{{.State.Running}}") == "true";
            let (workers, databases) = (self.containers("worker"), self.containers("database"));
            let all = workers.len() == count && databases.len() == count;
            let volumes = without_kept(self.volumes())?;
            let tidy = all && volumes.len() == count && workers.iter().chain(&databases).all(runs);
            tidy.then_some((workers, databases, volumes))
        };
        let (workers, databases, volumes) =
            eventually("a tidy engine", SETTLE_LIMIT, is_tidy).await;
        let nodes: BTreeSet<_> = self.workers().await.iter().map(node).collect();
        let expected: Vec<_> = nodes.iter().map(|it| self.named(&format!("{it}-db"))).collect();
        assert_eq!(databases, expected, "one database for each worker");
        assert_eq!(volumes, expected, "one volume for each database");
        for name in workers.iter().chain(&databases) {
            let mounts = inspect(name, "{{range .Mounts}}{{.Name}} {{end}}");
            let known = |it: &str| expected.contains(&it.to_owned()) || it.ends_with("-secrets");
            assert!(mounts.split_whitespace().all(known), "{name} has nameless volumes: {mounts}");
        }
        let networks = list(&["network", "ls", "-q", "--filter", &self.of_compose()]);
        assert_eq!(networks.len(), 2, "{networks:?}");
    }

    fn volumes(&self) -> Vec<String> {
        list(&["volume", "ls", "-q", "--filter", &self.of_workers()])
    }

    /// What filters for all that the orchestrator has made.
    fn of_workers(&self) -> String {
        format!("label=rideshare.project={}", self.project)
    }

    /// What filters for all that compose has made.
    fn of_compose(&self) -> String {
        format!("label=com.docker.compose.project={}", self.project)
    }

    /// Names of everything that the engine has of this system.
    pub(crate) fn remains(&self) -> Vec<String> {
        let mut remains = Vec::new();
        for filter in [self.of_workers(), self.of_compose()] {
            let filter = ["--filter", filter.as_str()];
            remains.extend(list(&[&["ps", "-a", "--format", "{{.Names}}"], &filter[..]].concat()));
            remains.extend(list(&[&["volume", "ls", "-q"], &filter[..]].concat()));
            let networks: &[&str] = &["network", "ls", "--format", "{{.Name}}"];
            remains.extend(list(&[networks, &filter[..]].concat()));
        }
        remains
    }

    /// Where to write the history of a test: where somebody wants to have it afterwards, or among
    /// the other files of this system.
    pub(crate) fn history_file(&self, name: &str) -> PathBuf {
        let wanted = std::env::var_os("RIDESHARE_TEST_HISTORIES").map(PathBuf::from);
        let directory = wanted.unwrap_or_else(|| self.directory.path().to_owned());
        directory.join(format!("{name}.jsonl"))
    }

    /// Writes down what all containers have said.
    fn keep_logs(&self) {
        let kept = std::env::temp_dir().join(format!("rideshare-docker-{}.failed", self.project));
        let _ = std::fs::create_dir_all(&kept);
        let mut names = self.containers("worker");
        names.extend(self.containers("database"));
        let of_compose = self.of_compose();
        names.extend(list(&["ps", "-a", "--filter", &of_compose, "--format", "{{.Names}}"]));
        for name in names {
            if let Ok(output) = Command::new("docker").args(["logs", "-t", &name]).output() {
                let log = [output.stdout, output.stderr].concat();
                let _ = std::fs::write(kept.join(format!("{name}.log")), log);
            }
        }
        eprintln!("logs are kept in {}", kept.display());
    }
}

/// The volumes of workers that there are; nothing while more of removed ones are left than are kept.
fn without_kept(volumes: Vec<String>) -> Option<Vec<String>> {
    let aside = |name: &String| name.strip_suffix("-aside").map(|worker| format!("{worker}-db"));
    let kept: Vec<_> = volumes.iter().filter_map(aside).collect();
    let are_whole = kept.iter().all(|database| volumes.contains(database));
    let is_left = |name: &String| aside(name).is_none() && !kept.contains(name);
    (kept.len() <= KEPT && are_whole).then(|| volumes.into_iter().filter(is_left).collect())
}

impl Deref for System {
    type Target = Orchestrator;

    fn deref(&self) -> &Orchestrator {
        &self.orchestrator
    }
}

impl Replicated for System {
    async fn replicas(&self) -> Vec<Replica> {
        let mut databases: Vec<Database> = Vec::new();
        for worker in self.workers().await {
            let node = node(&worker);
            let address =
                format!("{{{{(index .NetworkSettings.Networks {:?}).IPAddress}}}}", self.project);
            let address = inspect(&self.named(&format!("{node}-db")), &address);
            let uri = format!("mongodb://{address}/?directConnection=true");
            databases.push(replicas::open(&uri, &format!("rideshare_{node}")).await);
        }
        replicas::level(&databases).await;
        replicas::read(&databases).await
    }
}

impl Drop for System {
    /// After a failure too.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep_logs();
        }
        let (workers, compose) = (self.of_workers(), self.of_compose());
        // First who would start others.
        let steps: [(&[&str], &str, &[&str]); 5] = [
            (&["ps", "-aq"], &compose, &["rm", "-fv"]),
            (&["ps", "-aq"], &workers, &["rm", "-fv"]),
            (&["volume", "ls", "-q"], &workers, &["volume", "rm"]),
            (&["volume", "ls", "-q"], &compose, &["volume", "rm"]),
            (&["network", "ls", "-q"], &compose, &["network", "rm"]),
        ];
        for (list, filter, remove) in steps {
            let found = docker(&[list, &["--filter", filter]].concat()).unwrap_or_default();
            let found: Vec<_> = found.lines().collect();
            if !found.is_empty()
                && let Err(error) = docker(&[remove, &found].concat())
            {
                eprintln!("not removed: {error}");
            }
        }
    }
}

pub(crate) fn node(worker: &Value) -> String {
    worker["node"].as_str().unwrap().to_owned()
}

pub(crate) fn pid(worker: &Value) -> u64 {
    worker["pid"].as_u64().unwrap()
}

/// Waits until a service at this address is ready.
pub(crate) async fn ready(url: &str, since: Instant) -> Duration {
    let client = http_client::client(Path::new("")).unwrap();
    let answers = async || {
        let answer = client.get(format!("{url}/readyz")).send().await.ok()?;
        answer.status().is_success().then(|| since.elapsed())
    };
    eventually(&format!("{url} ready"), START_LIMIT, answers).await
}

/// The command of either compose that is here.
fn compose() -> Command {
    let mut newer = Command::new("docker");
    newer.arg("compose");
    if output(Command::new("docker").args(["compose", "version"])).is_ok() {
        newer
    } else {
        Command::new("docker-compose")
    }
}

/// Ports that nobody listens on now. They stay the same when a container is started again, which
/// those that the engine picks do not.
fn free_ports() -> [u16; 4] {
    let listeners = [0; 4].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
