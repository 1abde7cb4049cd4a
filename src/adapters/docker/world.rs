//! What is known of the project's containers and volumes, and what that means for its workers.
//!
//! Pure: looks and deaths go in, the list of workers and who is to be killed come out. A look is
//! what the engine told at one moment; a death that is heard of while one is under way is newer.
//!
//! Invariant: a worker is listed as exited only when its own process is certainly dead.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::names::Part;
use crate::domain::ids::{NodeId, Pid};
use crate::ports::containers::{Container, ContainerState};

/// The exit code of who was killed, and of a worker that has no process to tell of one.
pub(super) const KILLED: i32 = 137;
/// A new worker that is not whole after this was broken off.
const START_LIMIT_MS: u64 = 15_000;

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Never started.
    Created,
    Running {
        pid: u32,
    },
    Exited {
        code: i32,
    },
}

/// One container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) node: NodeId,
    pub(super) part: Part,
    pub(super) state: State,
    /// In milliseconds since 1970.
    pub(super) created_at_ms: u64,
    /// In nanoseconds since 1970: since when it runs, or when it ended.
    pub(super) changed_at_ns: i64,
}

/// Everything that one look found.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    pub(super) containers: Vec<Found>,
    /// When each worker's volume was made, in milliseconds since 1970.
    pub(super) volumes: BTreeMap<NodeId, u64>,
    /// Since when a removed worker's volume is set aside, in milliseconds since 1970.
    pub(super) aside: BTreeMap<NodeId, u64>,
}

#[derive(Clone, Copy, Debug)]
struct Death {
    /// The last look that had begun.
    after: u64,
    code: i32,
    at_ns: i64,
}

/// What the list of workers is, and which containers are to be killed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Assessment {
    pub(super) workers: Vec<Container>,
    /// Those whose other half is dead.
    pub(super) doomed: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct World {
    containers: HashMap<String, Found>,
    volumes: BTreeMap<NodeId, u64>,
    aside: BTreeMap<NodeId, u64>,
    deaths: HashMap<String, Death>,
    begun: u64,
    applied: u64,
    /// Whom this process works on, and what is listed of them meanwhile.
    busy: BTreeMap<NodeId, Option<Container>>,
}

/// A worker's parts.
#[derive(Default)]
struct Pair<'a> {
    worker: Option<&'a Found>,
    database: Option<&'a Found>,
    volume: Option<u64>,
}

impl World {
    /// The number of a look that begins.
    pub(super) fn begin_look(&mut self) -> u64 {
        self.begun += 1;
        self.begun
    }

    /// Takes in what the look of this number found; nothing, if a later one was there first.
    pub(super) fn apply(&mut self, number: u64, look: Look) {
        if number < self.applied {
            return;
        }
        self.applied = number;
        self.volumes = look.volumes;
        self.aside = look.aside;
        self.containers = look.containers.into_iter().map(|it| (it.id.clone(), it)).collect();
        self.deaths.retain(|_, death| death.after >= number);
        for (id, death) in &self.deaths {
            if let Some(found) = self.containers.get_mut(id) {
                found.die(*death);
            }
        }
    }

    /// Takes in that a container died. False if that is not known to be true of what is known of
    /// it: an old story, or a container that no look has shown.
    pub(super) fn note_death(&mut self, id: &str, code: i32, at_ns: i64) -> bool {
        let Some(found) = self.containers.get_mut(id) else { return false };
        if !matches!(found.state, State::Running { .. }) || at_ns < found.changed_at_ns {
            return false;
        }
        let death = Death { after: self.begun, code, at_ns };
        found.die(death);
        self.deaths.insert(id.to_owned(), death);
        true
    }

    /// What is known of a container.
    pub(super) fn get(&self, id: &str) -> Option<&Found> {
        self.containers.get(id)
    }

    /// The containers of a worker.
    pub(super) fn of(&self, node: &NodeId) -> Vec<Found> {
        self.containers.values().filter(|it| it.node == *node).cloned().collect()
    }

    pub(super) fn find(&self, wanted: impl Fn(&Found) -> bool) -> Option<Found> {
        self.containers.values().find(|it| wanted(it)).cloned()
    }

    /// Whether anything at all is known of a worker.
    pub(super) fn knows(&self, node: &NodeId) -> bool {
        self.busy.contains_key(node)
            || self.volumes.contains_key(node)
            || self.aside.contains_key(node)
            || self.containers.values().any(|it| it.node == *node)
    }

    /// Whether nothing is left of a worker, but for a volume that is set aside.
    pub(super) fn has_left(&self, node: &NodeId) -> bool {
        let has_container = self.containers.values().any(|it| it.node == *node);
        !has_container && (self.aside.contains_key(node) || !self.knows(node))
    }

