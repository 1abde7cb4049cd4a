//! Follows the log and, while master, puts writes into it.
//!
//! One loop, no locks: it alone owns the replica. Group commit makes it fast: whatever waits in
//! `writeQ` becomes one record. Nothing is answered before its record was read back and admitted.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};
use tracing::{Level, debug, enabled, info, warn};

use super::course::Course;
use super::fetch::fetch;
use super::joining::{Target, join};
use super::leadership::{led, log_id};
use super::leading::{Held, Leading};
use super::replica::{ApplyError, Batch, JudgeError, Judged, News, Replica};
use super::strong_reads::{StrongRead, StrongReads};
use super::{Parts, Settings, WorkerError};
use crate::domain::ids::{Epoch, Sequence};
use crate::domain::joining::{check_whole, differing};
use crate::domain::log::{Entry, History, Record, RecordBody};
use crate::domain::message::{Reply, Request};
use crate::domain::planner::{self, Answer};
use crate::domain::promotion::Event;
use crate::domain::request::{Acknowledgement, ReadOperation, WriteRequest};
use crate::ports::log::{LogError, LogItem};
use crate::ports::requests::{Delivery, Queue, Rank, Ticket};
use crate::ports::store::StoreError;
use crate::roles::chain;

/// A record that is not read back within this is lost, or the log is.
const READ_BACK: Duration = Duration::from_secs(10);
/// The pause after the log was lost.
const LOST_PAUSE: Duration = Duration::from_millis(50);

/// What the driver asks of the sequencer.
#[derive(Debug)]
pub(super) enum Order {
    CatchUp,
    AppendEpoch(Epoch),
    AcceptWrites(Epoch),
    StopWrites,
    /// The database seems to have lost what was applied: make sure, and join anew.
    CheckDatabase,
    /// Finish what is held and say [`Event::Drained`].
    Finish,
}

/// Why sequencing stopped.
pub(super) enum Interruption {
    /// Nobody knows what became of the last append.
    LogLost,
    /// The database has lost what was applied.
    FellBack,
    /// A newer epoch has begun.
    Fenced,
    /// The worker cannot go on.
    Fatal(WorkerError),
}

impl From<WorkerError> for Interruption {
    fn from(error: WorkerError) -> Self {
        Self::Fatal(error)
    }
}

impl From<ApplyError> for Interruption {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::FellBack => Self::FellBack,
            ApplyError::Fatal(error) => Self::Fatal(error),
        }
    }
}

/// A strong read with the ticket of its delivery, and until when it is waited for.
type Read = (Ticket, (ReadOperation, Instant));

pub(super) struct Sequencer {
    parts: Parts,
    settings: Settings,
    replica: Replica,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<Event>,
    /// Set while catching up.
    target: Option<Target>,
    leading: Option<Leading>,
    strong_reads: StrongReads,
}

enum Step {
    Order(Option<Order>),
    Items(Result<Vec<LogItem>, LogError>),
    Requests(Vec<Delivery>),
    Suspect,
    RequestsLost,
}

