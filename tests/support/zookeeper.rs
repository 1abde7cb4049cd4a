//! A ZooKeeper server of a test's own, to be killed, stopped and started again with its data.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;

use tokio::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services.sh");

/// A server on a port and in a folder of its own; it ends with its owner.
pub(crate) struct Server {
    data: tempfile::TempDir,
    port: u16,
}

impl Server {
    /// Starts a server with no data and waits until it serves.
    pub(crate) async fn start() -> Self {
        let server = Self::absent();
        server.start_again().await;
        server
    }

    /// Settles port and folder of a server that is not started.
    pub(crate) fn absent() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        Self { data, port }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Starts it with the data that it had, and waits until it serves.
    pub(crate) async fn start_again(&self) {
        let output = Command::new(SCRIPT)
            .args(["start", "zookeeper", "--data"])
            .arg(self.data.path())
            .env("RIDESHARE_TEST_ZOOKEEPER_PORT", self.port.to_string())
            .stdin(Stdio::null())
            .output()
            .await
            .expect("the script runs");
        assert!(output.status.success(), "{output:?}");
    }

    /// Ends it as a power failure would.
    pub(crate) async fn kill(&self) {
        self.signal("-KILL").await;
    }

    /// Halts it: connections stay open, nothing is answered.
    pub(crate) async fn halt(&self) {
        self.signal("-STOP").await;
    }

    /// Lets it go on after a halt.
    pub(crate) async fn go_on(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let pid = self.pid().expect("it runs");
        let status = Command::new("kill").args([signal, &pid]).status().await.expect("kill runs");
        assert!(status.success());
    }

    fn pid(&self) -> Option<String> {
        let pid = std::fs::read_to_string(self.data.path().join("zookeeper/pid")).ok()?;
        Some(pid.trim().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = std::process::Command::new("kill")
                .args(["-KILL", &pid])
                .stderr(Stdio::null())
                .status();
        }
    }
}
