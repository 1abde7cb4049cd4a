//! Checks that a history is what one copy of the data could have answered.
//!
//! Exact, and quick, for a load that shows its own order: every value is written once, and every
//! write says what stood there before or after. So the states that a document went through follow
//! from the answers alone, and each operation has its place among them; a document's operations
//! are linearizable if and only if no operation that was sent after another was answered has an
//! earlier place. Session reads are checked against their token.
//!
//! Operations with unknown outcome may or may not have their place. Two unknown swaps of one
//! document in a row would be reported falsely; whoever has such histories needs a general checker.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::history::{Kind, Operation, Outcome};

/// Checks every document by itself. Returns sentences about what cannot be; none when all is well.
pub(crate) fn violations(history: &[Operation]) -> Vec<String> {
    let mut by_key: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in history.iter().filter(|it| it.outcome != Outcome::Refused) {
        by_key.entry(&operation.key).or_default().push(operation);
    }
    let mut violations = Vec::new();
    for (key, operations) in by_key {
        let mut document = Document { key, violations: Vec::new() };
        let states = document.states(&operations);
        document.check_order(&operations, &states);
        violations.append(&mut document.violations);
    }
    violations
}

struct Document<'a> {
    key: &'a str,
    violations: Vec<String>,
}

/// An operation with its place: twice the number of the state it leaves or sees, a read after the
/// write that made it.
struct Placed<'a> {
    operation: &'a Operation,
    place: usize,
}

