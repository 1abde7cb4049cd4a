//! The routes of a worker, for whoever watches it; its work comes over the broker.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use super::render;
use super::server::{methods, on};

/// Adds the routes.
pub fn routes(recorder: PrometheusHandle, config: &mut ServiceConfig) {
    config
        .app_data(Data::new(recorder))
        .service(methods("/healthz", [on("GET", web::get().to(healthz))]))
        .service(methods("/metrics", [on("GET", web::get().to(metrics))]));
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

async fn metrics(recorder: Data<PrometheusHandle>) -> HttpResponse {
    render::metrics(&recorder)
}
