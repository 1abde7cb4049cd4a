//! A session with the coordination service: its calls fail, and its view comes late.

use std::sync::Arc;

use anyhow::anyhow;
use async_trait::async_trait;
use rideshare::adapters::memory::{MemoryCoordination, MemorySession, SessionId};
use rideshare::domain::events::Events;
use rideshare::domain::ids::OrchestratorId;
use rideshare::domain::message::Member;
use rideshare::ports::coordination::{
    Coordination, CoordinationError, CoordinationView, LeaderRecord, OrchestratorStatus,
    ScaleRecord, Version,
};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::host::Host;

pub(crate) struct SimCoordination {
    host: Arc<Host>,
    session: MemorySession,
    view: watch::Receiver<CoordinationView>,
    _carrier: AbortOnDropHandle<()>,
}

impl SimCoordination {
    pub(crate) fn new(host: &Arc<Host>, service: &MemoryCoordination) -> Self {
        let session = service.session();
        let seen = session.view().borrow().clone();
        let (out, view) = watch::channel(seen);
        let carrier = tokio::spawn(carry_views(Arc::clone(host), session.view(), out));
        let _carrier = AbortOnDropHandle::new(carrier);
        Self { host: Arc::clone(host), session, view, _carrier }
    }

    pub(crate) fn session_id(&self) -> SessionId {
        self.session.id()
    }

    /// Whether the call is to fail, and if so whether it is to be made all the same.
    async fn fails(&self, step: &'static str) -> Option<bool> {
        self.host.step(step).await;
        let world = &self.host.world;
        world
            .strikes("coordination failed", world.plan.coordination_failed)
            .then(|| world.dice.chance(500))
    }

    async fn call<T>(
        &self,
        step: &'static str,
        call: impl Future<Output = Result<T, CoordinationError>>,
    ) -> Result<T, CoordinationError> {
        let unavailable = || CoordinationError::Unavailable(anyhow!("simulated"));
        match self.fails(step).await {
            None => {
                let result = call.await;
                self.host.step("coordinated").await;
                result
            }
            Some(made) => {
                if made {
                    let _ = call.await;
                }
                Err(unavailable())
            }
        }
    }
}

async fn carry_views(
    host: Arc<Host>,
    mut arriving: watch::Receiver<CoordinationView>,
    out: watch::Sender<CoordinationView>,
) {
    while arriving.changed().await.is_ok() {
        let world = &host.world;
        if !world.is_calm() && world.plan.view_late_ms > 0 {
            sleep(world.dice.up_to_ms(world.plan.view_late_ms)).await;
        }
        host.gate("view").await;
        let view = arriving.borrow_and_update().clone();
        world.note(&host.name, "sees", || {
            format!(
                "{:?} of {} members",
                view.leader.as_ref().map(|it| &it.value),
                view.members.len()
            )
        });
        out.send_replace(view);
    }
}

#[async_trait]
impl Coordination for SimCoordination {
    fn view(&self) -> watch::Receiver<CoordinationView> {
        self.view.clone()
    }

    async fn join(&self, member: &Member) -> Result<(), CoordinationError> {
        self.call("join", self.session.join(member)).await
    }

    async fn register(
        &self,
        id: &OrchestratorId,
        status: &OrchestratorStatus,
    ) -> Result<(), CoordinationError> {
        self.call("register", self.session.register(id, status)).await
    }

    async fn lock_controller(&self, id: &OrchestratorId) -> Result<bool, CoordinationError> {
        self.call("lock controller", self.session.lock_controller(id)).await
    }

    async fn set_leader(
        &self,
        record: &LeaderRecord,
        expected: Option<Version>,
    ) -> Result<(), CoordinationError> {
        self.call("set leader", self.session.set_leader(record, expected)).await
    }

    async fn set_scale(
        &self,
        record: &ScaleRecord,
        expected: Option<Version>,
    ) -> Result<(), CoordinationError> {
        self.call("set scale", self.session.set_scale(record, expected)).await
    }

    async fn set_events(
        &self,
        events: &Events,
        expected: Option<Version>,
    ) -> Result<(), CoordinationError> {
        self.call("set events", self.session.set_events(events, expected)).await
    }

    async fn close(&self) {
        self.host.step("close session").await;
        self.session.close().await;
    }
}
