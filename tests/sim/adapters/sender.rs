//! An orchestrator's end of the requests: what goes either way may be lost, late, doubled, and
//! overtaken thereby.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use rideshare::adapters::memory::MemorySender;
use rideshare::domain::message::{Reply, Request};
use rideshare::ports::requests::{Correlation, Queue, RequestSender, RequestsError};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::broker::Broker;
use crate::host::Host;

/// Replies that may wait for an orchestrator.
const REPLIES: usize = 65_536;

pub(crate) struct SimSender {
    host: Arc<Host>,
    broker: Arc<Broker>,
    inner: Arc<MemorySender>,
    replies: Mutex<Option<mpsc::Receiver<(Correlation, Reply)>>>,
}

impl SimSender {
    pub(crate) fn new(host: &Arc<Host>, broker: &Arc<Broker>) -> Self {
        let inner = Arc::new(broker.requests.sender());
        let (out, replies) = mpsc::channel(REPLIES);
        if let Some(arriving) = inner.take_replies() {
            tokio::spawn(carry_replies(Arc::clone(host), arriving, out));
        }
        Self {
            host: Arc::clone(host),
            broker: Arc::clone(broker),
            inner,
            replies: Mutex::new(Some(replies)),
        }
    }

    fn send_later(&self, queue: &Queue, correlation: Correlation, request: Arc<Request>) {
        let time = self.host.flight_time(self.host.world.plan.message_late_ms);
        let (inner, queue) = (Arc::clone(&self.inner), queue.clone());
        tokio::spawn(async move {
            sleep(time).await;
            // A full queue loses it.
            let _ = inner.send(&queue, correlation, request, Duration::from_secs(10)).await;
        });
    }
}

/// Carries replies from the broker to the orchestrator, as long as it lives.
async fn carry_replies(
    host: Arc<Host>,
    mut arriving: mpsc::Receiver<(Correlation, Reply)>,
    out: mpsc::Sender<(Correlation, Reply)>,
) {
    let world = Arc::clone(&host.world);
    loop {
        let (correlation, reply) = tokio::select! {
            biased;
            () = out.closed() => return,
            arrived = arriving.recv() => match arrived {
                Some(arrived) => arrived,
                None => return,
            },
        };
        host.gate("reply").await;
        let plan = &world.plan;
        if world.strikes("reply lost", plan.reply_lost) {
            continue;
        }
        if world.strikes("reply doubled", plan.reply_doubled) {
            let _ = out.try_send((correlation, reply.clone()));
        }
        if world.strikes("reply late", plan.reply_late) {
            let (out, time) = (out.clone(), host.flight_time(plan.message_late_ms));
            tokio::spawn(async move {
                sleep(time).await;
                let _ = out.try_send((correlation, reply));
            });
            continue;
        }
        let _ = out.try_send((correlation, reply));
    }
}

#[async_trait]
impl RequestSender for SimSender {
    async fn send(
        &self,
        queue: &Queue,
        correlation: Correlation,
        request: Arc<Request>,
        expires_in: Duration,
    ) -> Result<(), RequestsError> {
        let (world, plan) = (&self.host.world, &self.host.world.plan);
        if let Request::Write(write) = request.as_ref() {
            let verdict = world.oracle().note_request(write);
            world.require(verdict);
        }
        self.host.step("send").await;
        let away = || Err(RequestsError::Unavailable(anyhow!("simulated")));
        if self.broker.is_away() {
            return away();
        }
        if world.strikes("send failed", plan.send_failed) {
            if world.dice.chance(500) {
                self.send_later(queue, correlation, request);
            }
            return away();
        }
        if world.strikes("request lost", plan.request_lost) {
            return Ok(());
        }
        if world.strikes("request doubled", plan.request_doubled) {
            self.send_later(queue, correlation, Arc::clone(&request));
        }
        if world.strikes("request late", plan.request_late) {
            self.send_later(queue, correlation, request);
            return Ok(());
        }
        self.inner.send(queue, correlation, request, expires_in).await
    }

    fn take_replies(&self) -> Option<mpsc::Receiver<(Correlation, Reply)>> {
        crate::world::lock(&self.replies).take()
    }

    fn is_connected(&self) -> bool {
        !self.broker.is_away()
    }

    async fn waiting(&self, queue: &Queue) -> Result<u64, RequestsError> {
        self.inner.waiting(queue).await
    }
}
