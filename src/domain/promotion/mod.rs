//! Decides what a worker does: join, serve reads, take office, step down, drain, stop.
//!
//! Pure: [`step`] takes a state and an event, returns the next state and the effects to run, in
//! order. Events are facts, effects are orders. The driver is `roles::worker`.
//!
//! The leader record calls a worker into office; the log alone decides whether it gets there. After
//! the log was out of reach a worker never goes on in an epoch that it used before: it takes a new
//! one. Promoting is told by the signs of life only, so that nothing delays the epoch record.
//!
//! ```text
//!            caught up            named leader           own epoch admitted
//!  Joining ───────────► Slave ───────────────► Promoting ───────────────► Master
//!     ▲                   ▲                        │                        │
//!     │ log lost          └──── another leads ─────┴────────────────────────┘
//!     └──────────────── from each of them
//! ```

#[cfg(test)]
mod pair;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk;

use super::ids::{Epoch, NodeId};
use super::message::Role;

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Copying a snapshot or reading the log up to its end.
    Joining,
    /// Applying the log and answering reads.
    Slave,
    /// Has ordered its epoch into the log and waits to read it back.
    Promoting {
        /// The epoch it hopes for.
        epoch: Epoch,
    },
    /// Sequences the writes.
    Master {
        /// The epoch it read back.
        epoch: Epoch,
    },
    /// Takes nothing new; finishes what it holds.
    Draining,
    /// Done.
    Stopped,
}

/// What the leader record says, as far as a worker cares.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Leader {
    /// Nobody has looked yet.
    Unknown,
    /// There never was one.
    Nobody,
    /// This worker, for this epoch.
    Named {
        /// The term.
        epoch: Epoch,
        /// The worker.
        master: NodeId,
    },
}

/// A worker, as far as its decisions go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Worker {
    /// Its name.
    pub node: NodeId,
    /// It may found the history: it was started as master.
    pub founder: bool,
    /// Where it is.
    pub state: State,
    /// Who leads, as it last heard.
    pub leader: Leader,
    /// No epoch up to this one is begun by this worker any more: the log has admitted it, or it was
    /// ordered into the log once and may still land there.
    pub spent: Epoch,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Everything that was in the log when the worker looked is applied.
    CaughtUp,
    /// The leader record is this now.
    LeaderChanged(Leader),
    /// The log says that this epoch has begun.
    EpochAdmitted {
        /// The epoch.
        epoch: Epoch,
        /// Whose it is.
        master: NodeId,
    },
    /// The worker's own epoch record was read back and came too late.
    EpochRefused {
        /// The epoch that did not count.
        epoch: Epoch,
    },
    /// The claim to lead could not be delivered; some time has passed since.
    ClaimFailed,
    /// The log, or the queue beside it, was out of reach: nobody knows what became of what was last
    /// appended, nor whether it is the same log.
    LogLost,
    /// Somebody asked the worker to finish and go.
    DrainRequested,
    /// Nothing is left to finish.
    Drained,
    /// The worker cannot go on: its database is gone for too long, or the log is another one.
    Failed,
}

/// What to do. Each is idempotent: serving what is served already changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Tell everyone what this worker does now.
    Announce(Role),
    /// Consume `readQ`.
    ServeReads,
    /// Stop consuming `readQ`; what is held is still answered.
    StopReads,
    /// Write into the leader record that this worker leads in this epoch, if the record still is
    /// what the worker last heard; else the newer one follows as [`Event::LeaderChanged`].
    ClaimLeadership {
        /// The epoch.
        epoch: Epoch,
    },
    /// Append the record that begins this epoch.
    AppendEpoch {
        /// The epoch.
        epoch: Epoch,
    },
    /// Consume `writeQ` and append batches of this epoch.
    AcceptWrites {
        /// The epoch.
        epoch: Epoch,
    },
    /// Stop consuming `writeQ`; what is not in the log goes back to the queue.
    StopWrites,
    /// Go back to the end of the log and say when it is reached.
    CatchUp,
    /// Finish what is held, then say so.
    Drain,
    /// End the process: cleanly, or so that it is replaced.
    Exit {
        /// Whether this is an orderly end.
        clean: bool,
    },
}

impl Worker {
    /// A worker that has just started, with the newest epoch that its own database has admitted.
    #[must_use]
    pub const fn new(node: NodeId, founder: bool, admitted: Epoch) -> Self {
        Self { node, founder, state: State::Joining, leader: Leader::Unknown, spent: admitted }
    }

    /// What the worker tells the others it is.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self.state {
            State::Joining => Role::Joining,
            State::Slave => Role::Slave,
            State::Promoting { .. } => Role::Promoting,
            State::Master { .. } => Role::Master,
            State::Draining | State::Stopped => Role::Draining,
        }
    }

    /// The epoch that the leader record gives to this worker.
    fn named_for(&self) -> Option<Epoch> {
        match &self.leader {
            Leader::Named { epoch, master } if *master == self.node => Some(*epoch),
            _ => None,
        }
    }

    fn may_found(&self) -> bool {
        self.founder && self.leader == Leader::Nobody
    }
}