impl Document<'_> {
    fn complain(&mut self, what: String) {
        self.violations.push(format!("{}: {what}", self.key));
    }

    /// The states that the document went through, null first.
    fn states(&mut self, operations: &[&Operation]) -> Vec<Value> {
        let of = |kind| operations.iter().copied().filter(move |it| it.kind == kind);
        let mut states = vec![Value::Null];
        if of(Kind::Increment).next().is_some() {
            let counted = self.count(&of(Kind::Increment).collect::<Vec<_>>());
            states.extend((1..=counted).map(Value::from));
        }
        self.chain(&of(Kind::Swap).collect::<Vec<_>>(), &mut states);
        let stored = of(Kind::Insert).filter(|it| it.result == true || !it.is_known());
        states.extend(stored.map(|it| it.argument.clone()));
        states
    }

    /// How far a counter came. Each number up to there is somebody's answer, and only one's.
    fn count(&mut self, increments: &[&Operation]) -> u64 {
        let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
        let mut unknown = 0;
        for increment in increments {
            match increment.result.as_u64() {
                Some(number) => *seen.entry(number).or_default() += 1,
                None => unknown += 1,
            }
        }
        for (number, times) in seen.iter().filter(|(_, times)| **times > 1) {
            self.complain(format!("{times} increments were told that they made it {number}"));
        }
        let last = seen.keys().next_back().copied().unwrap_or_default();
        let missing = last - seen.len() as u64;
        if missing > unknown {
            self.complain(format!(
                "it came to {last} with {} known increments and {unknown} in doubt: {} carried out \
                 more than once",
                seen.len(),
                missing - unknown
            ));
        }
        // Those in doubt may be at the end.
        last + (unknown - missing.min(unknown))
    }

    /// Puts swaps one behind the other by what each says stood there before.
    fn chain(&mut self, swaps: &[&Operation], states: &mut Vec<Value>) {
        let mut next: HashMap<String, &Operation> = HashMap::new();
        for swap in swaps.iter().filter(|it| it.is_known()) {
            if let Some(other) = next.insert(swap.result.to_string(), swap) {
                let (one, two) = (&other.argument, &swap.argument);
                self.complain(format!("{one} and {two} both replaced {}", swap.result));
            }
        }
        let mut unknown: Vec<&Operation> =
            swaps.iter().copied().filter(|it| !it.is_known()).collect();
        let mut at = Value::Null;
        loop {
            while let Some(swap) = next.remove(&at.to_string()) {
                at = swap.argument.clone();
                states.push(at.clone());
            }
            // One in doubt stands between, if somebody saw it; the earliest such one is next.
            let seen = |it: &Operation| next.get(&it.argument.to_string()).map(|next| next.offset);
            let between = (0..unknown.len()).filter(|index| seen(unknown[*index]).is_some());
            let Some(index) = between.min_by_key(|index| seen(unknown[*index])) else { break };
            at = unknown.swap_remove(index).argument.clone();
            states.push(at.clone());
        }
        for swap in next.values() {
            let (value, before) = (&swap.argument, &swap.result);
            self.complain(format!("{value} replaced {before}, which was not there"));
        }
        states.extend(unknown.iter().map(|it| it.argument.clone()));
    }

    fn check_order(&mut self, operations: &[&Operation], states: &[Value]) {
        let numbers: HashMap<String, usize> =
            states.iter().enumerate().map(|(number, state)| (state.to_string(), number)).collect();
        let mut placed = Vec::new();
        for operation in operations {
            let state = state_of(operation);
            match numbers.get(&state.to_string()) {
                Some(number) => {
                    let sees = !operation.kind.writes() || operation.result == false;
                    let place = number * 2 + usize::from(sees);
                    placed.push(Placed { operation, place });
                }
                // Increments in doubt have no number, swaps that were complained of no place.
                None if operation.kind.writes() && operation.result != false => {}
                None => self.complain(format!("{operation:?} saw what nobody wrote")),
            }
        }
        let (sessions, ordered): (Vec<_>, Vec<_>) =
            placed.into_iter().partition(|it| it.operation.kind == Kind::SessionRead);
        self.check_real_time(&ordered);
        self.check_sessions(&sessions, &ordered);
    }

    /// No operation has an earlier place than one that was answered before it was sent.
    fn check_real_time(&mut self, ordered: &[Placed]) {
        let mut by_sent: Vec<_> = ordered.iter().collect();
        by_sent.sort_by_key(|it| it.operation.sent_us);
        let mut by_answered: Vec<_> = ordered.iter().filter(|it| it.operation.is_known()).collect();
        by_answered.sort_by_key(|it| it.operation.answered_us);
        let mut before = by_answered.into_iter().peekable();
        let mut furthest: Option<&Placed> = None;
        for later in by_sent {
            while let Some(earlier) =
                before.next_if(|it| it.operation.answered_us < later.operation.sent_us)
            {
                if furthest.is_none_or(|it| it.place < earlier.place) {
                    furthest = Some(earlier);
                }
            }
            if let Some(earlier) = furthest.filter(|it| it.place > later.place) {
                self.complain(format!(
                    "{:?} was sent after the answer to {:?} and does not follow it",
                    later.operation, earlier.operation
                ));
            }
        }
    }

    /// Every write up to the token is seen, and nothing that was not even sent.
    fn check_sessions(&mut self, sessions: &[Placed], ordered: &[Placed]) {
        let writes = || ordered.iter().filter(|it| it.operation.kind.writes());
        for read in sessions {
            let token = read.operation.min_offset;
            let missed = writes()
                .filter(|it| it.operation.offset.is_some() && it.operation.offset <= token)
                .find(|it| it.place > read.place);
            let foreseen = writes().find(|it| {
                it.operation.sent_us > read.operation.answered_us && it.place < read.place
            });
            for (write, what) in [(missed, "misses"), (foreseen, "foresees")] {
                if let Some(write) = write {
                    let (read, write) = (read.operation, write.operation);
                    self.complain(format!("{read:?} {what} {write:?}"));
                }
            }
        }
    }
}

/// The state that a write leaves or a read sees.
fn state_of(operation: &Operation) -> &Value {
    match operation.kind {
        Kind::Insert | Kind::Swap => &operation.argument,
        Kind::Increment | Kind::Read | Kind::SessionRead => &operation.result,
    }
}

mod tests {
    use serde_json::json;

    use super::*;

    /// Known operations one after the other on one document: what, argument, result.
    fn history(rows: &[(Kind, Value, Value)]) -> Vec<Operation> {
        let operation = |(number, (kind, argument, result)): (usize, &(Kind, Value, Value))| {
            let at = 10 * number as u64;
            Operation {
                client: 0,
                kind: *kind,
                key: "documents/1".to_owned(),
                argument: argument.clone(),
                outcome: Outcome::Known,
                result: result.clone(),
                sent_us: at,
                answered_us: at + 5,
                offset: Some(number as u64),
                min_offset: None,
                error: None,
            }
        };
        rows.iter().enumerate().map(operation).collect()
    }

