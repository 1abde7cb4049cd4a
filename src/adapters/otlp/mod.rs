//! Traces over OTLP, as OpenTelemetry collectors take them.
//!
//! The id of a trace is made from that of the request, so that processes need not tell each other of
//! it: each of them names the same trace, and the same whole stage as the parent of its own.

mod client;
mod ids;

use std::fmt;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};
use tokio::time::Instant;

use self::client::Carrier;
use self::ids::Ids;
use crate::domain::ids::RequestId;
use crate::ports::traces::{Stage, Traces};

/// Stages that wait to be sent; more are dropped.
const MOST_WAITING: usize = 8_192;
/// How long they wait for others to be sent with.
const GATHERING: Duration = Duration::from_secs(1);
/// How long the last ones may take at the end.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// What the traces are told with.
#[derive(Clone, Debug)]
pub struct OtlpSettings {
    /// Where they are sent, such as `http://127.0.0.1:4318/v1/traces`.
    pub url: String,
    /// How many of all requests are followed, from 0 to 1.
    pub ratio: f64,
    /// What this process is called.
    pub service: &'static str,
    /// And which of them it is.
    pub instance: String,
}

/// Traces that are sent to a collector.
pub struct Otlp {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    ratio: f64,
}

impl Otlp {
    /// Begins to tell, over a client that bounds its requests. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the address is none.
    pub fn start(settings: OtlpSettings, client: reqwest::Client) -> anyhow::Result<Self> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Carrier::new(client))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(settings.url)
            .build()
            .context("setting `traces.url`")?;
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(MOST_WAITING)
            .with_scheduled_delay(GATHERING)
            .build();
        let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        let resource = Resource::builder_empty()
            .with_service_name(settings.service)
            .with_attribute(KeyValue::new("service.instance.id", settings.instance))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        processor.set_resource(&resource);
        let scope = InstrumentationScope::builder("rideshare").build();
        Ok(Self { processor, scope, ratio: settings.ratio })
    }

    /// Sends what still waits, for a bounded time. Blocks.
    pub fn close(&self) {
        let _ = self.processor.shutdown_with_timeout(CLOSE_LIMIT);
    }
}

impl fmt::Debug for Otlp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Otlp").field("ratio", &self.ratio).finish_non_exhaustive()
    }
}

impl Traces for Otlp {
    fn follows(&self, request: &RequestId) -> bool {
        Ids::of(request).is_within(self.ratio)
    }

    fn tell(&self, request: &RequestId, stage: Stage) {
        let ids = Ids::of(request);
        let (span, parent, kind) = if stage.is_whole {
            (ids.whole, SpanId::INVALID, SpanKind::Server)
        } else {
            (ids::random(), ids.whole, SpanKind::Internal)
        };
        let context =
            SpanContext::new(ids.trace, span, TraceFlags::SAMPLED, false, TraceState::default());
        let (now, at) = (Instant::now(), SystemTime::now());
        let facts = stage.facts.into_iter().map(|(name, value)| KeyValue::new(name, value));
        self.processor.on_end(SpanData {
            span_context: context,
            parent_span_id: parent,
            parent_span_is_remote: !stage.is_whole,
            span_kind: kind,
            name: stage.name.into(),
            start_time: at - now.duration_since(stage.began),
            end_time: at - now.duration_since(stage.ended),
            attributes: facts.chain([KeyValue::new("request.id", request.to_string())]).collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        });
    }
}
