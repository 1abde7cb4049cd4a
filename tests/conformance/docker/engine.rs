//! The engine as the tests use it, through its own command line: an independent witness.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rideshare::adapters::docker::{DockerContainers, DockerSettings};
use rideshare::domain::ids::NodeId;

const BASE: &str = "debian:bookworm-slim";
/// A new number for every change of what follows.
const IMAGE: &str = "rideshare-conformance:1";
/// The database adds a line for each start; the worker ends as its name says.
const ENTRY: &str = r#"
case $1 in
    mongod) echo started >> /data/db/starts ;;
    *) case $RIDESHARE_WORKER__NODE in fails*) exit 3 ;; stubborn*) trap '' TERM ;; esac ;;
esac
case $RIDESHARE_WORKER__NODE in stubborn*) ;; *) trap 'exit 0' TERM ;; esac
while :; do sleep 0.02; done
"#;
const RECIPE: &str = r#"
FROM debian:bookworm-slim
COPY entry /entry
RUN mkdir -p /data/db && chown 999:999 /data/db
ENTRYPOINT ["/bin/sh", "/entry"]
"#;

/// Runs `docker` and returns what it says.
pub(super) fn docker(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// A project with a network of its own; removed with all that is in it.
pub(super) struct Project {
    pub(super) name: String,
}

impl Project {
    pub(super) fn new() -> Self {
        provide_image();
        let unique = uuid::Uuid::now_v7().simple().to_string();
        let name = format!("t{}", &unique[unique.len() - 10..]);
        docker(&["network", "create", "--label", "rideshare-conformance", &name]).unwrap();
        Self { name }
    }

    pub(super) async fn open(&self, change: impl FnOnce(&mut DockerSettings)) -> DockerContainers {
        DockerContainers::open(self.settings(change)).await.unwrap()
    }

    pub(super) fn settings(&self, change: impl FnOnce(&mut DockerSettings)) -> DockerSettings {
        let since_1970 = || std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let mut settings = DockerSettings {
            host: "unix:///var/run/docker.sock".to_owned(),
            tls: None,
            timeout: Duration::from_secs(20),
            project: self.name.clone(),
            network: self.name.clone(),
            worker_image: IMAGE.to_owned(),
            worker_user: "10001:10001".to_owned(),
            worker_memory_mb: 64,
            worker_binds: Vec::new(),
            database_image: IMAGE.to_owned(),
            database_user: "999:999".to_owned(),
            database_memory_mb: 64,
            database_cache_mb: 256,
            log_max_mb: 1,
            log_max_files: 2,
            keep_databases: 0,
            stop_limit: Duration::from_secs(20),
            environment: Arc::new(|node, _, database| {
                let node = ("RIDESHARE_WORKER__NODE".to_owned(), node.to_string());
                vec![node, ("DATABASE".to_owned(), database.to_owned())]
            }),
            now_ms: Arc::new(move || u64::try_from(since_1970()).unwrap()),
        };
        change(&mut settings);
        settings
    }

    /// The name of a container of this project.
    pub(super) fn container(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.name)
    }

    /// How many lines the database of a worker has stored.
    pub(super) fn stored(&self, node: &NodeId) -> usize {
        let volume = self.container(&format!("{node}-db"));
        let at = docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", &volume]);
        let Ok(at) = at else { return 0 };
        std::fs::read_to_string(format!("{at}/starts")).unwrap_or_default().lines().count()
    }

    /// Everything that the engine has of this project, but its network.
    pub(super) fn remains(&self) -> Vec<String> {
        let filter = format!("label=rideshare.project={}", self.name);
        let containers = docker(&["ps", "-aq", "--filter", &filter]).unwrap();
        let volumes = docker(&["volume", "ls", "-q", "--filter", &filter]).unwrap();
        containers.lines().chain(volumes.lines()).map(str::to_owned).collect()
    }
}

impl Drop for Project {
    /// After a failure too.
    fn drop(&mut self) {
        let label = format!("label=rideshare.project={}", self.name);
        // Strangers have names of the project, but not its label.
        let name = format!("name=^/{}-", self.name);
        let lists: [(&[&str], &str, &[&str]); 3] = [
            (&["ps", "-aq"], &label, &["rm", "-fv"]),
            (&["ps", "-aq"], &name, &["rm", "-fv"]),
            (&["volume", "ls", "-q"], &label, &["volume", "rm"]),
        ];
        for (list, filter, remove) in lists {
            let found = docker(&[list, &["--filter", filter]].concat()).unwrap_or_default();
            let found: Vec<_> = found.lines().collect();
            if !found.is_empty() {
                let _ = docker(&[remove, &found].concat());
            }
        }
        let _ = docker(&["network", "rm", &self.name]);
    }
}

/// Makes the image of the workers where the engine does not have it. Two at once do no harm.
fn provide_image() {
    let is_there = |image| docker(&["image", "inspect", "--format", "{{.Id}}", image]).is_ok();
    if is_there(IMAGE) {
        return;
    }
    if !is_there(BASE) && docker(&["pull", "-q", BASE]).is_err() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/images.sh");
        let made = Command::new(script).arg("base").status().unwrap();
        assert!(made.success(), "{script} base: {made}");
    }
    let context = tempfile::tempdir().unwrap();
    std::fs::write(context.path().join("entry"), ENTRY).unwrap();
    std::fs::write(context.path().join("Dockerfile"), RECIPE).unwrap();
    let path = context.path().to_str().unwrap();
    docker(&["build", "-q", "-t", IMAGE, path]).unwrap();
}
