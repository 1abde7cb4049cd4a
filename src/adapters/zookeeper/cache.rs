//! What was read in this session, and the view made of it.
//!
//! Reads leave watches; a changed place is read again as a whole. Unreadable entries are said
//! in the log, by path, and passed over.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::de::DeserializeOwned;
use tracing::{error, warn};
use zookeeper_async::{Stat, ZkError, ZkResult};

use super::client::{Changed, Operations};
use super::registry::Registry;
use super::znodes::{self, Layout, Place, Unreadable};
use crate::domain::events::Events;
use crate::domain::ids::OrchestratorId;
use crate::domain::message::Member;
use crate::ports::coordination::{
    CoordinationView, LeaderRecord, OrchestratorStatus, ScaleRecord, Version, Versioned,
};

/// How many znodes are read at a time.
const CONCURRENT_READS: usize = 16;
/// More entries than this of one kind are not ours.
const MAX_ENTRIES: usize = 4_096;

/// A record that may be there but say nothing to us.
#[derive(Debug, Default)]
enum Record<T> {
    #[default]
    Absent,
    Readable(T),
    Unreadable,
}

impl<T: Clone> Record<T> {
    fn readable(&self) -> Option<T> {
        match self {
            Self::Readable(value) => Some(value.clone()),
            Self::Absent | Self::Unreadable => None,
        }
    }
}

type Entries<T> = BTreeMap<String, Record<T>>;

/// Everything read in one session.
#[derive(Debug, Default)]
pub(super) struct Cache {
    leader: Record<Versioned<LeaderRecord>>,
    scale: Record<Versioned<ScaleRecord>>,
    events: Record<Versioned<Events>>,
    controller: Record<OrchestratorId>,
    workers: Entries<Member>,
    orchestrators: Entries<(OrchestratorId, OrchestratorStatus)>,
}

/// What a read found at a place.
enum Found {
    Names(Vec<String>),
    Data(Result<Option<(Vec<u8>, Stat)>, Unreadable>),
}

impl Cache {
    /// Reads everything.
    ///
    /// # Errors
    /// The first read that failed; what was read before it is not to be relied on.
    pub(super) async fn read(
        operations: &Operations,
        layout: &Layout,
        registry: &Registry,
    ) -> ZkResult<Self> {
        let mut cache = Self::default();
        cache.refresh(operations, layout, registry, Changed::Anything).await?;
        Ok(cache)
    }

    /// Reads again what has changed, and what that leads to.
    ///
    /// # Errors
    /// As for [`Cache::read`].
    pub(super) async fn refresh(
        &mut self,
        operations: &Operations,
        layout: &Layout,
        registry: &Registry,
        changed: Changed,
    ) -> ZkResult<()> {
        let mut places: BTreeSet<Place> = match changed {
            Changed::These(paths) => paths.iter().filter_map(|path| layout.place(path)).collect(),
            Changed::Anything => {
                *self = Self::default();
                Place::roots().into()
            }
        };
        while !places.is_empty() {
            let reads = places.into_iter().map(async |place| {
                let found = fetch(operations, layout, &place).await?;
                Ok::<_, ZkError>((place, found))
            });
            let results: Vec<(Place, Found)> =
                stream::iter(reads).buffer_unordered(CONCURRENT_READS).try_collect().await?;
            places = BTreeSet::new();
            for (place, found) in results {
                if matches!(found, Found::Data(Ok(None))) {
                    registry.vanished(&layout.path(&place));
                }
                places.extend(self.enter(place, found, layout));
            }
        }
        Ok(())
    }

    /// The view of a healthy session. While the leader record cannot be read there is none:
    /// to say that nobody ever led would be wrong.
    pub(super) fn view(&self) -> Option<CoordinationView> {
        if matches!(self.leader, Record::Unreadable) {
            return None;
        }
        let members = self.workers.values().filter_map(Record::readable);
        Some(CoordinationView {
            connected: true,
            leader: self.leader.readable(),
            members: members.map(|member| (member.node.clone(), member)).collect(),
            orchestrators: self.orchestrators.values().filter_map(Record::readable).collect(),
            controller: self.controller.readable(),
            scale: self.scale.readable(),
            events: self.events.readable(),
        })
    }

