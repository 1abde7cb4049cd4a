//! The routes that steer an orchestrator's system.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Payload, ServiceConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::error::Problem;
use super::extract;
use super::openapi::control as described;
use super::openapi::problems;
use super::orchestrator::State;
use super::server::{methods, on};
use crate::domain::ids::NodeId;
use crate::roles::orchestrator::control::{ControlError, Scale, Wanted};

type Answer = Result<HttpResponse, Problem>;

/// Adds the routes; their state is the orchestrator's.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(methods(
            "/api/v1/scale",
            [on("GET", web::get().to(scale)), on("PUT", web::put().to(set_scale))],
        ))
        .service(methods(
            "/api/v1/restart",
            [on("GET", web::get().to(restarting)), on("POST", web::post().to(restart))],
        ))
        .service(methods("/api/v1/recover", [on("POST", web::post().to(recover))]))
        .service(methods("/api/v1/pause", [on("POST", web::post().to(pause))]))
        .service(methods("/api/v1/resume", [on("POST", web::post().to(resume))]))
        .service(methods("/api/v1/switchover", [on("POST", web::post().to(switch_over))]));
}

/// How many slaves are wanted, and what the autoscaler would do.
#[utoipa::path(
    get, path = "/api/v1/scale", tag = "control",
    responses(
        (status = 200, description = "What is wanted, and why.", body = described::Scale),
        problems::Closed,
    ),
)]
pub(super) async fn scale(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(render(&state.handle.scale()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScaleBody {
    slaves: Json,
}

/// Says how many slaves there are to be.
#[utoipa::path(
    put, path = "/api/v1/scale", tag = "control", request_body = described::SetScale,
    responses(
        (status = 200, description = "What is wanted from now on.", body = described::Scale),
        problems::Common, problems::WithBody, problems::Closed,
    ),
)]
pub(super) async fn set_scale(payload: Payload, state: Data<State>) -> Answer {
    let body: ScaleBody = body(payload, &state).await?.ok_or_else(missing_slaves)?;
    let wanted = match &body.slaves {
        Json::String(text) if text == "auto" => Wanted::Auto,
        Json::Number(number) => {
            // More than fits is more than may be.
            let slaves = number.as_u64().ok_or_else(missing_slaves)?;
            Wanted::Slaves(u32::try_from(slaves).unwrap_or(u32::MAX))
        }
        _ => return Err(missing_slaves()),
    };
    Ok(HttpResponse::Ok().json(render(&state.handle.set_scale(wanted).await?)))
}

fn missing_slaves() -> Problem {
    Problem::bad_request("slaves is a number or \"auto\"").with("place", "slaves")
}

fn render(scale: &Scale) -> Json {
    let outlook = scale.outlook.map(|outlook| {
        json!({
            "reads": outlook.so_far.reads,
            "slaves": outlook.so_far.slaves,
            "ends_in_ms": outlook.ends_in_ms,
        })
    });
    json!({
        "slaves": scale.slaves,
        "manual": scale.manual,
        "paused": scale.paused,
        "min_slaves": scale.bounds.0,
        "max_slaves": scale.bounds.1,
        "reads_per_slave": scale.reads_per_slave,
        "outlook": outlook,
    })
}

/// Stops all healing and scaling: nobody is started, replaced, elected or removed.
#[utoipa::path(
    post, path = "/api/v1/pause", tag = "control",
    responses(
        (status = 200, description = "Paused.", body = described::Paused),
        problems::Common, problems::Closed,
    ),
)]
pub(super) async fn pause(state: Data<State>) -> Answer {
    set_paused(&state, true).await
}

/// Goes on with healing and scaling.
#[utoipa::path(
    post, path = "/api/v1/resume", tag = "control",
    responses(
        (status = 200, description = "Goes on.", body = described::Paused),
        problems::Common, problems::Closed,
    ),
)]
pub(super) async fn resume(state: Data<State>) -> Answer {
    set_paused(&state, false).await
}

