//! Where the servers are: those of the environment, or a set of a test's own.

use std::process::{Command, Stdio};

use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services.sh");

/// Addresses of one set of servers.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    pub(crate) rabbitmq: String,
    pub(crate) zookeeper: String,
    pub(crate) mongodb: String,
}

impl Servers {
    pub(crate) fn of_environment() -> Self {
        Self::named(|name| std::env::var(name).ok())
    }

    fn named(value: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name: &str| value(name).unwrap_or_else(|| panic!("{name} names no server"));
        Self {
            rabbitmq: value("RIDESHARE_RABBITMQ__URL"),
            zookeeper: value("RIDESHARE_ZOOKEEPER__HOSTS"),
            mongodb: value("RIDESHARE_MONGODB__URL"),
        }
    }
}

/// All three servers with their data in a temporary directory; stopped when dropped.
pub(crate) struct OwnServers {
    data: TempDir,
    pub(crate) servers: Servers,
}

impl OwnServers {
    /// Starts them and waits until they answer.
    pub(crate) fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let exports = run(&data, "env");
        let servers = Servers::named(|name| {
            let value = exports.lines().find_map(|line| line.split_once(&format!("{name}=")))?.1;
            // As the shell would read it; no address has more that needs quoting.
            Some(value.replace('\\', ""))
        });
        let own = Self { data, servers };
        own.start_again();
        own
    }

    /// Starts them on the data that they have, and waits until they answer.
    pub(crate) fn start_again(&self) {
        run(&self.data, "start");
    }

    /// Stops them in order.
    pub(crate) fn stop(&self) {
        run(&self.data, "stop");
    }
}

impl Drop for OwnServers {
    fn drop(&mut self) {
        let stopped = script(&self.data, "stop").status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("servers may be left running in {}", self.data.path().display());
        }
    }
}

fn run(data: &TempDir, command: &str) -> String {
    let output = script(data, command).output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn script(data: &TempDir, command: &str) -> Command {
    let mut script = Command::new(SCRIPT);
    script.arg(command).arg("--data").arg(data.path()).stdin(Stdio::null());
    for server in ["RABBITMQ", "ZOOKEEPER", "MONGODB"] {
        // Those are the ports of the set that all tests share.
        script.env_remove(format!("RIDESHARE_TEST_{server}_PORT"));
    }
    script
}
