//! Lets in who shows the right token.
//!
//! What a route needs stands in one table. A route that it does not name needs a token, so that
//! none is open because somebody forgot it.

use std::sync::Arc;

use actix_web::Error;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{HttpResponse, ResponseError};
use tokio::sync::watch;

use super::error::Problem;
use crate::domain::access::{Denial, Right, Tokens};

/// The kinds of services, by what their routes need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// An orchestrator.
    Database,
    /// The users or the rides service. Whoever reaches it may use it; only clearing it is not for
    /// everyone.
    App,
    /// A worker: it has nothing but its health and its metrics.
    Worker,
}

/// Health, metrics and descriptions hold no documents and no secrets.
const OPEN: [&str; 6] =
    ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/{_:.*}"];
/// The dashboard, which asks for a token itself.
const DASHBOARD: [&str; 7] = [
    "/",
    "/dashboard/live",
    "/dashboard/order",
    "/dashboard/session",
    "/dashboard/session/end",
    "/dashboard/style.css",
    "/dashboard/live.js",
];
/// What changes the system itself, or tells who did.
const ADMIN: [&str; 11] = [
    "/api/v1/db/clear",
    "/api/v1/crash/master",
    "/api/v1/crash/slave",
    "/api/v1/events",
    "/api/v1/log",
    "/api/v1/restart",
    "/api/v1/scale",
    "/api/v1/pause",
    "/api/v1/resume",
    "/api/v1/switchover",
    "/api/v1/recover",
];

impl Policy {
    /// What a route needs; nothing where everyone may have it.
    fn needs(self, route: Option<&str>) -> Option<Right> {
        let is_among = |routes: &[&str]| route.is_some_and(|route| routes.contains(&route));
        if is_among(&ADMIN) {
            return Some(Right::Administer);
        }
        match self {
            Self::Database if is_among(&OPEN) || is_among(&DASHBOARD) => None,
            Self::Database => Some(Right::Use),
            Self::App | Self::Worker => None,
        }
    }
}

/// Stands before the routes of one service.
#[derive(Clone, Debug)]
pub struct Guard {
    policy: Policy,
    tokens: Option<watch::Receiver<Arc<Tokens>>>,
}

impl Guard {
    /// Asks for the tokens that count at the moment; without any, lets everyone in.
    #[must_use]
    pub const fn new(policy: Policy, tokens: Option<watch::Receiver<Arc<Tokens>>>) -> Self {
        Self { policy, tokens }
    }

    /// What a token gives, or none where everyone may do everything.
    pub(super) fn right(&self, token: Option<&str>) -> Option<Right> {
        match &self.tokens {
            None => Some(Right::Administer),
            Some(tokens) => tokens.borrow().right(token?),
        }
    }

    fn check(&self, request: &ServiceRequest) -> Result<(), Denial> {
        // First, since finding the route again costs every request of an open service something.
        let Some(tokens) = &self.tokens else { return Ok(()) };
        let route = request.match_pattern();
        let Some(needed) = self.policy.needs(route.as_deref()) else { return Ok(()) };
        tokens.borrow().judge(bearer(request.headers()), needed)
    }
}

/// The token that a request shows.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Wraps a request; given to `actix_web::middleware::from_fn`.
pub(super) async fn guard<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let guard = request.app_data::<Data<Guard>>();
    match guard.and_then(|it| it.check(&request).err()) {
        Some(denial) => Ok(request.into_response(refusal(denial)).map_into_right_body()),
        None => Ok(next.call(request).await?.map_into_left_body()),
    }
}

fn refusal(denial: Denial) -> HttpResponse {
    let (status, detail, challenge) = match denial {
        Denial::Missing => {
            let detail = "a bearer token is needed: `Authorization: Bearer …`";
            (StatusCode::UNAUTHORIZED, detail, r#"Bearer realm="rideshare""#)
        }
        Denial::Unknown => {
            let challenge = r#"Bearer realm="rideshare", error="invalid_token""#;
            (StatusCode::UNAUTHORIZED, "this token does not count", challenge)
        }
        Denial::Insufficient => {
            let detail = "this needs the token of an administrator";
            let challenge = r#"Bearer realm="rideshare", error="insufficient_scope""#;
            (StatusCode::FORBIDDEN, detail, challenge)
        }
    };
    let mut response = Problem::new(status, detail).error_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_needs_what_its_kind_calls_for() {
        use Policy::{App, Database, Worker};
        use Right::{Administer, Use};
        for (policy, route, needed) in [
            (Database, Some("/api/v1/db/write"), Some(Use)),
            (Database, Some("/api/v1/workers"), Some(Use)),
            (Database, Some("/api/v1/crash/slave"), Some(Administer)),
            (Database, Some("/api/v1/events"), Some(Administer)),
            (Database, Some("/healthz"), None),
            (Database, Some("/dashboard/order"), None),
            (Database, Some("/forgotten"), Some(Use)),
            (Database, None, Some(Use)),
            (App, Some("/api/v1/users"), None),
            (App, Some("/api/v1/db/clear"), Some(Administer)),
            (Worker, Some("/metrics"), None),
        ] {
            assert_eq!(policy.needs(route), needed, "{policy:?} {route:?}");
        }
    }

    #[test]
    fn only_a_bearer_s_token_is_taken() {
        for (value, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer", None),
            ("abc", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(bearer(&headers), expected, "{value:?}");
        }
    }
}
