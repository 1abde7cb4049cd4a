//! What the workers last said of themselves over the progress feed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::domain::ids::{Epoch, NodeId, Offset};
use crate::domain::message::{Progress, Role};
use crate::roles::latest;

/// A worker that has said nothing for this long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// A slave that has said nothing for this long, twice what is between two signs, may stand still.
const STILL_AFTER: Duration = Duration::from_secs(1);

/// The last sign of life of one worker.
#[derive(Clone, Debug)]
pub(super) struct Sign {
    pub(super) progress: Progress,
    pub(super) heard_at: Instant,
    /// How far its database was when it last spoke of that, in this process or a former one.
    pub(super) held: Option<Offset>,
}

/// All signs of life at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Signs {
    pub(super) workers: Arc<BTreeMap<NodeId, Sign>>,
    /// The furthest that any worker has applied the log, and in which epoch: where a lost log begins
    /// anew, so do the offsets.
    furthest: Option<(Epoch, Option<Offset>)>,
}

/// The newest epoch of which a master has said that it is in office.
pub(super) type Office = Option<(Epoch, NodeId)>;

impl Signs {
    /// The furthest that any worker has applied the log.
    pub(super) fn furthest(&self) -> Option<Offset> {
        self.furthest.and_then(|(_, offset)| offset)
    }

    /// How many slaves have applied this offset.
    pub(super) fn replicas_at(&self, offset: Offset) -> usize {
        let has_applied = |sign: &&Sign| {
            sign.progress.role == Role::Slave && sign.progress.applied >= Some(offset)
        };
        self.workers.values().filter(has_applied).count()
    }

    /// Whether any slave may stand still, and requests that it was handed with it.
    pub(super) fn miss_a_slave(&self) -> bool {
        let is_still = |sign: &Sign| {
            sign.progress.role == Role::Slave && sign.heard_at.elapsed() >= STILL_AFTER
        };
        self.workers.values().any(is_still)
    }

    pub(super) fn take(&mut self, progress: Progress) {
        let heard_at = Instant::now();
        self.furthest = self.furthest.max(Some((progress.epoch, progress.applied)));
        let workers = Arc::make_mut(&mut self.workers);
        workers.retain(|_, sign| heard_at.duration_since(sign.heard_at) < FORGET_AFTER);
        let former = workers.get(&progress.node).and_then(|sign| sign.held);
        let held = progress.applied.or(former);
        workers.insert(progress.node.clone(), Sign { progress, heard_at, held });
    }
}

/// Listens to the progress feed.
pub(super) struct Roster {
    feed: broadcast::Receiver<Progress>,
    signs: latest::Sender<Signs>,
    /// Apart from the signs, since all who wait for an answer watch it, and it changes rarely.
    office: latest::Sender<Office>,
}

impl Roster {
    pub(super) fn new(feed: broadcast::Receiver<Progress>) -> Self {
        Self {
            feed,
            signs: latest::Sender::new(Signs::default()),
            office: latest::Sender::new(None),
        }
    }

    pub(super) fn view(&self) -> latest::Receiver<Signs> {
        self.signs.subscribe()
    }

    pub(super) fn office(&self) -> latest::Receiver<Office> {
        self.office.subscribe()
    }

    /// Listens until the feed ends.
    pub(super) async fn listen(mut self) {
        loop {
            match self.feed.recv().await {
                Ok(progress) => self.take(progress),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    fn take(&self, progress: Progress) {
        if progress.role == Role::Master {
            self.office.send_if_modified(|office| {
                let newer = office.as_ref().is_none_or(|(epoch, _)| *epoch < progress.epoch);
                if newer {
                    *office = Some((progress.epoch, progress.node.clone()));
                }
                newer
            });
        }
        self.signs.modify(|signs| signs.take(progress));
    }
}
