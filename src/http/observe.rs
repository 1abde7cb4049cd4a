//! A span, a request id and metrics for every request.

use std::time::Instant;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Data;
use tracing::{Instrument, debug, info_span};

use super::apps::Counter;
use super::traffic::Traffic;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where documents are read and written.
const DOCUMENTS: &str = "/api/v1/db/";

/// Wraps a request; given to `actix_web::middleware::from_fn`.
pub(super) async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    if let Some(counter) = request.app_data::<Data<Counter>>() {
        counter.count(request.path());
    }
    let id = uuid::Uuid::now_v7();
    let method = request.method().clone();
    // The pattern, not the path: paths are without number.
    let route = request.match_pattern().unwrap_or_else(|| "unknown".to_owned());
    let traffic =
        route.starts_with(DOCUMENTS).then(|| request.app_data::<Data<Traffic>>().cloned());
    let span = info_span!("request", %id, %method, route);
    let mut response = next.call(request).instrument(span.clone()).await?;
    let status = response.status().as_u16();
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let elapsed = started.elapsed();
    if let Some(traffic) = traffic.flatten() {
        traffic.record(elapsed, status >= 500);
    }
    span.in_scope(|| debug!(status, elapsed_us = elapsed.as_micros(), "answered"));
    let labels = [("route", route), ("method", known(&method)), ("status", status.to_string())];
    metrics::counter!("rideshare_http_requests_total", &labels).increment(1);
    let [route, ..] = labels;
    metrics::histogram!("rideshare_http_request_seconds", &[route]).record(elapsed.as_secs_f64());
    Ok(response)
}

/// A client may send any word as the method; each would be a series of its own.
fn known(method: &Method) -> String {
    let known = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
        Method::PATCH,
    ];
    if known.contains(method) { method.to_string() } else { "other".to_owned() }
}
