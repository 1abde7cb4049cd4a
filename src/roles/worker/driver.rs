//! Feeds the state machine with what happens and carries out what it orders.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use super::heartbeat;
use super::leadership;
use super::reader::{self, Reader};
use super::replica::{Position, Replica};
use super::sequencer::{self, Sequencer};
use super::vitals;
use super::{Parts, Settings, WorkerError};
use crate::domain::ids::Epoch;
use crate::domain::message::{Reply, Role};
use crate::domain::promotion::{Effect, Event, State, Worker, step};
use crate::ports::requests::Queue;
use crate::roles::latest;

/// What is not finished within this is given back unfinished.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// Events and orders that may wait; each is rare.
const CHANNEL: usize = 1_024;

/// How a part of the worker ended.
type PartEnd = (&'static str, Result<(), WorkerError>);

pub(super) struct Driver {
    parts: Parts,
    settings: Settings,
    worker: Worker,
    role: latest::Sender<Role>,
    position: latest::Receiver<Position>,
    events: mpsc::Sender<Event>,
    inbox: mpsc::Receiver<Event>,
    sequencer: mpsc::Sender<sequencer::Order>,
    reader: mpsc::Sender<reader::Order>,
    /// Dropping the driver aborts every task of the worker.
    tasks: JoinSet<PartEnd>,
    /// Claims to lead that are under way; each ends by itself.
    claims: JoinSet<()>,
}

impl Driver {
    pub(super) fn new(parts: Parts, settings: Settings) -> Self {
        let (events, inbox) = mpsc::channel(CHANNEL);
        let (role, role_watch) = latest::channel(Role::Joining);
        let (position_sender, position) = latest::channel(Position::default());
        let (sequencer, sequencer_orders) = mpsc::channel(CHANNEL);
        let (reader, reader_orders) = mpsc::channel(CHANNEL);
        let (stalled_sender, stalled) = latest::channel(false);
        let (p, patience) = (parts.clone(), settings.store_patience);
        let watch_database = vitals::watch_database(p, patience, stalled_sender, sequencer.clone());
        let mut driver = Self {
            worker: Worker::new(settings.node.clone(), settings.founder, Epoch(0)),
            parts: parts.clone(),
            settings: settings.clone(),
            role,
            position: position.clone(),
            events: events.clone(),
            inbox,
            sequencer,
            reader,
            tasks: JoinSet::new(),
            claims: JoinSet::new(),
        };
        let store = std::sync::Arc::clone(&parts.store);
        let replica = Replica::new(store, position_sender, settings.store_patience);
        let (p, s) = (parts.clone(), settings.clone());
        let sequencer = Sequencer::new(p, s, replica, sequencer_orders, events.clone());
        let (p, s) = (parts.clone(), settings.clone());
        let reader = Reader::new(p, s, position.clone(), reader_orders, events.clone());
        let (p, s) = (parts.clone(), settings.clone());
        let beat = heartbeat::beat(p, s, role_watch.clone(), position.clone(), stalled);
        let (p, s) = (parts.clone(), settings.clone());
        let enter = heartbeat::enter(p, s, role_watch, position);
        driver.spawn("sequencer", sequencer.run());
        driver.spawn("reader", endless(reader.run()));
        driver.spawn("heartbeat", endless(beat));
        driver.spawn("entry", endless(enter));
        driver.spawn("database watch", watch_database);
        driver.spawn("leader watch", endless(watch_leader(parts.clone(), events)));
        driver.spawn("pong", endless(answer_pings(parts, settings)));
        driver
    }

    fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), WorkerError>> + Send + 'static,
    ) {
        let span = info_span!("worker", node = %self.settings.node, task = name);
        self.tasks.spawn(async move { (name, task.await) }.instrument(span));
    }

    pub(super) async fn run(mut self, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let span = info_span!("worker", node = %self.settings.node, task = "driver");
        self.drive(shutdown).instrument(span).await
    }

    async fn drive(&mut self, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let mut draining = false;
        loop {
            let event = tokio::select! {
                biased;
                () = shutdown.cancelled(), if !draining => {
                    draining = true;
                    Event::DrainRequested
                }
                Some(ended) = self.tasks.join_next() => return part_ended(ended),
                Some(_) = self.claims.join_next() => continue,
                Some(event) = self.inbox.recv() => event,
            };
            if self.take(event).await {
                self.parts.coordination.close().await;
                return Ok(());
            }
        }
    }

    /// Takes one event in. True when the worker is done.
    async fn take(&mut self, event: Event) -> bool {
        let before = self.worker.state;
        let holds_nothing = before == State::Joining;
        let (worker, effects) = step(self.worker.clone(), event.clone());
        self.worker = worker;
        if self.worker.state != before {
            info!(?event, from = ?before, to = ?self.worker.state, "role changed");
        }
        for effect in effects {
            // Whoever still joins holds nothing that could be finished.
            if effect == Effect::Drain && holds_nothing {
                return Box::pin(self.take(Event::Drained)).await;
            }
            if self.carry_out(effect).await {
                return true;
            }
        }
        false
    }

    /// True when the worker is done.
    async fn carry_out(&mut self, effect: Effect) -> bool {
        match effect {
            Effect::Announce(role) => {
                self.role.send(role);
            }
            Effect::ServeReads => self.order_reader(reader::Order::Serve).await,
            Effect::StopReads => {
                self.stop_reads();
            }
            Effect::ClaimLeadership { epoch } => self.claim(epoch),
            Effect::AppendEpoch { epoch } => {
                self.order(sequencer::Order::AppendEpoch(epoch)).await;
            }
            Effect::AcceptWrites { epoch } => {
                self.order(sequencer::Order::AcceptWrites(epoch)).await;
            }
            Effect::StopWrites => self.order(sequencer::Order::StopWrites).await,
            Effect::CatchUp => self.order(sequencer::Order::CatchUp).await,
            Effect::Drain => self.drain().await,
            Effect::Exit { clean } => {
                info!(clean, "worker stopped");
                return true;
            }
        }
        false
    }

    /// A part that is gone shows in `tasks`.
    async fn order(&self, order: sequencer::Order) {
        let _ = self.sequencer.send(order).await;
    }

    async fn order_reader(&self, order: reader::Order) {
        let _ = self.reader.send(order).await;
    }

    /// The reads held are answered in the background: a promotion does not wait for them.
    fn stop_reads(&self) -> oneshot::Receiver<()> {
        let (done, stopped) = oneshot::channel();
        if self.reader.try_send(reader::Order::Stop(done)).is_err() {
            warn!("reader is gone");
        }
        stopped
    }

    fn claim(&mut self, epoch: Epoch) {
        let own = self.position.borrow().log_id.clone();
        let claim = leadership::claim(
            self.parts.clone(),
            self.settings.clone(),
            epoch,
            own,
            self.events.clone(),
        );
        self.claims.spawn(claim.in_current_span());
    }

    async fn drain(&mut self) {
        let stopped = self.stop_reads();
        self.order(sequencer::Order::Finish).await;
        if timeout(DRAIN_LIMIT, stopped).await.is_err() {
            warn!("reads not finished in time");
        }
        let events = self.events.clone();
        self.spawn("drain limit", async move {
            tokio::time::sleep(DRAIN_LIMIT).await;
            let _ = events.send(Event::Drained).await;
            std::future::pending().await
        });
        info!(applied = ?self.position.borrow().applied, "draining");
    }
}

