//! Random faults of every part, one after the other, for as long as somebody wants to wait.
//!
//! `scripts/soak.sh` runs it. The faults come from a seed; when each of them strikes does, too, but
//! what it meets then is the machine's affair.

mod faults;

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::load::{Load, STEADY};
use crate::proxy::Proxy;
use crate::servers::{OwnServers, Server};
use crate::soak_support::{Tally, converge, wanted};
use crate::system::System;
use crate::verdict::Verdict;
use faults::{Arena, Fault};

/// A history gets no longer than what is written within this; then another system begins.
const SEGMENT: Duration = Duration::from_secs(300);
/// RabbitMQ 3.10 writes down the first stream that it ever makes only some moments later.
const FIRST_CALM: Duration = Duration::from_secs(5);
/// Between a system that has settled and the next fault, at the most.
const MAX_CALM_MS: u64 = 1_000;
/// How long a system may take to be whole again after a fault.
const CONVERGENCE_LIMIT: Duration = Duration::from_secs(60);
const SLAVES: usize = 2;
/// mongod's, with room for all that is written.
const DISK_MIB: u32 = 4_096;

#[tokio::test(flavor = "multi_thread")]
async fn random_faults_lose_and_double_nothing() {
    let (length, seed) = wanted();
    let (began, mut dice) = (Instant::now(), StdRng::seed_from_u64(seed));
    let (own, mut tally) = (OwnServers::start_on_small_disk(DISK_MIB), Tally::default());
    while began.elapsed() < length {
        let until = Instant::now() + SEGMENT.min(length.saturating_sub(began.elapsed()));
        segment(&own, &mut dice, until, &mut tally).await;
    }
    println!("{}", tally.table(seed, began.elapsed()));
}

/// One system from its beginning to its end.
async fn segment(own: &OwnServers, dice: &mut StdRng, until: Instant, tally: &mut Tally) {
    let mut servers = own.servers.clone();
    let mut proxies = Vec::new();
    for server in [Server::Rabbitmq, Server::Zookeeper, Server::Mongod] {
        let proxy = Proxy::start(own.servers.address(server)).await;
        servers = servers.with(server, proxy.address());
        proxies.push((server, proxy));
    }
    let mut system = System::prepare_on(servers, SLAVES);
    system.run().await;
    system.settle(SLAVES).await;
    let second = Some(system.orchestrator().await);
    let load = Load::start(&system.url, STEADY, &system.history_file("soak"));
    let recorder = load.recorder.clone();
    tokio::time::sleep(FIRST_CALM).await;
    let mut arena = Arena { own, system, proxies, second };
    let mut struck = Vec::new();
    while Instant::now() < until {
        let fault = Fault::draw(dice, own.has_small_disk());
        let at = Instant::now();
        arena.befall(fault, dice).await;
        let over = Instant::now();
        converge(&arena.system, SLAVES, CONVERGENCE_LIMIT, &fault.name()).await;
        tally.note(fault.name(), over.elapsed());
        struck.push(at);
        let calm = Duration::from_millis(dice.random_range(0..MAX_CALM_MS));
        tokio::time::sleep(calm).await;
    }
    let Arena { system, second, .. } = arena;
    if let Some(second) = second {
        assert_eq!(second.terminate().await, Some(0));
    }
    let verdict = Verdict::reach(&system, load).await;
    verdict.assert_exact(&format!("{} at random", struck.len()));
    tally.judge(&verdict, &verdict.outages(&recorder, &struck));
    system.finish().await;
}
