//! The orchestrator's routes.

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Payload, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::backup;
use super::control;
use super::dashboard;
use super::error::Problem;
use super::events;
use super::extract::{self, BodyLimits};
use super::openapi::apps::Nothing;
use super::openapi::database::{self as described, TimeoutHeader, WriteHeaders};
use super::openapi::{self, problems};
use super::render;
use super::server::{methods, on};
use super::traffic::Traffic;
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
    /// What a body may be.
    pub body_limits: BodyLimits,
    /// How much there was to do lately.
    pub traffic: Traffic,
    /// Cancelled when the server is about to stop: answers without an end have one then.
    pub closing: CancellationToken,
}

type Answer = Result<HttpResponse, Problem>;

/// Adds the routes.
pub fn routes(state: State, config: &mut ServiceConfig) {
    openapi::routes::<openapi::Database>(config);
    backup::routes(config);
    control::routes(config);
    dashboard::routes(config);
    config
        .app_data(Data::new(state.traffic.clone()))
        .app_data(Data::new(state))
        .service(methods("/api/v1/db/write", [on("POST", web::post().to(write))]))
        .service(methods("/api/v1/db/read", [on("POST", web::post().to(read))]))
        .service(methods("/api/v1/db/clear", [on("POST", web::post().to(clear))]))
        .service(methods("/api/v1/crash/master", [on("POST", web::post().to(crash_master))]))
        .service(methods("/api/v1/crash/slave", [on("POST", web::post().to(crash_slave))]))
        .service(methods("/api/v1/worker/list", [on("GET", web::get().to(worker_list))]))
        .service(methods("/api/v1/workers", [on("GET", web::get().to(workers))]))
        .service(methods("/api/v1/events", [on("GET", web::get().to(events::events))]))
        .service(methods("/healthz", [on("GET", web::get().to(healthz))]))
        .service(methods("/readyz", [on("GET", web::get().to(readyz))]))
        .service(methods("/metrics", [on("GET", web::get().to(metrics))]));
}

/// Carries out a write; all or nothing, once for each idempotency key.
#[utoipa::path(
    post, path = "/api/v1/db/write", tag = "documents",
    params(WriteHeaders, TimeoutHeader), request_body = described::Write,
    responses(
        (status = 200, description = "Done.", body = described::Written),
        (status = 201, description = "Inserted.", body = described::Written),
        (
            status = 409, description = "Documents with these `ids` exist already; nothing was written.",
            body = problems::Problem, content_type = "application/problem+json",
        ),
        problems::Common, problems::WithBody, problems::Closed,
    ),
)]
pub(super) async fn write(request: HttpRequest, payload: Payload, state: Data<State>) -> Answer {
    let bytes = extract::body(payload, state.body_limits).await?;
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

/// Answers from the workers' databases.
#[utoipa::path(
    post, path = "/api/v1/db/read", tag = "documents",
    params(TimeoutHeader), request_body = described::Read,
    responses(
        (status = 200, description = "What was found.", body = described::Found),
        problems::Common, problems::WithBody, problems::Closed,
    ),
)]
pub(super) async fn read(request: HttpRequest, payload: Payload, state: Data<State>) -> Answer {
    state.handle.gateway.count_read();
    let bytes = extract::body(payload, state.body_limits).await?;
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

/// Clears `rides` and `users`, and what is named.
#[utoipa::path(
    post, path = "/api/v1/db/clear", tag = "documents",
    params(WriteHeaders, TimeoutHeader), request_body = Option<described::Clear>,
    responses(
        (status = 200, description = "Cleared.", body = Nothing),
        problems::Common, problems::WithBody, problems::Closed,
    ),
)]
pub(super) async fn clear(request: HttpRequest, payload: Payload, state: Data<State>) -> Answer {
    let bytes = extract::body(payload, state.body_limits).await?;
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

/// Kills the master and its database, and answers its pid.
#[utoipa::path(
    post, path = "/api/v1/crash/master", tag = "control",
    responses(
        (status = 200, description = "Its pid.", body = [u32], example = json!([4711])),
        (
            status = 409, description = "There is no master.",
            body = problems::Problem, content_type = "application/problem+json",
        ),
        problems::Common, problems::Closed,
    ),
)]
pub(super) async fn crash_master(state: Data<State>) -> Answer {
    Ok(HttpResponse::Ok().json([state.handle.crash_master().await?]))
}

#[derive(Deserialize)]
struct CrashQuery {
    pick: Option<String>,
}

/// Kills a slave and its database, and answers its pid.
#[utoipa::path(
    post, path = "/api/v1/crash/slave", tag = "control",
    params(described::PickQuery),
    responses(
        (status = 200, description = "Its pid.", body = [u32], example = json!([4712])),
        (
            status = 409, description = "There is no slave.",
            body = problems::Problem, content_type = "application/problem+json",
        ),
        problems::Common, problems::Closed,
    ),
)]
pub(super) async fn crash_slave(request: HttpRequest, state: Data<State>) -> Answer {
    let query = Query::<CrashQuery>::from_query(request.query_string())
        .map_err(|error| Problem::bad_request(error.to_string()))?;
    let pick = match query.pick.as_deref() {
        None | Some("lowest") => Pick::Lowest,
        Some("highest") => Pick::Highest,
        Some(_) => return Err(Problem::bad_request("pick is \"lowest\" or \"highest\"")),
    };
    Ok(HttpResponse::Ok().json([state.handle.crash_slave(pick).await?]))
}

/// The pids of all workers, ascending.
#[utoipa::path(
    get, path = "/api/v1/worker/list", tag = "sight",
    responses(
        (status = 200, description = "Pids.", body = [u32], example = json!([4711, 4712])),
        problems::Closed,
    ),
)]
pub(super) async fn worker_list(state: Data<State>) -> HttpResponse {
    let workers = state.handle.workers();
    let alive = workers.iter().filter(|worker| worker.state == Life::Running);
    HttpResponse::Ok().json(alive.filter_map(|worker| worker.pid).collect::<Vec<_>>())
}

/// All workers.
#[utoipa::path(
    get, path = "/api/v1/workers", tag = "sight",
    responses(
        (status = 200, description = "Workers.", body = [described::Worker]),
        problems::Closed,
    ),
)]
pub(super) async fn workers(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(state.handle.workers())
}

/// Whether the process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "sight",
    responses((status = 200, description = "It lives.", body = Object, example = json!({ "status": "ok" }))),
)]
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// Whether reads and writes can be taken.
#[utoipa::path(
    get, path = "/readyz", tag = "sight",
    responses(
        (status = 200, description = "Ready.", body = Object, example = json!({ "status": "ready" })),
        (
            status = 503, description = "Not ready, for these `reasons`.",
            body = problems::Problem, content_type = "application/problem+json",
        ),
    ),
)]
pub(super) async fn readyz(state: Data<State>) -> Answer {
    let reasons = state.handle.unready();
    if reasons.is_empty() {
        return Ok(HttpResponse::Ok().json(json!({ "status": "ready" })));
    }
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, reasons.join("; "));
    Err(problem.with("reasons", json!(reasons)))
}

/// The metrics of this process, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "sight",
    responses(
        (status = 200, description = "Metrics.", body = String, content_type = "text/plain"),
        (
            status = 404, description = "This process keeps none.",
            body = problems::Problem, content_type = "application/problem+json",
        ),
    ),
)]
pub(super) async fn metrics(state: Data<State>) -> Answer {
    let Some(metrics) = &state.metrics else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "no metrics are kept by this process"));
    };
    state.handle.record_metrics().await;
    Ok(render::metrics(metrics))
}
