//! One worker: the product's state machine and admission, and what surrounds them.

use std::hash::{Hash, Hasher};

use rideshare::domain::ids::{Epoch, Offset, Sequence};
use rideshare::domain::log::{Admission, History};
use rideshare::domain::promotion::{Effect, Event, Leader, State, Worker, step};

use crate::bounds::Safeguards;
use crate::record::{Body, Name, Names, Rec, Write};

/// What a master holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Request {
    Write(Write),
    /// A strong read, with the writes that had been answered when it was sent, as bits.
    Read(u8),
}

/// A request whose record is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pending {
    pub(crate) request: Request,
    pub(crate) epoch: Epoch,
    pub(crate) sequence: Sequence,
}

/// A worker in office.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leading {
    pub(crate) epoch: Epoch,
    pub(crate) next_sequence: Sequence,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: Name,
    pub(crate) worker: Worker,
    /// Stands in the database, as `applied` does: survives a crash.
    pub(crate) history: History,
    /// The writes in the database, each as often as it was applied, in that order.
    pub(crate) applied: Vec<Write>,
    /// How many records it has read, in this life.
    pub(crate) read: usize,
    /// The writes that it remembers, as bits.
    pub(crate) window: u8,
    pub(crate) leading: Option<Leading>,
    pub(crate) pending: Option<Pending>,
    /// A claim on its way to the leader record, and what the record has to be for it to count.
    pub(crate) claim: Option<(Epoch, Leader)>,
}

impl Hash for Node {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.worker.hash(hasher);
        self.history.applied.hash(hasher);
        for term in &self.history.terms {
            (term.epoch, term.begun, term.batches).hash(hasher);
        }
        (&self.applied, self.read, self.window).hash(hasher);
        (&self.leading, &self.pending, &self.claim).hash(hasher);
    }
}

/// What a step of a worker does to the rest of the world.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    pub(crate) append: Vec<Rec>,
    /// Goes back to the queue.
    pub(crate) release: Option<Request>,
    /// Is answered, with the record that carries it.
    pub(crate) answer: Option<(Request, Epoch, Offset)>,
}

impl Node {
    pub(crate) fn new(name: Name, names: &Names) -> Self {
        Self {
            name,
            worker: Worker::new(names.node(name), false, Epoch(0)),
            history: History::default(),
            applied: Vec::new(),
            read: 0,
            window: 0,
            leading: None,
            pending: None,
            claim: None,
        }
    }

    /// The epoch that it is master of, by its own account.
    pub(crate) fn office(&self) -> Option<Epoch> {
        match self.worker.state {
            State::Master { epoch } => Some(epoch),
            _ => None,
        }
    }

    /// A slave that has read the first record and nothing else, and remembers nothing.
    pub(crate) fn is_settled_slave(&self) -> bool {
        let nothing = (self.leading, self.pending, &self.claim) == (None, None, &None);
        self.worker.state == State::Slave && self.read == 1 && self.window == 0 && nothing
    }

    /// The next record that can change more than the database: a new epoch, or the own batch. Only
    /// a master and who is on the way there waits for one; a slave reads when it has to.
    pub(crate) fn next_of_note(&self, log: &[Rec]) -> Option<usize> {
        if !matches!(self.worker.state, State::Master { .. } | State::Promoting { .. })
            && self.pending.is_none()
        {
            return None;
        }
        let is_own = |rec: &Rec| self.pending.is_some_and(|pending| self.carries(rec, &pending));
        let is_of_note = |rec: &Rec| rec.body == Body::Begin || is_own(rec);
        let next = log[self.read..].iter().position(is_of_note)?;
        Some(self.read + next)
    }

    fn carries(&self, rec: &Rec, pending: &Pending) -> bool {
        let Body::Batch(sequence, _) = rec.body else { return false };
        rec.author == self.name && (pending.epoch, pending.sequence) == (rec.epoch, sequence)
    }

    /// Ends and starts again, with its database or with an empty one.
    pub(crate) fn crash(&mut self, keeps_database: bool, names: &Names) -> Orders {
        let release = self.pending.map(|pending| pending.request);
        let fresh = Self::new(self.name, names);
        if keeps_database {
            let admitted = self.history.epoch();
            self.worker = Worker::new(names.node(self.name), false, admitted);
            (self.read, self.window) = (0, 0);
            (self.leading, self.pending, self.claim) = (None, None, None);
        } else {
            *self = fresh;
        }
        Orders { release, ..Orders::default() }
    }

