//! A log that loses its data, and the people who then bring it back or say from whose data to go on.

use std::sync::Arc;
use std::time::Duration;

use rideshare::domain::ids::{NodeId, Offset};
use rideshare::ports::coordination::Coordination;
use tokio::time::{sleep, timeout};

use crate::adapters::broker::LogCopy;
use crate::cluster::Cluster;

/// How long the broker is away for a change of its disk.
const DISK_CHANGE_MS: u64 = 500;
/// The longest that people wait for an answer.
const PATIENCE: Duration = Duration::from_secs(90);
/// The pause before they ask again, and how often they do once no more faults strike.
const PAUSE: Duration = Duration::from_millis(500);
const TRIES_IN_CALM: usize = 12;

/// A log that is gone.
pub(crate) struct LostLog {
    cluster: Arc<Cluster>,
    whole: LogCopy,
}

impl LostLog {
    /// Takes away at least everything from the newest epoch on that is known to have begun; what
    /// is cut off later than that nobody who holds less could tell.
    pub(crate) async fn lose(cluster: &Arc<Cluster>) -> Option<Self> {
        let view = cluster.onlooker.view().borrow().clone();
        let begun = {
            let oracle = cluster.world.oracle();
            oracle.place_of(view.leader?.value.admitted).filter(|_| !oracle.log_is_lost())?
        };
        if cluster.broker.is_away() {
            return None;
        }
        let whole = cluster.broker.log();
        // What is left of a log that has forgotten its beginning would have other offsets.
        let keeps_all = whole.bounds().await.is_ok_and(|bounds| bounds.first == Offset(0));
        let dice = &cluster.world.dice;
        let kept = if keeps_all && dice.chance(400) { dice.below(begun.0 + 1) } else { 0 };
        cluster.broker.go_away();
        cluster.world.oracle().lose_log();
        let whole = cluster.broker.lose_log(kept).await;
        cluster.world.count("log lost");
        sleep(dice.up_to_ms(DISK_CHANGE_MS)).await;
        cluster.broker.come_back();
        Some(Self { cluster: Arc::clone(cluster), whole })
    }

    /// After a while people have found out what to do.
    pub(crate) async fn mend(self, time: Duration) {
        sleep(time).await;
        if self.cluster.world.dice.chance(500) {
            self.bring_back().await;
        } else {
            self.recover().await;
        }
    }

    async fn bring_back(self) {
        let (broker, world) = (&self.cluster.broker, &self.cluster.world);
        broker.go_away();
        broker.bring_log_back(self.whole);
        world.oracle().find_log();
        world.count("lost log brought back");
        sleep(world.dice.up_to_ms(DISK_CHANGE_MS)).await;
        broker.come_back();
    }

    /// Asks until some worker leads with its data; whoever holds most is asked for first.
    async fn recover(self) {
        let world = &self.cluster.world;
        let mut left = TRIES_IN_CALM;
        while world.oracle().log_is_lost() {
            if let Some(node) = self.whoever_holds_most().await {
                self.ask_for(&node).await;
            }
            sleep(PAUSE).await;
            if world.is_calm() {
                left -= 1;
                if left == 0 {
                    let what = "I7: nobody could be made to go on from a worker's data";
                    return world.require(Err(what.to_owned()));
                }
            }
        }
    }

    async fn whoever_holds_most(&self) -> Option<NodeId> {
        let mut most = None;
        for worker in self.cluster.machine.workers() {
            if let Ok((history, _)) = worker.disk.contents().await {
                most = most.max(Some((history.applied, worker.node)));
            }
        }
        most.map(|(_, node)| node)
    }

    async fn ask_for(&self, node: &NodeId) {
        let world = &self.cluster.world;
        let Some(front) = self.cluster.any_front() else { return };
        // An orchestrator that dies meanwhile never says anything.
        let answer = timeout(PATIENCE, front.handle.recover(node)).await;
        world.note("people", "recover", || format!("{node} {answer:?}"));
        if let Ok(Ok(recovery)) = answer {
            world.count("recovered from a worker's data");
            let (from, epoch) = (recovery.from.as_str(), recovery.epoch);
            let verdict = world.oracle().check_switchover(from, epoch);
            world.require(verdict);
        }
    }
}
