//! What a load saw of the faults during it, held against what the databases hold afterwards.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mongodb::bson::RawDocumentBuf;
use serde_json::{Value, json};

use crate::consistency::violations;
use crate::history::{Kind, Operation, Outcome, Recorder, outage};
use crate::load::{COLLECTIONS, Load};
use crate::replicas::{Replica, Replicated, assert_equal};

/// The number of the one who reads everything at the end.
const LAST_READER: u64 = u64::MAX;
/// For how long after its beginning the last fault may be felt; the others until the next.
const FELT_WITHIN: Duration = Duration::from_secs(15);

/// A load that is over, and what became of what it wrote.
pub(crate) struct Verdict {
    pub(crate) history: Vec<Operation>,
    errors: Vec<String>,
    lost: u64,
    doubled: u64,
    violations: Vec<String>,
    replicas: Vec<Replica>,
}

impl Verdict {
    /// Ends the load and looks into every worker's database.
    pub(crate) async fn reach(system: &impl Replicated, load: Load) -> Self {
        let recorder = load.recorder.clone();
        load.finish().await;
        Self::of(system, &recorder).await
    }

    /// The same for a load that has ended before.
    pub(crate) async fn of(system: &impl Replicated, recorder: &Recorder) -> Self {
        let replicas = system.replicas().await;
        assert_equal(&replicas);
        let mut history = recorder.operations();
        let error = |it: &Operation| Some(format!("{}: {}", it.key, it.error.as_ref()?));
        let errors = history.iter().filter_map(error).collect();
        let stored = stored(&replicas[0]);
        let (lost, doubled) = lost_and_doubled(&history, &stored);
        let read_us = recorder.now_us();
        let last_reads = last_reads(&history, &stored, read_us);
        history.extend(last_reads);
        let violations = violations(&history);
        Self { history, errors, lost, doubled, violations, replicas }
    }

    /// Where the log stood in the end.
    pub(crate) fn offset(&self) -> u64 {
        self.replicas[0].offset()
    }

    /// The first few errors that clients got for what they asked from then on.
    pub(crate) fn errors_since(&self, us: u64) -> Vec<String> {
        let late = self.history.iter().filter(|it| it.sent_us >= us);
        let errors: Vec<_> = late.filter_map(|it| it.error.clone()).collect();
        few(&errors)
    }

    /// How many documents a collection holds.
    pub(crate) fn count(&self, collection: &str) -> usize {
        self.replicas[0].documents(collection).len()
    }

    /// The longest that any client waited for an answer.
    pub(crate) fn slowest(&self) -> Duration {
        let known = self.history.iter().filter(|it| it.client != LAST_READER && it.is_known());
        let longest_us = known.map(|it| it.answered_us - it.sent_us).max();
        Duration::from_micros(longest_us.unwrap_or_default())
    }

    /// How long no write was answered after each of these faults and before the next.
    pub(crate) fn outages(&self, recorder: &Recorder, faults: &[Instant]) -> Outages {
        let until = |index: usize| faults.get(index + 1).map(|next| *next - faults[index]);
        let of = |(index, at): (usize, &Instant)| {
            let within = until(index).unwrap_or(FELT_WITHIN);
            outage(&self.history, recorder.at_us(*at), within)
        };
        faults.iter().enumerate().map(of).collect()
    }

    /// Prints what happened, and asserts that no client noticed more than a delay.
    pub(crate) fn assert_sound(&self, faults: &str) {
        self.assert_exact(faults);
        assert_eq!(few(&self.errors), [""; 0], "{} in all", self.errors.len());
    }

    /// Operations with a known outcome, and how many of them are writes.
    pub(crate) fn known(&self) -> (usize, usize) {
        let known = || self.history.iter().filter(|it| it.client != LAST_READER && it.is_known());
        (known().count(), known().filter(|it| it.kind.writes()).count())
    }

    /// How many answers were errors.
    pub(crate) fn errors(&self) -> usize {
        self.errors.len()
    }

