//! What the coordination service knows, and how it changes.
//!
//! Pure bookkeeping: no locks, no timers, no files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::domain::events::Events;
use crate::domain::ids::{NodeId, OrchestratorId};
use crate::domain::message::Member;
use crate::ports::coordination::{
    CoordinationView, LeaderRecord, OrchestratorStatus, ScaleRecord, Version, Versioned,
};

/// Names one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub(super) u64);

/// How a session stands with the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// In touch.
    Connected,
    /// Out of touch, but not for long enough to expire.
    Cut,
    /// Out of touch for so long that what it registered is gone.
    Expired,
    /// Ended by itself.
    Closed,
}

/// One session, and what it registers again after an expiry.
#[derive(Debug)]
struct Session {
    link: Link,
    /// Nobody uses it any more: it does not come back.
    is_abandoned: bool,
    view: watch::Sender<CoordinationView>,
    member: Option<Member>,
    orchestrator: Option<(OrchestratorId, OrchestratorStatus)>,
}

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored<T> {
    value: T,
    version: i64,
}

/// What outlives every session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Records {
    pub(super) leader: Option<Stored<LeaderRecord>>,
    pub(super) scale: Option<Stored<ScaleRecord>>,
    pub(super) events: Option<Stored<Events>>,
}

/// Everything. Entries know the session that they belong to.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) records: Records,
    sessions: BTreeMap<SessionId, Session>,
    members: BTreeMap<NodeId, (SessionId, Member)>,
    orchestrators: BTreeMap<OrchestratorId, (SessionId, OrchestratorStatus)>,
    controller: Option<(SessionId, OrchestratorId)>,
    opened: u64,
}

impl<T> Stored<T> {
    /// What stands there after a compare-and-set; `None` when the expectation is not met.
    pub(super) fn replaced(
        current: Option<&Self>,
        expected: Option<Version>,
        value: T,
    ) -> Option<Self> {
        match (current, expected) {
            (None, None) => Some(Self { value, version: 0 }),
            (Some(current), Some(Version(expected))) if current.version == expected => {
                Some(Self { value, version: expected + 1 })
            }
            _ => None,
        }
    }

    fn versioned(&self) -> Versioned<T>
    where
        T: Clone,
    {
        Versioned { value: self.value.clone(), version: Version(self.version) }
    }
}

impl State {
    pub(super) fn new(records: Records) -> Self {
        Self { records, ..Self::default() }
    }

    pub(super) fn open_session(&mut self) -> (SessionId, watch::Receiver<CoordinationView>) {
        let id = SessionId(self.opened);
        self.opened += 1;
        let (view, receiver) = watch::channel(self.view());
        let link = Link::Connected;
        let session = Session { link, is_abandoned: false, view, member: None, orchestrator: None };
        self.sessions.insert(id, session);
        (id, receiver)
    }

    pub(super) fn link(&self, id: SessionId) -> Option<Link> {
        self.sessions.get(&id).map(|session| session.link)
    }

    pub(super) fn join(&mut self, id: SessionId, member: &Member) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.member = Some(member.clone());
            self.members.insert(member.node.clone(), (id, member.clone()));
            self.publish();
        }
    }

    pub(super) fn register(
        &mut self,
        id: SessionId,
        orchestrator: &OrchestratorId,
        status: &OrchestratorStatus,
    ) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.orchestrator = Some((orchestrator.clone(), status.clone()));
            self.orchestrators.insert(orchestrator.clone(), (id, status.clone()));
            self.publish();
        }
    }

    /// True when the session holds the lock afterwards.
    pub(super) fn lock_controller(&mut self, id: SessionId, orchestrator: &OrchestratorId) -> bool {
        let is_free = self.controller.as_ref().is_none_or(|(holder, _)| *holder == id);
        if is_free {
            self.controller = Some((id, orchestrator.clone()));
            self.publish();
        }
        is_free
    }

    pub(super) fn set_records(&mut self, records: Records) {
        self.records = records;
        self.publish();
    }

    /// The session loses touch: it sees no more, and what it registered stays for now.
    pub(super) fn cut(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.link = Link::Cut;
            session.view.send_modify(|view| view.connected = false);
        }
    }

    /// The session is in touch again. What expired is registered again, but for the lock.
    pub(super) fn heal(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let has_expired = session.link == Link::Expired;
        session.link = Link::Connected;
        if has_expired {
            if let Some(member) = session.member.clone() {
                self.members.insert(member.node.clone(), (id, member));
            }
            if let Some((orchestrator, status)) = session.orchestrator.clone() {
                self.orchestrators.insert(orchestrator, (id, status));
            }
        }
        self.publish();
    }

    /// Whether the session is out of touch and may come back.
    pub(super) fn is_healable(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| {
            matches!(session.link, Link::Cut | Link::Expired) && !session.is_abandoned
        })
    }

    /// The session ends by itself, now.
    pub(super) fn close(&mut self, id: SessionId) {
        self.remove_entries(id);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.link = Link::Closed;
            session.view.send_modify(|view| view.connected = false);
        }
        self.publish();
    }

    /// Whoever used the session is gone.
    pub(super) fn abandon(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.is_abandoned = true;
        }
    }

    /// The session was out of touch for its time.
    pub(super) fn expire(&mut self, id: SessionId) {
        self.remove_entries(id);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.link = Link::Expired;
        }
        self.forget_if_abandoned(id);
        self.publish();
    }

    /// Forgets a session that nobody uses and nothing belongs to.
    pub(super) fn forget_if_abandoned(&mut self, id: SessionId) {
        let is_over = |session: &Session| {
            session.is_abandoned && matches!(session.link, Link::Expired | Link::Closed)
        };
        if self.sessions.get(&id).is_some_and(is_over) {
            self.sessions.remove(&id);
        }
    }

    fn remove_entries(&mut self, id: SessionId) {
        self.members.retain(|_, (owner, _)| *owner != id);
        self.orchestrators.retain(|_, (owner, _)| *owner != id);
        self.controller.take_if(|(holder, _)| *holder == id);
    }

    fn view(&self) -> CoordinationView {
        CoordinationView {
            connected: true,
            leader: self.records.leader.as_ref().map(Stored::versioned),
            members: self
                .members
                .iter()
                .map(|(name, (_, it))| (name.clone(), it.clone()))
                .collect(),
            orchestrators: self
                .orchestrators
                .iter()
                .map(|(name, (_, status))| (name.clone(), status.clone()))
                .collect(),
            controller: self.controller.as_ref().map(|(_, holder)| holder.clone()),
            scale: self.records.scale.as_ref().map(Stored::versioned),
            events: self.records.events.as_ref().map(Stored::versioned),
        }
    }

    /// Shows every session in touch what there is now; wakes those for whom it is new.
    fn publish(&self) {
        let new = self.view();
        for session in self.sessions.values().filter(|session| session.link == Link::Connected) {
            session.view.send_if_modified(|view| {
                let is_new = *view != new;
                if is_new {
                    view.clone_from(&new);
                }
                is_new
            });
        }
    }
}
