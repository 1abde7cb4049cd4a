//! Records of the log, small enough for a state of the model, and the product's rule for them.

use rideshare::domain::ids::{Epoch, LogId, NodeId, Offset, RequestId, Sequence};
use rideshare::domain::log::{Admission, Entry, History, Record, RecordBody};
use rideshare::domain::outcome::Outcome;

/// A worker, by number.
pub(crate) type Name = u8;
/// A write, by number.
pub(crate) type Write = u8;

/// A record of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Rec {
    pub(crate) epoch: Epoch,
    pub(crate) author: Name,
    pub(crate) body: Body,
}

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Body {
    Begin,
    /// One write, or none: a barrier.
    Batch(Sequence, Option<Write>),
}

/// The names behind the numbers, made once.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    log: LogId,
    nodes: Vec<NodeId>,
    requests: Vec<RequestId>,
}

impl Names {
    pub(crate) fn new(nodes: usize, requests: usize) -> Self {
        let name = |prefix: &str, number: usize| format!("{prefix}{number}");
        Self {
            log: LogId::new("history"),
            nodes: (0..nodes).map(|number| NodeId::new(name("n", number))).collect(),
            requests: (0..requests).map(|number| RequestId::new(name("r", number))).collect(),
        }
    }

    pub(crate) fn node(&self, name: Name) -> NodeId {
        self.nodes[usize::from(name)].clone()
    }

    /// The product's record.
    fn record(&self, rec: Rec) -> Record {
        let body = match rec.body {
            Body::Begin => RecordBody::Epoch { master: self.node(rec.author), on_own_data: false },
            Body::Batch(sequence, write) => {
                let entry = |write| Entry {
                    request_id: self.requests[usize::from(write)].clone(),
                    outcome: Outcome::Indexed,
                    changes: Vec::new(),
                };
                RecordBody::Batch { sequence, entries: write.map(entry).into_iter().collect() }
            }
        };
        Record { log_id: self.log.clone(), epoch: rec.epoch, appended_at_ms: 0, body }
    }

    /// Lets the product judge a record. Without the check of epochs, every batch is taken for one
    /// of the current epoch and in sequence.
    pub(crate) fn admit(
        &self,
        history: &mut History,
        offset: Offset,
        rec: Rec,
        epoch_check: bool,
    ) -> Admission {
        history.admit(offset, &self.record(blind(history, rec, epoch_check)))
    }

    /// Lets the product judge a record that was read before.
    pub(crate) fn had_admitted(
        &self,
        history: &History,
        offset: Offset,
        rec: Rec,
        epoch_check: bool,
    ) -> bool {
        !epoch_check || history.had_admitted(offset, &self.record(rec))
    }
}

fn blind(history: &History, rec: Rec, epoch_check: bool) -> Rec {
    match rec.body {
        Body::Batch(_, write) if !epoch_check => {
            Rec { epoch: history.epoch(), body: Body::Batch(history.next_sequence(), write), ..rec }
        }
        _ => rec,
    }
}
