//! Traces of single requests, where somebody wants them.

use std::sync::Arc;
use std::time::Duration;

use crate::adapters::http_client;
use crate::adapters::otlp::{Otlp, OtlpSettings};
use crate::ports::traces::{Traces, Untold};
use crate::settings::Settings;

/// How long a collector may take to accept some.
const LIMIT: Duration = Duration::from_secs(10);

/// Traces of this process.
pub(super) struct Tracing(Option<Arc<Otlp>>);

impl Tracing {
    /// Begins to tell of requests if the settings say where to.
    pub(super) fn start(
        settings: &Settings,
        service: &'static str,
        instance: &str,
    ) -> anyhow::Result<Self> {
        let own = &settings.traces;
        if own.url.is_empty() {
            return Ok(Self(None));
        }
        let client = http_client::builder(&settings.http.ca_file)?.timeout(LIMIT).build()?;
        let instance = instance.to_owned();
        let own = OtlpSettings { url: own.url.clone(), ratio: own.ratio, service, instance };
        Ok(Self(Some(Arc::new(Otlp::start(own, client)?))))
    }

    pub(super) fn port(&self) -> Arc<dyn Traces> {
        match &self.0 {
            Some(otlp) => otlp.clone(),
            None => Arc::new(Untold),
        }
    }

    /// Sends what still waits.
    pub(super) async fn close(self) {
        if let Some(otlp) = self.0 {
            // Blocks for what others do on this runtime.
            let _ = tokio::task::spawn_blocking(move || otlp.close()).await;
        }
    }
}
