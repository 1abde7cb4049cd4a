//! Bodies of answers.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::domain::document::{Document, DocumentId, Value};
use crate::domain::ids::Offset;
use crate::domain::message::ReadResult;
use crate::domain::outcome::Outcome;
use crate::roles::orchestrator::gateway::{ReadAnswer, Written};

/// How far the state behind an answer had come.
pub(super) const OFFSET_HEADER: &str = "X-Rideshare-Offset";

#[derive(Serialize)]
struct WithOffset<T> {
    offset: Offset,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct Inserted<'a> {
    inserted: usize,
    ids: &'a [DocumentId],
}

#[derive(Serialize)]
struct Updated<'a> {
    matched: u64,
    modified: u64,
    upserted_id: &'a Option<DocumentId>,
    documents: &'a [Document],
}

#[derive(Serialize)]
struct Documents<'a> {
    documents: &'a [Document],
    offset: Offset,
}

#[derive(Serialize)]
struct Values<'a> {
    values: &'a [Value],
    offset: Offset,
}

/// A JSON answer that says how far the state behind it had come.
pub(super) fn at_offset(status: StatusCode, offset: Offset, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status).insert_header((OFFSET_HEADER, offset.to_string())).json(body)
}

/// A write that was carried out. A refusal is the caller's to turn into a problem.
pub(super) fn written(written: &Written) -> HttpResponse {
    let offset = written.offset;
    let ok = StatusCode::OK;
    match &written.outcome {
        Outcome::Inserted { ids } => {
            let body = Inserted { inserted: ids.len(), ids };
            at_offset(StatusCode::CREATED, offset, &WithOffset { offset, body })
        }
        Outcome::Updated { matched, modified, upserted_id, documents } => {
            let (matched, modified) = (*matched, *modified);
            let body = Updated { matched, modified, upserted_id, documents };
            at_offset(ok, offset, &WithOffset { offset, body })
        }
        other => at_offset(ok, offset, &WithOffset { offset, body: outcome(other) }),
    }
}

fn outcome(outcome: &Outcome) -> Json {
    match outcome {
        Outcome::Inserted { ids } => json!(Inserted { inserted: ids.len(), ids }),
        Outcome::Updated { matched, modified, upserted_id, documents } => {
            let (matched, modified) = (*matched, *modified);
            json!(Updated { matched, modified, upserted_id, documents })
        }
        Outcome::Deleted { deleted } => json!({ "deleted": deleted }),
        Outcome::Cleared { collections } => json!({ "cleared": collections }),
        Outcome::Indexed | Outcome::Refused(_) => json!({}),
        Outcome::Batch { results } => {
            json!({ "results": results.iter().map(self::outcome).collect::<Vec<_>>() })
        }
    }
}

/// A read that was carried out.
pub(super) fn read(answer: &ReadAnswer) -> HttpResponse {
    let offset = answer.offset;
    match &answer.result {
        ReadResult::Documents(documents) => {
            at_offset(StatusCode::OK, offset, &Documents { documents, offset })
        }
        ReadResult::Count(count) => {
            at_offset(StatusCode::OK, offset, &json!({ "count": count, "offset": offset }))
        }
        ReadResult::Values(values) => at_offset(StatusCode::OK, offset, &Values { values, offset }),
    }
}

/// The metrics of this process, for Prometheus.
pub(super) fn metrics(recorder: &PrometheusHandle) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(recorder.render())
}
