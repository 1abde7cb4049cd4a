//! Everything that the workers share, what can happen next, and what must always hold.

use rideshare::domain::ids::{Epoch, Offset};
use rideshare::domain::log::{Admission, History};
use rideshare::domain::promotion::{Event, Leader, State};
use stateright::{Model, Property};

use crate::bounds::{Budget, Safeguards};
use crate::node::{Node, Orders, Request};
use crate::record::{Body, Name, Names, Rec, Write};

const NODES: u8 = 3;

/// I1.
pub(crate) const NOTHING_LOST: &str = "an answered write is in every later master";
/// I1: so every slave gets there.
pub(crate) const IN_THE_LOG: &str = "an answered write counts in the log";
/// I2.
pub(crate) const ONCE: &str = "a write is applied at most once";
/// I3.
pub(crate) const ONE_MASTER: &str = "in an epoch the batches of one master alone are admitted";
/// I3.
pub(crate) const DEPOSED_IS_SILENT: &str = "a deposed master answers nothing";
/// I4 and I5.
pub(crate) const ONE_HISTORY: &str = "what a worker has applied is the log up to where it is";
/// I4.
pub(crate) const EPOCHS_RISE: &str = "the epoch of a database never goes down";
/// What a strong read promises.
pub(crate) const STRONG_READ: &str = "a strong read shows what was answered before it";

/// The protocol in one world.
#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    names: Names,
    safeguards: Safeguards,
    budget: Budget,
}

/// A state of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    nodes: Vec<Node>,
    leader: Leader,
    log: Vec<Rec>,
    /// Appended, and not in the log yet; sorted.
    flying: Vec<Rec>,
    /// Requests that wait for a master; sorted.
    queue: Vec<Request>,
    /// The epoch in which each write was answered first.
    answered: Vec<Option<Epoch>>,
    left: Budget,
    /// What happened that must not.
    broken: Vec<&'static str>,
}

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A record that was appended reaches the log.
    Land(Rec),
    /// A master, or who is on the way there, reads on, up to a record that means something to it.
    Read(Name),
    /// A worker that joins reads up to the end of the log.
    CatchUp(Name),
    /// A worker hears what the leader record says.
    Hear(Name),
    /// A claim reaches the leader record.
    Claim(Name),
    /// The controller names a master for the next epoch.
    Elect(Name),
    /// A master takes a request from the queue.
    Take(Name, Request),
    /// A worker dies and comes back, with its database or without.
    Crash { name: Name, keeps_database: bool },
    /// A worker loses the log.
    LoseLog(Name),
    /// A client sends a strong read.
    SendRead,
    /// A client sends a write again.
    Retry(Write),
}

impl Protocol {
    pub(crate) fn new(safeguards: Safeguards, budget: Budget) -> Self {
        let names = Names::new(usize::from(NODES), usize::from(budget.writes));
        Self { names, safeguards, budget }
    }

    fn named(&self, epoch: Epoch, name: Name) -> Leader {
        Leader::Named { epoch, master: self.names.node(name) }
    }

    /// The first worker is in office and the others follow it.
    fn settled(&self) -> World {
        let mut world = World {
            nodes: (0..NODES).map(|name| Node::new(name, &self.names)).collect(),
            leader: self.named(Epoch(1), 0),
            log: Vec::new(),
            flying: Vec::new(),
            queue: (0..self.budget.writes).map(Request::Write).collect(),
            answered: vec![None; usize::from(self.budget.writes)],
            left: self.budget,
            broken: Vec::new(),
        };
        for name in 0..NODES {
            self.act(&mut world, Action::Hear(name));
            self.act(&mut world, Action::CatchUp(name));
        }
        let begin = world.flying[0];
        self.act(&mut world, Action::Land(begin));
        for name in 0..NODES {
            self.read_to(&mut world, name, 1);
        }
        assert_eq!(world.nodes[0].office(), Some(Epoch(1)));
        assert!(world.nodes[1..].iter().all(|node| node.worker.state == State::Slave));
        world
    }

