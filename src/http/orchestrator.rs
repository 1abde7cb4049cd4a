//! The orchestrator's routes.

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Payload, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Deserialize;
use serde_json::json;

use super::error::Problem;
use super::extract;
use super::render;
use super::server::{methods, on};
use crate::domain::document::{CollectionName, DocumentId, Value};
use crate::domain::message::ReadResult;
use crate::domain::outcome::Outcome;
use crate::domain::request::original::{self, OriginalAnswer};
use crate::domain::request::{WriteOperation, native};
use crate::roles::orchestrator::gateway::{WriteOptions, Written};
use crate::roles::orchestrator::status::Life;
use crate::roles::orchestrator::{Handle, Pick};

/// What `db/clear` always clears.
const APP_COLLECTIONS: [&str; 2] = ["rides", "users"];

/// What the routes work with.
#[derive(Clone)]
pub struct State {
    /// The orchestrator.
    pub handle: Handle,
    /// Its metrics, where a recorder is installed.
    pub metrics: Option<PrometheusHandle>,
    /// The largest body, in bytes.
    pub body_limit: usize,
}

type Answer = Result<HttpResponse, Problem>;

/// Adds the routes.
pub fn routes(state: State, config: &mut ServiceConfig) {
    config
        .app_data(Data::new(state))
        .service(methods("/api/v1/db/write", [on("POST", web::post().to(write))]))
        .service(methods("/api/v1/db/read", [on("POST", web::post().to(read))]))
        .service(methods("/api/v1/db/clear", [on("POST", web::post().to(clear))]))
        .service(methods("/api/v1/crash/master", [on("POST", web::post().to(crash_master))]))
        .service(methods("/api/v1/crash/slave", [on("POST", web::post().to(crash_slave))]))
        .service(methods("/api/v1/worker/list", [on("GET", web::get().to(worker_list))]))
        .service(methods("/api/v1/workers", [on("GET", web::get().to(workers))]))
        .service(methods("/api/v1/events", [on("GET", web::get().to(events))]))
        .service(methods("/healthz", [on("GET", web::get().to(healthz))]))
        .service(methods("/readyz", [on("GET", web::get().to(readyz))]))
        .service(methods("/metrics", [on("GET", web::get().to(metrics))]));
}

async fn write(request: HttpRequest, payload: Payload, state: Data<State>) -> Answer {
    let bytes = extract::body(payload, state.body_limit).await?;
    let body = extract::parse(&bytes)?;
    if original::is_original_write(&body) {
        return Ok(write_original(body, options(&request), &state).await);
    }
    let options = options(&request)?;
    let operation = native::parse_write(body, &mut fresh_id)?;
    let written = state.handle.gateway.write(operation, options).await?;
    answer_write(&written)
}

fn answer_write(written: &Written) -> Answer {
    match &written.outcome {
        Outcome::Refused(refusal) => Err(Problem::refused(refusal, written.offset)),
        _ => Ok(render::written(written)),
    }
}

async fn write_original(
    body: Value,
    options: Result<WriteOptions, Problem>,
    state: &State,
) -> HttpResponse {
    let (Ok(operation), Ok(options)) = (original::parse_write(body, &mut fresh_id), options) else {
        return HttpResponse::BadRequest().finish();
    };
    match state.handle.gateway.write(operation, options).await {
        Ok(written) if original::is_success(&written.outcome) => HttpResponse::Ok()
            .insert_header((render::OFFSET_HEADER, written.offset.to_string()))
            .finish(),
        _ => HttpResponse::BadRequest().finish(),
    }
}

fn options(request: &HttpRequest) -> Result<WriteOptions, Problem> {
    let headers = request.headers();
    Ok(WriteOptions {
        idempotency_key: extract::idempotency_key(headers)?,
        acknowledgement: extract::acknowledgement(headers)?,
        timeout: extract::timeout(headers)?,
    })
}

fn fresh_id() -> DocumentId {
    DocumentId::String(uuid::Uuid::now_v7().to_string())
}

async fn read(request: HttpRequest, payload: Payload, state: Data<State>) -> Answer {
    state.handle.gateway.count_read();
    let bytes = extract::body(payload, state.body_limit).await?;
    let body = extract::parse(&bytes)?;
    let timeout = extract::timeout(request.headers());
    if original::is_original_read(&body) {
        return Ok(read_original(body, timeout, &state).await);
    }
    let timeout = timeout?;
    let operation = native::parse_read(body)?;
    let answer = state.handle.gateway.read(operation, timeout).await?;
    Ok(render::read(&answer))
}

