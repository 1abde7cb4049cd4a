//! The events of an orchestrator: all at once, or as they come (server-sent events).

use std::time::Duration;

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, stream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::error::Problem;
use super::openapi::database as described;
use super::openapi::problems;
use super::orchestrator::State;
use crate::domain::events::Event;
use crate::roles::orchestrator::journal::Follower;

/// A line without a meaning is sent this often, so that nobody takes the connection for dead.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: &str = "Last-Event-ID";

/// What happened to the workers, oldest first; with `Accept: text/event-stream` also what happens
/// from now on, from the event after `Last-Event-ID`.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "sight",
    responses((status = 200, description = "Events.", body = [described::Event]), problems::Closed),
)]
pub(super) async fn events(
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    if !wants_stream(request.headers()) {
        return Ok(HttpResponse::Ok().json(state.handle.journal.events().as_slice()));
    }
    let after = last_seen(request.headers())?;
    let stream = render(state.handle.journal.follow(), after, state.closing.clone());
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // A proxy before it is not to collect what it sends.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(stream))
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).filter_map(|it| it.to_str().ok());
    accepted.any(|it| it.to_ascii_lowercase().contains("text/event-stream"))
}

fn last_seen(headers: &HeaderMap) -> Result<u64, Problem> {
    let parse = |value: &HeaderValue| value.to_str().ok()?.trim().parse().ok();
    match headers.get(LAST_EVENT_ID) {
        None => Ok(0),
        Some(value) => parse(value).ok_or_else(|| {
            Problem::bad_request(format!("{LAST_EVENT_ID} is not the id of an event"))
        }),
    }
}

fn render(
    follower: Follower,
    after: u64,
    closing: CancellationToken,
) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
    stream::unfold((follower, after), move |(mut follower, after)| {
        let closing = closing.clone();
        async move {
            let next = timeout(SIGN_OF_LIFE, follower.after(after));
            let events = tokio::select! {
                () = closing.cancelled() => return None,
                next = next => next,
            };
            match events {
                Err(_) => Some((Ok(Bytes::from_static(b":\n\n")), (follower, after))),
                Ok(None) => None,
                Ok(Some(events)) => {
                    let last = events.last().map_or(after, |event| event.id);
                    let text: String = events.iter().map(message).collect();
                    Some((Ok(text.into()), (follower, last)))
                }
            }
        }
    })
}

/// JSON has no line breaks, so that one line holds it.
fn message(event: &Event) -> String {
    let data = serde_json::to_string(event).unwrap_or_default();
    format!("id: {}\nevent: {}\ndata: {data}\n\n", event.id, event.kind.as_str())
}
