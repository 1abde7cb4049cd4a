//! A MongoDB server that a test may kill, stop and start again.

use std::process::Command;

use tempfile::TempDir;

/// A server of its own with its data in a temporary directory. It is stopped when dropped.
pub(crate) struct Server {
    data: TempDir,
    port: u16,
}

impl Server {
    /// Starts a server on a free port, and waits until it answers.
    pub(super) fn start() -> Self {
        Self::configured("")
    }

    /// The same with more settings, as they stand in a configuration file of mongod.
    pub(crate) fn configured(text: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let server = Self { data: TempDir::new().unwrap(), port };
        std::fs::create_dir(server.data.path().join("mongod")).unwrap();
        std::fs::write(server.data.path().join("mongod/mongod.conf"), text).unwrap();
        server.start_again();
        server
    }

    pub(crate) fn uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}", self.port)
    }

    /// Starts it with the data that it has, and waits until it answers.
    pub(super) fn start_again(&self) {
        let started = self.services("start");
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    }

    /// Ends it as a power cut would, without a word to anyone.
    pub(super) fn kill(&self) {
        self.signal("KILL");
    }

    /// Halts it, so that it neither answers nor closes a connection.
    pub(super) fn suspend(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(super) fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = String::from_utf8(self.services("pid").stdout).unwrap();
        let sent = Command::new("kill").args(["-s", signal, pid.trim()]).status().unwrap();
        assert!(sent.success());
    }

    fn services(&self, command: &str) -> std::process::Output {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services.sh");
        Command::new(script)
            .args([command, "mongod", "--data"])
            .arg(self.data.path())
            .env("RIDESHARE_TEST_MONGODB_PORT", self.port.to_string())
            .output()
            .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.services("stop");
    }
}
