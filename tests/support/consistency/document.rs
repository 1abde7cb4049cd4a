//! What one document may answer when its operations come one after the other.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::Value;
use stateright::semantics::SequentialSpec;

use crate::history::{Kind, Operation};

/// An operation in its turn.
#[derive(Clone, Debug)]
pub(super) enum Turn {
    Known(Rc<Operation>),
    /// One of those in doubt. Of operations that are alike, the one with the lowest rank is first:
    /// other orders would be the same.
    Doubtful {
        operation: Rc<Operation>,
        kind: usize,
        rank: usize,
    },
    /// The document holds none of these in the end.
    EndsOtherThan(Rc<[Value]>),
}

/// A value of the document, and where the write that left it stands in the log, if it was told.
#[derive(Clone, Debug)]
struct State {
    value: Value,
    offset: Option<u64>,
}

/// The states of a document so far, and what they bind it to.
#[derive(Clone)]
pub(super) struct Document {
    /// Never empty; the last one is now.
    states: Vec<State>,
    /// Where the last write stands: later ones stand there or behind.
    written: Option<u64>,
    /// What a read said it shows everything up to: writes that stand there come before it.
    shown: Option<u64>,
    /// How many of each kind of doubtful operations have had their turn in this window.
    happened: Vec<usize>,
    /// How many turns may still be tried, in the whole search. None is right when it is used up.
    budget: Rc<Cell<u64>>,
}

impl Document {
    pub(super) fn absent(budget: Rc<Cell<u64>>) -> Self {
        let states = vec![State { value: Value::Null, offset: None }];
        Self { states, written: None, shown: None, happened: Vec::new(), budget }
    }

    pub(super) fn value(&self) -> &Value {
        &self.states[self.states.len() - 1].value
    }

    /// Whether nothing more may be tried.
    pub(super) fn is_spent(&self) -> bool {
        self.budget.get() == 0
    }

    /// All that decides on later turns.
    pub(super) fn essence(&self) -> String {
        format!("{:?} {:?} {:?}", self.states, self.written, self.shown)
    }

    /// Begins a window. Drops the states that no read may show any more which shows everything up
    /// to `offset`.
    pub(super) fn begin_window(&mut self, offset: Option<u64>) {
        self.happened.clear();
        let oldest = self.oldest_that_shows(offset);
        self.states.drain(..oldest);
    }

    /// The number of the first state with all writes up to `offset` behind it.
    fn oldest_that_shows(&self, offset: Option<u64>) -> usize {
        let is_shown = |state: &State| state.offset.is_some() && state.offset <= offset;
        self.states.iter().rposition(is_shown).unwrap_or_default()
    }

    fn happen(&mut self, kind: usize, rank: usize) -> bool {
        if self.happened.len() <= kind {
            self.happened.resize(kind + 1, 0);
        }
        let is_next = self.happened[kind] == rank;
        self.happened[kind] += 1;
        is_next
    }

    fn read(&mut self, read: &Operation) -> bool {
        let shows = read.offset.max(read.min_offset);
        let from = match read.kind {
            Kind::SessionRead => self.oldest_that_shows(shows),
            _ => self.states.len() - 1,
        };
        self.shown = self.shown.max(shows);
        self.states[from..].iter().any(|state| state.value == read.result)
    }

    fn write(&mut self, write: &Operation) -> bool {
        let Some((left, told)) = effect(write, self.value()) else { return false };
        if write.is_known() && told != write.result {
            return false;
        }
        if write.offset.is_some() {
            if write.offset < self.written || write.offset <= self.shown {
                return false;
            }
            self.written = write.offset;
        }
        if left != *self.value() {
            self.states.push(State { value: left, offset: write.offset });
        }
        true
    }
}

impl SequentialSpec for Document {
    type Op = Turn;
    type Ret = ();

    fn invoke(&mut self, turn: &Self::Op) {
        self.is_valid_step(turn, &());
    }

    fn is_valid_step(&mut self, turn: &Self::Op, (): &()) -> bool {
        let Some(left) = self.budget.get().checked_sub(1) else { return false };
        self.budget.set(left);
        match turn {
            Turn::EndsOtherThan(values) => !values.contains(self.value()),
            Turn::Known(it) if it.kind.writes() => self.write(it),
            Turn::Known(it) => self.read(it),
            Turn::Doubtful { operation, kind, rank } => {
                self.happen(*kind, *rank) && self.write(operation)
            }
        }
    }
}

/// The value that a write leaves, and its answer. None where it cannot be carried out.
fn effect(write: &Operation, found: &Value) -> Option<(Value, Value)> {
    let argument = || write.argument.clone();
    match write.kind {
        Kind::Insert if found.is_null() => Some((argument(), Value::Bool(true))),
        Kind::Insert => Some((found.clone(), Value::Bool(false))),
        Kind::Increment => {
            let base = if found.is_null() { 0 } else { found.as_i64()? };
            let sum = Value::from(base.checked_add(write.argument.as_i64()?)?);
            Some((sum.clone(), sum))
        }
        Kind::Swap => Some((argument(), found.clone())),
        Kind::Put => Some((argument(), Value::Null)),
        Kind::Delete => Some((Value::Null, Value::Bool(!found.is_null()))),
        Kind::Read | Kind::SessionRead => None,
    }
}
