//! Where the servers are: those of the environment, or a set of a test's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::front::try_signal;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services.sh");

/// One of the three servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Rabbitmq,
    Zookeeper,
    Mongod,
}

impl Server {
    /// Its name on the command line of the script, and in the names of tests' files.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rabbitmq => "rabbitmq",
            Self::Zookeeper => "zookeeper",
            Self::Mongod => "mongod",
        }
    }
}

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

    /// host:port of one of them.
    pub(crate) fn address(&self, server: Server) -> SocketAddr {
        let text = match server {
            Server::Rabbitmq => self.rabbitmq.rsplit('@').next().unwrap(),
            Server::Zookeeper => &self.zookeeper,
            Server::Mongod => self.mongodb.strip_prefix("mongodb://").unwrap(),
        };
        text.parse().expect("tests know their servers by number")
    }

    /// The same servers, one of them at another address.
    pub(crate) fn with(&self, server: Server, address: SocketAddr) -> Self {
        let direct = self.address(server).to_string();
        let moved = |text: &str| text.replace(&direct, &address.to_string());
        let mut servers = self.clone();
        match server {
            Server::Rabbitmq => servers.rabbitmq = moved(&self.rabbitmq),
            Server::Zookeeper => servers.zookeeper = moved(&self.zookeeper),
            Server::Mongod => servers.mongodb = moved(&self.mongodb),
        }
        servers
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
    /// mongod's data are on a disk of their own.
    small_disk: bool,
}

/// What takes all room on the small disk.
#[cfg(feature = "soak")]
const BALLAST: &str = "ballast";

impl OwnServers {
    /// Starts them and waits until they answer.
    pub(crate) fn start() -> Self {
        let own = Self::prepare();
        own.start_again();
        own
    }

    /// Settles their addresses; none of them runs yet.
    pub(crate) fn prepare() -> Self {
        Self::prepare_in(tempfile::tempdir().unwrap(), false)
    }

    fn prepare_in(data: TempDir, small_disk: bool) -> Self {
        let exports = run(&data, &["env"]);
        let servers = Servers::named(|name| {
            let value = exports.lines().find_map(|line| line.split_once(&format!("{name}=")))?.1;
            // As the shell would read it; no address has more that needs quoting.
            Some(value.replace('\\', ""))
        });
        Self { data, servers, small_disk }
    }

    fn disk(&self) -> PathBuf {
        self.data.path().join(Server::Mongod.name())
    }

    /// Starts them on the data that they have, and waits until they answer.
    pub(crate) fn start_again(&self) {
        run(&self.data, &["start"]);
    }

    /// Starts one of them on the data that it has, and waits until it answers.
    pub(crate) fn start_one(&self, server: Server) {
        run(&self.data, &["start", server.name()]);
    }

    /// SIGKILL.
    pub(crate) fn kill(&self, server: Server) {
        assert!(self.kill_if_running(server), "{} does not run", server.name());
    }

    /// The same where it may have ended by itself; false if it has.
    pub(crate) fn kill_if_running(&self, server: Server) -> bool {
        let output = script(&self.data, &["pid", server.name()]).output().unwrap();
        let pid = String::from_utf8(output.stdout).unwrap();
        output.status.success() && try_signal("KILL", pid.trim().parse().unwrap())
    }

    /// Stops them in order.
    pub(crate) fn stop(&self) {
        run(&self.data, &["stop"]);
    }
}

#[cfg(feature = "soak")]
impl OwnServers {
    /// Starts them with mongod on a disk of so many MiB, where this process may mount one.
    pub(crate) fn start_on_small_disk(mib: u32) -> Self {
        let data = tempfile::tempdir().unwrap();
        let disk = data.path().join(Server::Mongod.name());
        std::fs::create_dir(&disk).unwrap();
        let size = format!("size={mib}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&disk).status();
        let small_disk = mounted.is_ok_and(|status| status.success());
        if !small_disk {
            eprintln!("no disk of their own for mongod's data: it cannot be mounted");
        }
        let own = Self::prepare_in(data, small_disk);
        own.start_again();
        own
    }

    pub(crate) const fn has_small_disk(&self) -> bool {
        self.small_disk
    }

    /// Leaves no room on the small disk.
    pub(crate) fn fill_disk(&self) {
        use std::io::Write;

        let mut ballast = std::fs::File::create(self.disk().join(BALLAST)).unwrap();
        let block = vec![0; 1 << 20];
        while ballast.write_all(&block).is_ok() {}
    }

    pub(crate) fn empty_disk(&self) {
        std::fs::remove_file(self.disk().join(BALLAST)).unwrap();
    }
}

impl Drop for OwnServers {
    fn drop(&mut self) {
        let stopped = script(&self.data, &["stop"]).status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("servers may be left running in {}", self.data.path().display());
        }
        if self.small_disk {
            let unmounted = Command::new("umount").arg(self.disk()).status();
            if !unmounted.is_ok_and(|status| status.success()) {
                eprintln!("{} is still mounted", self.disk().display());
            }
        }
    }
}

fn run(data: &TempDir, arguments: &[&str]) -> String {
    let output = script(data, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn script(data: &TempDir, arguments: &[&str]) -> Command {
    let mut script = Command::new(SCRIPT);
    script.args(arguments).arg("--data").arg(data.path()).stdin(Stdio::null());
    for server in ["RABBITMQ", "ZOOKEEPER", "MONGODB"] {
        // Those are the ports of the set that all tests share.
        script.env_remove(format!("RIDESHARE_TEST_{server}_PORT"));
    }
    script
}