    /// Whose volumes are set aside, the last one first.
    pub(super) fn set_aside(&self) -> Vec<NodeId> {
        let mut all: Vec<_> = self.aside.iter().collect();
        all.sort_by(|a, b| (b.1, b.0).cmp(&(a.1, a.0)));
        all.into_iter().map(|(node, _)| node.clone()).collect()
    }

    /// Marks a worker as worked on. `listed` is what is shown of it until it is released. False if
    /// it is worked on already.
    pub(super) fn occupy(&mut self, node: &NodeId, listed: Option<Container>) -> bool {
        if self.busy.contains_key(node) {
            return false;
        }
        self.busy.insert(node.clone(), listed);
        true
    }

    pub(super) fn release(&mut self, node: &NodeId) {
        self.busy.remove(node);
    }

    /// What it all means at this moment.
    pub(super) fn assess(&self, now_ms: u64) -> Assessment {
        let mut assessment = Assessment::default();
        for (node, pair) in self.pairs() {
            if let Some(listed) = self.busy.get(&node) {
                assessment.workers.extend(listed.clone());
                continue;
            }
            assessment.doomed.extend(pair.doomed(now_ms).map(|it| it.id.clone()));
            if let Some((state, changed_at_ms)) = pair.state(now_ms) {
                assessment.workers.push(Container { node, state, changed_at_ms });
            }
        }
        assessment
    }

    fn pairs(&self) -> BTreeMap<NodeId, Pair<'_>> {
        let volumes = self.volumes.keys().filter(|node| !self.aside.contains_key(*node));
        let mut nodes: BTreeSet<_> = volumes.chain(self.busy.keys()).collect();
        nodes.extend(self.containers.values().map(|it| &it.node));
        let mut pairs: BTreeMap<_, _> =
            nodes.into_iter().map(|node| (node.clone(), Pair::default())).collect();
        for (node, pair) in &mut pairs {
            pair.volume = self.volumes.get(node).copied();
        }
        for found in self.containers.values() {
            let Some(pair) = pairs.get_mut(&found.node) else { continue };
            match found.part {
                Part::Worker => pair.worker = Some(found),
                Part::Database => pair.database = Some(found),
                Part::Volume | Part::Aside => {}
            }
        }
        pairs
    }
}

impl Found {
    fn die(&mut self, death: Death) {
        self.state = State::Exited { code: death.code };
        self.changed_at_ns = death.at_ns;
    }

    fn changed_at_ms(&self) -> u64 {
        u64::try_from(self.changed_at_ns / 1_000_000).unwrap_or_default()
    }

    pub(super) const fn runs(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    const fn has_exited(&self) -> bool {
        matches!(self.state, State::Exited { .. })
    }
}

impl<'a> Pair<'a> {
    /// What is listed of it; nothing of a new one that somebody may still be making.
    fn state(&self, now_ms: u64) -> Option<(ContainerState, u64)> {
        if let Some(Found { state: State::Running { pid }, .. }) = self.worker {
            // Also with a dead database: it is not yet dead itself, only doomed.
            let state = ContainerState::Running { pid: Pid(*pid) };
            return Some((state, self.worker?.changed_at_ms()));
        }
        if let Some(Found { state: State::Exited { code }, .. }) = self.worker {
            return Some((ContainerState::Exited { code: *code }, self.worker?.changed_at_ms()));
        }
        let is_new = now_ms < self.made_at_ms().saturating_add(START_LIMIT_MS);
        let changed_at_ms = self.database.map_or_else(|| self.made_at_ms(), Found::changed_at_ms);
        (!is_new).then_some((ContainerState::Exited { code: KILLED }, changed_at_ms))
    }

    /// Who runs although the other half is dead. A half that was not started yet is not dead, as
    /// long as somebody may be about to.
    fn doomed(&self, now_ms: u64) -> Option<&'a Found> {
        let worker = self.worker.filter(|it| it.runs());
        let database = self.database.filter(|it| it.runs());
        match (worker, database) {
            (Some(worker), None) => Some(worker),
            (None, Some(database)) => {
                let is_dead = self.worker.is_some_and(Found::has_exited);
                let is_old = now_ms >= self.touched_at_ms().saturating_add(START_LIMIT_MS);
                (is_dead || is_old).then_some(database)
            }
            _ => None,
        }
    }

    /// When its first part was made.
    fn made_at_ms(&self) -> u64 {
        let containers = [self.worker, self.database].into_iter().flatten();
        containers.map(|it| it.created_at_ms).chain(self.volume).min().unwrap_or_default()
    }

    /// When its last part was made.
    fn touched_at_ms(&self) -> u64 {
        let containers = [self.worker, self.database].into_iter().flatten();
        containers.map(|it| it.created_at_ms).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
