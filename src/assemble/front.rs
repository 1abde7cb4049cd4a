//! The orchestrator with its HTTP face: the part that `up` and `orchestrator` have in common.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::serving::Serving;
use crate::http::access::Policy;
use crate::http::traffic::Traffic;
use crate::http::{orchestrator as routes, server};
use crate::roles::orchestrator::{Handle, Orchestrator, PartEnded, Parts, Settings as Own};
use crate::telemetry;

/// An orchestrator that serves.
pub(super) struct Front {
    pub(super) handle: Handle,
    pub(super) address: SocketAddr,
    closing: CancellationToken,
    stop: CancellationToken,
    controlling: JoinHandle<Result<(), PartEnded>>,
    server: server::Running,
}

impl Front {
    /// Runs an orchestrator on a listener that is bound already.
    pub(super) fn start(
        listener: TcpListener,
        parts: Parts,
        own: &Own,
        serving: &Serving,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let metrics = telemetry::init_metrics()?;
        let orchestrator = Orchestrator::new(parts, own);
        let handle = orchestrator.handle();
        let body_limits = serving.body_limits();
        let (traffic, closing) = (Traffic::new(), CancellationToken::new());
        let state = routes::State {
            handle: handle.clone(),
            metrics: Some(metrics),
            body_limits,
            traffic: traffic.clone(),
            closing: closing.clone(),
        };
        let options = serving.options(Policy::Database);
        let mut server = server::start(listener, options, move |config| {
            routes::routes(state.clone(), config);
        })?;
        server.attend(serving.clone().follow());
        server.attend(traffic.count());
        let stop = CancellationToken::new();
        let controlling = tokio::spawn(orchestrator.run(stop.clone()));
        Ok(Self { handle, address, closing, stop, controlling, server })
    }

    /// Waits until a part of it ends by itself, which it never should.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            ended = &mut self.controlling => ended?.map_err(anyhow::Error::new),
            ended = self.server.ended() => ended.context("serving HTTP"),
        }
    }

    /// Finishes the requests under way, then lets the orchestrator go.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.closing.cancel();
        self.server.stop().await?;
        self.stop.cancel();
        if !self.controlling.is_finished() {
            self.controlling.await??;
        }
        Ok(())
    }
}