    fn act(&self, world: &mut World, action: Action) {
        let safeguards = self.safeguards;
        let mut orders = Orders::default();
        let doer = match action {
            Action::Land(rec) => {
                remove(&mut world.flying, &rec);
                world.log.push(rec);
                return;
            }
            Action::Elect(name) => {
                world.left.elections -= 1;
                world.leader = self.named(world.leader_epoch().next(), name);
                return;
            }
            Action::SendRead => {
                world.left.reads -= 1;
                let answered = world.answered.iter().zip(0..).filter(|(it, _)| it.is_some());
                let bits = answered.map(|(_, write)| 1 << write).sum();
                insert(&mut world.queue, Request::Read(bits));
                return;
            }
            Action::Retry(write) => {
                world.left.retries -= 1;
                insert(&mut world.queue, Request::Write(write));
                return;
            }
            Action::Read(name) => {
                let next = world.nodes[usize::from(name)].next_of_note(&world.log).unwrap();
                orders = self.read_to(world, name, next + 1);
                name
            }
            Action::CatchUp(name) => {
                orders = self.read_to(world, name, world.log.len());
                world.nodes[usize::from(name)].take(Event::CaughtUp, &mut orders);
                name
            }
            Action::Hear(name) => {
                let event = Event::LeaderChanged(world.leader.clone());
                world.nodes[usize::from(name)].take(event, &mut orders);
                name
            }
            Action::Claim(name) => {
                let claim = world.nodes[usize::from(name)].claim.take();
                if let Some((epoch, expected)) = claim
                    && expected == world.leader
                {
                    world.leader = self.named(epoch, name);
                }
                name
            }
            Action::Take(name, request) => {
                remove(&mut world.queue, &request);
                let node = &mut world.nodes[usize::from(name)];
                orders = node.sequence(request, safeguards).unwrap();
                if !safeguards.read_back {
                    let pending = node.pending.take().unwrap();
                    self.answer(world, name, request, pending.epoch, None);
                }
                name
            }
            Action::Crash { name, keeps_database } => {
                world.left.crashes -= 1;
                orders = world.nodes[usize::from(name)].crash(keeps_database, &self.names);
                name
            }
            Action::LoseLog(name) => {
                world.left.losses -= 1;
                orders = world.nodes[usize::from(name)].lose_log();
                name
            }
        };
        for rec in orders.append {
            insert(&mut world.flying, rec);
        }
        if let Some(request) = orders.release {
            insert(&mut world.queue, request);
        }
        if let Some((request, epoch, offset)) = orders.answer {
            self.answer(world, doer, request, epoch, Some(offset));
        }
    }

    /// Has a worker read the log up to here; only the last record can mean anything to it.
    fn read_to(&self, world: &mut World, name: Name, end: usize) -> Orders {
        let node = &mut world.nodes[usize::from(name)];
        let mut orders = Orders::default();
        while node.read < end {
            assert!(orders == Orders::default(), "something was passed over");
            let before = node.history.epoch();
            orders = node.read(world.log[node.read], &self.names, self.safeguards);
            if node.history.epoch() < before {
                world.broken.push(EPOCHS_RISE);
            }
        }
        orders
    }

    /// A client gets its answer.
    fn answer(
        &self,
        world: &mut World,
        name: Name,
        request: Request,
        epoch: Epoch,
        at: Option<Offset>,
    ) {
        if self.newest_epoch(&world.log, at) > epoch {
            world.broken.push(DEPOSED_IS_SILENT);
        }
        match request {
            Request::Write(write) => {
                world.answered[usize::from(write)].get_or_insert(epoch);
            }
            Request::Read(before) => {
                let applied = &world.nodes[usize::from(name)].applied;
                let shown: u8 = (0..self.budget.writes)
                    .filter(|write| applied.contains(write))
                    .map(|write| 1 << write)
                    .sum();
                if before & !shown != 0 {
                    world.broken.push(STRONG_READ);
                }
            }
        }
    }

    /// The newest epoch that has begun before this offset, or at all.
    fn newest_epoch(&self, log: &[Rec], before: Option<Offset>) -> Epoch {
        let before = before.map_or(log.len(), |offset| offset.0 as usize);
        let mut history = History::default();
        for (rec, offset) in log[..before].iter().zip(0..) {
            self.names.admit(&mut history, Offset(offset), *rec, true);
        }
        history.epoch()
    }

    /// What counts of the log up to here, by the rule in force: the writes, and whether each
    /// batch is of the one who is in office then.
    fn replay(&self, log: &[Rec]) -> (Vec<Write>, bool) {
        let (mut history, mut writes, mut one_master) = (History::default(), Vec::new(), true);
        let mut master = None;
        for (rec, offset) in log.iter().zip(0..) {
            let epoch_check = self.safeguards.epoch_check;
            let admission = self.names.admit(&mut history, Offset(offset), *rec, epoch_check);
            match (admission, rec.body) {
                (Admission::Admitted, Body::Begin) => master = Some(rec.author),
                (Admission::Admitted, Body::Batch(_, write)) => {
                    writes.extend(write);
                    one_master &= master == Some(rec.author);
                }
                _ => {}
            }
        }
        (writes, one_master)
    }

    fn nothing_lost(&self, world: &World) -> bool {
        world.answered.iter().zip(0..).all(|(answered, write)| {
            let Some(epoch) = answered else { return true };
            let is_later = |node: &&Node| node.office().is_some_and(|office| office > *epoch);
            world.nodes.iter().filter(is_later).all(|node| node.applied.contains(&write))
        })
    }

    fn in_the_log(&self, world: &World) -> bool {
        let logged = self.replay(&world.log).0;
        let answered = world.answered.iter().zip(0..).filter(|(it, _)| it.is_some());
        answered.into_iter().all(|(_, write)| logged.contains(&write))
    }

    fn one_history(&self, world: &World) -> bool {
        world.nodes.iter().all(|node| {
            let read = node.history.next_offset().0 as usize;
            self.replay(&world.log[..read]).0 == node.applied
        })
    }
}

