//! What starts and watches workers: child processes, or containers.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tracing::info;

use super::servers;
use crate::adapters::docker::{DockerContainers, DockerSettings, TlsFiles};
use crate::adapters::process::{ProcessContainers, ProcessSettings};
use crate::domain::ids::NodeId;
use crate::ports::containers::{Containers, StartAs};
use crate::roles::ambient::Ambient;
use crate::settings::{self, Settings};

/// Settings that a worker has a use for.
const SECTIONS: [&str; 6] = ["LOG", "LIMITS", "HEALTH", "RABBITMQ", "ZOOKEEPER", "MONGODB"];

/// The runtime that the settings name.
pub(super) enum Runtime {
    Process(Arc<ProcessContainers>),
    Docker { containers: Arc<DockerContainers>, stop_workers: bool },
}

impl Runtime {
    /// Takes on the workers that are there.
    pub(super) async fn open(settings: &Settings, ambient: &Ambient) -> anyhow::Result<Self> {
        match settings.containers.runtime {
            settings::Runtime::Process => Ok(Self::Process(Arc::new(process(settings, ambient)?))),
            settings::Runtime::Docker => {
                let containers = DockerContainers::open(docker(settings, ambient)).await?;
                let stop_workers = settings.docker.stop_workers;
                Ok(Self::Docker { containers: Arc::new(containers), stop_workers })
            }
        }
    }

    pub(super) fn port(&self) -> Arc<dyn Containers> {
        match self {
            Self::Process(containers) => containers.clone(),
            Self::Docker { containers, .. } => containers.clone(),
        }
    }

    /// Stops the workers, unless another orchestrator goes on with them.
    pub(super) async fn leave(&self, others: bool, limit: Duration) {
        match self {
            // It knows of orchestrators that have no session, too.
            Self::Process(containers) if containers.leave() => containers.stop_all(limit).await,
            Self::Docker { containers, stop_workers: true } if !others => {
                containers.stop_all(limit).await;
            }
            _ => info!("the workers go on"),
        }
    }
}

fn process(settings: &Settings, ambient: &Ambient) -> anyhow::Result<ProcessContainers> {
    let directory = &settings.containers.state_dir;
    let program = std::env::current_exe().context("finding the own binary")?;
    let variables: Vec<(String, String)> =
        settings.to_variables().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mongodb = settings.mongodb.clone();
    ProcessContainers::open(ProcessSettings {
        directory: directory.clone(),
        command: Arc::new(move |node: &NodeId, start_as| {
            let mut command = Command::new(&program);
            command.args(["worker", "--type", type_of(start_as)]).stdin(Stdio::null());
            command.envs(variables.iter().map(|(name, value)| (name, value)));
            command.env("RIDESHARE_WORKER__NODE", node.as_str());
            command.env("RIDESHARE_WORKER__MANAGED", "true");
            // They share an address.
            command.env("RIDESHARE_WORKER__HTTP", "false");
            command
        }),
        remove_database: Arc::new(move |node| {
            let mongodb = mongodb.clone();
            Box::pin(async move { servers::remove_database(&mongodb, &node).await })
        }),
        keep_databases: settings.containers.keep_databases,
        now_ms: Arc::clone(&ambient.now_ms),
    })
    .with_context(|| format!("setting `containers.state_dir`: {}", directory.display()))
}

fn docker(settings: &Settings, ambient: &Ambient) -> DockerSettings {
    let own = settings.docker.clone();
    let variables = variables_of_containers(settings);
    let tls = own.is_behind_tls().then(|| TlsFiles {
        ca: own.tls_ca_file.clone(),
        certificate: own.tls_cert_file.clone(),
        key: own.tls_key_file.clone(),
    });
    DockerSettings {
        tls,
        timeout: Duration::from_millis(own.timeout_ms),
        worker_binds: own.binds(),
        host: own.host,
        project: own.project,
        network: own.network,
        worker_image: own.worker_image,
        worker_user: own.worker_user,
        worker_memory_mb: own.worker_memory_mb,
        database_image: own.database_image,
        database_user: own.database_user,
        database_memory_mb: own.database_memory_mb,
        database_cache_mb: own.database_cache_mb,
        log_max_mb: own.log_max_mb,
        log_max_files: own.log_max_files,
        keep_databases: settings.containers.keep_databases,
        stop_limit: Duration::from_millis(settings.containers.drain_limit_ms),
        environment: Arc::new(move |node, start_as, database| {
            let own = [
                ("RIDESHARE_WORKER__NODE", node.as_str()),
                ("RIDESHARE_WORKER__TYPE", type_of(start_as)),
                ("RIDESHARE_WORKER__MANAGED", "true"),
                // For the health check of its image.
                ("RIDESHARE_WORKER__HTTP", "true"),
                ("RIDESHARE_MONGODB__URL", database),
                // The containers of a network find each other by the name in the URL.
                ("RIDESHARE_MONGODB__ADVERTISED_HOST", ""),
            ];
            let is_own = |name: &str| own.iter().any(|(own, _)| *own == name);
            let mut all: Vec<_> =
                variables.iter().filter(|(name, _)| !is_own(name)).cloned().collect();
            all.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
            all
        }),
        now_ms: Arc::clone(&ambient.now_ms),
    }
}

