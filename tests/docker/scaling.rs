//! Slaves that come and go with the reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::orchestrator::eventually;
use crate::system::{System, pid};

const WINDOW_SECS: u64 = 5;
/// Reads in a window that ask for one more slave.
const READS_PER_SLAVE: u64 = 20;
/// Two windows, and the start or the end of three workers.
const SCALE_LIMIT: Duration = Duration::from_secs(45);

/// Reads at a steady rate; the answers are counted, and the failures kept.
async fn read_steadily(
    system: &System,
    pause: Arc<AtomicU64>,
    stop: CancellationToken,
) -> (u64, Vec<String>) {
    let body = json!({ "collection": "users" });
    let (mut answered, mut failed) = (0, Vec::new());
    let mut next = tokio::time::Instant::now();
    while !stop.is_cancelled() {
        let (status, answer) = system.post("/api/v1/db/read", &body).await;
        match status {
            200 => answered += 1,
            _ => failed.push(format!("{status} {answer}")),
        }
        next += Duration::from_millis(pause.load(Ordering::Relaxed));
        tokio::select! { () = tokio::time::sleep_until(next) => {}, () = stop.cancelled() => {} }
    }
    (answered, failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn slaves_follow_the_reads_up_and_down_and_no_read_fails() {
    let (window, reads) = (WINDOW_SECS.to_string(), READS_PER_SLAVE.to_string());
    let system = System::start_with(
        1,
        &[
            ("RIDESHARE_SCALING__MAX_SLAVES", "16"),
            ("RIDESHARE_SCALING__WINDOW_SECS", &window),
            ("RIDESHARE_SCALING__READS_PER_SLAVE", &reads),
        ],
    )
    .await;
    // 70 reads in a window: more than 3 slaves carry, and no more than 4 do.
    let pause = Arc::new(AtomicU64::new(WINDOW_SECS * 1_000 / 70));
    let stop = CancellationToken::new();
    let reader = read_steadily(&system, Arc::clone(&pause), stop.clone());
    let watcher = async {
        let begun = Instant::now();
        let four = async || (system.slaves().await.len() == 4).then_some(());
        eventually("four slaves", SCALE_LIMIT, four).await;
        system.settle(4).await;
        eprintln!("from 1 to 4 slaves   after {:?}", begun.elapsed());
        system.assert_no_stray(4).await;
        let stay = [pid(&system.master().await.unwrap()), system.slaves().await[0]];
        let begun = Instant::now();
        // 5 reads in a window.
        pause.store(WINDOW_SECS * 1_000 / 5, Ordering::Relaxed);
        let one = async || (system.slaves().await.len() == 1).then_some(());
        eventually("one slave", SCALE_LIMIT, one).await;
        system.settle(1).await;
        eprintln!("from 4 to 1 slaves   after {:?}", begun.elapsed());
        system.assert_no_stray(1).await;
        let left = [pid(&system.master().await.unwrap()), system.slaves().await[0]];
        assert_eq!(left, stay, "the highest pids go");
        stop.cancel();
    };
    let ((answered, failed), ()) = tokio::join!(reader, watcher);
    eprintln!("reads                {answered} answered, {} failed", failed.len());
    assert_eq!(failed, [""; 0]);
}
