//! A worker's end of the requests. Every answer that leaves here is shown to the oracle first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::anyhow;
use async_trait::async_trait;
use rideshare::domain::message::{Reply, Request};
use rideshare::ports::requests::{
    Answers, Consumer, Deliveries, Delivery, Queue, Rank, RequestReceiver, RequestsError, Ticket,
};

use super::broker::Broker;
use crate::host::Host;
use crate::world::lock;

pub(crate) struct SimReceiver {
    pub(crate) host: Arc<Host>,
    pub(crate) broker: Arc<Broker>,
}

/// One consumption, until the broker breaks it.
pub(crate) struct Link {
    generation: u64,
    /// Held across a wait only by the one who receives, and it sees by itself when all is over.
    deliveries: tokio::sync::Mutex<Option<Box<dyn Deliveries>>>,
    answers: Mutex<Option<Arc<dyn Answers>>>,
    held: Mutex<BTreeMap<u64, Arc<Request>>>,
}

fn away() -> RequestsError {
    RequestsError::Unavailable(anyhow!("simulated"))
}

impl Link {
    /// The broker has given up on this consumption: what it held goes back.
    pub(crate) fn cut(&self) {
        lock(&self.answers).take();
        self.let_go();
    }

    fn let_go(&self) {
        if let Ok(mut deliveries) = self.deliveries.try_lock() {
            deliveries.take();
        }
    }
}

#[async_trait]
impl RequestReceiver for SimReceiver {
    async fn consume_ranked(
        &self,
        queue: &Queue,
        unanswered: u16,
        rank: Rank,
    ) -> Result<Consumer, RequestsError> {
        self.host.step("consume").await;
        if self.broker.is_away() {
            return Err(away());
        }
        let Consumer { deliveries, answers } =
            self.broker.requests.receiver().consume_ranked(queue, unanswered, rank).await?;
        let link = Arc::new(Link {
            generation: self.broker.generation(),
            deliveries: tokio::sync::Mutex::new(Some(deliveries)),
            answers: Mutex::new(Some(answers)),
            held: Mutex::default(),
        });
        self.broker.add_link(&link);
        let (host, broker) = (Arc::clone(&self.host), Arc::clone(&self.broker));
        let deliveries = SimDeliveries {
            host: Arc::clone(&host),
            broker: Arc::clone(&broker),
            link: Arc::clone(&link),
        };
        let answers = SimAnswers { host, broker, link };
        Ok(Consumer { deliveries: Box::new(deliveries), answers: Arc::new(answers) })
    }
}

struct SimDeliveries {
    host: Arc<Host>,
    broker: Arc<Broker>,
    link: Arc<Link>,
}

#[async_trait]
impl Deliveries for SimDeliveries {
    async fn receive(&mut self, most: usize) -> Result<Vec<Delivery>, RequestsError> {
        self.host.wait_here().await;
        let broken = self.broker.broken(self.link.generation);
        let mut inner = self.link.deliveries.lock().await;
        let Some(deliveries) = inner.as_mut() else { return Err(away()) };
        let received = tokio::select! {
            biased;
            () = broken => Err(away()),
            received = deliveries.receive(most) => received,
        };
        match &received {
            Ok(received) => {
                self.host.world.note(&self.host.name, "received", || received.len().to_string());
                let mut held = lock(&self.link.held);
                held.extend(received.iter().map(|it| (it.ticket.0, Arc::clone(&it.request))));
            }
            Err(_) => *inner = None,
        }
        received
    }

    async fn close(&mut self) {
        self.host.step("close").await;
        if let Some(deliveries) = self.link.deliveries.lock().await.as_mut() {
            deliveries.close().await;
        }
    }
}

impl Drop for SimDeliveries {
    fn drop(&mut self) {
        self.link.let_go();
    }
}

struct SimAnswers {
    host: Arc<Host>,
    broker: Arc<Broker>,
    link: Arc<Link>,
}

impl SimAnswers {
    fn inner(&self) -> Option<Arc<dyn Answers>> {
        lock(&self.link.answers).clone()
    }

    fn show(&self, ticket: Ticket, reply: &Reply) {
        let world = &self.host.world;
        let Some(request) = lock(&self.link.held).remove(&ticket.0) else { return };
        world.note(&self.host.name, "answers", || match reply {
            Reply::Written { offset, outcome } => format!("{offset} {outcome:?}"),
            other => format!("{other:?}"),
        });
        if let (Request::Write(write), Reply::Written { offset, outcome }) =
            (request.as_ref(), reply)
        {
            let applied = self.host.applied();
            let verdict = world.oracle().check_answer(write, *offset, outcome, applied);
            world.require(verdict.map_err(|what| format!("{}: {what}", self.host.name)));
        }
    }
}

#[async_trait]
impl Answers for SimAnswers {
    async fn answer(&self, answers: Vec<(Ticket, Reply)>) -> Result<(), RequestsError> {
        self.host.step("answer").await;
        let world = &self.host.world;
        let Some(inner) = self.inner() else { return Err(away()) };
        if self.broker.is_away() {
            return Err(away());
        }
        if world.strikes("answer failed", world.plan.answer_failed) {
            inner.release(answers.into_iter().map(|(ticket, _)| ticket).collect()).await;
            return Err(away());
        }
        for (ticket, reply) in &answers {
            self.show(*ticket, reply);
        }
        inner.answer(answers).await?;
        self.host.gate("answered").await;
        Ok(())
    }

    async fn release(&self, tickets: Vec<Ticket>) {
        self.host.step("release").await;
        if let Some(inner) = self.inner() {
            inner.release(tickets).await;
        }
    }
}