    /// Takes in an event and carries out what follows.
    pub(crate) fn take(&mut self, event: Event, orders: &mut Orders) {
        let (worker, effects) = step(self.worker.clone(), event);
        self.worker = worker;
        for effect in effects {
            match effect {
                Effect::ClaimLeadership { epoch } => {
                    self.claim = Some((epoch, self.worker.leader.clone()));
                }
                Effect::AppendEpoch { epoch } => {
                    orders.append.push(Rec { epoch, author: self.name, body: Body::Begin });
                }
                Effect::AcceptWrites { epoch } if epoch == self.history.epoch() => {
                    let next_sequence = self.history.next_sequence();
                    self.leading = Some(Leading { epoch, next_sequence });
                }
                // What is under way is waited for, and nothing more is taken.
                Effect::StopWrites => self.leading = None,
                _ => {}
            }
        }
    }

    /// The log is out of reach: nobody knows what became of what was under way.
    pub(crate) fn lose_log(&mut self) -> Orders {
        let release = self.pending.take().map(|pending| pending.request);
        let mut orders = Orders { release, ..Orders::default() };
        self.leading = None;
        self.take(Event::LogLost, &mut orders);
        orders
    }

    /// Plans a request and appends its record. A write that is remembered writes nothing again,
    /// but waits for its record all the same.
    pub(crate) fn sequence(&mut self, request: Request, safeguards: Safeguards) -> Option<Orders> {
        let leading = self.leading.as_mut()?;
        let Leading { epoch, next_sequence: sequence } = *leading;
        leading.next_sequence = sequence.next();
        let write = match request {
            Request::Write(write) if self.window & (1 << write) == 0 => Some(write),
            Request::Write(write) => (!safeguards.duplicate_window).then_some(write),
            Request::Read(_) => None,
        };
        self.pending = Some(Pending { request, epoch, sequence });
        let body = Body::Batch(sequence, write);
        let append = vec![Rec { epoch, author: self.name, body }];
        Some(Orders { append, ..Orders::default() })
    }

    /// Reads the next record of the log.
    pub(crate) fn read(&mut self, rec: Rec, names: &Names, safeguards: Safeguards) -> Orders {
        let offset = Offset(self.read as u64);
        self.read += 1;
        let mut orders = Orders::default();
        let epoch_check = safeguards.epoch_check;
        let admission = names.admit(&mut self.history, offset, rec, epoch_check);
        match (admission, rec.body) {
            (Admission::Repeated, Body::Batch(_, Some(write)))
                if safeguards.window_after_restart
                    && names.had_admitted(&self.history, offset, rec, epoch_check) =>
            {
                self.window |= 1 << write;
            }
            (Admission::Admitted, Body::Batch(_, write)) => {
                self.applied.extend(write);
                self.window |= write.map_or(0, |write| 1 << write);
                self.answer(rec, offset, &mut orders);
            }
            (Admission::Admitted, Body::Begin) => {
                self.void(rec.epoch, &mut orders);
                let (epoch, master) = (rec.epoch, names.node(rec.author));
                self.take(Event::EpochAdmitted { epoch, master }, &mut orders);
            }
            (Admission::Stale, Body::Begin) if rec.author == self.name => {
                self.take(Event::EpochRefused { epoch: rec.epoch }, &mut orders);
            }
            _ => {}
        }
        orders
    }

    /// The own batch was read back.
    fn answer(&mut self, rec: Rec, offset: Offset, orders: &mut Orders) {
        let Some(pending) = self.pending.filter(|pending| self.carries(&rec, pending)) else {
            return;
        };
        self.pending = None;
        orders.answer = Some((pending.request, pending.epoch, offset));
    }

    /// A newer epoch has begun: what is under way in an older one is void.
    fn void(&mut self, begun: Epoch, orders: &mut Orders) {
        if self.leading.is_some_and(|leading| leading.epoch < begun) {
            self.leading = None;
        }
        let pending = self.pending.take_if(|pending| pending.epoch < begun);
        orders.release = pending.map(|pending| pending.request);
    }
}
