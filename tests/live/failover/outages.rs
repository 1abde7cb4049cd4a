//! A server that dies and comes back, or cannot be reached for a while, under load.

use std::time::{Duration, Instant};

use super::verdict::Verdict;
use crate::front::eventually;
use crate::load::{Load, STEADY};
use crate::proxy::Proxy;
use crate::servers::{OwnServers, Server, Servers};
use crate::system::System;

/// How long a server that was killed stays away, and one that cannot be reached.
const DEAD: Duration = Duration::from_secs(3);
const CUT: Duration = Duration::from_secs(10);
/// Longer than any server is away, where the workers are to bear it.
const PATIENCE: Duration = Duration::from_secs(30);
/// A silent server is noticed when a session or a connection expires, a dead one at once.
const RED_LIMIT: Duration = Duration::from_secs(8);
/// From the moment that the server answers again.
const GREEN_LIMIT: Duration = Duration::from_secs(8);
/// A server that the requests do not pass through is not missed by them.
const UNNOTICED: Duration = Duration::from_secs(1);
/// A stream that RabbitMQ 3.10 has only just made does not survive its death.
const CALM: Duration = Duration::from_secs(2);

/// What becomes of a server, and what that may cost.
struct Outage {
    server: Server,
    what: &'static str,
    lasts: Duration,
    /// What `/readyz` is to say meanwhile.
    reason: &'static str,
    /// How long the workers bear it that their databases fail.
    patience: Duration,
}

impl Outage {
    /// Lets a system under load live through it.
    async fn befall(self, mut system: System, begin: impl AsyncFnOnce(), end: impl AsyncFnOnce()) {
        let name = format!("{} {}", self.server.name(), self.what);
        let patience_ms = self.patience.as_millis().to_string();
        system.set("RIDESHARE_HEALTH__DATABASE_PATIENCE_MS", &patience_ms);
        system.run().await;
        system.settle(2).await;
        let load = Load::start(&system.url, STEADY, &system.history_file(&name.replace(' ', "-")));
        let recorder = load.recorder.clone();
        tokio::time::sleep(CALM).await;
        assert_eq!(system.unready().await, None, "{name}: green before it");
        let before = pids(&system).await;

        let began = Instant::now();
        begin().await;
        let red = async || system.unready().await.filter(|reasons| reasons.contains(self.reason));
        let reasons = eventually(&format!("{name}: {:?}", self.reason), RED_LIMIT, red).await;
        let red_after = began.elapsed();
        tokio::time::sleep(self.lasts.saturating_sub(red_after)).await;
        assert!(system.unready().await.is_some(), "{name}: red as long as it lasts");
        end().await;
        let ended = Instant::now();
        let green = async || system.unready().await.is_none().then_some(());
        eventually(&format!("{name}: green again"), GREEN_LIMIT, green).await;
        let green_after = ended.elapsed();
        system.settle(2).await;
        let settled_at = recorder.now_us();
        tokio::time::sleep(CALM).await;

        let after = pids(&system).await;
        let verdict = Verdict::reach(&system, load).await;
        let outage = verdict.outages(&recorder, &[began]);
        outage.print("write outage");
        eprintln!("red                  after {red_after:?}: {reasons}");
        eprintln!("green again          after {green_after:?}");
        eprintln!("workers              {before:?} before, {after:?} after");
        verdict.assert_exact(&name);
        let late = verdict.errors_since(settled_at);
        assert_eq!(late, [""; 0], "{name}: all is well once it is over");
        let most = if self.server == Server::Zookeeper {
            UNNOTICED
        } else {
            ended.duration_since(began) + GREEN_LIMIT
        };
        assert!(outage.most() <= most, "{name}: {outage:?}, allowed {most:?}");
        if self.server == Server::Zookeeper {
            verdict.assert_sound(&name);
        }
        if self.lasts < self.patience {
            assert_eq!(after, before, "{name}: nobody was killed or started for it");
        } else {
            let stayed = after.iter().any(|pid| before.contains(pid));
            assert!(
                !stayed,
                "{name}: {after:?} after {before:?}, all gave up and were started again"
            );
        }
        system.finish().await;
    }
}

async fn pids(system: &System) -> Vec<u64> {
    let workers = system.workers().await;
    let mut pids: Vec<_> = workers.iter().map(|it| it["pid"].as_u64().unwrap()).collect();
    pids.sort_unstable();
    pids
}

/// SIGKILL, and a start on the same data after a while.
async fn kill(server: Server, reason: &'static str) {
    killed(server, reason, DEAD, PATIENCE).await;
}

async fn killed(server: Server, reason: &'static str, lasts: Duration, patience: Duration) {
    let own = OwnServers::start();
    let system = System::prepare_on(own.servers.clone(), 2);
    let outage = Outage { server, what: "killed", lasts, reason, patience };
    outage.befall(system, async || own.kill(server), async || own.start_one(server)).await;
}

/// Every byte from and to the server waits for a while.
async fn cut(server: Server, reason: &'static str) {
    let direct = Servers::of_environment();
    let proxy = Proxy::start(direct.address(server)).await;
    let system = System::prepare_on(direct.with(server, proxy.address()), 2);
    let outage = Outage { server, what: "cut off", lasts: CUT, reason, patience: PATIENCE };
    outage.befall(system, async || proxy.black_hole(), async || proxy.heal()).await;
}

const NO_BROKER: &str = "the broker is not reachable";
const NO_COORDINATION: &str = "the coordination service is not reachable";
const NO_DATABASE: &str = "the master's database does not answer";
const NO_WORD: &str = "nothing is heard of the master";

#[tokio::test(flavor = "multi_thread")]
async fn broker_killed_and_started_again_loses_and_doubles_nothing() {
    kill(Server::Rabbitmq, NO_BROKER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coordination_killed_and_started_again_is_nothing_to_clients() {
    kill(Server::Zookeeper, NO_COORDINATION).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_killed_and_started_again_lose_and_double_nothing() {
    kill(Server::Mongod, NO_DATABASE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_give_up_their_databases_are_started_until_these_are_back() {
    let patience = DEAD;
    killed(Server::Mongod, NO_DATABASE, 2 * patience, patience).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_out_of_reach_loses_and_doubles_nothing() {
    cut(Server::Rabbitmq, NO_WORD).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coordination_out_of_reach_is_nothing_to_clients() {
    cut(Server::Zookeeper, NO_COORDINATION).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_out_of_reach_lose_and_double_nothing() {
    cut(Server::Mongod, NO_DATABASE).await;
}
