//! A history: what clients asked of the database, when, and what they were told.
//!
//! A history is a file of JSON lines, one operation a line, in the order in which they ended:
//!
//! | field | meaning |
//! |---|---|
//! | `client` | number of the client; a client has one operation under way at a time, and after an unknown outcome it goes on under a new number |
//! | `kind` | what it does, see below |
//! | `key` | the one document that it is about: `collection/id` |
//! | `argument` | what it was given; null for reads |
//! | `outcome` | `known`: carried out, between `sent_us` and `answered_us`; `unknown`: at any time after `sent_us`, or never; `refused`: certainly not |
//! | `result` | what the answer said; null unless the outcome is known |
//! | `sent_us`, `answered_us` | microseconds since the history began, on one clock; where the outcome is unknown, when the client gave up |
//! | `offset` | where the log stood, as the answer said, if it did |
//! | `min_offset` | the session token of a session read |
//! | `error` | status and body of an answer that was none |
//!
//! A key holds null until something is stored there. What the kinds do with it:
//!
//! | kind | argument | effect | result |
//! |---|---|---|---|
//! | `insert` | a value | stores it if the key holds null | whether it did |
//! | `increment` | a number | adds it; null counts as 0 | the new value |
//! | `swap` | a value | stores it | the value before |
//! | `put` | a value | stores it | null |
//! | `delete` | | stores null | whether there was anything else |
//! | `read` | | none; linearizable with all of the above | the value |
//! | `session_read` | | none; not older than `min_offset`, not otherwise ordered | the value |
//!
//! An `offset` is where the write stands in the log; a read shows at least everything up to its own.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Insert,
    Increment,
    Swap,
    Put,
    Delete,
    Read,
    SessionRead,
}

impl Kind {
    pub(crate) const fn writes(self) -> bool {
        !matches!(self, Self::Read | Self::SessionRead)
    }
}

/// What is known of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Known,
    Unknown,
    Refused,
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) client: u64,
    pub(crate) kind: Kind,
    pub(crate) key: String,
    pub(crate) argument: Value,
    pub(crate) outcome: Outcome,
    pub(crate) result: Value,
    pub(crate) sent_us: u64,
    pub(crate) answered_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Operation {
    pub(crate) fn is_known(&self) -> bool {
        self.outcome == Outcome::Known
    }
}

/// Writes a history down as it happens, and keeps it for checks at once.
pub(crate) struct Recorder {
    began: Instant,
    ended: Mutex<(BufWriter<File>, Vec<Operation>)>,
}

impl Recorder {
    /// Begins a history in this file.
    pub(crate) fn create(path: &Path) -> Self {
        let file = BufWriter::new(File::create(path).unwrap());
        Self { began: Instant::now(), ended: Mutex::new((file, Vec::new())) }
    }

    /// Microseconds since the history began.
    pub(crate) fn now_us(&self) -> u64 {
        self.at_us(Instant::now())
    }

    /// The same for a moment that was noted otherwise.
    pub(crate) fn at_us(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_micros().try_into().unwrap()
    }

    /// Adds an operation that has ended.
    pub(crate) fn record(&self, operation: Operation) {
        let line = serde_json::to_string(&operation).unwrap();
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(ended.0, "{line}").unwrap();
        ended.1.push(operation);
    }

    /// The operations so far, with the file written to its end.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.0.flush().unwrap();
        ended.1.clone()
    }
}

/// Reads a history from its file.
#[allow(dead_code, reason = "for checks of histories of other days")]
pub(crate) fn load(path: &Path) -> Vec<Operation> {
    let lines = BufReader::new(File::open(path).unwrap()).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

/// The longest time without an answered write that overlaps what began at `at_us`, seen for as
/// long as `within`.
pub(crate) fn outage(operations: &[Operation], at_us: u64, within: Duration) -> Duration {
    let writes = operations.iter().filter(|it| it.is_known() && it.kind.writes());
    let mut answered: Vec<u64> = writes.map(|it| it.answered_us).collect();
    answered.sort_unstable();
    let until_us = at_us + u64::try_from(within.as_micros()).unwrap();
    let gaps = answered
        .windows(2)
        .filter(|pair| pair[1] > at_us && pair[0] < until_us)
        .map(|pair| pair[1] - pair[0].max(at_us));
    Duration::from_micros(gaps.max().expect("writes were answered before and after"))
}
