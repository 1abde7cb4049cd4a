//! Brokers for tests: the shared one of the environment, and own ones to be killed.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use amqprs::channel::{Channel, ExchangeDeleteArguments, QueueDeleteArguments};
use amqprs::connection::{Connection, OpenConnectionArguments};
use rideshare::adapters::rabbitmq::{Rabbitmq, RabbitmqSettings};
use tempfile::TempDir;
use tokio::process::Command;
use uuid::Uuid;

/// How long an event may take that is bound to come. Only a failing test waits as long.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// Settings for the shared broker, with names that no other test uses.
pub(crate) fn settings() -> RabbitmqSettings {
    let url = std::env::var("RIDESHARE_RABBITMQ__URL")
        .expect("RIDESHARE_RABBITMQ__URL must name a broker");
    RabbitmqSettings { url, prefix: format!("test.{}.", Uuid::now_v7()), ..Default::default() }
}

pub(crate) async fn connect(settings: &RabbitmqSettings) -> Rabbitmq {
    let rabbitmq = Rabbitmq::start(settings.clone()).unwrap();
    assert!(rabbitmq.connected(BOUND).await, "no connection to the broker");
    rabbitmq
}

/// A stranger's connection to the same broker.
pub(crate) struct Stranger {
    pub(crate) channel: Channel,
    connection: Connection,
    prefix: String,
}

impl Stranger {
    pub(crate) async fn connect(settings: &RabbitmqSettings) -> Self {
        let arguments = OpenConnectionArguments::try_from(settings.url.as_str()).unwrap();
        let connection = Connection::open(&arguments).await.unwrap();
        let channel = connection.open_channel(None).await.unwrap();
        Self { channel, connection, prefix: settings.prefix.clone() }
    }

    pub(crate) fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Removes what the test left behind.
    pub(crate) async fn remove(self, settings: &RabbitmqSettings) {
        for queue in [
            &settings.read_queue,
            &settings.write_queue,
            &settings.dead_letter_queue,
            &settings.log_queue,
        ] {
            let arguments = QueueDeleteArguments::new(&self.named(queue));
            self.channel.queue_delete(arguments).await.unwrap();
        }
        for exchange in [&settings.log_exchange, &settings.progress_exchange] {
            let arguments = ExchangeDeleteArguments::new(&self.named(exchange));
            self.channel.exchange_delete(arguments).await.unwrap();
        }
        let _ = self.connection.close().await;
    }
}

/// A broker of a test's own.
pub(crate) struct OwnBroker {
    data: TempDir,
    pub(crate) settings: RabbitmqSettings,
}

impl OwnBroker {
    /// One that has an address but does not run yet.
    pub(crate) async fn prepare() -> Self {
        // Shown when the test fails.
        let _ = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_test_writer()
            .try_init();
        let data = tempfile::tempdir().unwrap();
        let mut broker = Self { data, settings: RabbitmqSettings::default() };
        let env = broker.services(&["env"]).await;
        let name = "RIDESHARE_RABBITMQ__URL=";
        let line = env.lines().find_map(|line| line.split_once(name));
        broker.settings.url = line.expect("the script prints the address").1.to_owned();
        broker
    }

    /// Adds to the configuration of a broker that does not run.
    pub(crate) fn configure(&self, text: &str) {
        let directory = self.data.path().join("rabbitmq/conf.d");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("test.conf"), text).unwrap();
    }

    pub(crate) async fn start(&self) {
        self.services(&["start", "rabbitmq"]).await;
    }

    /// Ends the broker with SIGKILL.
    pub(crate) async fn kill(&self) {
        let pid = self.services(&["pid", "rabbitmq"]).await;
        let killed = Command::new("kill").args(["-KILL", pid.trim()]).status().await.unwrap();
        assert!(killed.success());
    }

    /// Runs the broker's own control program.
    pub(crate) async fn control(&self, arguments: &[&str]) {
        let directory = self.data.path().join("rabbitmq");
        let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
        let port: u16 = read("port").trim().parse().unwrap();
        let output = Command::new("/usr/lib/rabbitmq/bin/rabbitmqctl")
            .env("HOME", &directory)
            .env("ERL_EPMD_PORT", (port + 2).to_string())
            .args(["-n", read("node").trim()])
            .args(arguments)
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    async fn services(&self, arguments: &[&str]) -> String {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/services.sh");
        let output = Command::new(script)
            .args(arguments)
            .arg("--data")
            .arg(self.data.path())
            .env_remove("RIDESHARE_TEST_RABBITMQ_PORT")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for OwnBroker {
    /// Leaves nothing running, also when a test fails.
    fn drop(&mut self) {
        for server in ["rabbitmq", "epmd"] {
            let pid = std::fs::read_to_string(self.data.path().join(server).join("pid"));
            let Ok(pid) = pid else { continue };
            let killed = std::process::Command::new("kill").args(["-KILL", pid.trim()]).status();
            eprintln!("{server} {}: {killed:?}", pid.trim());
        }
    }
}