async fn set_paused(state: &State, paused: bool) -> Answer {
    state.handle.set_paused(paused).await?;
    Ok(HttpResponse::Ok().json(json!({ "paused": paused })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchoverBody {
    to: Option<NodeId>,
}

/// Lets a slave take the master's place, without a request that fails.
#[utoipa::path(
    post, path = "/api/v1/switchover", tag = "control", request_body = Option<described::To>,
    responses(
        (status = 200, description = "Done.", body = described::Switchover),
        (
            status = 404, description = "There is no such slave.",
            body = problems::Problem, content_type = "application/problem+json",
        ),
        (
            status = 409, description = "The system cannot do it as it is now.",
            body = problems::Problem, content_type = "application/problem+json",
        ),
        problems::Common, problems::WithBody, problems::Closed,
    ),
)]
pub(super) async fn switch_over(payload: Payload, state: Data<State>) -> Answer {
    let body: Option<SwitchoverBody> = body(payload, &state).await?;
    let to = body.and_then(|body| body.to);
    Ok(HttpResponse::Ok().json(state.handle.switch_over(to.as_ref()).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecoverBody {
    from: NodeId,
}

/// Begins a new log with what one worker holds, after the broker has lost the old one. Writes that
/// this worker does not hold are lost, and offsets and session tokens from before mean nothing any
/// more. Refused unless that worker has stopped because the log lacks what it holds.
#[utoipa::path(
    post, path = "/api/v1/recover", tag = "control", request_body = described::From,
    responses(
        (status = 200, description = "Done.", body = described::Recovery),
        (
            status = 404, description = "There is no such worker.",
            body = problems::Problem, content_type = "application/problem+json",
        ),
        (
            status = 409, description = "Nothing is known to be lost.",
            body = problems::Problem, content_type = "application/problem+json",
        ),
        problems::Common, problems::WithBody, problems::Closed,
    ),
)]
pub(super) async fn recover(payload: Payload, state: Data<State>) -> Answer {
    let body: Option<RecoverBody> = body(payload, &state).await?;
    let missing = || Problem::bad_request("from is the name of a worker").with("place", "from");
    let from = body.ok_or_else(missing)?.from;
    Ok(HttpResponse::Ok().json(state.handle.recover(&from).await?))
}

/// Lets a new worker take the place of each that there is, the master last, without a request that
/// fails: to have them run another version, say.
#[utoipa::path(
    post, path = "/api/v1/restart", tag = "control",
    responses(
        (status = 202, description = "Begun. Ask again how far it is.", body = described::Restart),
        (
            status = 409, description = "It is under way already.",
            body = problems::Problem, content_type = "application/problem+json",
        ),
        problems::Common, problems::Closed,
    ),
)]
pub(super) async fn restart(state: Data<State>) -> Answer {
    let remaining = state.handle.renew().await?;
    Ok(HttpResponse::Accepted().json(json!({ "remaining": remaining })))
}

/// Which workers are still to be replaced; none when nothing of it is under way.
#[utoipa::path(
    get, path = "/api/v1/restart", tag = "control",
    responses(
        (status = 200, description = "The workers.", body = described::Restart), problems::Closed,
    ),
)]
pub(super) async fn restarting(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "remaining": state.handle.renewing() }))
}

/// A small body; nothing where there is none, or `null`.
async fn body<T: DeserializeOwned>(payload: Payload, state: &State) -> Result<Option<T>, Problem> {
    let bytes = extract::body(payload, state.body_limits).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&bytes).map_err(|error| Problem::bad_request(error.to_string()))
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let detail = error.to_string();
        match error {
            ControlError::NotNow(_) => Self::new(StatusCode::CONFLICT, detail),
            ControlError::Unknown(_) | ControlError::NoWorker { .. } => {
                Self::new(StatusCode::NOT_FOUND, detail)
            }
            ControlError::Invalid(_) => Self::bad_request(detail).with("place", "slaves"),
            ControlError::Coordination(_) | ControlError::Containers(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            }
            ControlError::Unfinished(_) => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, detail).with("outcome", "unknown")
            }
        }
    }
}
