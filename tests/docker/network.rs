//! The master's container cut off from the network.

use std::time::{Duration, Instant};

use crate::engine::{docker, inspect};
use crate::system::{System, pid};

/// Shorter than what makes a worker suspect.
const BLIP: Duration = Duration::from_millis(1_000);
const BLIPS: usize = 3;
const CALM: Duration = Duration::from_secs(2);
const CUT: Duration = Duration::from_secs(20);
/// Until it is suspected, killed and succeeded.
pub(crate) const MAX_OUTAGE: Duration = Duration::from_secs(5);

/// Cuts the master off for so short that it may stay in office.
pub(crate) async fn blips(system: &System, slaves: usize) {
    for _ in 0..BLIPS {
        tokio::time::sleep(CALM).await;
        let master = system.named("master");
        docker(&["network", "disconnect", &system.project, &master]).unwrap();
        tokio::time::sleep(BLIP).await;
        docker(&["network", "connect", &system.project, &master]).unwrap();
    }
    system.settle(slaves).await;
    tokio::time::sleep(CALM).await;
}

/// Cuts it off for long, and returns when that began.
///
/// A master that nobody hears of is killed before another one takes its place, so that a network that
/// comes back finds nobody there who believes to be the master.
pub(crate) async fn cut(system: &System, slaves: usize) -> Instant {
    let master = pid(&system.master().await.unwrap());
    system.is_master(master).await;
    let container = inspect(&system.named("master"), "{{.Id}}");
    let began = Instant::now();
    docker(&["network", "disconnect", &system.project, &container]).unwrap();
    let next = system.successor(master).await;
    let succeeded_after = began.elapsed();
    tokio::time::sleep(CUT.saturating_sub(succeeded_after)).await;
    assert_ne!(inspect(&container, "{{.State.Running}}"), "true", "killed before it was succeeded");
    let reconnected = docker(&["network", "connect", &system.project, &container]);
    eprintln!("succeeded            after {succeeded_after:?}; reconnected: {reconnected:?}");
    system.replaced(master, slaves).await;
    system.is_master(pid(&next)).await;
    began
}