/// What need not be told apart. None of it takes an order of events away that could matter.
impl Protocol {
    /// To a slave, a leader record that does not name it changes nothing; nor is it missed.
    fn concerns(&self, world: &World, node: &Node) -> bool {
        let in_office = matches!(node.worker.state, State::Master { .. } | State::Promoting { .. });
        let own = self.names.node(node.name);
        in_office || matches!(&world.leader, Leader::Named { master, .. } if *master == own)
    }

    /// Nothing ever happened to this worker nor to an earlier one, so that it makes no difference
    /// to which of them something happens next.
    fn is_double(&self, world: &World, node: &Node) -> bool {
        let untouched =
            |node: &Node| node.is_settled_slave() && !self.is_mentioned(world, node.name);
        let mut earlier = world.nodes.iter().take(usize::from(node.name));
        untouched(node) && earlier.any(untouched)
    }

    fn is_mentioned(&self, world: &World, name: Name) -> bool {
        let own = self.names.node(name);
        let leads = matches!(&world.leader, Leader::Named { master, .. } if *master == own);
        leads || world.log.iter().chain(&world.flying).any(|rec| rec.author == name)
    }
}

impl World {
    fn leader_epoch(&self) -> Epoch {
        match &self.leader {
            Leader::Named { epoch, .. } => *epoch,
            _ => Epoch(0),
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.settled()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let mut flying = world.flying.clone();
        flying.dedup();
        actions.extend(flying.into_iter().map(Action::Land));
        let mut queue = world.queue.clone();
        queue.dedup();
        for node in &world.nodes {
            let name = node.name;
            if node.worker.state == State::Joining {
                actions.push(Action::CatchUp(name));
            } else if node.next_of_note(&world.log).is_some() {
                actions.push(Action::Read(name));
            }
            if node.worker.leader != world.leader && self.concerns(world, node) {
                actions.push(Action::Hear(name));
            }
            if node.claim.is_some() {
                actions.push(Action::Claim(name));
            }
            if node.leading.is_some() && node.pending.is_none() {
                actions.extend(queue.iter().map(|request| Action::Take(name, *request)));
            }
            if self.is_double(world, node) {
                continue;
            }
            if world.left.elections > 0 && node.worker.state == State::Slave {
                actions.push(Action::Elect(name));
            }
            if world.left.crashes > 0 {
                let crash = |keeps_database| Action::Crash { name, keeps_database };
                actions.extend([true, false].map(crash));
            }
            if world.left.losses > 0 && node.worker.state != State::Joining {
                actions.push(Action::LoseLog(name));
            }
        }
        if world.left.reads > 0 {
            actions.push(Action::SendRead);
        }
        if world.left.retries > 0 {
            let sent = (0..self.budget.writes).filter(|write| {
                let waits = world.queue.contains(&Request::Write(*write));
                !waits
            });
            actions.extend(sent.map(Action::Retry));
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        self.act(&mut next, action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NOTHING_LOST, Self::nothing_lost),
            Property::always(IN_THE_LOG, Self::in_the_log),
            Property::always(ONCE, |_, world: &World| {
                world.nodes.iter().all(|node| {
                    let twice = |(at, write)| node.applied[..at].contains(write);
                    !node.applied.iter().enumerate().any(twice)
                })
            }),
            Property::always(ONE_MASTER, |model: &Self, world: &World| model.replay(&world.log).1),
            Property::always(DEPOSED_IS_SILENT, |_, world: &World| {
                !world.broken.contains(&DEPOSED_IS_SILENT)
            }),
            Property::always(ONE_HISTORY, Self::one_history),
            Property::always(EPOCHS_RISE, |_, world: &World| !world.broken.contains(&EPOCHS_RISE)),
            Property::always(STRONG_READ, |_, world: &World| !world.broken.contains(&STRONG_READ)),
            // The world is large enough to show something.
            Property::sometimes("every write is answered", |_, world: &World| {
                world.answered.iter().all(Option::is_some)
            }),
            Property::sometimes(
                "a write is answered in the last epoch",
                |model: &Self, world: &World| {
                    let last = Epoch(u64::from(model.budget.elections) + 1);
                    world.answered.iter().flatten().any(|epoch| *epoch >= last)
                },
            ),
            Property::sometimes("a batch is fenced", |model: &Self, world: &World| {
                let batches = world.log.iter().filter(|rec| rec.body != Body::Begin).count();
                model.admitted_batches(&world.log) < batches
            }),
        ]
    }
}

impl Protocol {
    fn admitted_batches(&self, log: &[Rec]) -> usize {
        let mut history = History::default();
        let admitted = log.iter().zip(0..).filter(|(rec, offset)| {
            let admission = self.names.admit(&mut history, Offset(*offset), **rec, true);
            admission == Admission::Admitted && rec.body != Body::Begin
        });
        admitted.count()
    }
}

fn insert<T: Ord>(sorted: &mut Vec<T>, value: T) {
    let at = sorted.partition_point(|other| *other <= value);
    sorted.insert(at, value);
}

fn remove<T: Ord>(sorted: &mut Vec<T>, value: &T) {
    let at = sorted.binary_search(value).unwrap();
    sorted.remove(at);
}
