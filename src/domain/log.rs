//! What stands in the log, and the rule that says which of it counts.
//!
//! Every worker applies [`History::admit`] to every record in log order, so all of them agree on
//! one history without talking to each other. The rule is also the fence: a deposed master's
//! batches are read by everyone and applied by no one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::document::{CollectionName, Document, DocumentId};
use super::ids::{Epoch, LogId, NodeId, Offset, RequestId, Sequence};
use super::outcome::Outcome;

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The history that the record belongs to.
    pub log_id: LogId,
    /// The epoch of the master that appended it.
    pub epoch: Epoch,
    /// The appending master's clock in milliseconds since 1970; told to people, decides nothing.
    pub appended_at_ms: u64,
    /// What the record says.
    pub body: RecordBody,
}

/// The two kinds of record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RecordBody {
    /// From here on only batches of this record's epoch count.
    Epoch {
        /// Who takes office.
        master: NodeId,
        /// The history begins here with what the master's database holds: the log alone does not
        /// make a replica. So it is where an earlier log was lost.
        #[serde(default, skip_serializing_if = "is_false")]
        on_own_data: bool,
    },
    /// The planned effects of a group of requests.
    Batch {
        /// Dense within the epoch: a batch whose predecessor never arrived does not count.
        sequence: Sequence,
        /// One entry a request, in the order they were planned; may be empty (a barrier).
        entries: Vec<Entry>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// What one request came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The request, to recognise its repetitions.
    pub request_id: RequestId,
    /// What its client is told, now and at every repetition.
    pub outcome: Outcome,
    /// What it changes; empty for a refusal.
    pub changes: Vec<Change>,
}

/// An effect on a database. Applying one twice gives the same state as applying it once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// The whole document after the write.
    Put {
        /// Where it lives.
        collection: CollectionName,
        /// Its `_id`, as it also stands in the document.
        id: DocumentId,
        /// All of it; shared, since it travels through the planner, the log and the store.
        document: Arc<Document>,
    },
    /// The document is gone.
    Delete {
        /// Where it lived.
        collection: CollectionName,
        /// Its `_id`.
        id: DocumentId,
    },
    /// Every document of the collection is gone; its indexes stay.
    Clear {
        /// The emptied collection.
        collection: CollectionName,
    },
    /// The collection has a plain index on a field.
    EnsureIndex {
        /// The indexed collection.
        collection: CollectionName,
        /// The indexed field, a dotted path.
        field: String,
    },
}

/// How far a replica has come in which history. Stored with its data, atomically where the store
/// can and after the data where it cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Unknown until the first record was admitted.
    pub log_id: Option<LogId>,
    /// The newest terms of office, oldest first; the last one is the current one.
    pub terms: Vec<Term>,
    /// The last record taken in, admitted or not.
    pub applied: Option<Offset>,
}

/// One master's time in office, as the log tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// Its epoch.
    pub epoch: Epoch,
    /// Where its epoch record stands.
    pub begun: Offset,
    /// The sequence that its next batch must have; so many batches of it were admitted.
    pub batches: Sequence,
}

/// How many terms a history keeps: enough to judge again what a restarted worker reads again.
const TERMS: usize = 32;

/// What [`History::admit`] says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It counts: apply its changes.
    Admitted,
    /// It was taken in before.
    Repeated,
    /// Its epoch is over, or it is an epoch that came too late.
    Stale,
    /// A batch of this epoch that lies between was never appended.
    OutOfSequence,
    /// It belongs to another history. The replica must stop: its data and this log do not fit.
    Foreign,
    /// The history begins with data that are not in the log: a replica without any must copy them.
    Beyond,
}

impl History {
    /// A history that begins with what a database holds, behind everything before `next`.
    #[must_use]
    pub fn on_own_data(log_id: LogId, next: Offset) -> Self {
        Self { log_id: Some(log_id), terms: Vec::new(), applied: next.0.checked_sub(1).map(Offset) }
    }

    /// Whether the record that begins the next epoch begins the history, with the data that there
    /// are.
    #[must_use]
    pub fn begins_on_own_data(&self) -> bool {
        self.log_id.is_some() && self.terms.is_empty()
    }