    /// Takes in what was found and says what else is to be read now.
    fn enter(&mut self, place: Place, found: Found, layout: &Layout) -> Vec<Place> {
        let path = layout.path(&place);
        match (place, found) {
            (Place::Workers, Found::Names(names)) => {
                return fresh(&mut self.workers, names, &path, Place::Worker);
            }
            (Place::Orchestrators, Found::Names(names)) => {
                return fresh(&mut self.orchestrators, names, &path, Place::Orchestrator);
            }
            (Place::Worker(name), Found::Data(data)) => {
                let record = record(&path, data, |bytes, _| znodes::decode_member(&name, bytes));
                replace(&mut self.workers, name, record);
            }
            (Place::Orchestrator(name), Found::Data(data)) => {
                let record =
                    record(&path, data, |bytes, _| znodes::decode_orchestrator(&name, bytes));
                replace(&mut self.orchestrators, name, record);
            }
            (Place::Leader, Found::Data(data)) => {
                self.leader = record(&path, data, versioned);
                if matches!(self.leader, Record::Unreadable) {
                    error!(
                        path,
                        "the leader record is unreadable, so nothing is known of who leads"
                    );
                }
            }
            (Place::Scale, Found::Data(data)) => self.scale = record(&path, data, versioned),
            (Place::Events, Found::Data(data)) => self.events = record(&path, data, versioned),
            (Place::Controller, Found::Data(data)) => {
                self.controller = record(&path, data, |bytes, _| znodes::decode_controller(bytes));
            }
            (_, Found::Names(_) | Found::Data(_)) => {}
        }
        Vec::new()
    }
}

async fn fetch(operations: &Operations, layout: &Layout, place: &Place) -> ZkResult<Found> {
    let path = layout.path(place);
    if matches!(place, Place::Workers | Place::Orchestrators) {
        return operations.watch_children(&path).await.map(Found::Names);
    }
    match operations.watch_data(&path).await {
        Ok(found) => Ok(Found::Data(Ok(found))),
        Err(ZkError::NoAuth) => Ok(Found::Data(Err(Unreadable::Forbidden))),
        Err(error) => Err(error),
    }
}

/// Forgets entries whose names are gone and says which have come. Those that stay are watched
/// each for itself.
fn fresh<T>(
    entries: &mut Entries<T>,
    names: Vec<String>,
    path: &str,
    place: fn(String) -> Place,
) -> Vec<Place> {
    let mut names: BTreeSet<String> = names.into_iter().collect();
    if names.len() > MAX_ENTRIES {
        warn!(
            path,
            entries = names.len(),
            limit = MAX_ENTRIES,
            "too many entries, passing over the last"
        );
        names = names.into_iter().take(MAX_ENTRIES).collect();
    }
    entries.retain(|name, _| names.contains(name));
    names.into_iter().filter(|name| !entries.contains_key(name)).map(place).collect()
}

fn replace<T>(entries: &mut Entries<T>, name: String, record: Record<T>) {
    if matches!(record, Record::Absent) {
        entries.remove(&name);
    } else if entries.len() < MAX_ENTRIES || entries.contains_key(&name) {
        entries.insert(name, record);
    }
}

fn record<T>(
    path: &str,
    data: Result<Option<(Vec<u8>, Stat)>, Unreadable>,
    decode: impl FnOnce(&[u8], &Stat) -> Result<T, Unreadable>,
) -> Record<T> {
    let decoded =
        data.and_then(|found| found.map(|(bytes, stat)| decode(&bytes, &stat)).transpose());
    match decoded {
        Ok(Some(value)) => Record::Readable(value),
        Ok(None) => Record::Absent,
        Err(reason) => {
            warn!(path, %reason, "passing over an unreadable entry");
            Record::Unreadable
        }
    }
}

fn versioned<T: DeserializeOwned>(bytes: &[u8], stat: &Stat) -> Result<Versioned<T>, Unreadable> {
    Ok(Versioned { value: znodes::decode(bytes)?, version: Version(stat.version.into()) })
}
