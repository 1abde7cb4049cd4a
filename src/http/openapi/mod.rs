//! The description of the three services, OpenAPI 3.1, and the page that shows it.
//!
//! The routes describe themselves where they are defined; here they are put together.

pub(super) mod apps;
pub(super) mod backup;
pub(super) mod control;
pub(super) mod database;
pub(super) mod problems;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{self, Data, ServiceConfig};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::server::{methods, on};

const DESCRIPTION: &str = "/openapi.json";

/// The database.
#[derive(OpenApi)]
#[openapi(
    info(title = "RideShare database", description = "A fault-tolerant document database."),
    modifiers(&Bearer),
    security((), ("bearer" = [])),
    paths(
        super::orchestrator::write,
        super::orchestrator::read,
        super::orchestrator::clear,
        super::orchestrator::crash_master,
        super::orchestrator::crash_slave,
        super::orchestrator::worker_list,
        super::orchestrator::workers,
        super::events::events,
        super::control::scale,
        super::control::set_scale,
        super::control::pause,
        super::control::resume,
        super::control::switch_over,
        super::control::recover,
        super::control::restart,
        super::control::restarting,
        super::backup::collections,
        super::backup::log,
        super::orchestrator::healthz,
        super::orchestrator::readyz,
        super::orchestrator::metrics,
    )
)]
pub(super) struct Database;

/// The users service.
#[derive(OpenApi)]
#[openapi(
    info(title = "RideShare users", description = "Who may offer rides and join them."),
    modifiers(&Bearer),
    security((), ("bearer" = [])),
    paths(
        super::users::create,
        super::users::list,
        super::users::find,
        super::users::delete,
        super::users::look_up,
        super::users::delete_named,
        super::apps::count,
        super::apps::reset_count,
        super::apps::clear,
        super::apps::healthz,
        super::apps::readyz,
    )
)]
pub(super) struct Users;

/// The rides service.
#[derive(OpenApi)]
#[openapi(
    info(title = "RideShare rides", description = "Rides between the wards of Bangalore."),
    modifiers(&Bearer),
    security((), ("bearer" = [])),
    paths(
        super::rides::create,
        super::rides::list,
        super::rides::count,
        super::rides::find,
        super::rides::join,
        super::rides::delete,
        super::apps::count,
        super::apps::reset_count,
        super::apps::clear,
        super::apps::healthz,
        super::apps::readyz,
    )
)]
pub(super) struct Rides;

/// Names the token, which is asked for where `auth.mode` is `token`.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("bearer", scheme);
    }
}

/// A description, written out.
#[derive(Clone)]
struct Described(String);

/// Adds `/openapi.json` and `/docs`.
pub(super) fn routes<D: OpenApi>(config: &mut ServiceConfig) {
    let described = D::openapi().to_json().unwrap_or_default();
    let page = SwaggerUi::new("/docs/{_:.*}").config(Config::from(DESCRIPTION));
    config
        .app_data(Data::new(Described(described)))
        .service(methods(DESCRIPTION, [on("GET", web::get().to(describe))]))
        .service(methods("/docs", [on("GET", web::get().to(to_page))]))
        .service(page);
}

async fn describe(described: Data<Described>) -> HttpResponse {
    HttpResponse::Ok().content_type(header::ContentType::json()).body(described.0.clone())
}

/// The page's files are found relative to its address.
async fn to_page() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "docs/")).finish()
}
