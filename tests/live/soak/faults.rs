//! The faults, and how each is done to a running system.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::front::{Front, eventually, try_signal};
use crate::proxy::Proxy;
use crate::servers::{OwnServers, Server};
use crate::soak_support as soak;
use crate::system::System;

/// What can happen, and how often in comparison.
const FAULTS: &[(Fault, u32)] = &[
    (Fault::KillMaster, 30),
    (Fault::KillSlave, 20),
    (Fault::KillBoth, 8),
    (Fault::KillAll, 2),
    (Fault::FreezeMaster, 4),
    (Fault::FreezeSlave, 4),
    (Fault::PauseWorker, 10),
    (Fault::KillOrchestrator, 6),
    (Fault::Kill(Server::Rabbitmq), 2),
    (Fault::Kill(Server::Zookeeper), 3),
    (Fault::Kill(Server::Mongod), 3),
    (Fault::Cut(Server::Rabbitmq), 3),
    (Fault::Cut(Server::Zookeeper), 3),
    (Fault::Cut(Server::Mongod), 3),
    (Fault::Reset(Server::Rabbitmq), 5),
    (Fault::Reset(Server::Zookeeper), 5),
    (Fault::Reset(Server::Mongod), 5),
    (Fault::BusyProcessors, 3),
    (Fault::FullDisk, 3),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    KillMaster,
    KillSlave,
    /// Master and slave at once.
    KillBoth,
    /// All workers at once.
    KillAll,
    /// Stopped for good; its runtime is to kill it.
    FreezeMaster,
    FreezeSlave,
    /// Stopped, and let go on after a while.
    PauseWorker,
    /// The second one; it is started again.
    KillOrchestrator,
    /// Started again after a while, on its data.
    Kill(Server),
    /// Nothing gets through for a while.
    Cut(Server),
    /// All connections are broken.
    Reset(Server),
    /// Other work takes all processors for a while.
    BusyProcessors,
    /// There is no room on mongod's disk for a while.
    FullDisk,
}

impl Fault {
    /// The next one; without a small disk, no disk is full.
    pub(super) fn draw(dice: &mut StdRng, small_disk: bool) -> Self {
        loop {
            let drawn = soak::draw(FAULTS, dice);
            if small_disk || drawn != Self::FullDisk {
                return drawn;
            }
        }
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::KillMaster => "SIGKILL of the master".to_owned(),
            Self::KillSlave => "SIGKILL of a slave".to_owned(),
            Self::KillBoth => "SIGKILL of the master and a slave".to_owned(),
            Self::KillAll => "SIGKILL of all workers".to_owned(),
            Self::FreezeMaster => "SIGSTOP of the master".to_owned(),
            Self::FreezeSlave => "SIGSTOP of a slave".to_owned(),
            Self::PauseWorker => "SIGSTOP and SIGCONT of a worker".to_owned(),
            Self::KillOrchestrator => "SIGKILL of an orchestrator".to_owned(),
            Self::Kill(server) => format!("SIGKILL and restart of {}", server.name()),
            Self::Cut(server) => format!("{} out of reach", server.name()),
            Self::Reset(server) => format!("connections to {} broken", server.name()),
            Self::BusyProcessors => "all processors busy".to_owned(),
            Self::FullDisk => "mongod's disk full".to_owned(),
        }
    }
}

/// A system, and everything that can be done to it.
pub(super) struct Arena<'a> {
    pub(super) own: &'a OwnServers,
    pub(super) system: System,
    pub(super) proxies: Vec<(Server, Proxy)>,
    pub(super) second: Option<Front>,
}

impl Arena<'_> {
    /// Does it, and returns when it is over.
    pub(super) async fn befall(&mut self, fault: Fault, dice: &mut StdRng) {
        let mut last = |from, to| Duration::from_millis(dice.random_range(from..to));
        match fault {
            Fault::KillMaster => self.signal_all("KILL", &[self.master().await]).await,
            Fault::KillSlave => self.signal_all("KILL", &self.slaves().await[..1]).await,
            Fault::KillBoth => {
                let both = [self.master().await, self.slaves().await[0]];
                self.signal_all("KILL", &both).await;
            }
            Fault::KillAll => {
                let mut all = self.slaves().await;
                all.push(self.master().await);
                self.signal_all("KILL", &all).await;
            }
            Fault::FreezeMaster => self.signal_all("STOP", &[self.master().await]).await,
            Fault::FreezeSlave => self.signal_all("STOP", &self.slaves().await[..1]).await,
            Fault::PauseWorker => {
                let mut workers = self.slaves().await;
                workers.push(self.master().await);
                let pid = workers[dice.random_range(0..workers.len())];
                try_signal("STOP", pid);
                tokio::time::sleep(Duration::from_millis(dice.random_range(100..2_500))).await;
                // It may have been suspected and killed meanwhile.
                try_signal("CONT", pid);
            }
            Fault::KillOrchestrator => {
                self.second.take().unwrap().kill();
                self.second = Some(self.system.orchestrator().await);
            }
            Fault::Kill(server) => {
                self.own.kill(server);
                tokio::time::sleep(last(0, 3_000)).await;
                self.own.start_one(server);
            }
            Fault::Cut(server) => {
                self.proxy(server).black_hole();
                tokio::time::sleep(last(500, 8_000)).await;
                self.proxy(server).heal();
            }
            Fault::Reset(server) => self.proxy(server).reset_once(),
            Fault::BusyProcessors => keep_busy(last(1_000, 5_000)).await,
            Fault::FullDisk => {
                self.own.fill_disk();
                tokio::time::sleep(last(500, 5_000)).await;
                self.own.empty_disk();
                // It may have ended, be about to, or go on.
                self.own.kill_if_running(Server::Mongod);
                self.own.start_one(Server::Mongod);
            }
        }
    }

    /// Returns once all that were killed, or are to be, are gone from the list.
    async fn signal_all(&self, name: &str, pids: &[u64]) {
        for pid in pids {
            try_signal(name, *pid);
        }
        let gone = async || {
            let workers = self.system.workers().await;
            let listed = workers.iter().filter_map(|it| it["pid"].as_u64());
            (!listed.into_iter().any(|pid| pids.contains(&pid))).then_some(())
        };
        eventually("workers that are noticed to be gone", super::CONVERGENCE_LIMIT, gone).await;
    }

    fn proxy(&self, server: Server) -> &Proxy {
        &self.proxies.iter().find(|(it, _)| *it == server).unwrap().1
    }

    async fn master(&self) -> u64 {
        let master = async || self.system.master().await?["pid"].as_u64();
        eventually("a master", super::CONVERGENCE_LIMIT, master).await
    }

    async fn slaves(&self) -> Vec<u64> {
        let slaves = async || Some(self.system.slaves().await).filter(|it| !it.is_empty());
        eventually("a slave", super::CONVERGENCE_LIMIT, slaves).await
    }
}

/// As many threads as processors, none of which waits for anything.
async fn keep_busy(long: Duration) {
    let threads = std::thread::available_parallelism().unwrap().get();
    let until = Instant::now() + long;
    let busy = move || {
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    };
    let all: Vec<_> = (0..threads).map(|_| tokio::task::spawn_blocking(busy)).collect();
    for one in all {
        one.await.unwrap();
    }
}
