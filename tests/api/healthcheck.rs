//! `rideshare healthcheck` beside each role.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{System, command};

/// How long a process may take to listen.
const START_LIMIT: Duration = Duration::from_secs(20);

/// The exit code of a check of this port, and what it says.
fn check(port: u16, more: &[&str]) -> (Option<i32>, String) {
    let port = port.to_string();
    command(&[&["healthcheck", "--port", &port], more].concat(), &[])
}

fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

/// A port that nothing listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_of_a_ready_system_is_healthy_and_ready() {
    let system = System::start(1).await;
    for url in [&system.url, &system.users.url, &system.rides.url] {
        for more in [&[][..], &["--ready"]] {
            assert_eq!(check(port_of(url), more), (Some(0), String::new()), "{url} {more:?}");
        }
    }
}

#[test]
fn what_does_not_answer_is_unhealthy() {
    let (code, text) = check(free_port(), &[]);
    assert_eq!(code, Some(1));
    assert!(text.contains("/healthz gives no answer"), "{text}");
    // It takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let started = Instant::now();
    let port = silent.local_addr().unwrap().port();
    assert_eq!(check(port, &["--timeout-ms", "200"]).0, Some(1));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

/// A role as a process, killed in the end.
struct Role(Child);

impl Role {
    /// Starts it with servers that do not exist.
    fn start(arguments: &[&str], port: u16) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_rideshare"))
            .args(arguments)
            .env("RIDESHARE_HTTP__PORT", port.to_string())
            .env("RIDESHARE_WORKER__HTTP", "true")
            .env("RIDESHARE_RABBITMQ__URL", "amqp://guest:guest@127.0.0.1:9")
            .env("RIDESHARE_ZOOKEEPER__HOSTS", "127.0.0.1:9")
            .env("RIDESHARE_MONGODB__URL", "mongodb://127.0.0.1:9")
            .env("RIDESHARE_APPS__DATABASE_URL", "http://127.0.0.1:9")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(process)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn role_that_waits_for_its_servers_lives() {
    for arguments in [&["worker", "--type", "slave"][..], &["app", "users"]] {
        let port = free_port();
        let _role = Role::start(arguments, port);
        let started = Instant::now();
        while let (Some(1), text) = check(port, &[]) {
            assert!(started.elapsed() < START_LIMIT, "{arguments:?}: {text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let port = free_port();
    let _users = Role::start(&["app", "users"], port);
    let started = Instant::now();
    while check(port, &[]).0 != Some(0) {
        assert!(started.elapsed() < START_LIMIT);
        std::thread::sleep(Duration::from_millis(50));
    }
    // Without a database it lives, and is not ready.
    assert_eq!(check(port, &["--ready", "--timeout-ms", "500"]).0, Some(1));
}
