//! The routes and parts that the users and rides services share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::web::{self, Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::error::Problem;
use super::extract::{self, BodyLimits};
use super::openapi::apps::Nothing;
use super::openapi::database::TimeoutHeader;
use super::openapi::problems;
use super::render::at_offset;
use super::server::{methods, on};
use crate::domain::document::Value;
use crate::domain::ids::Offset;
use crate::roles::apps::{AppError, Session};

const COUNT_PATH: &str = "/api/v1/_count";
/// Asked by whoever runs the service, not by whoever uses it.
const UNCOUNTED: [&str; 5] = [COUNT_PATH, "/healthz", "/readyz", "/openapi.json", "/docs"];

pub(super) type Answer = Result<HttpResponse, Problem>;

/// The requests that one service has had, whatever became of them.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn count(&self, path: &str) {
        if !UNCOUNTED.contains(&path) && !path.starts_with("/docs/") {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// What the routes of an application work with; cheap to clone.
#[derive(Clone)]
pub struct Common {
    session: Arc<Session>,
    counter: Data<Counter>,
    in_flight: Arc<Semaphore>,
    body_limits: BodyLimits,
}

impl Common {
    /// One service: its session, the requests under way at a time, and what a body may be.
    #[must_use]
    pub fn new(session: Arc<Session>, in_flight: usize, body_limits: BodyLimits) -> Self {
        let counter = Data::new(Counter::default());
        Self { session, counter, in_flight: Arc::new(Semaphore::new(in_flight)), body_limits }
    }

    /// A place among the requests under way.
    pub(super) fn enter(&self) -> Result<SemaphorePermit<'_>, AppError> {
        self.in_flight.try_acquire().map_err(|_| AppError::Overloaded)
    }

    /// Reads a body as JSON.
    pub(super) async fn body(&self, payload: Payload) -> Result<Value, Problem> {
        extract::parse(&extract::body(payload, self.body_limits).await?)
    }
}

pub(super) fn deadline(headers: &HeaderMap) -> Result<Instant, Problem> {
    Ok(Instant::now() + extract::timeout(headers)?)
}

/// `{}`, and how far the state behind it had come.
pub(super) fn done(status: StatusCode, offset: Offset) -> HttpResponse {
    at_offset(status, offset, &json!({}))
}

/// 204: there is nothing.
pub(super) fn nothing(offset: Offset) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((super::render::OFFSET_HEADER, offset.to_string()))
        .finish()
}

/// Adds what both services have.
pub(super) fn routes(common: Common, config: &mut ServiceConfig) {
    config
        .app_data(common.counter.clone())
        .app_data(Data::new(common))
        .service(methods(
            COUNT_PATH,
            [on("GET", web::get().to(count)), on("DELETE", web::delete().to(reset_count))],
        ))
        .service(methods("/api/v1/db/clear", [on("POST", web::post().to(clear))]))
        .service(methods("/healthz", [on("GET", web::get().to(healthz))]))
        .service(methods("/readyz", [on("GET", web::get().to(readyz))]));
}

/// The requests since the start or the last reset.
#[utoipa::path(
    get, path = COUNT_PATH, tag = "service",
    responses((status = 200, description = "One number.", body = [u64], example = json!([9]))),
)]
pub(super) async fn count(counter: Data<Counter>) -> HttpResponse {
    HttpResponse::Ok().json([counter.0.load(Ordering::Acquire)])
}

/// Counts anew from 0.
#[utoipa::path(
    delete, path = COUNT_PATH, tag = "service",
    responses((status = 200, description = "Done.", body = Nothing)),
)]
pub(super) async fn reset_count(counter: Data<Counter>) -> HttpResponse {
    counter.0.store(0, Ordering::Release);
    HttpResponse::Ok().json(json!({}))
}

/// Clears all rides and users.
#[utoipa::path(
    post, path = "/api/v1/db/clear", tag = "service", params(TimeoutHeader),
    responses(
        (status = 200, description = "Cleared.", body = Nothing),
        problems::Common, problems::Closed,
    ),
)]
pub(super) async fn clear(request: HttpRequest, common: Data<Common>) -> Answer {
    let deadline = deadline(request.headers())?;
    let _place = common.enter()?;
    Ok(done(StatusCode::OK, common.session.clear(deadline).await?))
}

/// Whether the process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "service",
    responses((status = 200, description = "It lives.", body = Object, example = json!({ "status": "ok" }))),
)]
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// Whether the database can be reached.
#[utoipa::path(
    get, path = "/readyz", tag = "service", params(TimeoutHeader),
    responses(
        (status = 200, description = "Ready.", body = Object, example = json!({ "status": "ready" })),
        problems::Common,
    ),
)]
pub(super) async fn readyz(request: HttpRequest, common: Data<Common>) -> Answer {
    common.session.check(deadline(request.headers())?).await?;
    Ok(HttpResponse::Ok().json(json!({ "status": "ready" })))
}
