//! Checks that a history is what one copy of the data could have answered.
//!
//! Every document by itself: there must be one order of its operations, each at some moment between
//! its request and its answer, in which every answer is right (it is linearizable); an operation
//! with unknown outcome may have its place at any moment since its request, or none. Beyond that,
//! the order of the writes is that of the offsets they were told, and a read shows everything up to
//! its token and up to the offset that it was told itself. A session read may show an older state,
//! down to there; a strong one may not. What is right stands in `document`; the order is looked for
//! by stateright's tester.
//!
//! The tester tries one order after the other, without memory. So a history is cut into windows
//! (`window`), wherever no operation with known outcome is under way, and the ways through the
//! windows are followed here: from each state that a window may end in, with each choice of doubtful
//! operations that have happened by then. Nothing is lost by that. What is bounded is the number of
//! turns that are tried for one document: a history that needs more, since too much of it is under
//! way at once, is reported as undecided.

mod document;
mod window;

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use crate::history::{Operation, Outcome};
use document::Document;
use window::{Alternatives, Window, windows};

/// The turns that are tried for one document, at the most.
const TURNS: u64 = 100_000;
/// How many operations a complaint shows.
const SHOWN: usize = 12;

/// Checks every document by itself. Returns sentences about what cannot be; none when all is well.
pub(crate) fn violations(history: &[Operation]) -> Vec<String> {
    let mut by_key: BTreeMap<&str, Vec<Rc<Operation>>> = BTreeMap::new();
    for operation in history.iter().filter(|it| it.outcome != Outcome::Refused) {
        by_key.entry(&operation.key).or_default().push(Rc::new(operation.clone()));
    }
    by_key.into_iter().filter_map(|(key, operations)| violation(key, operations)).collect()
}

/// What cannot be about one document.
fn violation(key: &str, operations: Vec<Rc<Operation>>) -> Option<String> {
    let (known, doubtful): (Vec<_>, Vec<_>) = operations.into_iter().partition(|it| it.is_known());
    let windows = windows(known);
    let budget = Rc::new(Cell::new(TURNS));
    let mut search = Search { windows: &windows, doubtful: &doubtful, failed: HashSet::new() };
    let stuck = search.run(Document::absent(Rc::clone(&budget)))?;
    let window = &windows[stuck.window];
    if budget.get() == 0 {
        let count = window.operations.len();
        return Some(format!("{key}: undecided, with {count} operations under way at once"));
    }
    let shown: Vec<_> = window.operations.iter().take(SHOWN).map(|it| describe(it)).collect();
    let in_doubt = doubtful.iter().filter(|it| it.sent_us < window.ends_us).count();
    Some(format!(
        "{key}: when it held {}, with {in_doubt} writes in doubt, no order explains these {} \
         operations: {}",
        stuck.value,
        window.operations.len(),
        shown.join("; "),
    ))
}

fn describe(it: &Operation) -> String {
    let Operation { client, kind, argument, result, sent_us, answered_us, .. } = it;
    let offsets = format!("offset {:?}, token {:?}", it.offset, it.min_offset);
    format!("{kind:?}({argument}) = {result} by {client} at {sent_us}-{answered_us} µs, {offsets}")
}

/// Where the furthest way through the windows ends.
struct Stuck {
    window: usize,
    value: String,
}

/// A way so far: the windows behind it are explained.
struct Way {
    window: usize,
    alternatives: Alternatives,
    /// Where it came from, for the memory of failures.
    entry: String,
}

struct Search<'a> {
    windows: &'a [Window],
    doubtful: &'a [Rc<Operation>],
    /// Windows from which there is no way on, by what they began with.
    failed: HashSet<(usize, String)>,
}

impl Search<'_> {
    /// Looks for a way through all windows, depth first. `None` when there is one.
    fn run(&mut self, start: Document) -> Option<Stuck> {
        let mut stuck = Stuck { window: 0, value: start.value().to_string() };
        let mut ways = vec![self.enter(0, start, &[])?];
        while let Some(way) = ways.last_mut() {
            let Some((document, happened)) = way.alternatives.next() else {
                self.failed.extend(ways.pop().map(|way| (way.window, way.entry)));
                continue;
            };
            let next = way.window + 1;
            if next > stuck.window && next < self.windows.len() {
                stuck = Stuck { window: next, value: document.value().to_string() };
            }
            let way = self.enter(next, document, &happened)?;
            if !self.failed.contains(&(way.window, way.entry.clone())) {
                ways.push(way);
            }
        }
        Some(stuck)
    }

    /// Begins a window in this state, with these doubtful operations behind it. `None` behind the
    /// last window.
    fn enter(&self, number: usize, mut document: Document, happened: &[usize]) -> Option<Way> {
        let window = self.windows.get(number)?;
        document.begin_window(window.oldest_shown);
        let entry = format!("{} {happened:?}", document.essence());
        let alternatives = window.alternatives(document, self.doubtful, happened);
        Some(Way { window: number, alternatives, entry })
    }
}
