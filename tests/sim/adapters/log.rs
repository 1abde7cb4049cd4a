//! The log, whose appends may be refused, go unconfirmed, land late or never, and whose tails break.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::anyhow;
use async_trait::async_trait;
use rideshare::domain::ids::Offset;
use rideshare::domain::log::Record;
use rideshare::ports::log::{Bounds, Log, LogError, LogItem, LogTail};
use tokio::time::{Instant, sleep, sleep_until};

use super::broker::Broker;
use crate::host::Host;

pub(crate) struct SimLog {
    pub(crate) host: Arc<Host>,
    pub(crate) broker: Arc<Broker>,
}

fn away() -> LogError {
    LogError::Unavailable(anyhow!("simulated"))
}

fn unknown() -> LogError {
    LogError::Unknown(anyhow!("simulated"))
}

impl SimLog {
    fn land(&self, record: Arc<Record>) -> impl Future<Output = ()> + Send + use<> {
        let (broker, host) = (Arc::clone(&self.broker), Arc::clone(&self.host));
        let copy = broker.log();
        async move { broker.land(&copy, record, &host.name).await }
    }

    /// The record is on its way, whatever becomes of its sender.
    fn land_later(&self, record: Arc<Record>) {
        let time = self.host.flight_time(self.host.world.plan.append_late_ms);
        let landing = self.land(record);
        tokio::spawn(async move {
            sleep(time).await;
            landing.await;
        });
    }
}

#[async_trait]
impl Log for SimLog {
    async fn append(&self, record: Arc<Record>) -> Result<(), LogError> {
        let (world, plan) = (&self.host.world, &self.host.world.plan);
        self.host.step("append").await;
        if self.broker.is_away() || world.strikes("append refused", plan.append_refused) {
            return Err(away());
        }
        if world.strikes("append unknown", plan.append_unknown) {
            match world.dice.below(3) {
                0 => self.land(record).await,
                1 => self.land_later(record),
                _ => {}
            }
            self.host.step("append unknown").await;
            return Err(unknown());
        }
        let generation = self.broker.generation();
        self.land(record).await;
        self.host.step("appended").await;
        if self.broker.generation() == generation { Ok(()) } else { Err(unknown()) }
    }

    async fn bounds(&self) -> Result<Bounds, LogError> {
        self.host.step("bounds").await;
        if self.broker.is_away() {
            return Err(away());
        }
        self.broker.log().bounds().await
    }

    async fn tail(&self, from: Offset) -> Result<Box<dyn LogTail>, LogError> {
        self.host.step("tail").await;
        if self.broker.is_away() {
            return Err(away());
        }
        Ok(Box::new(SimTail {
            host: Arc::clone(&self.host),
            generation: self.broker.generation(),
            broker: Arc::clone(&self.broker),
            inner: self.broker.log().tail(from).await?,
            arriving: VecDeque::new(),
            arrival: Instant::now(),
        }))
    }
}

struct SimTail {
    host: Arc<Host>,
    broker: Arc<Broker>,
    generation: u64,
    inner: Box<dyn LogTail>,
    /// On the way here, at `arrival` at the earliest.
    arriving: VecDeque<LogItem>,
    arrival: Instant,
}

#[async_trait]
impl LogTail for SimTail {
    async fn next(&mut self) -> Result<Vec<LogItem>, LogError> {
        self.host.wait_here().await;
        let world = Arc::clone(&self.host.world);
        let broken = self.broker.broken(self.generation);
        if self.arriving.is_empty() {
            let items = tokio::select! {
                biased;
                () = broken => return Err(away()),
                items = self.inner.next() => items?,
            };
            self.arriving.extend(items);
            let late_ms = if world.is_calm() { 0 } else { world.plan.tail_late_ms };
            self.arrival = Instant::now() + world.dice.up_to_ms(late_ms);
        }
        sleep_until(self.arrival).await;
        self.host.gate("records").await;
        if self.broker.generation() != self.generation
            || world.strikes("tail broken", world.plan.tail_broken)
        {
            self.generation = u64::MAX;
            return Err(away());
        }
        let most = self.arriving.len() as u64;
        let some = if world.is_calm() { most } else { world.dice.between(1, most) };
        Ok(self.arriving.drain(..usize::try_from(some).unwrap_or(1)).collect())
    }
}
