//! The suite of the users and rides services on processes and real servers: two instances of each
//! over an orchestrator and its workers. `RIDESHARE_TEST_TARGET` names another system that runs
//! already, such as that of compose.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::front::{SETTLE_LIMIT, terminate};
use crate::suite::{Target, run_all};
use crate::system::System;

/// One service as a process of its own.
struct Service {
    url: String,
    process: Option<Child>,
}

impl Service {
    async fn start(system: &System, name: &str, number: usize, users_url: &str) -> Self {
        let addresses = system.directory.path().join(format!("{name}-{number}.json"));
        let log = system.directory.path().join(format!("{name}-{number}.log"));
        let process = system
            .command(&["app", name, "--port", "0", "--database-url", &system.url])
            .args(["--users-url", users_url])
            .arg("--addresses-file")
            .arg(&addresses)
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(log).unwrap())
            .spawn()
            .unwrap();
        let mut this = Self { url: String::new(), process: Some(process) };
        let started = Instant::now();
        loop {
            if let Ok(text) = std::fs::read_to_string(&addresses) {
                let addresses: Value = serde_json::from_str(&text).unwrap();
                addresses[name].as_str().unwrap().clone_into(&mut this.url);
                return this;
            }
            assert!(started.elapsed() < SETTLE_LIMIT, "{name} does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn finish(mut self) {
        assert_eq!(terminate(self.process.take().unwrap()).await, Some(0));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_rides_keep_their_contract_on_real_servers() {
    if let Some(target) = Target::from_environment() {
        return run_all(&target).await;
    }
    let mut system = System::prepare(2);
    // What the cases read would have the autoscaler start slaves meanwhile.
    system.set("RIDESHARE_SCALING__WINDOW_SECS", "3600");
    system.run().await;
    system.settle(2).await;
    let (mut users, mut rides) = (Vec::new(), Vec::new());
    for number in 0..2 {
        users.push(Service::start(&system, "users", number, "http://127.0.0.1:9").await);
        let users_url = &users[number].url;
        rides.push(Service::start(&system, "rides", number, users_url).await);
    }
    let urls = |all: &[Service]| all.iter().map(|it| it.url.clone()).collect::<Vec<_>>();
    let target = Target::new(&Target::client(), &system.url, &urls(&users), &urls(&rides));
    run_all(&target).await;
    for service in rides.into_iter().chain(users) {
        service.finish().await;
    }
    system.finish().await;
}
