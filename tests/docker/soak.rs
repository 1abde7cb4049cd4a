//! Random faults of every container, one after the other, for as long as somebody wants to wait.
//!
//! `scripts/soak.sh --docker` runs it, on one system from its beginning to its end.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::engine::{docker, inspect, list};
use crate::faults::clear;
use crate::load::{Load, STEADY};
use crate::orchestrator::{SETTLE_LIMIT, eventually};
use crate::soak_support::{Tally, converge, draw, wanted};
use crate::system::{System, node, pid};
use crate::verdict::Verdict;

const SLAVES: usize = 2;
/// A history gets no longer than what is written within this.
const SEGMENT: Duration = Duration::from_secs(300);
/// Between a system that has settled and the next fault, at the most.
const MAX_CALM_MS: u64 = 1_000;
/// How long a system may take to be whole again after a fault.
const CONVERGENCE_LIMIT: Duration = Duration::from_secs(90);

/// What can happen, and how often in comparison.
const FAULTS: &[(Fault, u32)] = &[
    (Fault::KillMaster, 30),
    (Fault::KillSlave, 20),
    (Fault::KillBoth, 8),
    (Fault::KillAll, 2),
    (Fault::KillDatabase, 15),
    (Fault::FreezeMaster, 4),
    (Fault::PauseMaster, 8),
    (Fault::CutMaster, 6),
    (Fault::Kill("orchestrator"), 6),
    (Fault::Kill("rabbitmq"), 3),
    (Fault::Kill("zookeeper"), 4),
    (Fault::Cut("rabbitmq"), 3),
    (Fault::Cut("zookeeper"), 3),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    KillMaster,
    KillSlave,
    /// Master and slave at once.
    KillBoth,
    /// All workers at once.
    KillAll,
    /// The master's.
    KillDatabase,
    /// Stopped for good; the orchestrator is to kill it.
    FreezeMaster,
    /// Stopped, and let go on after a while.
    PauseMaster,
    /// Off the network for a while.
    CutMaster,
    /// Of a service; started again after a while, on its data.
    Kill(&'static str),
    /// A service off the network for a while.
    Cut(&'static str),
}

impl Fault {
    fn name(self) -> String {
        match self {
            Self::KillMaster => "kill of the master".to_owned(),
            Self::KillSlave => "kill of a slave".to_owned(),
            Self::KillBoth => "kill of the master and a slave".to_owned(),
            Self::KillAll => "kill of all workers".to_owned(),
            Self::KillDatabase => "kill of the master's database".to_owned(),
            Self::FreezeMaster => "pause of the master for good".to_owned(),
            Self::PauseMaster => "pause of the master for a while".to_owned(),
            Self::CutMaster => "master off the network".to_owned(),
            Self::Kill(service) => format!("kill and start of {service}"),
            Self::Cut(service) => format!("{service} off the network"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_faults_lose_and_double_nothing() {
    let (length, seed) = wanted();
    let (mut dice, mut tally) = (StdRng::seed_from_u64(seed), Tally::default());
    let system = System::start(SLAVES).await;
    let began = Instant::now();
    while began.elapsed() < length {
        let until = Instant::now() + SEGMENT.min(length.saturating_sub(began.elapsed()));
        segment(&system, &mut dice, until, &mut tally).await;
        clear(&system).await;
    }
    println!("{}", tally.table(seed, began.elapsed()));
    system.assert_no_stray(SLAVES).await;
}

/// One load from its beginning to its end.
async fn segment(system: &System, dice: &mut StdRng, until: Instant, tally: &mut Tally) {
    let load = Load::start(&system.url, STEADY, &system.history_file("soak"));
    let recorder = load.recorder.clone();
    let mut struck = Vec::new();
    while Instant::now() < until {
        let fault = draw(FAULTS, dice);
        let at = Instant::now();
        befall(system, fault, dice).await;
        let over = Instant::now();
        converge(system, SLAVES, CONVERGENCE_LIMIT, &fault.name()).await;
        tally.note(fault.name(), over.elapsed());
        struck.push(at);
        let calm = Duration::from_millis(dice.random_range(0..MAX_CALM_MS));
        tokio::time::sleep(calm).await;
    }
    let verdict = Verdict::reach(system, load).await;
    verdict.assert_exact(&format!("{} at random", struck.len()));
    tally.judge(&verdict, &verdict.outages(&recorder, &struck));
}

/// Does it, and returns when it is over.
async fn befall(system: &System, fault: Fault, dice: &mut StdRng) {
    let mut long = |from, to| Duration::from_millis(dice.random_range(from..to));
    let in_office = system.master().await.unwrap();
    let (master, database) = (container(system, &in_office), database(system, &in_office));
    let mut slaves = slaves(system).await;
    match fault {
        Fault::KillMaster => kill(system, &[master]).await,
        Fault::KillSlave => kill(system, &slaves[..1]).await,
        Fault::KillBoth => kill(system, &[master, slaves.remove(0)]).await,
        Fault::KillAll => {
            slaves.push(master);
            kill(system, &slaves).await;
        }
        Fault::KillDatabase => {
            docker(&["kill", &database]).unwrap();
            system.successor(pid(&in_office)).await;
        }
        Fault::FreezeMaster => {
            docker(&["pause", &master]).unwrap();
            system.successor(pid(&in_office)).await;
        }
        Fault::PauseMaster => {
            docker(&["pause", &master]).unwrap();
            tokio::time::sleep(long(100, 2_500)).await;
            // It may have been suspected and killed meanwhile.
            let _ = docker(&["unpause", &master]);
        }
        Fault::CutMaster => {
            docker(&["network", "disconnect", &system.project, &master]).unwrap();
            tokio::time::sleep(long(500, 8_000)).await;
            // The same.
            let _ = docker(&["network", "connect", &system.project, &master]);
        }
        Fault::Kill(service) => {
            let container = system.service(service);
            docker(&["kill", &container]).unwrap();
            tokio::time::sleep(long(0, 3_000)).await;
            docker(&["start", &container]).unwrap();
            let listens = async || system.client.get(&system.url).send().await.ok();
            eventually("an orchestrator that listens", SETTLE_LIMIT, listens).await;
        }
        Fault::Cut(service) => {
            let container = system.service(service);
            docker(&["network", "disconnect", &system.project, &container]).unwrap();
            tokio::time::sleep(long(500, 8_000)).await;
            let to = ["network", "connect", "--alias", service, &system.project, &container];
            docker(&to).unwrap();
        }
    }
}

/// The container of a worker, whatever it is called now.
fn container(system: &System, worker: &Value) -> String {
    let label = format!("label=rideshare.node={}", node(worker));
    let found = list(&["ps", "-q", "--filter", &label, "--filter", "label=rideshare.part=worker"]);
    assert_eq!(found.len(), 1, "{}: {found:?}", system.project);
    found[0].clone()
}

fn database(system: &System, worker: &Value) -> String {
    system.named(&format!("{}-db", node(worker)))
}

/// The containers of the slaves.
async fn slaves(system: &System) -> Vec<String> {
    let workers = system.workers().await;
    let slaves = workers.iter().filter(|worker| worker["role"] == "slave");
    slaves.map(|worker| container(system, worker)).collect()
}

/// Returns once all of these workers are known to be dead.
async fn kill(system: &System, containers: &[String]) {
    let pids: Vec<_> = containers.iter().map(|it| inspect(it, "{{.State.Pid}}")).collect();
    let names: Vec<_> = containers.iter().map(String::as_str).collect();
    docker(&[&["kill"], &names[..]].concat()).unwrap();
    let noticed = async || {
        let workers = system.workers().await;
        let lives = |worker: &Value| pids.contains(&worker["pid"].to_string());
        (!workers.iter().any(lives)).then_some(())
    };
    eventually("workers that are noticed to be gone", SETTLE_LIMIT, noticed).await;
}