    /// The offset of the first record that this replica has not taken in.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.applied.map_or(Offset(0), Offset::next)
    }

    /// The newest epoch admitted; 0 before the first.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.terms.last().map_or(Epoch(0), |term| term.epoch)
    }

    /// The sequence that the next batch of the current epoch must have.
    #[must_use]
    pub fn next_sequence(&self) -> Sequence {
        self.terms.last().map_or(Sequence(0), |term| term.batches)
    }

    /// Whether an epoch has begun in this history, as far as it remembers.
    #[must_use]
    pub fn has_begun(&self, epoch: Epoch) -> bool {
        let oldest = self.terms.first().filter(|_| self.terms.len() == TERMS);
        oldest.is_some_and(|oldest| oldest.epoch > epoch)
            || self.terms.iter().any(|term| term.epoch == epoch)
    }

    /// Takes in the record at `offset` and says whether it counts.
    ///
    /// The same on every worker: the result depends on nothing but the records before it.
    pub fn admit(&mut self, offset: Offset, record: &Record) -> Admission {
        if self.applied.is_some_and(|applied| offset <= applied) {
            return Admission::Repeated;
        }
        let admission = self.judge(record);
        match (admission, &record.body) {
            (Admission::Foreign | Admission::Beyond, _) => return admission,
            (Admission::Admitted, RecordBody::Epoch { .. }) => {
                self.log_id = Some(record.log_id.clone());
                if self.terms.len() == TERMS {
                    self.terms.remove(0);
                }
                let (epoch, batches) = (record.epoch, Sequence(0));
                self.terms.push(Term { epoch, begun: offset, batches });
            }
            (Admission::Admitted, RecordBody::Batch { sequence, .. }) => {
                if let Some(term) = self.terms.last_mut() {
                    term.batches = sequence.next();
                }
            }
            _ => {}
        }
        self.applied = Some(offset);
        admission
    }

    /// Passes over bytes at `offset` that are no record.
    pub fn pass_over(&mut self, offset: Offset) {
        self.applied = self.applied.max(Some(offset));
    }

    /// Whether the batch at `offset`, which was taken in before, counted then.
    ///
    /// Exact for every offset from [`History::judges_from`] on: no sequence is appended twice in
    /// an epoch, so a batch of its term counted if and only if its sequence was reached.
    #[must_use]
    pub fn had_admitted(&self, offset: Offset, record: &Record) -> bool {
        let RecordBody::Batch { sequence, .. } = &record.body else {
            return false;
        };
        let term = self.terms.iter().rev().find(|term| term.begun < offset);
        term.is_some_and(|term| term.epoch == record.epoch && *sequence < term.batches)
    }

    /// Whether the record at `offset`, which was taken in before, cannot be the one that was: the
    /// database was made from another state of the log, which something was put into that is not in
    /// this one.
    ///
    /// Never so for a log that only grew, since no batch is appended before its predecessor was read
    /// back. What shows is a term that began elsewhere, and a record that would have counted.
    #[must_use]
    pub fn contradicts(&self, offset: Offset, record: &Record) -> bool {
        let term = self.terms.iter().rev().find(|term| term.begun <= offset);
        let Some(term) = term.filter(|_| self.log_id.as_ref() == Some(&record.log_id)) else {
            return false;
        };
        let began_here = term.begun == offset;
        match &record.body {
            RecordBody::Epoch { .. } if began_here => record.epoch != term.epoch,
            RecordBody::Epoch { .. } => record.epoch > term.epoch,
            RecordBody::Batch { .. } if began_here => true,
            RecordBody::Batch { sequence, .. } => {
                record.epoch == term.epoch && *sequence == term.batches
            }
        }
    }

    /// The first offset for which [`History::had_admitted`] knows the answer.
    #[must_use]
    pub fn judges_from(&self) -> Offset {
        match self.terms.first() {
            Some(oldest) if self.terms.len() == TERMS => oldest.begun,
            _ => Offset(0),
        }
    }

    fn judge(&self, record: &Record) -> Admission {
        let is_newer = record.epoch > self.epoch();
        let is_current = record.epoch == self.epoch() && !self.terms.is_empty();
        let is_foreign = self.log_id.as_ref().is_some_and(|own| *own != record.log_id);
        match &record.body {
            // Where this history is to begin another one does: somebody has chosen anew.
            RecordBody::Epoch { on_own_data: true, .. } if is_newer && is_foreign => {
                Admission::Foreign
            }
            // The last words of a history that was lost.
            _ if is_foreign && self.begins_on_own_data() => Admission::Stale,
            // Also a batch of an epoch whose beginning this history never saw.
            _ if is_newer && is_foreign => Admission::Foreign,
            RecordBody::Epoch { on_own_data: true, .. } if is_newer && self.log_id.is_none() => {
                Admission::Beyond
            }
            RecordBody::Epoch { .. } if is_newer => Admission::Admitted,
            RecordBody::Batch { .. } if is_current && is_foreign => Admission::Foreign,
            RecordBody::Batch { sequence, .. } if is_current => {
                let is_next = *sequence == self.next_sequence();
                if is_next { Admission::Admitted } else { Admission::OutOfSequence }
            }
            RecordBody::Epoch { .. } | RecordBody::Batch { .. } => Admission::Stale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u64, body: RecordBody) -> Record {
        Record { log_id: LogId::new("history"), epoch: Epoch(epoch), appended_at_ms: 0, body }
    }

    fn office(epoch: u64) -> Record {
        record(epoch, RecordBody::Epoch { master: NodeId::new("n1"), on_own_data: false })
    }

    fn batch(epoch: u64, sequence: u64) -> Record {
        record(epoch, RecordBody::Batch { sequence: Sequence(sequence), entries: Vec::new() })
    }

    fn admissions(records: &[Record]) -> Vec<Admission> {
        let mut history = History::default();
        records
            .iter()
            .zip(0..)
            .map(|(record, offset)| history.admit(Offset(offset), record))
            .collect()
    }

    #[test]
    fn batches_count_only_in_the_current_epoch_and_in_sequence() {
        use Admission::{Admitted, OutOfSequence, Stale};
        let table: &[(&[Record], &[Admission])] = &[
            (&[batch(1, 0)], &[Stale]),
            (&[office(1), batch(1, 0), batch(1, 1)], &[Admitted; 3]),
            (&[office(2), batch(1, 0), batch(3, 0)], &[Admitted, Stale, Stale]),
            (&[office(2), office(2), office(1)], &[Admitted, Stale, Stale]),
            (
                &[office(1), batch(1, 0), office(2), batch(1, 1)],
                &[Admitted, Admitted, Admitted, Stale],
            ),
            (&[office(1), batch(1, 1), batch(1, 0)], &[Admitted, OutOfSequence, Admitted]),
            (&[office(1), batch(1, 0), batch(1, 0)], &[Admitted, Admitted, OutOfSequence]),
            (&[office(1), batch(1, 0), office(3), batch(3, 0)], &[Admitted; 4]),
        ];
        for (records, expected) in table {
            assert_eq!(admissions(records), *expected, "{records:?}");
        }
    }

    #[test]
    fn record_taken_in_before_is_recognised_by_its_offset() {
        let mut history = History::default();
        assert_eq!(history.admit(Offset(4), &office(1)), Admission::Admitted);
        let before = history.clone();
        assert_eq!(history.admit(Offset(4), &office(2)), Admission::Repeated);
        assert_eq!(history.admit(Offset(3), &office(2)), Admission::Repeated);
        assert_eq!(history, before);
    }

    #[test]
    fn history_stands_behind_whatever_was_taken_in_or_passed_over() {
        let mut history = History::default();
        assert_eq!(history.next_offset(), Offset(0));
        history.admit(Offset(4), &office(1));
        assert_eq!(history.next_offset(), Offset(5));
        history.pass_over(Offset(7));
        assert_eq!(history.next_offset(), Offset(8));
        history.pass_over(Offset(2));
        assert_eq!(history.next_offset(), Offset(8), "never back");
    }

    #[test]
    fn what_counted_is_known_from_the_oldest_term_that_is_remembered_on() {
        let mut history = History::default();
        let records = [batch(9, 9), office(1), batch(1, 0), office(2), batch(1, 1), batch(2, 0)];
        for (offset, record) in (0..).zip(&records) {
            history.admit(Offset(offset), record);
        }
        assert_eq!(history.judges_from(), Offset(0), "all terms are remembered");
        for (offset, record, counted) in [
            (2, batch(1, 0), true),
            (3, batch(1, 0), true),
            (4, batch(1, 1), false),
            (5, batch(2, 0), true),
            (6, batch(2, 1), false),
            (3, office(2), false),
        ] {
            assert_eq!(history.had_admitted(Offset(offset), &record), counted, "{offset}");
        }
        for epoch in 3..=TERMS as u64 + 2 {
            history.admit(Offset(epoch * 10), &office(epoch));
        }
        assert_eq!(history.judges_from(), Offset(30), "the first two are forgotten");
    }

    #[test]
    fn record_that_is_not_the_one_that_was_taken_in_contradicts() {
        let mut history = History::default();
        let records = [batch(1, 4), office(1), batch(1, 0), batch(1, 5), office(3), batch(3, 0)];
        for (offset, record) in (0..).zip(&records) {
            history.admit(Offset(offset), record);
            for (earlier, record) in (0..=offset).zip(&records) {
                assert!(!history.contradicts(Offset(earlier), record), "{earlier} of {offset}");
            }
        }
        let another = |record| Record { log_id: LogId::new("another"), ..record };
        for (offset, record, contradicts) in [
            (0, office(1), false),
            (1, office(2), true),
            (1, batch(1, 0), true),
            (2, office(2), true),
            (2, office(1), false),
            (3, batch(1, 1), true),
            (3, batch(1, 2), false),
            (3, batch(2, 1), false),
            (4, office(4), true),
            (4, office(2), true),
            (4, another(office(4)), false),
            (5, batch(3, 1), true),
            (5, office(2), false),
        ] {
            assert_eq!(
                history.contradicts(Offset(offset), &record),
                contradicts,
                "{offset} {record:?}"
            );
        }
    }

    #[test]
    fn newer_epoch_of_another_history_is_foreign_and_changes_nothing() {
        let mut history = History::default();
        history.admit(Offset(0), &office(1));
        let before = history.clone();
        let other = Record { log_id: LogId::new("another"), ..office(2) };
        assert_eq!(history.admit(Offset(1), &other), Admission::Foreign);
        assert_eq!(history, before);
    }

    #[test]
    fn batch_of_another_history_that_has_gone_further_is_foreign() {
        let mut history = History::default();
        history.admit(Offset(0), &office(1));
        let other = |record| Record { log_id: LogId::new("another"), ..record };
        assert_eq!(history.admit(Offset(1), &other(batch(2, 0))), Admission::Foreign);
        assert_eq!(history.admit(Offset(1), &other(batch(1, 0))), Admission::Foreign);
        assert_eq!(history.applied, Some(Offset(0)));
    }

    #[test]
    fn history_on_own_data_is_followed_by_whoever_has_them() {
        let mut base = History::on_own_data(LogId::new("history"), Offset(7));
        assert_eq!((base.next_offset(), base.epoch()), (Offset(7), Epoch(0)));
        assert!(base.begins_on_own_data());
        let before = Record { log_id: LogId::new("lost"), ..office(8) };
        let mut told = base.clone();
        assert_eq!(told.admit(Offset(7), &before), Admission::Stale, "it comes too late");
        assert!(told.begins_on_own_data());
        let master = NodeId::new("n2");
        let anew = record(9, RecordBody::Epoch { master, on_own_data: true });
        let anew = Record { log_id: LogId::new("anew"), ..anew };
        assert_eq!(told.admit(Offset(8), &anew), Admission::Foreign, "somebody chose anew");
        let master = NodeId::new("n1");
        let begin = record(9, RecordBody::Epoch { master, on_own_data: true });
        let mut empty = History::default();
        assert_eq!(empty.admit(Offset(7), &begin), Admission::Beyond);
        assert_eq!(empty, History::default(), "nothing is taken in");
        assert_eq!(base.admit(Offset(7), &begin), Admission::Admitted);
        assert!(!base.begins_on_own_data() && !empty.begins_on_own_data());
        let mut copy = base.clone();
        assert_eq!(copy.admit(Offset(8), &batch(9, 0)), Admission::Admitted);
        assert_eq!(base.admit(Offset(8), &batch(9, 0)), Admission::Admitted);
        let earliest = History::on_own_data(LogId::new("history"), Offset(0));
        assert_eq!(earliest.next_offset(), Offset(0));
    }

    /// So that earlier releases read what they wrote, and later ones what these wrote.
    #[test]
    fn epoch_record_of_an_ordinary_history_is_written_as_ever() {
        let bytes = rmp_serde::to_vec(&office(1).body).unwrap();
        let earlier = rmp_serde::to_vec(&std::collections::BTreeMap::from([("Epoch", ("n1",))]));
        assert_eq!(bytes, earlier.unwrap());
        assert_eq!(rmp_serde::from_slice::<RecordBody>(&bytes).unwrap(), office(1).body);
    }

    #[test]
    fn late_epoch_of_another_history_is_merely_stale() {
        let mut history = History::default();
        history.admit(Offset(0), &office(2));
        let other = Record { log_id: LogId::new("another"), ..office(1) };
        assert_eq!(history.admit(Offset(1), &other), Admission::Stale);
    }

    #[test]
    fn what_was_admitted_is_judged_the_same_when_it_is_read_again() {
        let records = [
            office(1),
            batch(1, 0),
            batch(1, 1),
            office(2),
            batch(1, 2),
            batch(2, 1),
            batch(2, 0),
            office(4),
            office(3),
            batch(3, 0),
            batch(2, 1),
            batch(4, 0),
            batch(4, 1),
        ];
        let mut history = History::default();
        let numbered = || records.iter().zip(0..).map(|(record, at)| (Offset(at), record));
        let admitted: Vec<bool> = numbered()
            .map(|(at, record)| history.admit(at, record) == Admission::Admitted)
            .collect();
        for ((offset, record), admitted) in numbered().zip(admitted) {
            let expected = admitted && matches!(record.body, RecordBody::Batch { .. });
            assert_eq!(history.had_admitted(offset, record), expected, "{offset} {record:?}");
        }
    }

    #[test]
    fn history_keeps_a_bounded_number_of_terms_and_says_from_where_it_judges() {
        let mut history = History::default();
        for epoch in 1..=100 {
            history.admit(Offset(epoch), &office(epoch));
        }
        assert_eq!(history.terms.len(), TERMS);
        assert_eq!(history.judges_from(), Offset(100 - TERMS as u64 + 1));
        assert_eq!(history.epoch(), Epoch(100));
    }
}
