//! The dashboard: a page that the server renders, and renders anew once a second for as long as
//! somebody looks.
//!
//! It needs nothing from elsewhere, and works without scripts: then it stands still until it is
//! loaded again.

mod charts;
mod page;
mod session;

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION};
use actix_web::web::{self, Bytes, Data, Payload, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::{Stream, stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use self::page::View;
use super::error::Problem;
use super::extract;
use super::orchestrator::State;
use super::server::{methods, on};
use crate::domain::access::Right;
use crate::roles::orchestrator::Pick;
use crate::roles::orchestrator::control::Wanted;

/// Nothing but what this server sends, and no page around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";
/// The pause between two pictures.
const PERIOD: Duration = Duration::from_secs(1);

type Answer = Result<HttpResponse, Problem>;

/// Adds the routes; their state is the orchestrator's.
pub(super) fn routes(config: &mut ServiceConfig) {
    let style = || asset("text/css; charset=utf-8", include_str!("style.css"));
    let script = || asset("text/javascript; charset=utf-8", include_str!("live.js"));
    config
        .service(methods("/", [on("GET", web::get().to(dashboard))]))
        .service(methods("/dashboard/live", [on("GET", web::get().to(live))]))
        .service(methods("/dashboard/order", [on("POST", web::post().to(order))]))
        .service(methods("/dashboard/session", [on("POST", web::post().to(sign_in))]))
        .service(methods("/dashboard/session/end", [on("POST", web::post().to(sign_out))]))
        .service(methods(
            "/dashboard/style.css",
            [on("GET", web::get().to(move || async move { style() }))],
        ))
        .service(methods(
            "/dashboard/live.js",
            [on("GET", web::get().to(move || async move { script() }))],
        ));
}

fn asset(content_type: &str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok().content_type(content_type).body(text)
}

fn html(mut response: HttpResponseBuilder, text: String) -> HttpResponse {
    response
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(text)
}

fn view(state: &State) -> View {
    View {
        unready: state.handle.unready(),
        workers: state.handle.workers(),
        scale: state.handle.scale(),
        renewing: state.handle.renewing().len(),
        events: state.handle.journal.events().as_slice().to_vec(),
        seconds: state.traffic.past(),
    }
}

#[derive(Default, Deserialize)]
struct Notice {
    notice: Option<String>,
}

async fn dashboard(request: HttpRequest, state: Data<State>) -> HttpResponse {
    let Some(right) = session::right(&request) else {
        return html(HttpResponse::Ok(), page::login(None));
    };
    let notice = Query::<Notice>::from_query(request.query_string());
    let notice = notice.ok().and_then(|query| query.into_inner().notice);
    let is_open = session::is_open(&request);
    html(HttpResponse::Ok(), page::dashboard(&view(&state), right, is_open, notice.as_deref()))
}

/// The picture of each second, as server-sent events.
async fn live(request: HttpRequest, state: Data<State>) -> Answer {
    if session::right(&request).is_none() {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "sign in first"));
    }
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(pictures(request, state)))
}

/// Ends when whoever looks is not allowed to any more.
fn pictures(
    request: HttpRequest,
    state: Data<State>,
) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
    stream::unfold((request, state), |(request, state)| async move {
        tokio::select! {
            () = state.closing.cancelled() => return None,
            () = sleep(PERIOD) => {}
        }
        session::right(&request)?;
        let text = page::live(&view(&state)).into_string();
        let lines: String = text.lines().map(|line| format!("data: {line}\n")).collect();
        Some((Ok(Bytes::from(format!("event: state\n{lines}\n"))), (request, state)))
    })
}

async fn form<T: DeserializeOwned>(payload: Payload, state: &State) -> Result<T, Problem> {
    let bytes = extract::body(payload, state.body_limits).await?;
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|error| Problem::bad_request(error.to_string()))?;
    // A form is encoded as a query is.
    let form = Query::<T>::from_query(text);
    form.map(Query::into_inner).map_err(|error| Problem::bad_request(error.to_string()))
}

fn back_to(notice: Option<&str>) -> HttpResponse {
    let place = match notice {
        None => "/".to_owned(),
        Some(notice) => {
            let encoded =
                percent_encoding::utf8_percent_encode(notice, percent_encoding::NON_ALPHANUMERIC);
            format!("/?notice={encoded}")
        }
    };
    HttpResponse::SeeOther().insert_header((LOCATION, place)).finish()
}

#[derive(Deserialize)]
struct SignIn {
    token: String,
}

async fn sign_in(request: HttpRequest, payload: Payload, state: Data<State>) -> Answer {
    session::check_origin(&request)?;
    let SignIn { token } = form(payload, &state).await?;
    let token = token.trim().to_owned();
    if session::right_of(&request, &token).is_none() {
        let text = page::login(Some("This token does not count."));
        return Ok(html(HttpResponse::Unauthorized(), text));
    }
    let mut response = back_to(None);
    let kept = response.add_cookie(&session::begin(&request, token));
    kept.map_err(|error| Problem::bad_request(error.to_string()))?;
    Ok(response)
}

async fn sign_out(request: HttpRequest) -> Answer {
    session::check_origin(&request)?;
    let mut response = back_to(None);
    // A cookie without a value always fits.
    let _ = response.add_cookie(&session::end());
    Ok(response)
}

#[derive(Deserialize)]
struct OrderForm {
    order: String,
    slaves: Option<u32>,
}

async fn order(request: HttpRequest, payload: Payload, state: Data<State>) -> Answer {
    session::check_origin(&request)?;
    if session::right(&request) != Some(Right::Administer) {
        let detail = "this needs the token of an administrator";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let form: OrderForm = form(payload, &state).await?;
    let notice = match carry_out(&form, &state).await? {
        Ok(done) => done,
        Err(refused) => format!("Not done: {refused}"),
    };
    Ok(back_to(Some(&notice)))
}

/// What became of an order, for people. Fails for what is none.
async fn carry_out(form: &OrderForm, state: &State) -> Result<Result<String, String>, Problem> {
    let handle = &state.handle;
    let scale = async |wanted| {
        let scale = handle.set_scale(wanted).await;
        scale.map(|scale| format!("{} slaves are wanted.", scale.slaves)).map_err(told)
    };
    Ok(match (form.order.as_str(), form.slaves) {
        ("scale", Some(slaves)) => scale(Wanted::Slaves(slaves)).await,
        ("auto", _) => scale(Wanted::Auto).await,
        ("pause", _) => handle.set_paused(true).await.map(|()| "Paused.".into()).map_err(told),
        ("resume", _) => handle.set_paused(false).await.map(|()| "Resumed.".into()).map_err(told),
        ("switchover", _) => {
            let done = handle.switch_over(None).await;
            done.map(|it| format!("{} handed over to {}.", it.from, it.to)).map_err(told)
        }
        ("restart", _) => {
            let begun = handle.renew().await;
            begun.map(|it| format!("{} workers are being renewed.", it.len())).map_err(told)
        }
        ("crash-master", _) => {
            handle.crash_master().await.map(|pid| format!("Killed {pid}.")).map_err(told)
        }
        ("crash-slave", _) => {
            let killed = handle.crash_slave(Pick::Lowest).await;
            killed.map(|pid| format!("Killed {pid}.")).map_err(told)
        }
        _ => return Err(Problem::bad_request("there is no such order").with("place", "order")),
    })
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