async fn read_original(
    body: Value,
    timeout: Result<std::time::Duration, Problem>,
    state: &State,
) -> HttpResponse {
    let (Ok(wanted), Ok(timeout)) = (original::parse_read(body), timeout) else {
        return HttpResponse::BadRequest().finish();
    };
    let Ok(answer) = state.handle.gateway.read(wanted.operation, timeout).await else {
        return HttpResponse::BadRequest().finish();
    };
    let offset = answer.offset;
    match (wanted.answer, answer.result) {
        (OriginalAnswer::Count, ReadResult::Count(count)) => {
            render::at_offset(StatusCode::OK, offset, &[count])
        }
        (OriginalAnswer::List, ReadResult::Documents(documents)) => {
            let spoken: Vec<_> = documents.into_iter().map(original::spoken).collect();
            render::at_offset(StatusCode::OK, offset, &spoken)
        }
        (OriginalAnswer::First, ReadResult::Documents(documents)) => {
            match documents.into_iter().next() {
                Some(found) => render::at_offset(StatusCode::OK, offset, &original::spoken(found)),
                None => HttpResponse::BadRequest().finish(),
            }
        }
        _ => HttpResponse::BadRequest().finish(),
    }
}

async fn clear(request: HttpRequest, payload: Payload, state: Data<State>) -> Answer {
    let bytes = extract::body(payload, state.body_limit).await?;
    let mut collections = APP_COLLECTIONS
        .iter()
        .map(|name| native::collection(name, "collections"))
        .collect::<Result<Vec<CollectionName>, _>>()?;
    if !bytes.is_empty() {
        for named in named_collections(extract::parse(&bytes)?)? {
            if !collections.contains(&named) {
                collections.push(named);
            }
        }
    }
    let operation = WriteOperation::Clear { collections };
    let written = state.handle.gateway.write(operation, options(&request)?).await?;
    match &written.outcome {
        Outcome::Refused(refusal) => Err(Problem::refused(refusal, written.offset)),
        _ => Ok(render::at_offset(StatusCode::OK, written.offset, &json!({}))),
    }
}

fn named_collections(body: Value) -> Result<Vec<CollectionName>, Problem> {
    let Value::Object(fields) = body else {
        return Err(Problem::bad_request("body: expected an object"));
    };
    let known = ["clear", "collections"];
    if let Some(unknown) = fields.keys().find(|key| !known.contains(key)) {
        return Err(Problem::bad_request(format!("{unknown}: is not a field of this request")));
    }
    match fields.get("collections") {
        None => Ok(Vec::new()),
        Some(Value::Array(names)) => Ok(native::collections(names, "collections")?),
        Some(_) => Err(Problem::bad_request("collections: expected an array")),
    }
}

async fn crash_master(state: Data<State>) -> Answer {
    Ok(HttpResponse::Ok().json([state.handle.crash_master().await?]))
}

#[derive(Deserialize)]
struct CrashQuery {
    pick: Option<String>,
}

async fn crash_slave(request: HttpRequest, state: Data<State>) -> Answer {
    let query = Query::<CrashQuery>::from_query(request.query_string())
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    let pick = match query.pick.as_deref() {
        None | Some("lowest") => Pick::Lowest,
        Some("highest") => Pick::Highest,
        Some(_) => return Err(Problem::bad_request("pick is \"lowest\" or \"highest\"")),
    };
    Ok(HttpResponse::Ok().json([state.handle.crash_slave(pick).await?]))
}

async fn worker_list(state: Data<State>) -> HttpResponse {
    let workers = state.handle.workers();
    let alive = workers.iter().filter(|worker| worker.state == Life::Running);
    HttpResponse::Ok().json(alive.filter_map(|worker| worker.pid).collect::<Vec<_>>())
}

async fn workers(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(state.handle.workers())
}

async fn events(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(state.handle.journal.entries())
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

async fn readyz(state: Data<State>) -> Answer {
    let reasons = state.handle.unready();
    if reasons.is_empty() {
        return Ok(HttpResponse::Ok().json(json!({ "status": "ready" })));
    }
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, reasons.join("; "));
    Err(problem.with("reasons", json!(reasons)))
}

async fn metrics(state: Data<State>) -> Answer {
    let Some(metrics) = &state.metrics else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "no metrics are kept by this process"));
    };
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(metrics.render()))
}
