//! The orchestrator's container killed in the middle of a failover, and started again.

use std::time::{Duration, Instant};

use crate::engine::docker;
use crate::orchestrator::{SETTLE_LIMIT, eventually};
use crate::system::{System, pid};

/// Between the master's death and the orchestrator's: while its successor takes office, and while
/// its replacement starts.
const MOMENTS_MS: [u64; 2] = [60, 600];
const AWAY: Duration = Duration::from_millis(500);

/// Lets that happen, and returns when each master died and how long it took until all was well.
pub(crate) async fn die_in_failovers(
    system: &System,
    slaves: usize,
) -> (Vec<Instant>, Vec<Duration>) {
    let (mut killed_at, mut settled_after) = (Vec::new(), Vec::new());
    for moment in MOMENTS_MS {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let master = pid(&system.master().await.unwrap());
        system.is_master(master).await;
        let (orchestrator, master_name) = (system.service("orchestrator"), system.named("master"));
        let began = Instant::now();
        docker(&["kill", &master_name]).unwrap();
        tokio::time::sleep(Duration::from_millis(moment)).await;
        docker(&["kill", &orchestrator]).unwrap();
        tokio::time::sleep(AWAY).await;
        docker(&["start", &orchestrator]).unwrap();
        let listens = async || system.client.get(&system.url).send().await.ok();
        eventually("an orchestrator that listens", SETTLE_LIMIT, listens).await;
        let next = system.successor(master).await;
        system.replaced(master, slaves).await;
        killed_at.push(began);
        settled_after.push(began.elapsed());
        system.is_master(pid(&next)).await;
        system.assert_no_stray(slaves).await;
    }
    (killed_at, settled_after)
}
