//! The server behind log, requests and progress, which may be away for a while.

use std::sync::{Arc, Mutex, Weak};

use rideshare::adapters::memory::{
    LogSettings, MemoryLog, MemoryProgress, MemoryRequests, RequestsSettings,
};
use tokio::sync::Notify;

use super::receiver::Link;
use crate::world::{World, lock};

/// One broker for the whole cluster.
pub(crate) struct Broker {
    pub(crate) world: Arc<World>,
    pub(crate) log: MemoryLog,
    pub(crate) requests: MemoryRequests,
    pub(crate) progress: MemoryProgress,
    state: Mutex<State>,
    changed: Notify,
    links: Mutex<Vec<Weak<Link>>>,
}

#[derive(Debug, Default)]
struct State {
    away: bool,
    /// Rises whenever all connections broke.
    generation: u64,
}

impl Broker {
    pub(crate) fn new(world: &Arc<World>) -> Arc<Self> {
        let kept = LogSettings::default();
        let max_records = world.plan.retention.unwrap_or(kept.max_records);
        Arc::new(Self {
            world: Arc::clone(world),
            log: MemoryLog::new(LogSettings { max_records, ..kept }),
            requests: MemoryRequests::new(RequestsSettings::default()),
            progress: MemoryProgress::new(4_096),
            state: Mutex::default(),
            changed: Notify::new(),
            links: Mutex::default(),
        })
    }

    pub(crate) fn is_away(&self) -> bool {
        lock(&self.state).away
    }

    pub(crate) fn generation(&self) -> u64 {
        lock(&self.state).generation
    }

    /// Every connection breaks: what consumers held goes back to its queues.
    pub(crate) fn go_away(&self) {
        let mut state = lock(&self.state);
        state.away = true;
        state.generation += 1;
        drop(state);
        self.world.note("broker", "goes away", String::new);
        for link in lock(&self.links).drain(..).filter_map(|link| link.upgrade()) {
            link.cut();
        }
        self.changed.notify_waiters();
    }

    pub(crate) fn come_back(&self) {
        lock(&self.state).away = false;
        self.world.note("broker", "is back", String::new);
        self.changed.notify_waiters();
    }

    /// Waits until connections of this generation are broken.
    pub(crate) async fn broken(&self, generation: u64) {
        loop {
            let changed = self.changed.notified();
            if self.generation() != generation {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn add_link(&self, link: &Arc<Link>) {
        let mut links = lock(&self.links);
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(link));
    }
}
