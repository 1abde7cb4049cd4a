//! A stretch of a document's history that can be explained by itself.

use std::rc::Rc;

use serde_json::Value;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

use super::document::{Document, Turn};
use crate::history::{Kind, Operation};

/// Known operations, all answered before the next window's first was sent.
#[derive(Clone)]
pub(super) struct Window {
    pub(super) operations: Rc<[Rc<Operation>]>,
    begins_us: u64,
    /// When the last one was answered.
    pub(super) ends_us: u64,
    /// Session reads in this window and the later ones show everything up to there.
    pub(super) oldest_shown: Option<u64>,
}

/// Cuts a document's known operations wherever none is under way.
pub(super) fn windows(mut known: Vec<Rc<Operation>>) -> Vec<Window> {
    known.sort_by_key(|it| it.sent_us);
    let mut ends_us = 0;
    let stretches = known.chunk_by(|one, next| {
        ends_us = one.answered_us.max(ends_us);
        next.sent_us <= ends_us
    });
    let mut windows: Vec<Window> = stretches
        .map(|stretch| Window {
            operations: stretch.into(),
            begins_us: stretch[0].sent_us,
            ends_us: stretch.iter().map(|it| it.answered_us).max().unwrap_or_default(),
            oldest_shown: None,
        })
        .collect();
    let mut oldest_shown = Some(u64::MAX);
    for window in windows.iter_mut().rev() {
        let reads = window.operations.iter().filter(|it| it.kind == Kind::SessionRead);
        let shown = reads.map(|it| it.offset.max(it.min_offset)).min();
        oldest_shown = shown.map_or(oldest_shown, |shown| shown.min(oldest_shown));
        window.oldest_shown = oldest_shown;
    }
    windows
}

impl Window {
    /// The ways to explain it from this state, with these doubtful operations behind it.
    pub(super) fn alternatives(
        &self,
        start: Document,
        doubtful: &[Rc<Operation>],
        happened: &[usize],
    ) -> Alternatives {
        let mut open: Vec<Vec<(usize, Rc<Operation>)>> = Vec::new();
        for (number, operation) in doubtful.iter().enumerate() {
            if happened.contains(&number) || operation.sent_us > self.ends_us {
                continue;
            }
            let is_like = |other: &Operation| {
                (other.kind, &other.argument) == (operation.kind, &operation.argument)
                    && other.sent_us.max(operation.sent_us) < self.begins_us
            };
            match open.iter_mut().find(|alike| is_like(&alike[0].1)) {
                Some(alike) => alike.push((number, Rc::clone(operation))),
                None => open.push(vec![(number, Rc::clone(operation))]),
            }
        }
        Alternatives {
            window: self.clone(),
            start,
            happened: happened.to_vec(),
            choices: vec![vec![0; open.len()]],
            most: open.iter().map(Vec::len).sum(),
            open,
            chosen: 0,
            ends: Vec::new(),
        }
    }
}

/// The states that a window may end in, and the doubtful operations that have happened by then.
/// The fewest of those come first.
pub(super) struct Alternatives {
    window: Window,
    start: Document,
    happened: Vec<usize>,
    /// Doubtful operations that may happen here; it does not matter which of those that are alike.
    open: Vec<Vec<(usize, Rc<Operation>)>>,
    /// How many of each kind happen: what is still to be tried of those with `chosen` in all.
    choices: Vec<Vec<usize>>,
    chosen: usize,
    most: usize,
    /// The values that the window was seen to end in, with the choice that is being tried.
    ends: Vec<Value>,
}

impl Alternatives {
    pub(super) fn next(&mut self) -> Option<(Document, Vec<usize>)> {
        loop {
            while let Some(choice) = self.choices.last() {
                if let Some(found) = self.another_end(&choice.clone()) {
                    return Some(found);
                }
                self.choices.pop();
                self.ends.clear();
            }
            if self.chosen == self.most || self.start.is_spent() {
                return None;
            }
            self.chosen += 1;
            self.choices = choices(&self.open, self.chosen);
        }
    }

    /// An order that ends in a value which no order before ended in.
    fn another_end(&mut self, choice: &[usize]) -> Option<(Document, Vec<usize>)> {
        let turns = self.order(choice)?;
        let mut document = self.start.clone();
        for (turn, ()) in &turns {
            document.is_valid_step(turn, &());
        }
        self.ends.push(document.value().clone());
        let chosen = self.open.iter().zip(choice).flat_map(|(alike, count)| &alike[..*count]);
        let mut happened = self.happened.clone();
        happened.extend(chosen.map(|(number, _)| *number));
        happened.sort_unstable();
        Some((document, happened))
    }

    /// Has the tester look for an order.
    fn order(&self, choice: &[usize]) -> Option<Vec<(Turn, ())>> {
        let mut lanes = Lanes::default();
        for operation in &*self.window.operations {
            let turn = Turn::Known(Rc::clone(operation));
            lanes.add(operation.sent_us, operation.answered_us, turn);
        }
        for (kind, (alike, count)) in self.open.iter().zip(choice).enumerate() {
            for (rank, (_, operation)) in alike[..*count].iter().enumerate() {
                let turn = Turn::Doubtful { operation: Rc::clone(operation), kind, rank };
                lanes.add(operation.sent_us, self.window.ends_us, turn);
            }
        }
        lanes.order(self.start.clone(), Turn::EndsOtherThan(self.ends.as_slice().into()))
    }
}

/// All ways to take `count` from these, by number of each.
fn choices<T>(open: &[Vec<T>], count: usize) -> Vec<Vec<usize>> {
    let Some((first, rest)) = open.split_first() else {
        return if count == 0 { vec![Vec::new()] } else { Vec::new() };
    };
    let taking = |taken: usize| {
        choices(rest, count - taken).into_iter().map(move |mut others| {
            others.insert(0, taken);
            others
        })
    };
    (0..=first.len().min(count)).flat_map(taking).collect()
}

/// Operations for the tester, which knows them by threads: those in a lane are one behind the
/// other in time, and there are no more lanes than operations under way at once.
#[derive(Default)]
struct Lanes {
    busy_until_us: Vec<u64>,
    /// When, what begins then (or else what is under way ends), and the lane.
    events: Vec<(u64, Option<Turn>, usize)>,
}

impl Lanes {
    /// To be called in the order in which they were sent, doubtful ones last.
    fn add(&mut self, sent_us: u64, until_us: u64, turn: Turn) {
        let is_free = |busy_until_us: &u64| *busy_until_us < sent_us;
        let lane = self.busy_until_us.iter().position(is_free).unwrap_or_else(|| {
            self.busy_until_us.push(0);
            self.busy_until_us.len() - 1
        });
        self.busy_until_us[lane] = until_us;
        self.events.push((sent_us, Some(turn), lane));
        self.events.push((until_us, None, lane));
    }

    fn order(mut self, start: Document, end: Turn) -> Option<Vec<(Turn, ())>> {
        self.events.sort_by_key(|(at_us, begins, _)| (*at_us, begins.is_none()));
        let mut tester = LinearizabilityTester::new(start);
        for (_, begins, lane) in self.events {
            let told = match begins {
                Some(turn) => tester.on_invoke(lane, turn),
                None => tester.on_return(lane, ()),
            };
            told.expect("a lane holds one operation at a time");
        }
        let last = self.busy_until_us.len();
        tester.on_invret(last, end, ()).expect("nothing else is in this lane");
        tester.serialized_history()
    }
}
