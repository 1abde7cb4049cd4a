//! The progress feed, which loses messages.

use std::sync::Arc;

use anyhow::anyhow;
use async_trait::async_trait;
use rideshare::domain::message::Progress;
use rideshare::ports::progress::{ProgressFeed, ProgressUnavailable};
use tokio::sync::broadcast;

use super::broker::Broker;
use crate::host::Host;

pub(crate) struct SimProgress {
    pub(crate) host: Arc<Host>,
    pub(crate) broker: Arc<Broker>,
}

#[async_trait]
impl ProgressFeed for SimProgress {
    async fn publish(&self, progress: &Progress) -> Result<(), ProgressUnavailable> {
        self.host.set_role(progress.role);
        self.host.step("progress").await;
        let world = &self.host.world;
        if self.broker.is_away() {
            return Err(ProgressUnavailable(anyhow!("simulated")));
        }
        if world.strikes("progress lost", world.plan.progress_lost) {
            return Ok(());
        }
        world.note(&self.host.name, "told", || {
            format!("{} {} {:?}", progress.role.as_str(), progress.epoch, progress.applied)
        });
        self.broker.progress.publish(progress).await
    }

    fn subscribe(&self) -> broadcast::Receiver<Progress> {
        self.broker.progress.subscribe()
    }
}