impl Sequencer {
    pub(super) fn new(
        parts: Parts,
        settings: Settings,
        replica: Replica,
        orders: mpsc::Receiver<Order>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            parts,
            settings,
            replica,
            orders,
            events,
            target: None,
            leading: None,
            strong_reads: StrongReads::default(),
        }
    }

    /// Runs until the driver lets go or the worker cannot go on.
    pub(super) async fn run(mut self) -> Result<(), WorkerError> {
        self.catch_up().await?;
        loop {
            let most = self.settings.batch_requests;
            let step = tokio::select! {
                biased;
                order = self.orders.recv() => Step::Order(order),
                items = self.replica.next() => Step::Items(items),
                Some(()) = self.strong_reads.ended() => {
                    self.run_waiting_reads();
                    continue;
                }
                step = next_requests(&mut self.leading, most) => step,
            };
            let outcome = match step {
                Step::Order(None) => return Ok(()),
                Step::Order(Some(order)) => self.obey(order).await,
                Step::Items(Ok(items)) => self.take_in(items).await,
                Step::Items(Err(error)) => Err(interruption(error)),
                Step::Requests(deliveries) => self.sequence(deliveries).await,
                Step::Suspect => self.sequence_suspect().await,
                Step::RequestsLost => Err(Interruption::LogLost),
            };
            match outcome {
                Ok(()) => {}
                Err(Interruption::Fenced) => self.leading = None,
                Err(Interruption::LogLost) => self.lose_log().await,
                Err(Interruption::FellBack) => {
                    warn!("the database has lost what was applied last, applying it again");
                    metrics::counter!("rideshare_worker_database_fallbacks_total").increment(1);
                    self.replica.withdraw();
                    self.lose_log().await;
                }
                Err(Interruption::Fatal(error)) => return Err(error),
            }
        }
    }

    async fn obey(&mut self, order: Order) -> Result<(), Interruption> {
        match order {
            Order::CatchUp => self.catch_up().await?,
            // Somebody has named it to begin anew, and it has not yet.
            Order::AppendEpoch(_) if is_to_begin_anew(&self.parts, self.replica.history()) => {
                return Err(Interruption::LogLost);
            }
            Order::AppendEpoch(epoch) => {
                let master = self.settings.node.clone();
                let on_own_data = self.replica.history().begins_on_own_data();
                let record = self.record(epoch, RecordBody::Epoch { master, on_own_data });
                self.append(record).await?;
            }
            Order::AcceptWrites(epoch) => self.accept_writes(epoch).await?,
            Order::StopWrites => self.stop_writes().await,
            Order::CheckDatabase => {
                if matches!(self.replica.store().check().await, Err(StoreError::FellBack)) {
                    return Err(Interruption::FellBack);
                }
            }
            Order::Finish => {
                self.stop_writes().await;
                while self.strong_reads.ended().await.is_some() {
                    self.run_waiting_reads();
                }
                self.tell(Event::Drained).await;
            }
        }
        Ok(())
    }

    async fn catch_up(&mut self) -> Result<(), WorkerError> {
        let target = join(&self.parts, &self.settings, &mut self.replica).await?;
        info!(target = %target.offset, from = %self.replica.read_up_to(), "catching up");
        self.target = Some(target);
        self.note_arrival().await
    }

    async fn note_arrival(&mut self) -> Result<(), WorkerError> {
        let at = self.replica.read_up_to();
        if let Some(Target { admitted, .. }) = self.target.take_if(|target| at >= target.offset) {
            check_whole(self.replica.history(), admitted)?;
            self.tell(Event::CaughtUp).await;
        }
        Ok(())
    }

    async fn accept_writes(&mut self, epoch: Epoch) -> Result<(), Interruption> {
        if self.replica.history().epoch() != epoch {
            return Err(Interruption::Fenced);
        }
        let unanswered = u16::try_from(self.settings.batch_requests * 2).unwrap_or(u16::MAX);
        // A deposed master that stands still consumes for as long as the carrier takes it for alive.
        let rank = Rank(epoch.0);
        match self.parts.requests.consume_ranked(&Queue::Write, unanswered, rank).await {
            Ok(consumer) => {
                let next_sequence = self.replica.history().next_sequence();
                self.leading = Some(Leading::begin(epoch, next_sequence, consumer));
                info!(%epoch, "accepting writes");
                Ok(())
            }
            Err(error) => {
                warn!(error = %chain(error), "cannot consume writes");
                Err(Interruption::LogLost)
            }
        }
    }

    async fn stop_writes(&mut self) {
        if let Some(mut leading) = self.leading.take() {
            leading.consumer.deliveries.close().await;
            info!(epoch = %leading.epoch, "stopped accepting writes");
        }
    }

    async fn lose_log(&mut self) {
        self.leading = None;
        self.target = None;
        self.replica.let_go();
        metrics::counter!("rideshare_worker_log_losses_total").increment(1);
        // A log that can be read but not written would be lost again at once.
        tokio::time::sleep(LOST_PAUSE).await;
        self.tell(Event::LogLost).await;
    }

    /// The driver outlives this task; a closed channel means that all is over.
    async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }

    async fn take_in(&mut self, mut items: Vec<LogItem>) -> Result<(), Interruption> {
        if let Some(target) = self.target {
            self.replica.gather(&mut items, target.offset).await.map_err(interruption)?;
        }
        let judged = self.judge(items)?;
        let news = self.replica.apply(judged).await?;
        self.report(news).await
    }

    fn judge(&mut self, items: Vec<LogItem>) -> Result<Judged, Interruption> {
        self.replica.judge(items).map_err(|error| match error {
            // It joins anew, and copies.
            JudgeError::Incomplete => Interruption::LogLost,
            JudgeError::Differs { offset } => {
                let admitted = led(&self.parts).map_or(Epoch(0), |led| led.admitted);
                let misfit = differing(self.replica.history(), admitted, offset);
                Interruption::Fatal(WorkerError::LogLost(misfit))
            }
            JudgeError::Fatal(error) => Interruption::Fatal(error),
        })
    }

    /// Passes on what the log said of epochs; a newer one than its own ends this office.
    async fn report(&mut self, news: News) -> Result<(), Interruption> {
        let own = self.leading.as_ref().map(|leading| leading.epoch);
        let fenced = news.begun.iter().any(|(epoch, _)| own.is_some_and(|own| *epoch > own));
        for (epoch, master) in news.begun {
            info!(%epoch, %master, "epoch begun");
            self.tell(Event::EpochAdmitted { epoch, master }).await;
        }
        for (epoch, master) in news.refused {
            if master == self.settings.node {
                self.tell(Event::EpochRefused { epoch }).await;
            }
        }
        self.note_arrival().await?;
        if fenced { Err(Interruption::Fenced) } else { Ok(()) }
    }

    /// Carries deliveries through the log. Whatever is not answered goes back to the queue.
    async fn sequence(&mut self, deliveries: Vec<Delivery>) -> Result<(), Interruption> {
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for delivery in deliveries {
            match Arc::unwrap_or_clone(delivery.request) {
                Request::Write(write) => writes.push((delivery.tried, (delivery.ticket, write))),
                Request::Read(read) => reads.push((delivery.ticket, (read, delivery.expires_at))),
                Request::Ping => self.answer(vec![(delivery.ticket, Reply::Pong)]).await,
                // Only slaves are asked that. Whoever sent it here has to ask again.
                Request::Catalog { .. } => {
                    self.answer(vec![(delivery.ticket, Reply::TimedOut)]).await;
                }
            }
        }
        let Some(leading) = &mut self.leading else { return Ok(()) };
        let writes = leading.suspects.keep(writes);
        self.commit_all(&writes, reads).await
    }

    /// One that masters may have died of, in a batch of its own.
    async fn sequence_suspect(&mut self) -> Result<(), Interruption> {
        let Some(leading) = &mut self.leading else { return Ok(()) };
        let copies = leading.suspects.next();
        self.commit_all(&copies, Vec::new()).await
    }

    async fn commit_all(&mut self, writes: &[Held], reads: Vec<Read>) -> Result<(), Interruption> {
        let mut left = writes;
        let mut barrier_is_missing = left.is_empty() && !reads.is_empty();
        while !left.is_empty() || barrier_is_missing {
            match self.commit(left).await {
                Ok(done) => left = &left[done..],
                Err(interruption) => {
                    self.release(left, &reads).await;
                    return Err(interruption);
                }
            }
            barrier_is_missing = false;
        }
        self.read_behind_barrier(reads).await;
        Ok(())
    }

    /// Appends, bounded: a log that does not answer is lost.
    async fn append(&self, record: Arc<Record>) -> Result<(), Interruption> {
        match timeout(READ_BACK, self.parts.log.append(record)).await {
            Ok(appended) => appended.map_err(interruption),
            Err(_) => {
                warn!("append not confirmed in time");
                Err(Interruption::LogLost)
            }
        }
    }

    async fn release(&self, writes: &[Held], reads: &[Read]) {
        let tickets = writes.iter().map(|(ticket, _)| *ticket);
        let tickets = tickets.chain(reads.iter().map(|(ticket, _)| *ticket)).collect();
        if let Some(leading) = &self.leading {
            leading.consumer.answers.release(tickets).await;
        }
    }

    /// Plans as many of the requests as fit one batch, and answers them once it is read back.
    /// Returns how many that were. Without requests the batch is a barrier.
    async fn commit(&mut self, held: &[Held]) -> Result<usize, Interruption> {
        let requests: Vec<&WriteRequest> = held.iter().map(|(_, request)| request).collect();
        let requests = &requests[..planner::together(&requests)];
        let mut course = Course::begin(self.parts.traces.as_ref(), requests);
        let needs = planner::needs(requests);
        let view =
            fetch(self.replica.store().as_ref(), self.settings.store_patience, &needs).await?;
        let plan = planner::plan(requests, view, self.replica.window());
        course.pass("plan");
        metrics::histogram!("rideshare_worker_batch_requests").record(requests.len() as f64);
        let repeated = plan.answers.iter().filter(|answer| matches!(answer, Answer::Recorded(_)));
        metrics::counter!("rideshare_worker_duplicates_total").increment(repeated.count() as u64);
        let Some(leading) = &mut self.leading else { return Err(Interruption::Fenced) };
        let (epoch, sequence) = leading.name_batch();
        let answers = plan.answers;
        let record = self.record(epoch, RecordBody::Batch { sequence, entries: plan.entries });
        self.append(Arc::clone(&record)).await?;
        course.pass("append");
        let done = &held[..answers.len()];
        self.read_back((epoch, sequence), &record, done, answers, course).await?;
        Ok(done.len())
    }

    /// Waits for the own batch, applies everything up to it, and answers.
    async fn read_back(
        &mut self,
        (epoch, sequence): (Epoch, Sequence),
        record: &Record,
        held: &[Held],
        answers: Vec<Answer>,
        mut course: Course,
    ) -> Result<(), Interruption> {
        let entries = match &record.body {
            RecordBody::Batch { entries, .. } => entries.as_slice(),
            RecordBody::Epoch { .. } => &[],
        };
        let (mut early, mut late) = (Vec::new(), Vec::new());
        for ((ticket, request), answer) in held.iter().zip(answers) {
            let queue = if request.acknowledgement == Acknowledgement::Logged {
                &mut early
            } else {
                &mut late
            };
            queue.push((*ticket, answer));
        }
        loop {
            let Ok(items) = timeout(READ_BACK, self.replica.next()).await else {
                warn!(%epoch, %sequence, "batch not read back in time");
                return Err(Interruption::LogLost);
            };
            let judged = self.judge(items.map_err(interruption)?)?;
            let is_own = |batch: &Batch| (batch.epoch, batch.sequence) == (epoch, sequence);
            let (Some(batch), Some(leading)) = (judged.news.batch.filter(is_own), &self.leading)
            else {
                let news = self.replica.apply(judged).await?;
                self.report(news).await?;
                continue;
            };
            tell_written(batch, entries);
            course.pass("read back");
            leading.answer_written(early, batch.offset, entries).await;
            // Who wrote does not wait until the database has noted how far it is; what is read or
            // written next does.
            let visible = Notify::new();
            let tell = || visible.notify_one();
            let applying = self.replica.apply_telling(judged, &tell);
            let answering = async {
                visible.notified().await;
                course.pass("apply");
                leading.answer_written(late, batch.offset, entries).await;
                course.pass("answer");
                Ok(())
            };
            let (news, ()) = tokio::try_join!(applying, answering)?;
            self.report(news).await?;
            course.tell(self.parts.traces.as_ref(), &self.settings.node, batch);
            return Ok(());
        }
    }

    async fn answer(&self, replies: Vec<(Ticket, Reply)>) {
        if let Some(leading) = &self.leading {
            leading.answer(replies).await;
        }
    }

    /// Carries out strong reads beside the loop. The barrier makes them current; a state newer
    /// than the barrier is current too.
    async fn read_behind_barrier(&mut self, reads: Vec<Read>) {
        let Some(answers) = self.leading.as_ref().map(|it| Arc::clone(&it.consumer.answers)) else {
            return;
        };
        let mut refused = Vec::new();
        for (ticket, (operation, expires_at)) in reads {
            let answers = Arc::clone(&answers);
            let read = StrongRead { ticket, operation, expires_at, answers };
            if let Err(ticket) = self.strong_reads.take(read) {
                refused.push((ticket, Reply::TimedOut));
            }
        }
        self.answer(refused).await;
        self.run_waiting_reads();
    }

    fn run_waiting_reads(&mut self) {
        if let Some(offset) = self.replica.history().applied {
            self.strong_reads.run(&self.parts, &self.replica.position(), offset);
        }
    }

    fn record(&self, epoch: Epoch, body: RecordBody) -> Arc<Record> {
        let log_id = log_id(&self.parts, self.replica.history().log_id.as_ref());
        Arc::new(Record { log_id, epoch, appended_at_ms: self.parts.ambient.now_ms(), body })
    }
}

