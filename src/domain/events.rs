//! What happened to the system: elections, replacements, scaling, and what people asked for.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{Epoch, NodeId};

/// The most events that are kept, and the most that they may take as JSON, in bytes: so much fits
/// into one entry of a coordination service.
const MOST_EVENTS: usize = 500;
const MOST_BYTES: usize = 60_000;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A slave was chosen to be master.
    Elected,
    /// A master took office.
    InOffice,
    /// A worker was started.
    Started,
    /// An exited worker was started again, with its data.
    Restarted,
    /// A worker was asked to finish and go.
    Drained,
    /// An exited worker and its data were removed.
    Removed,
    /// A worker was killed because it was suspected.
    Fenced,
    /// A worker was killed on request.
    Crashed,
    /// The wanted number of slaves changed.
    Scaled,
    /// The controller was told to keep its hands off.
    Paused,
    /// The controller was told to go on.
    Resumed,
    /// All workers are to be renewed.
    Renewing,
    /// They are.
    Renewed,
    /// A new log begins with what this worker holds.
    Recovered,
}

impl Kind {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Elected => "elected",
            Self::InOffice => "in_office",
            Self::Started => "started",
            Self::Restarted => "restarted",
            Self::Drained => "drained",
            Self::Removed => "removed",
            Self::Fenced => "fenced",
            Self::Crashed => "crashed",
            Self::Scaled => "scaled",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Renewing => "renewing",
            Self::Renewed => "renewed",
            Self::Recovered => "recovered",
        }
    }
}

/// Why it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Somebody asked for it.
    Asked,
    /// The number of slaves was not the wanted one.
    Wanted,
    /// There was no master.
    NoMaster,
    /// The worker had exited.
    Exited,
    /// Two observers missed the worker.
    Suspected,
    /// The reads of the last window called for it.
    Reads(u64),
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Ascending, without an end.
    pub id: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub kind: Kind,
    /// Whom it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Why.
    pub cause: Cause,
    /// How long it took, in milliseconds: from noticing to being done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// The epoch before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_epoch: Option<Epoch>,
    /// The epoch after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_epoch: Option<Epoch>,
    /// The wanted number of slaves, where that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slaves: Option<u32>,
}

/// The newest events, oldest first; cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Events(Arc<Vec<Event>>);

impl Events {
    /// The events, oldest first.
    #[must_use]
    pub fn as_slice(&self) -> &[Event] {
        &self.0
    }

    /// With more of them, whose ids follow on. Those that are there already, but for their ids, are
    /// not added again; the oldest make room.
    #[must_use]
    pub fn with(&self, new: &[Event]) -> Self {
        if new.is_empty() {
            return self.clone();
        }
        let mut events = self.0.to_vec();
        for event in new {
            if !events.iter().rev().any(|it| it.is_same(event)) {
                let id = events.last().map_or(1, |last| last.id + 1);
                events.push(Event { id, ..event.clone() });
            }
        }
        let mut bytes = 0;
        let fits = |event: &&Event| {
            bytes += event.size();
            bytes <= MOST_BYTES
        };
        let kept = events.iter().rev().take(MOST_EVENTS).take_while(fits).count();
        Self(Arc::new(events.split_off(events.len() - kept)))
    }

    /// Whether all of these are there already, but for their ids.
    #[must_use]
    pub fn has(&self, events: &[Event]) -> bool {
        events.iter().all(|event| self.0.iter().rev().any(|it| it.is_same(event)))
    }
}

impl Event {
    fn is_same(&self, other: &Self) -> bool {
        Self { id: other.id, ..self.clone() } == *other
    }

    /// What it takes as JSON, in bytes, with the comma.
    fn size(&self) -> usize {
        serde_json::to_vec(self).map_or(MOST_BYTES, |json| json.len() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at_ms: u64) -> Event {
        Event {
            id: 0,
            at_ms,
            kind: Kind::Started,
            node: Some(NodeId::new("worker-1f0c3a77")),
            cause: Cause::Wanted,
            took_ms: None,
            from_epoch: None,
            to_epoch: None,
            slaves: None,
        }
    }

    #[test]
    fn ids_follow_on_and_nothing_is_added_twice() {
        let first = Events::default().with(&[event(1), event(2)]);
        let second = first.with(&[event(2), event(3), event(3)]);
        let ids: Vec<_> = second.as_slice().iter().map(|it| (it.id, it.at_ms)).collect();
        assert_eq!(ids, [(1, 1), (2, 2), (3, 3)]);
        assert!(second.has(&[event(1), event(3)]) && !second.has(&[event(1), event(4)]));
    }

    #[test]
    fn oldest_make_room_and_the_ids_go_on() {
        let all: Vec<_> = (1..=2_000).map(event).collect();
        let events = Events::default().with(&all);
        let (first, last) = (events.as_slice().first().unwrap(), events.as_slice().last().unwrap());
        assert_eq!((first.id, last.id), (2_001 - events.as_slice().len() as u64, 2_000));
        assert!(events.as_slice().len() >= 400, "{}", events.as_slice().len());
        assert!(serde_json::to_vec(&events).unwrap().len() < 64 * 1024);
        let huge = Event { node: Some(NodeId::new("n".repeat(MOST_BYTES))), ..event(1) };
        assert_eq!(events.with(&[huge]).as_slice(), []);
    }

    /// The list is one entry of a service that takes no larger ones.
    #[test]
    fn size_of_the_list_is_that_of_its_events_and_what_is_between_them() {
        let sized = |bytes: usize| Event { node: Some(NodeId::new("n".repeat(bytes))), ..event(1) };
        let around = serde_json::to_vec(&sized(0)).unwrap().len() + 1;
        // Two of them fill it to the last byte.
        let (half, rest) = (MOST_BYTES / 2, MOST_BYTES - MOST_BYTES / 2);
        let pair = |more: usize| {
            let second = Event { at_ms: 2, ..sized(rest - around + more) };
            Events::default().with(&[sized(half - around), second]).as_slice().len()
        };
        assert_eq!((pair(0), pair(1)), (2, 1));
    }

    #[test]
    fn events_come_back_as_they_were_written() {
        let scaled = Event { cause: Cause::Reads(41), slaves: Some(3), node: None, ..event(7) };
        let events = Events::default().with(&[event(1), scaled]);
        let text = serde_json::to_string(&events).unwrap();
        assert_eq!(serde_json::from_str::<Events>(&text).unwrap(), events);
        let kinds = [Kind::InOffice, Kind::Elected, Kind::Paused];
        for kind in kinds {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
