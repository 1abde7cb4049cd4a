//! Certificates that are made for one test.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// What is to stand in the certificates: an authority, and a server of this machine.
const EXTENSIONS: &str = "
[req]
distinguished_name = name
prompt = no
[name]
CN = a test
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[server]
basicConstraints = critical,CA:FALSE
subjectAltName = IP:127.0.0.1,DNS:localhost
";

/// An authority that nobody else knows, and a server's certificate that it has signed.
pub(super) struct Authority {
    directory: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let authority = Self { directory: tempfile::tempdir().unwrap() };
        std::fs::write(authority.path("extensions"), EXTENSIONS).unwrap();
        // Two of one name would be taken for each other by whoever looks them up.
        let subject = format!("/CN=test authority {}", uuid::Uuid::now_v7());
        authority.request("authority", "ca", &["-subj", &subject]);
        authority.request("server", "server", &["-CA", "ca.pem", "-CAkey", "ca.key"]);
        let both = ["server.key", "server.pem"].map(|name| authority.read(name)).concat();
        std::fs::write(authority.path("both.pem"), both).unwrap();
        authority
    }

    fn request(&self, extensions: &str, name: &str, more: &[&str]) {
        let curve = "ec_paramgen_curve:prime256v1";
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        let output = Command::new("openssl")
            .current_dir(self.directory.path())
            .args(["req", "-x509", "-config", "extensions", "-extensions", extensions])
            .args(["-newkey", "ec", "-pkeyopt", curve, "-noenc", "-days", "2"])
            .args(["-keyout", &key, "-out", &certificate])
            .args(more)
            .output()
            .expect("openssl runs; RabbitMQ's package brings it along");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// What clients are to trust.
    pub(super) fn certificate(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub(super) fn server_certificate(&self) -> PathBuf {
        self.path("server.pem")
    }

    pub(super) fn server_key(&self) -> PathBuf {
        self.path("server.key")
    }

    /// The server's key and certificate in one file.
    pub(super) fn server_identity(&self) -> PathBuf {
        self.path("both.pem")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

/// A file that no certificate can be read from.
pub(super) fn broken(directory: &Path, content: &str) -> PathBuf {
    let path = directory.join("broken.pem");
    std::fs::write(&path, content).unwrap();
    path
}