/// What all workers are told: a worker reaches the servers under the same names and with the same
/// passwords. Those stand in the files that they were read from, where a worker finds these too.
fn variables_of_containers(settings: &Settings) -> Vec<(String, String)> {
    let binds = settings.docker.binds();
    let finds = |path: &str| {
        let places = binds.iter().filter_map(|bind| bind.split(':').nth(1));
        places.into_iter().any(|place| Path::new(path).starts_with(place))
    };
    let files: Vec<_> = settings.secret_files().iter().filter(|it| finds(&it.path)).collect();
    let is_in_file = |name: &str| files.iter().any(|it| it.secret_variable == name);
    let told =
        settings.to_variables().filter(|(name, _)| is_for_workers(name) && !is_in_file(name));
    let mut variables: Vec<_> =
        told.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    variables.extend(files.iter().map(|it| (it.file_variable.clone(), it.path.clone())));
    variables
}

fn is_for_workers(variable: &str) -> bool {
    let section = variable.strip_prefix("RIDESHARE_").and_then(|rest| rest.split("__").next());
    section.is_some_and(|section| SECTIONS.contains(&section))
}

const fn type_of(start_as: StartAs) -> &'static str {
    match start_as {
        StartAs::Master => "master",
        StartAs::Slave => "slave",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Profile;

    #[test]
    fn container_of_a_worker_has_what_it_needs_of_the_settings_and_no_more() {
        let variables = [
            ("RIDESHARE_RABBITMQ__URL", "amqp://me:word@rabbitmq"),
            ("RIDESHARE_MONGODB__URL", "mongodb://elsewhere"),
            ("RIDESHARE_LOG__FORMAT", "json"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::load(Profile::Process, None, variables, &[]).expect("valid");
        let made = docker(&settings, &Ambient::real());
        let environment = (made.environment)(&NodeId::new("n1"), StartAs::Master, "p-n1-db");
        let get = |wanted: &str| {
            let mut found = environment.iter().filter(|(name, _)| name == wanted);
            let value = found.next().map(|(_, value)| value.as_str());
            assert!(found.next().is_none(), "{wanted} is said twice");
            value
        };
        assert_eq!(get("RIDESHARE_RABBITMQ__URL"), Some("amqp://me:word@rabbitmq"));
        assert_eq!(get("RIDESHARE_MONGODB__URL"), Some("p-n1-db"));
        assert_eq!(get("RIDESHARE_LOG__FORMAT"), Some("json"));
        assert_eq!(get("RIDESHARE_WORKER__TYPE"), Some("master"));
        assert_eq!(get("RIDESHARE_WORKER__NODE"), Some("n1"));
        assert_eq!(get("RIDESHARE_WORKER__MANAGED"), Some("true"));
        assert_eq!((get("RIDESHARE_DOCKER__HOST"), get("RIDESHARE_HTTP__PORT")), (None, None));
        let own = environment.iter().map(|(name, value)| (name.clone(), value.clone()));
        let worker = Settings::load(Profile::Process, None, own, &[]).expect("a worker's settings");
        assert_eq!(worker.worker.node, "n1");
    }

    #[test]
    fn secret_in_a_file_that_a_worker_finds_too_is_not_in_its_environment() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("url").display().to_string();
        std::fs::write(&path, "amqp://me:word@rabbitmq").expect("written");
        let environment = |binds: &str| {
            let variables = [
                ("RIDESHARE_RABBITMQ__URL_FILE", path.as_str()),
                ("RIDESHARE_DOCKER__WORKER_BINDS", binds),
            ];
            let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let settings = Settings::load(Profile::Process, None, variables, &[]).expect("valid");
            (docker(&settings, &Ambient::real()).environment)(
                &NodeId::new("n1"),
                StartAs::Slave,
                "db",
            )
        };
        let has = |environment: &[(String, String)], name: &str, value: &str| {
            environment.iter().any(|it| it.0 == name && it.1 == value)
        };
        let bound = environment(&format!("secrets:{}:ro", folder.path().display()));
        assert!(has(&bound, "RIDESHARE_RABBITMQ__URL_FILE", &path));
        assert!(!bound.iter().any(|(_, value)| value.contains("word")), "not the secret itself");
        let unbound = environment("secrets:/elsewhere:ro");
        assert!(has(&unbound, "RIDESHARE_RABBITMQ__URL", "amqp://me:word@rabbitmq"));
        assert!(!unbound.iter().any(|(name, _)| name.ends_with("URL_FILE")));
    }
}
