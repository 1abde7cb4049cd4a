//! Knows what must be true, from the log alone.
//!
//! Sees every record in the order in which it landed, judges by a rule of its own which of them
//! count, and plays them through. Whatever a worker stores, answers or reads is compared with that.
//!
//! * I1, I3: a write is answered with success only if an admitted record says so; batches of an
//!   epoch come from the worker whose epoch it is.
//! * I2: no request is in two admitted records, and each came to what it means at its place.
//! * I4, I5: a database that has applied an offset holds exactly what the log made of it by then.
//! * I6 and linearizability of strong reads: see `reads`.
//! * What a log that has lost its data says counts for nothing, until it is brought back or somebody
//!   goes on from a worker's data: see `loss`.

mod contents;
mod loss;
pub(crate) mod reads;

use std::collections::BTreeMap;
use std::sync::Arc;

use rideshare::domain::ids::{Epoch, LogId, Offset, RequestId, Sequence};
use rideshare::domain::log::{Entry, History, Record, RecordBody};
use rideshare::domain::outcome::{Outcome, Refusal};
use rideshare::domain::planner::{self, DuplicateWindow};
use rideshare::domain::request::{Acknowledgement, WriteRequest};

use self::contents::Contents;
pub(crate) use self::contents::{digest, documents};

/// What a run may not do, as a sentence.
pub(crate) type Verdict = Result<(), String>;

/// Where a request stands in the log, and what it came to.
pub(crate) type Recorded = (Offset, Outcome);

/// The state behind each offset.
#[derive(Clone, Copy, Debug)]
struct Moment {
    epoch: Epoch,
    digest: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    log_id: Option<LogId>,
    epoch: Epoch,
    next_sequence: Sequence,
    /// Who appended the epoch record that counts.
    in_office: String,
    /// Who was in office before, and since when.
    masters: BTreeMap<Epoch, String>,
    moments: Vec<Moment>,
    contents: Contents,
    requests: BTreeMap<RequestId, WriteRequest>,
    outcomes: BTreeMap<RequestId, Vec<Recorded>>,
    /// How many records the log keeps, where it does not keep all.
    retention: Option<u64>,
    /// Strong reads that begin now must see everything up to here.
    confirmed: Option<Offset>,
    loss: loss::Loss,
    pub(crate) figures: Figures,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) records: u64,
    pub(crate) fenced: u64,
    pub(crate) epochs: u64,
    pub(crate) answers: u64,
    pub(crate) reads: u64,
    pub(crate) states: u64,
    /// Requests that were repeated when the log had forgotten them, and carried out again.
    pub(crate) forgotten: u64,
    /// Histories that were begun with a worker's data, after the log was lost.
    pub(crate) begun_anew: u64,
}

impl Oracle {
    /// For a log that keeps so many records, or all.
    pub(crate) fn new(retention: Option<usize>) -> Self {
        Self { retention: retention.map(|kept| kept as u64), ..Self::default() }
    }

    /// The last record that there is.
    pub(crate) fn last_offset(&self) -> Option<Offset> {
        self.moments.len().checked_sub(1).map(|last| Offset(last as u64))
    }

    /// What every database must hold in the end.
    pub(crate) fn digest(&self) -> u64 {
        self.contents.digest()
    }

    /// Notes what a request means; every delivery must mean the same.
    pub(crate) fn note_request(&mut self, request: &WriteRequest) -> Verdict {
        match self.requests.get(&request.id) {
            Some(known) if known.operation != request.operation => {
                Err(format!("request {} changed its meaning", request.id))
            }
            Some(_) => Ok(()),
            None => {
                self.requests.insert(request.id.clone(), request.clone());
                Ok(())
            }
        }
    }

    /// Takes in the record that has just landed.
    pub(crate) fn take_record(
        &mut self,
        offset: Offset,
        record: &Arc<Record>,
        appender: &str,
    ) -> Verdict {
        self.figures.records += 1;
        if self.loss.is_open() && !self.begin_on_data(offset, record) {
            self.figures.fenced += 1;
            return Ok(());
        }
        if offset.0 != self.moments.len() as u64 {
            return Err(format!("a record landed at {offset}, behind {:?}", self.last_offset()));
        }
        let verdict = match &record.body {
            RecordBody::Epoch { master, .. } if record.epoch > self.epoch => {
                self.figures.epochs += 1;
                self.begin(record, master.as_str(), appender)
            }
            RecordBody::Batch { sequence, entries }
                if record.epoch == self.epoch
                    && self.epoch > Epoch(0)
                    && *sequence == self.next_sequence =>
            {
                self.next_sequence = sequence.next();
                self.take_batch(offset, record, entries, appender)
            }
            _ => {
                self.figures.fenced += 1;
                Ok(())
            }
        };
        self.moments.push(Moment { epoch: self.epoch, digest: self.contents.digest() });
        verdict
    }