/// A part ends by itself only when the worker cannot go on.
fn part_ended(ended: Result<PartEnd, tokio::task::JoinError>) -> Result<(), WorkerError> {
    let (name, result) = ended.map_err(|_| WorkerError::PartEnded("a task"))?;
    result.and(Err(WorkerError::PartEnded(name)))
}

/// A task that goes on until it is aborted; its end is an error of its own.
async fn endless(task: impl Future<Output = ()> + Send) -> Result<(), WorkerError> {
    task.await;
    Ok(())
}

async fn watch_leader(parts: Parts, events: mpsc::Sender<Event>) {
    let mut view = parts.coordination.view();
    let mut known = None;
    loop {
        let leader = leadership::leader(&view.borrow_and_update());
        if known.as_ref() != Some(&leader) {
            known = Some(leader.clone());
            if events.send(Event::LeaderChanged(leader)).await.is_err() {
                return;
            }
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}

/// Answers pings, so that a worker that was cut off from the coordination service alone is known
/// to live.
async fn answer_pings(parts: Parts, settings: Settings) {
    let queue = Queue::Node(settings.node);
    loop {
        if let Ok(mut consumer) = parts.requests.consume(&queue, 16).await {
            while let Ok(deliveries) = consumer.deliveries.receive(16).await {
                let pongs = deliveries.iter().map(|ping| (ping.ticket, Reply::Pong)).collect();
                let _ = consumer.answers.answer(pongs).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
