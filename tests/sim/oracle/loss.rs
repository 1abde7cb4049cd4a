//! A log that has lost its data: what it says counts for nothing until it is brought back, or until
//! somebody goes on from the data of one worker, which are then all that there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use rideshare::domain::ids::{Epoch, LogId, Offset, RequestId};
use rideshare::domain::log::{History, Record, RecordBody};

use super::contents::{Contents, Documents};
use super::{Moment, Oracle, Recorded, Verdict};

/// What is known of lost logs.
#[derive(Debug, Default)]
pub(super) struct Loss {
    /// One is lost, and nothing has come of it yet.
    open: bool,
    /// What workers held when they were told to begin a history with it.
    bases: BTreeMap<LogId, Documents>,
    /// What requests had come to in histories that were given up.
    former: BTreeMap<RequestId, Vec<Recorded>>,
}

impl Loss {
    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    /// Whether this was true before the log was lost; somebody may still be on the way to say so.
    pub(super) fn had_come_to(&self, id: &RequestId, answer: &Recorded) -> bool {
        self.former.get(id).is_some_and(|recorded| recorded.contains(answer))
    }
}

impl Oracle {
    /// Where an epoch that has begun has its place in the log.
    pub(crate) fn place_of(&self, epoch: Epoch) -> Option<Offset> {
        let place = self.moments.iter().position(|moment| moment.epoch >= epoch)?;
        (epoch > Epoch(0)).then_some(Offset(place as u64))
    }

    /// Whether the log has lost its data, and nothing has come of it yet.
    pub(crate) fn log_is_lost(&self) -> bool {
        self.loss.is_open()
    }

    /// Whether a replica could be made from the log alone, if it kept all of it.
    pub(crate) fn log_holds_all(&self) -> bool {
        !self.loss.is_open() && self.figures.begun_anew == 0
    }

    /// From now on nothing that lands counts.
    pub(crate) fn lose_log(&mut self) {
        self.loss.open = true;
    }

    /// The log is as it was.
    pub(crate) fn find_log(&mut self) {
        self.loss.open = false;
    }

    /// How many histories were given up. What a client knows of one means nothing in another.
    pub(crate) const fn histories_given_up(&self) -> u64 {
        self.figures.begun_anew
    }

    /// Notes what a worker holds that is to begin a history with it.
    pub(crate) fn note_base(&mut self, id: LogId, documents: Documents) {
        self.loss.bases.insert(id, documents);
    }

    /// Judges what is stored of a history that is not gone on with, or only as its beginning.
    pub(super) fn check_state_beyond(
        &self,
        history: &History,
        digest: Option<u64>,
    ) -> Option<Verdict> {
        let id = history.log_id.as_ref()?;
        if history.begins_on_own_data() {
            let base = self.loss.bases.get(id).map(|base| Contents::on(base).digest());
            let is_same = base.is_some() && (digest.is_none() || digest == base);
            let differs = || format!("I5: what history {id} is to begin with has changed");
            return Some(if is_same { Ok(()) } else { Err(differs()) });
        }
        // Somebody who does not know yet that it was left behind.
        let is_another = self.figures.begun_anew > 0 && self.log_id.as_ref() != Some(id);
        is_another.then_some(Ok(()))
    }

    /// Takes in that the history begins anew, if the record says so.
    pub(super) fn begin_on_data(&mut self, offset: Offset, record: &Arc<Record>) -> bool {
        let is_beginning = matches!(record.body, RecordBody::Epoch { on_own_data: true, .. });
        let base = self.loss.bases.get(&record.log_id).filter(|_| is_beginning);
        let Some(contents) = base.map(Contents::on) else { return false };
        let moment = Moment { epoch: Epoch(0), digest: contents.digest() };
        self.contents = contents;
        self.moments = vec![moment; usize::try_from(offset.0).unwrap_or_default()];
        self.log_id = Some(record.log_id.clone());
        self.confirmed = None;
        for (id, recorded) in std::mem::take(&mut self.outcomes) {
            self.loss.former.entry(id).or_default().extend(recorded);
        }
        self.loss.open = false;
        self.figures.begun_anew += 1;
        true
    }
}
