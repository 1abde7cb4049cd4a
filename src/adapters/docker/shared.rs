//! Looks at the engine, and tells what it saw.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, StreamExt};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::DockerSettings;
use super::engine::{Condition, Engine, Listed};
use super::error::EngineError;
use super::names::{Names, Part};
use super::world::{Found, KILLED, Look, State, World};
use crate::domain::ids::NodeId;
use crate::ports::containers::{Container, ContainerState};

/// Containers that are looked at in full at a time.
const AT_ONCE: usize = 8;

pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) settings: DockerSettings,
    pub(super) names: Names,
    world: Mutex<World>,
    list: watch::Sender<Vec<Container>>,
    /// Wakes whoever looks regularly.
    pub(super) wanted: Notify,
    /// The next look is to believe nothing: events may have been missed.
    pub(super) in_doubt: AtomicBool,
    /// Wakes whoever listens: the stream of events is silent about what happens.
    pub(super) is_deaf: Notify,
    /// Containers that are being killed because their other half is dead.
    dying: Mutex<HashSet<String>>,
}

impl Shared {
    pub(super) fn new(engine: Engine, settings: DockerSettings) -> Self {
        Self {
            engine,
            names: settings.names(),
            settings,
            world: Mutex::default(),
            list: watch::Sender::default(),
            wanted: Notify::new(),
            in_doubt: AtomicBool::new(false),
            is_deaf: Notify::new(),
            dying: Mutex::default(),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Vec<Container>> {
        self.list.subscribe()
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is listed of a worker.
    pub(super) fn listed(&self, node: &NodeId) -> Option<Container> {
        self.list.borrow().iter().find(|it| it.node == *node).cloned()
    }

    /// Lists everything anew, and says whether that was news. A thorough look believes nothing
    /// that was known before.
    pub(super) async fn look(self: &Arc<Self>, thorough: bool) -> Result<bool, EngineError> {
        let number = self.world().begin_look();
        let label = self.names.label();
        let (containers, volumes) =
            tokio::try_join!(self.engine.containers(&label), self.engine.volumes(&label))?;
        let mut look = Look::default();
        for volume in volumes {
            let labels = volume.labels.as_ref();
            match self.names.read(labels) {
                Some((node, Part::Volume)) => {
                    look.volumes.insert(node, milliseconds(&volume.created_at));
                }
                Some((node, Part::Aside)) => {
                    look.aside.insert(node, Names::read_at_ms(labels));
                }
                _ => {}
            }
        }
        let mut found = stream::iter(containers)
            .map(|listed| self.examine(listed, thorough))
            .buffer_unordered(AT_ONCE);
        while let Some(one) = found.next().await {
            look.containers.extend(one?);
        }
        drop(found);
        self.world().apply(number, look);
        Ok(self.publish())
    }

    /// Nothing where the container is gone by now.
    async fn examine(&self, listed: Listed, thorough: bool) -> Result<Option<Found>, EngineError> {
        let Some((node, part)) = self.names.read(listed.labels.as_ref()) else { return Ok(None) };
        let name = listed.names.first().map_or("", |name| name.trim_start_matches('/'));
        let mut found = Found {
            name: name.to_owned(),
            node,
            part,
            state: State::Created,
            created_at_ms: u64::try_from(listed.created).unwrap_or_default() * 1_000,
            changed_at_ns: listed.created * 1_000_000_000,
            id: listed.id,
        };
        let known = self.world().get(&found.id).filter(|_| !thorough).cloned();
        if let Some(known) = known.filter(|known| stands_for(known.state, &listed.state)) {
            return Ok(Some(Found { name: found.name, ..known }));
        }
        match self.engine.condition(&found.id).await {
            Ok(condition) => (found.state, found.changed_at_ns) = read(&condition, &found),
            Err(EngineError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(Some(found))
    }

    /// A container has died, as the engine told at once.
    pub(super) fn note_death(self: &Arc<Self>, id: &str, code: Option<i32>, at_ns: i64) {
        if self.world().note_death(id, code.unwrap_or(KILLED), at_ns) {
            self.publish();
        }
    }

    /// Tells the list, and kills whoever outlives its other half. True if the list has changed.
    pub(super) fn publish(self: &Arc<Self>) -> bool {
        let (assessment, is_news) = {
            // Under the lock, so that an older list never replaces a newer one.
            let world = self.world();
            let assessment = world.assess((self.settings.now_ms)());
            let is_news = self.list.send_if_modified(|list| {
                let is_news = *list != assessment.workers;
                if is_news {
                    tell(list, &assessment.workers);
                    list.clone_from(&assessment.workers);
                }
                is_news
            });
            (assessment, is_news)
        };
        for id in assessment.doomed {
            self.end(id);
        }
        is_news
    }

    fn end(self: &Arc<Self>, id: String) {
        if !self.dying().insert(id.clone()) {
            return;
        }
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            info!(container = id, "its other half is dead, killing it");
            match shared.engine.signal(&id, "SIGKILL").await {
                Ok(()) | Err(EngineError::NotFound(_) | EngineError::Conflict(_)) => {}
                Err(error) => warn!(container = id, %error, "half of a worker not killed yet"),
            }
            shared.dying().remove(&id);
            shared.wanted.notify_one();
        });
    }

    fn dying(&self) -> MutexGuard<'_, HashSet<String>> {
        self.dying.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(before: &[Container], after: &[Container]) {
    let before: BTreeMap<_, _> = before.iter().map(|it| (&it.node, it.state)).collect();
    for Container { node, state, .. } in after {
        match state {
            ContainerState::Exited { code } if before.get(node) != Some(state) => {
                info!(worker = %node, code, "worker exited");
            }
            ContainerState::Running { pid } if before.get(node) != Some(state) => {
                info!(worker = %node, %pid, "worker runs");
            }
            _ => {}
        }
    }
}

/// Whether what is known of a container still is what the list says.
fn stands_for(known: State, listed: &str) -> bool {
    match known {
        State::Created => listed == "created",
        State::Running { .. } => listed == "running" || listed == "paused",
        State::Exited { .. } => listed == "exited",
    }
}

fn read(condition: &Condition, found: &Found) -> (State, i64) {
    let at = |text: &str| nanoseconds(text).unwrap_or(found.changed_at_ns);
    match condition.status.as_str() {
        "created" => (State::Created, found.changed_at_ns),
        "running" | "paused" | "restarting" if condition.pid > 0 => {
            (State::Running { pid: condition.pid }, at(&condition.started_at))
        }
        _ => (State::Exited { code: condition.exit_code }, at(&condition.finished_at)),
    }
}

/// None for the year 1, which is how the engine writes that something never was.
fn nanoseconds(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos()).ok().filter(|at| *at > 0)
}

fn milliseconds(text: &str) -> u64 {
    u64::try_from(nanoseconds(text).unwrap_or_default() / 1_000_000).unwrap_or_default()
}
