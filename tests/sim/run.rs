//! One run: a cluster, clients and faults from one seed; then no more faults, and it must converge.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::cluster::Cluster;
use crate::nemesis::Nemesis;
use crate::oracle::Figures;
use crate::workload::Client;
use crate::world::{World, lock};

/// How long a cluster without faults may take until everything is as it is to be (I7).
const CONVERGENCE: Duration = Duration::from_secs(90);
/// The longest that a client may work on one operation.
const CLIENTS: Duration = Duration::from_secs(120);

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) violation: Option<String>,
    pub(crate) trace_hash: u64,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) figures: Figures,
    pub(crate) operations: u64,
    pub(crate) simulated: Duration,
    pub(crate) converged_in: Duration,
}

/// Runs a seed to its end, or to the first violation.
pub(crate) fn run(seed: u64, tells: bool) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs nothing that could be missing");
    let report = runtime.block_on(async {
        let world = World::new(seed, tells);
        let mut operations = 0;
        let mut converged_in = Duration::ZERO;
        let life = live(&world, &mut operations, &mut converged_in);
        let violation = tokio::select! {
            biased;
            violation = world.violated() => Some(violation),
            ended = life => ended.err(),
        };
        let report = Report {
            seed,
            violation,
            trace_hash: world.trace_hash(),
            faults: lock(&world.counts).clone(),
            figures: world.oracle().figures,
            operations,
            simulated: Duration::from_micros(world.elapsed_us()),
            converged_in,
        };
        world.dissolve();
        report
    });
    runtime.shutdown_background();
    report
}

async fn live(
    world: &Arc<World>,
    operations: &mut u64,
    converged_in: &mut Duration,
) -> Result<(), String> {
    let orchestrators = world.dice.between(1, 2) as usize;
    let cluster = Cluster::start(world, orchestrators);
    let mut clients = JoinSet::new();
    for number in 0..world.plan.clients {
        clients.spawn(Client::new(&cluster, number).run());
    }
    Nemesis::new(&cluster).run().await;
    let calm_since = world.elapsed_us();
    let all = async {
        while let Some(done) = clients.join_next().await {
            *operations += done.map_err(|error| format!("a client failed: {error}"))?;
        }
        Ok::<(), String>(())
    };
    timeout(CLIENTS, all).await.map_err(|_| "I7: a client never got an answer".to_owned())??;
    let mut missing = cluster.missing().await;
    while !missing.is_empty() {
        if world.elapsed_us() - calm_since > CONVERGENCE.as_micros() as u64 {
            return Err(format!("I7: {CONVERGENCE:?} after the last fault {}", missing.join(", ")));
        }
        sleep(Duration::from_millis(100)).await;
        missing = cluster.missing().await;
    }
    *converged_in = Duration::from_micros(world.elapsed_us() - calm_since);
    Ok(())
}