/// Whether those who lead go on from other data than these were.
fn is_to_begin_anew(parts: &Parts, history: &History) -> bool {
    led(parts).is_some_and(|led| led.base_instead_of(history).is_some())
}

/// For whoever follows one request through the logs of all roles.
fn tell_written(Batch { epoch, sequence, offset }: Batch, entries: &[Entry]) {
    if enabled!(Level::DEBUG) {
        for entry in entries {
            debug!(request = %entry.request_id, %epoch, %sequence, %offset, "write admitted");
        }
    }
}

/// Waits for requests while leading, and forever otherwise.
async fn next_requests(leading: &mut Option<Leading>, most: usize) -> Step {
    let Some(Leading { consumer, suspects, .. }) = leading else { return pending().await };
    tokio::select! {
        biased;
        () = suspects.due() => Step::Suspect,
        received = consumer.deliveries.receive(most) => match received {
            Ok(deliveries) => Step::Requests(deliveries),
            Err(error) => {
                warn!(error = %chain(error), "write queue lost");
                Step::RequestsLost
            }
        },
    }
}

/// What an error of the log means for who leads. Whether the record landed or not, the epoch is
/// spent: its next sequence is unknown.
fn interruption(error: LogError) -> Interruption {
    match error {
        LogError::Internal(source) => Interruption::Fatal(WorkerError::Log(source)),
        other => {
            warn!(error = %chain(other), "log lost");
            Interruption::LogLost
        }
    }
}
