//! Traces, as a collector gets them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpResponse, HttpServer, web};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;

use crate::support::{System, until};

/// Takes traces, and keeps them.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

impl Collector {
    /// Returns where it listens.
    fn start(&self) -> String {
        let kept = self.clone();
        let server = HttpServer::new(move || {
            let kept = kept.clone();
            let take = move |body: web::Bytes| {
                kept.take(&body);
                async { HttpResponse::Ok().finish() }
            };
            App::new().route("/v1/traces", web::post().to(take))
        });
        let server = server.workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", server.addrs()[0]);
        tokio::spawn(server.run());
        url
    }

    fn take(&self, body: &[u8]) {
        let request = ExportTraceServiceRequest::decode(body).expect("traces in protobuf");
        let scopes = request.resource_spans.into_iter().flat_map(|it| it.scope_spans);
        self.0.lock().unwrap().extend(scopes.flat_map(|it| it.spans));
    }

    fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap().clone()
    }
}

fn facts(span: &Span) -> HashMap<&str, &str> {
    let pairs = span.attributes.iter().filter_map(|pair| match &pair.value.as_ref()?.value {
        Some(Any::StringValue(text)) => Some((pair.key.as_str(), text.as_str())),
        _ => None,
    });
    pairs.collect()
}

#[tokio::test]
async fn one_write_is_shown_from_the_request_to_the_log() {
    let collector = Collector::default();
    let url = collector.start();
    let system = System::start_with(1, &[("RIDESHARE_TRACES__URL", url.as_str())]).await;
    let headers = [("Idempotency-Key", "followed")];
    let body = json!({ "op": "insert", "collection": "c", "documents": [{ "_id": 1 }] });
    let answer = system.post_with("/api/v1/db/write", &body, &headers).await;
    assert_eq!(answer.status, 201, "{answer:?}");

    let own = |spans: Vec<Span>| -> Vec<Span> {
        let is_own = |span: &Span| facts(span).get("request.id") == Some(&"key:followed");
        spans.into_iter().filter(is_own).collect()
    };
    until("the collector has them", async || own(collector.spans()).len() >= 6).await;
    let spans = own(collector.spans());
    let whole = spans.iter().find(|span| span.name == "write").unwrap();
    assert!(whole.parent_span_id.is_empty());
    assert_eq!(facts(whole)["log.offset"], answer.offset.unwrap().to_string());
    let mut last = whole.start_time_unix_nano;
    for name in ["plan", "append", "read back", "apply", "answer"] {
        let stage = spans.iter().find(|span| span.name == name).unwrap();
        assert_eq!(stage.trace_id, whole.trace_id, "{name}");
        assert_eq!(stage.parent_span_id, whole.span_id, "{name}");
        let (began, ended) = (stage.start_time_unix_nano, stage.end_time_unix_nano);
        // The clock is read for each anew.
        assert!(last <= began + 5_000_000 && began <= ended, "{name}: {last} {began} {ended}");
        last = ended;
        let facts = facts(stage);
        assert_eq!(facts["log.epoch"], "1");
        assert_eq!(facts["log.offset"], answer.offset.unwrap().to_string());
        assert!(facts["worker.node"].starts_with("worker-"), "{facts:?}");
    }
}

#[tokio::test]
async fn requests_that_are_not_followed_are_not_told_of() {
    let collector = Collector::default();
    let url = collector.start();
    let variables = [("RIDESHARE_TRACES__URL", url.as_str()), ("RIDESHARE_TRACES__RATIO", "0.5")];
    let mut system = System::start_with(1, &variables).await;
    for number in 0..40 {
        assert_eq!(system.insert("c", json!([{ "_id": number }])).await.status, 201);
    }
    // What waits is sent at the end.
    assert_eq!(system.terminate().await, Some(0));
    let followed = collector.spans().iter().filter(|span| span.name == "write").count();
    assert!((5..=36).contains(&followed), "{followed} of 40 and those of the services");
}
