//! The server behind log, requests and progress, which may be away for a while.

use std::sync::{Arc, Mutex, Weak};

use rideshare::adapters::memory::{
    LogSettings, MemoryLog, MemoryProgress, MemoryRequests, RequestsSettings,
};
use rideshare::domain::ids::Offset;
use rideshare::domain::log::Record;
use rideshare::ports::log::{Bounds, Log, LogError, LogTail};
use tokio::sync::Notify;

use super::receiver::Link;
use crate::world::{World, lock};

/// One broker for the whole cluster.
pub(crate) struct Broker {
    pub(crate) world: Arc<World>,
    /// The log as it is now, with its number: a copy that was put in its place is another one.
    log: Mutex<LogCopy>,
    pub(crate) requests: MemoryRequests,
    pub(crate) progress: MemoryProgress,
    state: Mutex<State>,
    changed: Notify,
    links: Mutex<Vec<Weak<Link>>>,
}

/// One state of the log's disk.
#[derive(Clone)]
pub(crate) struct LogCopy {
    number: u64,
    log: MemoryLog,
}

#[derive(Debug, Default)]
struct State {
    away: bool,
    /// Rises whenever all connections broke.
    generation: u64,
}

impl Broker {
    pub(crate) fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            log: Mutex::new(LogCopy { number: 0, log: empty_log(world) }),
            requests: MemoryRequests::new(RequestsSettings::default()),
            progress: MemoryProgress::new(4_096),
            state: Mutex::default(),
            changed: Notify::new(),
            links: Mutex::default(),
        })
    }

    /// The log as it is now, for those who read it or append to it.
    pub(crate) fn log(&self) -> LogCopy {
        lock(&self.log).clone()
    }

    /// Puts a record into the log, and has the oracle see it there; nowhere, if the log that it was
    /// meant for is no more.
    pub(crate) async fn land(&self, copy: &LogCopy, record: Arc<Record>, appender: &str) {
        if self.log().number != copy.number {
            return;
        }
        if copy.append(Arc::clone(&record)).await.is_err() {
            return;
        }
        if let Some(offset) = copy.bounds().await.ok().and_then(|it| it.next.0.checked_sub(1)) {
            let verdict = self.world.oracle().take_record(Offset(offset), &record, appender);
            self.world.require(verdict);
        }
    }

    /// Puts a copy that holds only the first so many records in the place of the log, while the
    /// broker is away. Returns the log.
    pub(crate) async fn lose_log(&self, kept: u64) -> LogCopy {
        let whole = self.log();
        let log = empty_log(&self.world);
        for record in whole.first_records(kept).await {
            let _ = log.append(record).await;
        }
        *lock(&self.log) = LogCopy { number: whole.number + 1, log };
        self.world.note("broker", "loses its log", || format!("but for {kept} records"));
        whole
    }

    /// Puts the log back, while the broker is away.
    pub(crate) fn bring_log_back(&self, whole: LogCopy) {
        *lock(&self.log) = whole;
        self.world.note("broker", "has its log again", String::new);
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

fn empty_log(world: &World) -> MemoryLog {
    let kept = LogSettings::default();
    let max_records = world.plan.retention.unwrap_or(kept.max_records);
    MemoryLog::new(LogSettings { max_records, ..kept })
}

impl LogCopy {
    pub(crate) async fn bounds(&self) -> Result<Bounds, LogError> {
        self.log.bounds().await
    }

    async fn append(&self, record: Arc<Record>) -> Result<(), LogError> {
        self.log.append(record).await
    }

    pub(crate) async fn tail(&self, from: Offset) -> Result<Box<dyn LogTail>, LogError> {
        self.log.tail(from).await
    }

    /// None where it no longer holds its beginning.
    async fn first_records(&self, count: u64) -> Vec<Arc<Record>> {
        let mut records = Vec::new();
        let Ok(mut tail) = self.tail(Offset(0)).await else { return records };
        while (records.len() as u64) < count {
            let Ok(items) = tail.next().await else { break };
            records.extend(items.into_iter().filter_map(|item| item.record.ok()));
        }
        records.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        records
    }
}