    /// Prints what happened, and asserts that whatever was answered is true.
    pub(crate) fn assert_exact(&self, faults: &str) {
        let (operations, writes) = self.known();
        eprintln!("faults               {faults}");
        eprintln!("operations           {operations} ({writes} acknowledged writes)");
        eprintln!("client errors        {}", self.errors.len());
        eprintln!("lost, doubled        {}, {}", self.lost, self.doubled);
        eprintln!("consistency          {} violations", self.violations.len());
        eprintln!("replicas             {} equal at offset {}", self.replicas.len(), self.offset());
        eprintln!("slowest operation    {} ms", self.slowest().as_millis());
        assert_eq!(few(&self.violations), [""; 0], "{} in all", self.violations.len());
        assert_eq!((self.lost, self.doubled), (0, 0));
    }
}

fn few(all: &[String]) -> Vec<String> {
    all.iter().take(5).cloned().collect()
}

/// Times without an answered write, in the order of the faults.
#[derive(Debug)]
pub(crate) struct Outages(Vec<Duration>);

impl Outages {
    pub(crate) fn median(&self) -> Duration {
        self.at(50)
    }

    pub(crate) fn most(&self) -> Duration {
        self.at(100)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Duration> {
        self.0.iter().copied()
    }

    fn at(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
    }

    pub(crate) fn print(&self, what: &str) {
        let ms = |duration: Duration| duration.as_millis();
        let all: Vec<_> = self.0.iter().map(|it| ms(*it).to_string()).collect();
        eprintln!(
            "{what:<20} p50 {} ms, p90 {} ms, max {} ms",
            ms(self.median()),
            ms(self.at(90)),
            ms(self.most())
        );
        eprintln!("{:<20} {}", "  in order, ms", all.join(" "));
    }
}

impl FromIterator<Duration> for Outages {
    fn from_iter<T: IntoIterator<Item = Duration>>(durations: T) -> Self {
        Self(durations.into_iter().collect())
    }
}

/// The value of every document that is the load's.
fn stored(replica: &Replica) -> BTreeMap<String, Value> {
    let of = |collection: &'static str| {
        replica.documents(collection).iter().map(move |document| entry(collection, document))
    };
    COLLECTIONS.into_iter().flat_map(of).collect()
}

fn entry(collection: &str, document: &RawDocumentBuf) -> (String, Value) {
    let number = |name: &str| document.get_i64(name).unwrap();
    (format!("{collection}/{}", number("_id")), json!(number("v")))
}

/// Reads of every document that was ever asked for, or is there though nobody asked.
fn last_reads(
    history: &[Operation],
    stored: &BTreeMap<String, Value>,
    read_us: u64,
) -> Vec<Operation> {
    let asked = history.iter().map(|it| it.key.as_str());
    let keys: BTreeSet<_> = asked.chain(stored.keys().map(String::as_str)).collect();
    let read = |key: &str| Operation {
        client: LAST_READER,
        kind: Kind::Read,
        key: key.to_owned(),
        argument: Value::Null,
        outcome: Outcome::Known,
        result: stored.get(key).cloned().unwrap_or_default(),
        sent_us: read_us,
        answered_us: read_us,
        offset: None,
        min_offset: None,
        error: None,
    };
    keys.into_iter().map(read).collect()
}

/// Acknowledged inserts and increments that are not there, and increments that are there though
/// nobody asked for so many.
fn lost_and_doubled(history: &[Operation], stored: &BTreeMap<String, Value>) -> (u64, u64) {
    let (mut lost, mut doubled) = (0, 0);
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for operation in history {
        match (operation.kind, operation.outcome) {
            (Kind::Insert, Outcome::Known) if operation.result == true => {
                lost += u64::from(!stored.contains_key(&operation.key));
            }
            (Kind::Increment, Outcome::Known) => counts.entry(&operation.key).or_default().0 += 1,
            (Kind::Increment, Outcome::Unknown) => counts.entry(&operation.key).or_default().1 += 1,
            _ => {}
        }
    }
    for (key, (known, unknown)) in counts {
        let there = stored.get(key).and_then(Value::as_u64).unwrap_or_default();
        lost += known.saturating_sub(there);
        doubled += there.saturating_sub(known + unknown);
    }
    (lost, doubled)
}