/// Takes one event in. Effects are to be run in their order, before the next event.
#[must_use]
pub fn step(mut worker: Worker, event: Event) -> (Worker, Vec<Effect>) {
    let mut effects = Vec::new();
    match event {
        _ if worker.state == State::Stopped => {}
        Event::Failed => stop(&mut worker, &mut effects, false),
        Event::Drained if worker.state == State::Draining => {
            stop(&mut worker, &mut effects, true);
        }
        Event::EpochAdmitted { epoch, master } => {
            worker.spent = worker.spent.max(epoch);
            epoch_admitted(&mut worker, &mut effects, epoch, &master);
        }
        Event::LeaderChanged(leader) => {
            worker.leader = leader;
            leader_changed(&mut worker, &mut effects);
        }
        _ if worker.state == State::Draining => {}
        Event::DrainRequested => drain(&mut worker, &mut effects),
        Event::LogLost => lose_log(&mut worker, &mut effects),
        Event::CaughtUp if worker.state == State::Joining => {
            worker.state = State::Slave;
            effects.push(Effect::Announce(Role::Slave));
            seek_office_or_serve(&mut worker, &mut effects);
        }
        Event::ClaimFailed if worker.state == State::Slave => {
            seek_office(&mut worker, &mut effects);
        }
        Event::EpochRefused { epoch } if worker.state == (State::Promoting { epoch }) => {
            become_slave(&mut worker, &mut effects);
        }
        Event::CaughtUp | Event::ClaimFailed | Event::EpochRefused { .. } | Event::Drained => {}
    }
    (worker, effects)
}

fn leader_changed(worker: &mut Worker, effects: &mut Vec<Effect>) {
    let named = worker.named_for();
    match worker.state {
        // Also after a claim that somebody else was faster with.
        State::Slave => seek_office_or_serve(worker, effects),
        State::Promoting { epoch } if named != Some(epoch) => become_slave(worker, effects),
        // A newer epoch in the record ends this one, even before the log says so. An older one,
        // or none, is a coordination service that lost its memory: the log knows better.
        State::Master { epoch } if newer_leader(worker, epoch) => become_slave(worker, effects),
        _ => {}
    }
}

fn newer_leader(worker: &Worker, than: Epoch) -> bool {
    matches!(&worker.leader, Leader::Named { epoch, .. } if *epoch > than)
}

fn epoch_admitted(worker: &mut Worker, effects: &mut Vec<Effect>, epoch: Epoch, master: &NodeId) {
    match worker.state {
        State::Promoting { epoch: hoped } if hoped == epoch && *master == worker.node => {
            worker.state = State::Master { epoch };
            effects.push(Effect::AcceptWrites { epoch });
            effects.push(Effect::Announce(Role::Master));
        }
        State::Promoting { epoch: own } | State::Master { epoch: own } if epoch > own => {
            become_slave(worker, effects);
        }
        _ => {}
    }
}

fn seek_office_or_serve(worker: &mut Worker, effects: &mut Vec<Effect>) {
    if !seek_office(worker, effects) {
        effects.push(Effect::ServeReads);
    }
}

/// Goes for office if the leader record calls for it. True when it did.
fn seek_office(worker: &mut Worker, effects: &mut Vec<Effect>) -> bool {
    match worker.named_for() {
        Some(epoch) if epoch > worker.spent => {
            worker.spent = epoch;
            worker.state = State::Promoting { epoch };
            effects.push(Effect::StopReads);
            effects.push(Effect::AppendEpoch { epoch });
            true
        }
        // Named for an epoch that is spent: before a restart, or before the log was out of reach.
        // What was appended in it then may still arrive, so it takes a new one.
        Some(_) => {
            effects.push(Effect::ClaimLeadership { epoch: worker.spent.next() });
            true
        }
        None if worker.may_found() => {
            effects.push(Effect::ClaimLeadership { epoch: worker.spent.next() });
            true
        }
        None => false,
    }
}

/// Leaves office, or the way to it, and serves reads again unless it is called at once.
fn become_slave(worker: &mut Worker, effects: &mut Vec<Effect>) {
    if matches!(worker.state, State::Master { .. }) {
        effects.push(Effect::StopWrites);
    }
    worker.state = State::Slave;
    effects.push(Effect::Announce(Role::Slave));
    seek_office_or_serve(worker, effects);
}

fn lose_log(worker: &mut Worker, effects: &mut Vec<Effect>) {
    match worker.state {
        State::Slave => effects.push(Effect::StopReads),
        State::Master { .. } => effects.push(Effect::StopWrites),
        _ => {}
    }
    worker.state = State::Joining;
    effects.push(Effect::Announce(Role::Joining));
    effects.push(Effect::CatchUp);
}

fn drain(worker: &mut Worker, effects: &mut Vec<Effect>) {
    match worker.state {
        State::Slave => effects.push(Effect::StopReads),
        State::Master { .. } => effects.push(Effect::StopWrites),
        _ => {}
    }
    worker.state = State::Draining;
    effects.push(Effect::Announce(Role::Draining));
    effects.push(Effect::Drain);
}

fn stop(worker: &mut Worker, effects: &mut Vec<Effect>, clean: bool) {
    worker.state = State::Stopped;
    effects.push(Effect::Exit { clean });
}