    fn doubt(operation: &mut Operation) {
        operation.outcome = Outcome::Unknown;
        operation.result = Value::Null;
        operation.offset = None;
    }

    fn complaints(history: &[Operation]) -> usize {
        super::violations(history).len()
    }

    #[test]
    fn answers_of_one_copy_are_no_violation() {
        use Kind::{Increment, Insert, Read, Swap};
        let counter = [
            (Read, json!(null), json!(null)),
            (Increment, json!(1), json!(1)),
            (Increment, json!(1), json!(2)),
            (Read, json!(null), json!(2)),
        ];
        assert_eq!(complaints(&history(&counter)), 0);
        let register = [
            (Swap, json!("a"), json!(null)),
            (Read, json!(null), json!("a")),
            (Swap, json!("b"), json!("a")),
        ];
        assert_eq!(complaints(&history(&register)), 0);
        let once = [
            (Insert, json!("a"), json!(true)),
            (Insert, json!("b"), json!(false)),
            (Read, json!(null), json!("a")),
        ];
        let mut once = history(&once);
        once[1].argument = json!("a");
        assert_eq!(complaints(&once), 0);
    }

    #[test]
    fn lost_doubled_and_stale_answers_are_violations() {
        use Kind::{Increment, Insert, Read, Swap};
        let (one, two, three) = (json!(1), json!(2), json!(3));
        let wrong = [
            vec![(Increment, one.clone(), one.clone()), (Increment, one.clone(), one.clone())],
            vec![(Increment, one.clone(), one.clone()), (Increment, one.clone(), three)],
            vec![(Increment, one.clone(), two.clone()), (Increment, one.clone(), one.clone())],
            vec![(Increment, one.clone(), one.clone()), (Read, json!(null), json!(null))],
            vec![(Read, json!(null), one.clone()), (Increment, one.clone(), one.clone())],
            vec![(Swap, json!("a"), json!(null)), (Swap, json!("b"), json!(null))],
            vec![(Swap, json!("a"), json!("b")), (Swap, json!("b"), json!(null))],
            vec![(Swap, json!("a"), json!("x"))],
            vec![(Swap, json!("a"), json!(null)), (Read, json!(null), json!("b"))],
            vec![(Insert, json!("a"), json!(true)), (Read, json!(null), json!(null))],
            vec![(Insert, json!("a"), json!(false))],
        ];
        for rows in wrong {
            assert_ne!(complaints(&history(&rows)), 0, "{rows:?}");
        }
    }

    #[test]
    fn what_is_in_doubt_may_have_happened_or_not() {
        use Kind::{Increment, Read, Swap};
        let one = json!(1);
        for after in [1, 2] {
            let rows = [(Increment, one.clone(), one.clone()), (Read, json!(null), json!(after))];
            let mut operations = history(&rows);
            let mut in_doubt = operations[0].clone();
            doubt(&mut in_doubt);
            operations.insert(0, in_doubt);
            assert_eq!(complaints(&operations), 0, "{after}");
        }
        let rows = [
            (Swap, json!("a"), json!(null)),
            (Swap, json!("b"), json!(null)),
            (Swap, json!("c"), json!("b")),
        ];
        let mut operations = history(&rows);
        doubt(&mut operations[1]);
        assert_eq!(complaints(&operations), 0);
    }

    #[test]
    fn session_read_sees_everything_up_to_its_token() {
        use Kind::{Increment, SessionRead};
        let rows = [
            (Increment, json!(1), json!(1)),
            (Increment, json!(1), json!(2)),
            (SessionRead, json!(null), json!(1)),
        ];
        let mut operations = history(&rows);
        operations[2].min_offset = Some(0);
        assert_eq!(complaints(&operations), 0, "it need not be the newest");
        operations[2].min_offset = Some(1);
        assert_eq!(complaints(&operations), 1);
    }
}
