//! A database that follows the log: reads records, lets the admission rule judge them, applies
//! what counts.
//!
//! Nothing else in the program changes a store.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, error, warn};

use super::WorkerError;
use crate::domain::ids::{Epoch, LogId, NodeId, Offset, Sequence};
use crate::domain::log::{Admission, Change, History, Record, RecordBody};
use crate::domain::planner::DuplicateWindow;
use crate::ports::log::{LogError, LogItem, LogTail};
use crate::ports::store::{Store, StoreError, Visible};
use crate::roles::chain;
use crate::roles::latest;

/// The longest pause between two tries to apply.
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// How many records are gathered while catching up before they are applied, and for how long.
const GATHERED: usize = 1_024;
const GATHERING: Duration = Duration::from_millis(20);

/// How far a worker is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) log_id: Option<LogId>,
    pub(super) epoch: Epoch,
    pub(super) applied: Option<Offset>,
}

/// What a piece of the log said, beyond its changes.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Epochs that began, in order.
    pub(super) begun: Vec<(Epoch, NodeId)>,
    /// Epoch records that came too late, with who hoped for them.
    pub(super) refused: Vec<(Epoch, NodeId)>,
    /// The last admitted batch of the current epoch.
    pub(super) batch: Option<Batch>,
}

/// Names an admitted batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) epoch: Epoch,
    pub(super) sequence: Sequence,
    pub(super) offset: Offset,
}

/// Why records were not applied.
#[derive(Debug)]
pub(super) enum ApplyError {
    /// The database has lost what was applied before: the replica has to join anew.
    FellBack,
    /// The worker cannot go on.
    Fatal(WorkerError),
}

/// Why records were not judged.
#[derive(Debug)]
pub(super) enum JudgeError {
    /// The log does not tell everything, and there are no data yet: the replica has to copy some.
    Incomplete,
    /// Another record stands where the database says to have taken one in.
    Differs { offset: Offset },
    /// The worker cannot go on.
    Fatal(WorkerError),
}

/// Records that were judged and are yet to be applied.
#[derive(Debug, Default)]
pub(super) struct Judged {
    changes: Vec<Change>,
    moved: bool,
    pub(super) news: News,
}

/// A store, its place in the log, and what it remembers of recent requests.
pub(super) struct Replica {
    store: Arc<dyn Store>,
    tail: Option<Box<dyn LogTail>>,
    /// Where the tail stands: behind the history while it feeds the window.
    read_up_to: Offset,
    /// Everything before this is in the window; further than the tail where that begins again.
    fed_up_to: Offset,
    history: History,
    window: DuplicateWindow,
    position: latest::Sender<Position>,
    patience: Duration,
    /// The log said so, to a database without data.
    must_copy: bool,
}

impl Replica {
    /// A replica without a place in the log yet; see [`Replica::follow`].
    pub(super) fn new(
        store: Arc<dyn Store>,
        position: latest::Sender<Position>,
        patience: Duration,
    ) -> Self {
        Self {
            store,
            tail: None,
            read_up_to: Offset(0),
            fed_up_to: Offset(0),
            history: History::default(),
            window: DuplicateWindow::starting_at(Offset(0)),
            position,
            patience,
            must_copy: false,
        }
    }

    /// Starts over from what the store holds, with a window that is fed from `floor` on.
    pub(super) fn reset(&mut self, history: History, floor: Offset) {
        self.history = history;
        self.fed_up_to = floor;
        self.window = DuplicateWindow::starting_at(floor.max(self.history.judges_from()));
        self.publish();
    }

    /// Tells how far the database is, before it is known whether it belongs to the log at all: people
    /// choose by that where a log was lost.
    pub(super) fn announce(&self, stored: &History) {
        self.position.send(position_in(stored));
    }

    /// Reads on through this tail, which starts at `from`.
    pub(super) fn follow(&mut self, tail: Box<dyn LogTail>, from: Offset) {
        self.tail = Some(tail);
        self.read_up_to = from;
    }

    /// Whether there are data that are not in the log.
    pub(super) fn must_copy(&self) -> bool {
        self.must_copy
    }

    /// Reads no more.
    pub(super) fn let_go(&mut self) {
        self.tail = None;
    }

    /// Its database holds less than it has told. From now on nothing that is read there counts,
    /// until the replica has joined anew.
    pub(super) fn withdraw(&mut self) {
        self.let_go();
        self.position.modify(|position| position.applied = None);
    }

    /// Follows how far it is.
    pub(super) fn position(&self) -> latest::Receiver<Position> {
        self.position.subscribe()
    }

    /// Everything before this was read and taken in, so that history and window are complete.
    pub(super) fn read_up_to(&self) -> Offset {
        self.read_up_to
    }

    /// Whether the window has seen all that the history has.
    pub(super) fn is_fed(&self) -> bool {
        self.fed_up_to >= self.history.next_offset()
    }

    pub(super) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn window(&self) -> &DuplicateWindow {
        &self.window
    }

    /// Waits for records. Cancel safe. Waits forever without a tail.
    pub(super) async fn next(&mut self) -> Result<Vec<LogItem>, LogError> {
        match &mut self.tail {
            Some(tail) => tail.next().await,
            None => std::future::pending().await,
        }
    }

