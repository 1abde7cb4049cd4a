//! Two workers, one log and one leader record: every order in which messages, failures and
//! elections can come between them while epochs are few.

use std::collections::HashSet;

use super::*;

const LAST: Epoch = Epoch(2);
const NODES: [&str; 2] = ["a", "b"];

/// One worker's side of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Side {
    worker: Worker,
    /// How many records it has read.
    read: usize,
    /// Its claim on its way to the leader record, and what the record has to be for it to count.
    claim: Option<(Epoch, Leader)>,
    /// How often it may still lose the log.
    losses: u8,
}

/// Everything shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    sides: [Side; 2],
    record: Leader,
    log: Vec<(Epoch, NodeId)>,
    /// Appended, and not in the log yet.
    flying: Vec<(Epoch, NodeId)>,
}

/// What can happen next.
#[derive(Clone, Copy, Debug)]
enum Move {
    Land(usize),
    Elect(usize),
    Read(usize),
    HearOfLeader(usize),
    CatchUp(usize),
    DeliverClaim(usize),
    FailClaim(usize),
    LoseLog(usize),
}

impl World {
    fn new() -> Self {
        let side = |node: &&str| Side {
            worker: Worker::new(NodeId::from(*node), *node == "a", Epoch(0)),
            read: 0,
            claim: None,
            losses: 1,
        };
        let sides = [side(&NODES[0]), side(&NODES[1])];
        Self { sides, record: Leader::Nobody, log: Vec::new(), flying: Vec::new() }
    }

    fn moves(&self) -> Vec<Move> {
        let mut moves: Vec<Move> = (0..self.flying.len()).map(Move::Land).collect();
        for (index, side) in self.sides.iter().enumerate() {
            if self.next_epoch() <= LAST {
                moves.push(Move::Elect(index));
            }
            if side.read < self.log.len() {
                moves.push(Move::Read(index));
            } else if side.worker.state == State::Joining {
                moves.push(Move::CatchUp(index));
            }
            if side.worker.leader != self.record {
                moves.push(Move::HearOfLeader(index));
            }
            if side.claim.as_ref().is_some_and(|(epoch, _)| *epoch <= LAST) {
                moves.extend([Move::DeliverClaim(index), Move::FailClaim(index)]);
            }
            if side.losses > 0 && side.worker.state != State::Joining {
                moves.push(Move::LoseLog(index));
            }
        }
        moves
    }

    fn next_epoch(&self) -> Epoch {
        match &self.record {
            Leader::Named { epoch, .. } => epoch.next(),
            _ => Epoch(1),
        }
    }

    fn elect(&mut self, index: usize) {
        let (epoch, master) = (self.next_epoch(), NodeId::from(NODES[index]));
        self.record = Leader::Named { epoch, master };
    }

    fn take(&self, taken: Move) -> Self {
        let mut world = self.clone();
        match taken {
            Move::Land(index) => {
                let landed = world.flying.remove(index);
                world.log.push(landed);
            }
            Move::Elect(index) => world.elect(index),
            Move::Read(index) => world.read(index),
            Move::HearOfLeader(index) => {
                world.step(index, Event::LeaderChanged(self.record.clone()));
            }
            Move::CatchUp(index) => world.step(index, Event::CaughtUp),
            Move::DeliverClaim(index) => {
                let side = &mut world.sides[index];
                if let Some((epoch, expected)) = side.claim.take()
                    && expected == self.record
                {
                    world.record = Leader::Named { epoch, master: side.worker.node.clone() };
                }
            }
            Move::FailClaim(index) => {
                world.sides[index].claim = None;
                world.step(index, Event::ClaimFailed);
            }
            Move::LoseLog(index) => {
                world.sides[index].losses -= 1;
                world.step(index, Event::LogLost);
            }
        }
        world
    }

    fn read(&mut self, index: usize) {
        let at = self.sides[index].read;
        self.sides[index].read += 1;
        let (epoch, master) = self.log[at].clone();
        if self.log[..at].iter().all(|(earlier, _)| *earlier < epoch) {
            self.step(index, Event::EpochAdmitted { epoch, master });
        } else if master == self.sides[index].worker.node {
            self.step(index, Event::EpochRefused { epoch });
        }
    }

    fn step(&mut self, index: usize, event: Event) {
        let side = &mut self.sides[index];
        let (worker, effects) = step(side.worker.clone(), event);
        side.worker = worker;
        for effect in effects {
            match effect {
                Effect::ClaimLeadership { epoch } => {
                    side.claim = Some((epoch, side.worker.leader.clone()));
                }
                Effect::AppendEpoch { epoch } => {
                    self.flying.push((epoch, side.worker.node.clone()));
                }
                _ => {}
            }
        }
    }

    fn check(&self) {
        let offices = self.sides.iter().filter_map(|side| match side.worker.state {
            State::Master { epoch } => Some((epoch, side.worker.node.clone())),
            _ => None,
        });
        let offices: Vec<_> = offices.collect();
        if let [(first, _), (second, _)] = offices.as_slice() {
            assert_ne!(first, second, "two masters in one epoch: {self:?}");
        }
        for office in &offices {
            let at = self.log.iter().position(|record| record == office);
            let at = at.unwrap_or_else(|| panic!("an office that the log knows not: {self:?}"));
            assert!(self.log[..at].iter().all(|(earlier, _)| *earlier < office.0), "{self:?}");
        }
        let mut appended: Vec<_> = self.log.iter().chain(&self.flying).collect();
        appended.sort();
        assert!(appended.windows(2).all(|pair| pair[0] != pair[1]), "appended twice: {self:?}");
    }

    /// Nothing fails any more, and the controller names one node.
    fn settles_on(&self, elected: usize) -> bool {
        let mut world = self.clone();
        for side in &mut world.sides {
            side.losses = 0;
        }
        world.elect(elected);
        for _ in 0..40 {
            let calm = world.moves().into_iter().filter(|next| {
                !matches!(next, Move::Elect(_) | Move::FailClaim(_) | Move::LoseLog(_))
            });
            // Claims of the calm time may go past the last epoch of the walk.
            let claims = (0..2).filter(|index| world.sides[*index].claim.is_some());
            let claims: Vec<Move> = claims.map(Move::DeliverClaim).collect();
            let Some(next) = calm.chain(claims).next() else { break };
            world = world.take(next);
        }
        world.check();
        let states = [elected, 1 - elected].map(|index| world.sides[index].worker.state);
        matches!(states, [State::Master { .. }, State::Slave])
    }
}

#[test]
fn two_workers_never_share_an_epoch_and_always_settle_on_who_is_named() {
    let mut known = HashSet::new();
    let mut open = vec![World::new()];
    while let Some(world) = open.pop() {
        if !known.insert(world.clone()) {
            continue;
        }
        world.check();
        for (elected, name) in NODES.iter().enumerate() {
            assert!(world.settles_on(elected), "not on {name}: {world:?}");
        }
        open.extend(world.moves().into_iter().map(|next| world.take(next)));
    }
    assert!(known.len() > 10_000, "the walk saw {} worlds only", known.len());
}
