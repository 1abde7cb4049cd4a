//! Every sequence of events that one worker can meet while epochs are few, whether they make
//! sense together or not. Only the log does not lie: it tells each epoch once, in order, and as
//! the worker's own only what the worker appended.

use std::collections::{BTreeSet, HashSet};

use super::*;

const LAST: u64 = 3;

/// A worker, and what its effects have made of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Walker {
    worker: Worker,
    serving: bool,
    writing: Option<Epoch>,
    announced: Role,
    appended: BTreeSet<Epoch>,
    /// Own epochs that the log admitted.
    own: BTreeSet<Epoch>,
    newest: Epoch,
}

impl Walker {
    fn new(founder: bool) -> Self {
        Self {
            worker: Worker::new(NodeId::from("me"), founder, Epoch(0)),
            serving: false,
            writing: None,
            announced: Role::Joining,
            appended: BTreeSet::new(),
            own: BTreeSet::new(),
            newest: Epoch(0),
        }
    }

    fn events(&self) -> Vec<Event> {
        let mut events = vec![
            Event::CaughtUp,
            Event::ClaimFailed,
            Event::LogLost,
            Event::DrainRequested,
            Event::Drained,
            Event::Failed,
            Event::LeaderChanged(Leader::Nobody),
        ];
        for epoch in (1..=LAST).map(Epoch) {
            for master in ["me", "other"].map(NodeId::from) {
                if epoch > self.newest
                    && (master != self.worker.node || self.appended.contains(&epoch))
                {
                    events.push(Event::EpochAdmitted { epoch, master: master.clone() });
                }
                events.push(Event::LeaderChanged(Leader::Named { epoch, master }));
            }
            if epoch <= self.newest && self.appended.contains(&epoch) && !self.own.contains(&epoch)
            {
                events.push(Event::EpochRefused { epoch });
            }
        }
        events
    }

    /// Takes one step and checks everything that must hold of it.
    fn step(&self, event: &Event) -> Self {
        let mut next = self.clone();
        if let Event::EpochAdmitted { epoch, master } = event {
            next.newest = *epoch;
            if *master == next.worker.node {
                next.own.insert(*epoch);
            }
        }
        let (worker, effects) = step(self.worker.clone(), event.clone());
        next.worker = worker;
        for effect in &effects {
            next.run(effect);
        }
        let context = || format!("{self:?}\n{event:?}\n{effects:?}");
        let was_master = matches!(self.worker.state, State::Master { .. });
        let left_office = was_master && next.worker.state != self.worker.state;
        let stops_writes = effects.iter().filter(|effect| **effect == Effect::StopWrites).count();
        let is_stopped = next.worker.state == State::Stopped;
        // Exit ends the writes with everything else.
        assert_eq!(stops_writes, usize::from(left_office && !is_stopped), "{}", context());
        if self.worker.state == State::Stopped {
            assert_eq!(
                (&next.worker, effects.as_slice()),
                (&self.worker, [].as_slice()),
                "{}",
                context()
            );
        }
        next.check(context);
        next
    }

    fn run(&mut self, effect: &Effect) {
        match effect {
            Effect::Announce(role) => self.announced = *role,
            Effect::ServeReads => self.serving = true,
            Effect::StopReads => self.serving = false,
            Effect::ClaimLeadership { epoch } => {
                assert!(*epoch > self.newest && !self.appended.contains(epoch), "{self:?}");
            }
            Effect::AppendEpoch { epoch } => {
                assert!(self.appended.insert(*epoch), "{epoch} again: {self:?}");
                assert_eq!(self.worker.state, State::Promoting { epoch: *epoch }, "{self:?}");
                assert_eq!(self.worker.named_for(), Some(*epoch), "{self:?}");
            }
            Effect::AcceptWrites { epoch } => {
                assert!(self.own.contains(epoch) && *epoch == self.newest, "{self:?}");
                self.writing = Some(*epoch);
            }
            Effect::StopWrites => self.writing = None,
            Effect::CatchUp => assert_eq!(self.worker.state, State::Joining, "{self:?}"),
            Effect::Drain => assert_eq!(self.worker.state, State::Draining, "{self:?}"),
            Effect::Exit { .. } => {
                assert_eq!(self.worker.state, State::Stopped, "{self:?}");
                (self.serving, self.writing) = (false, None);
            }
        }
    }

    fn check(&self, context: impl Fn() -> String) {
        let office = match self.worker.state {
            State::Master { epoch } => Some(epoch),
            _ => None,
        };
        assert_eq!(self.writing, office, "{}", context());
        let is_slave = self.worker.state == State::Slave;
        let is_called = self.worker.named_for().is_some() || self.worker.may_found();
        assert!(!self.serving || is_slave, "{}", context());
        assert!(self.serving || !is_slave || is_called, "idle: {}", context());
        if !matches!(self.worker.state, State::Promoting { .. } | State::Stopped) {
            assert_eq!(self.announced, self.worker.role(), "{}", context());
        }
        let is_stopped = self.worker.state == State::Stopped;
        assert!(is_stopped || self.worker.spent >= self.newest, "{}", context());
    }

    /// The record names this worker for an epoch that nobody had, everything answers, and nothing
    /// fails any more.
    fn comes_into_office(&self) -> bool {
        let fresh = self.worker.spent.max(Epoch(LAST)).next();
        let mut walker = self.step(&Event::LeaderChanged(Leader::Named {
            epoch: fresh,
            master: self.worker.node.clone(),
        }));
        for _ in 0..2 {
            let event = match walker.worker.state {
                State::Joining => Event::CaughtUp,
                State::Promoting { epoch } => {
                    Event::EpochAdmitted { epoch, master: walker.worker.node.clone() }
                }
                _ => break,
            };
            walker = walker.step(&event);
        }
        walker.worker.state == State::Master { epoch: fresh }
    }
}

#[test]
fn no_sequence_of_events_breaks_a_rule_and_every_one_leads_back_to_office() {
    let mut known = HashSet::new();
    let mut open = vec![Walker::new(false), Walker::new(true)];
    while let Some(walker) = open.pop() {
        if !known.insert(walker.clone()) {
            continue;
        }
        let is_gone = matches!(walker.worker.state, State::Draining | State::Stopped);
        assert!(is_gone || walker.comes_into_office(), "{walker:?}");
        open.extend(walker.events().iter().map(|event| walker.step(event)));
    }
    assert!(known.len() > 1_000, "the walk saw {} states only", known.len());
}