    /// Adds whatever follows soon, up to a target that is yet to be reached. Applying takes about
    /// as long for many records as for one, and while catching up nobody waits for a single one.
    pub(super) async fn gather(
        &mut self,
        items: &mut Vec<LogItem>,
        target: Offset,
    ) -> Result<(), LogError> {
        let until = Instant::now() + GATHERING;
        while items.len() < GATHERED && items.last().is_some_and(|it| it.offset.next() < target) {
            match timeout_at(until, self.next()).await {
                Ok(more) => items.extend(more?),
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Lets the admission rule judge records. What counts must be applied before anything else
    /// is judged.
    pub(super) fn judge(&mut self, items: Vec<LogItem>) -> Result<Judged, JudgeError> {
        let mut judged = Judged::default();
        for LogItem { offset, record } in items {
            self.read_up_to = offset.next();
            match record {
                Ok(record) => self.judge_record(offset, &record, &mut judged)?,
                Err(noise) if noise.newer => {
                    return Err(JudgeError::Fatal(WorkerError::Log(anyhow::Error::new(noise))));
                }
                Err(noise) => {
                    error!(%offset, %noise, "bytes in the log that are no record passed over");
                    self.history.pass_over(offset);
                    judged.moved = true;
                }
            }
            self.fed_up_to = self.fed_up_to.max(offset.next());
        }
        Ok(judged)
    }

    fn judge_record(
        &mut self,
        offset: Offset,
        record: &Arc<Record>,
        judged: &mut Judged,
    ) -> Result<(), JudgeError> {
        let admission = self.history.admit(offset, record);
        if admission == Admission::Repeated && self.history.contradicts(offset, record) {
            return Err(JudgeError::Differs { offset });
        }
        match (admission, &record.body) {
            (Admission::Repeated, RecordBody::Batch { entries, .. }) => {
                let is_new = offset >= self.fed_up_to.max(self.window.floor());
                if is_new && self.history.had_admitted(offset, record) {
                    self.window.record(offset, entries);
                }
                return Ok(());
            }
            (Admission::Repeated, RecordBody::Epoch { .. }) => return Ok(()),
            (Admission::Foreign, _) => {
                let log_id = record.log_id.clone();
                return Err(JudgeError::Fatal(WorkerError::ForeignLog { offset, log_id }));
            }
            (Admission::Beyond, _) => {
                self.must_copy = true;
                return Err(JudgeError::Incomplete);
            }
            (Admission::Admitted, RecordBody::Epoch { master, .. }) => {
                judged.news.begun.push((record.epoch, master.clone()));
                judged.news.batch = None;
            }
            (Admission::Admitted, RecordBody::Batch { sequence, entries }) => {
                debug!(epoch = %record.epoch, %offset, requests = entries.len(), "batch admitted");
                self.window.record(offset, entries);
                let changes = entries.iter().flat_map(|entry| &entry.changes);
                judged.changes.extend(changes.cloned());
                let (epoch, sequence) = (record.epoch, *sequence);
                judged.news.batch = Some(Batch { epoch, sequence, offset });
            }
            (Admission::Stale, RecordBody::Epoch { master, .. }) => {
                judged.news.refused.push((record.epoch, master.clone()));
            }
            (Admission::Stale | Admission::OutOfSequence, _) => {
                metrics::counter!("rideshare_worker_batches_refused_total").increment(1);
                warn!(%offset, epoch = %record.epoch, ?admission, "batch fenced");
            }
        }
        judged.moved = true;
        Ok(())
    }

    /// Applies what was judged, trying again for as long as the database may fail.
    pub(super) async fn apply(&mut self, judged: Judged) -> Result<News, ApplyError> {
        self.apply_telling(judged, &|| ()).await
    }

    /// Like [`Replica::apply`]; tells as soon as the changes can be read.
    pub(super) async fn apply_telling(
        &mut self,
        judged: Judged,
        visible: Visible<'_>,
    ) -> Result<News, ApplyError> {
        if judged.moved {
            let started = Instant::now();
            let mut pause = Duration::from_millis(10);
            // Before the first epoch there is nothing to hold, and who holds nothing begins at the
            // beginning: what a log said that has lost its own may not be what it will say.
            let begun = self.history.log_id.is_some();
            while begun && let Err(error) = self.try_apply(&judged.changes, visible).await {
                let lasting = matches!(error, StoreError::Internal(_));
                if matches!(error, StoreError::FellBack) {
                    return Err(ApplyError::FellBack);
                }
                if lasting || started.elapsed() >= self.patience {
                    return Err(ApplyError::Fatal(WorkerError::Store(anyhow::Error::new(error))));
                }
                warn!(error = %chain(error), "apply failed, trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
            self.publish();
        }
        visible();
        Ok(judged.news)
    }

    /// One try, bounded: a database that hangs is as good as one that is away.
    async fn try_apply(&self, changes: &[Change], visible: Visible<'_>) -> Result<(), StoreError> {
        let applying = self.store.apply_telling(changes, &self.history, visible);
        timeout(self.patience, applying).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable(anyhow::anyhow!("the database did not answer in time")))
        })
    }

    fn publish(&self) {
        self.position.send(position_in(&self.history));
    }
}

fn position_in(history: &History) -> Position {
    let (log_id, epoch) = (history.log_id.clone(), history.epoch());
    Position { log_id, epoch, applied: history.applied }
}

/// Whether everything up to this was in the database all the time, and what was read there counts.
pub(super) fn still_holds(position: &latest::Receiver<Position>, offset: Offset) -> bool {
    position.borrow().applied >= Some(offset)
}