    fn begin(&mut self, record: &Record, master: &str, appender: &str) -> Verdict {
        (self.epoch, self.next_sequence) = (record.epoch, Sequence(0));
        self.in_office = appender.to_owned();
        self.masters.insert(self.epoch, self.in_office.clone());
        let log_id = self.log_id.get_or_insert_with(|| record.log_id.clone());
        if *log_id != record.log_id {
            return Err(format!("epoch {} begins another history", record.epoch));
        }
        if master != appender {
            return Err(format!("{appender} appended an epoch for {master}"));
        }
        Ok(())
    }

    fn take_batch(
        &mut self,
        offset: Offset,
        record: &Record,
        entries: &[Entry],
        appender: &str,
    ) -> Verdict {
        let mut verdict = Ok(());
        if appender != self.in_office {
            verdict = Err(format!(
                "I3: {appender} got a batch of epoch {} admitted at {offset}, in which {} is master",
                record.epoch, self.in_office
            ));
        }
        for entry in entries {
            verdict = verdict.and(self.take_entry(offset, entry));
        }
        verdict
    }

    fn take_entry(&mut self, offset: Offset, entry: &Entry) -> Verdict {
        let id = &entry.request_id;
        let Some(request) = self.requests.get(id) else {
            return Err(format!("request {id} at {offset} was never sent"));
        };
        let expected = self.contents.carry_out(request);
        for change in &entry.changes {
            self.contents.apply(offset, change);
        }
        let recorded = self.outcomes.entry(id.clone()).or_default();
        if let Some((earlier, _)) = recorded.last() {
            // Nobody can know a request again that the log has forgotten.
            if self.retention.is_none_or(|kept| offset.0 - earlier.0 < kept) {
                return Err(format!("I2: request {id} is at {earlier} and again at {offset}"));
            }
            self.figures.forgotten += 1;
        }
        recorded.push((offset, entry.outcome.clone()));
        match expected {
            Some(expected)
                if expected.outcome == entry.outcome && expected.changes == entry.changes =>
            {
                Ok(())
            }
            expected => Err(format!(
                "I2: request {id} at {offset} came to {entry:?}, but at its place in the log it \
                 means {expected:?}"
            )),
        }
    }

    /// Judges an answer to a write as it leaves a worker that has applied so much.
    pub(crate) fn check_answer(
        &mut self,
        request: &WriteRequest,
        offset: Offset,
        outcome: &Outcome,
        applied: Option<Offset>,
    ) -> Verdict {
        self.figures.answers += 1;
        if let Outcome::Refused(refusal) = outcome
            && (!refusal.is_for_the_record() || *refusal == Refusal::Forgotten)
        {
            return Ok(());
        }
        let id = &request.id;
        let recorded = self.outcomes(id);
        let answer = (offset, outcome.clone());
        if !recorded.contains(&answer) && !self.loss.had_come_to(id, &answer) {
            return Err(format!(
                "I1: request {id} is answered with {outcome:?} at {offset}, but the log says \
                 {recorded:?}"
            ));
        }
        if request.acknowledgement != Acknowledgement::Logged && applied < Some(offset) {
            return Err(format!("I1: {id} at {offset} is answered before it is applied"));
        }
        Ok(())
    }

    /// Judges what a database holds, or only its history while a copy is not yet whole.
    pub(crate) fn check_state(&mut self, history: &History, digest: Option<u64>) -> Verdict {
        self.figures.states += 1;
        if let Some(verdict) = self.check_state_beyond(history, digest) {
            return verdict;
        }
        let Some(applied) = history.applied else { return Ok(()) };
        let moment = usize::try_from(applied.0).ok().and_then(|at| self.moments.get(at));
        let Some(moment) = moment else {
            return Err(format!("I4: {applied} is applied, which is not in the log"));
        };
        if history.epoch() != moment.epoch {
            return Err(format!(
                "I4: epoch {} after {applied}, the log says {}",
                history.epoch(),
                moment.epoch
            ));
        }
        if digest.is_some_and(|digest| digest != moment.digest) {
            return Err(format!("I5: the database differs from what the log says at {applied}"));
        }
        Ok(())
    }

    /// Judges the word that a worker came into office with this epoch, or with a later one.
    pub(crate) fn check_switchover(&self, to: &str, epoch: Epoch) -> Verdict {
        if self.masters.range(epoch..).any(|(_, master)| master == to) {
            return Ok(());
        }
        Err(format!("{to} is said to be master since epoch {epoch}, which the log does not say"))
    }

    /// What a repetition of this request must be answered, if it has come to anything.
    pub(crate) fn outcomes(&self, id: &RequestId) -> &[Recorded] {
        self.outcomes.get(id).map(Vec::as_slice).unwrap_or_default()
    }
}

/// What one request means on its own: no duplicates, nothing else in the batch.
fn plan_alone(request: &WriteRequest, view: planner::View) -> Option<Entry> {
    let window = DuplicateWindow::starting_at(Offset(0));
    planner::plan(&[request], view, &window).entries.pop()
}
