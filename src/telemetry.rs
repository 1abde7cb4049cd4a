//! Logs on stderr, and the metrics recorder.

use std::io::IsTerminal;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use tracing_subscriber::EnvFilter;

use crate::settings::{Log, LogFormat};

/// Upper bounds of latency histograms, in seconds.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// Upper bounds of size histograms.
const SIZES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// A gauge that was not set for so long is of somebody who is gone.
const STALE: Duration = Duration::from_secs(60);

/// Starts to log. Can be done once a process; later calls change nothing.
///
/// # Errors
/// When the filter cannot be read.
pub fn init_logs(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter)
        .map_err(|error| anyhow::anyhow!("setting `log.filter`: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Pretty => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(started);
    Ok(())
}

/// Installs the recorder behind `/metrics`. Can be done once a process.
///
/// # Errors
/// When there is one already.
pub fn init_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets(&SIZES)?
        .idle_timeout(MetricKindMask::GAUGE, Some(STALE))
        .install_recorder()?;
    Ok(handle)
}
