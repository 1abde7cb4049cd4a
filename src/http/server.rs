//! Listeners, the common parts of every service, and the end of a server.

use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, Resource, ResponseError, Route};

use tokio::task::{JoinHandle, JoinSet};

use super::access::{Guard, guard};
use super::error::Problem;
use super::observe::observe;
use super::pace::{Pace, pace};
use super::tls::Certificate;

/// How long requests under way may take to finish when the server stops.
const STOP_LIMIT_SECS: u64 = 10;
/// How long a client may take to send its request head.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// An idle connection is kept this long.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to agree on the terms of TLS.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);

/// How a server serves, and whom.
#[derive(Clone)]
pub struct Options {
    /// Threads that serve.
    pub threads: usize,
    /// Connections at a time, of all threads; more have to wait.
    pub connections: usize,
    /// Who may do what.
    pub guard: Guard,
    /// How much of it.
    pub pace: Pace,
    /// For TLS; without one, there is none.
    pub certificate: Option<Certificate>,
}

/// One method of a path.
pub(super) struct Method {
    name: &'static str,
    route: Route,
}

pub(super) fn on(name: &'static str, route: Route) -> Method {
    Method { name, route }
}

/// A path with its methods; any other method is 405 with `Allow`.
pub(super) fn methods<const N: usize>(path: &str, methods: [Method; N]) -> Resource {
    let allowed = methods.iter().map(|method| method.name).collect::<Vec<_>>().join(", ");
    let resource = web::resource(path);
    let resource = methods.into_iter().fold(resource, |it, method| it.route(method.route));
    resource.default_service(web::to(move |request: HttpRequest| {
        let detail = format!("{} is not one of {allowed}", request.method());
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail);
        let mut response = problem.error_response();
        if let Ok(allowed) = header::HeaderValue::from_str(&allowed) {
            response.headers_mut().insert(header::ALLOW, allowed);
        }
        async move { response }
    }))
}

/// A browser is to take answers for what they say they are, to show them in no other page, and to tell
/// nobody where it comes from.
fn security_headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::X_FRAME_OPTIONS, "DENY"))
        .add((header::REFERRER_POLICY, "no-referrer"))
}

async fn not_found(request: HttpRequest) -> HttpResponse {
    let detail = format!("there is nothing at {}", request.path());
    Problem::new(StatusCode::NOT_FOUND, detail).error_response()
}

/// A server that serves, with what attends it.
pub struct Running {
    handle: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
    attendants: JoinSet<()>,
}

impl Running {
    /// Runs something as long as the server.
    pub fn attend(&mut self, attendant: impl Future<Output = ()> + Send + 'static) {
        self.attendants.spawn(attendant);
    }

    /// Waits until the server ends by itself, which it never should.
    ///
    /// # Errors
    /// Why it ended.
    pub async fn ended(&mut self) -> std::io::Result<()> {
        (&mut self.serving).await.map_err(std::io::Error::other)?
    }

    /// Takes no more connections, finishes the requests under way, and ends what attends.
    ///
    /// # Errors
    /// When the server had ended with an error.
    pub async fn stop(mut self) -> std::io::Result<()> {
        self.attendants.abort_all();
        self.handle.stop(true).await;
        if self.serving.is_finished() {
            return Ok(());
        }
        self.serving.await.map_err(std::io::Error::other)?
    }
}

/// Starts a server on a listener that is bound already, with a guard before its routes.
///
/// # Errors
/// When the listener or the certificate cannot be used.
pub fn start(
    listener: TcpListener,
    options: Options,
    routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> anyhow::Result<Running> {
    let pace = options.pace.clone();
    let server = build(listener, options, routes)?;
    let handle = server.handle();
    let mut running = Running { handle, serving: tokio::spawn(server), attendants: JoinSet::new() };
    running.attend(pace.forget());
    Ok(running)
}

fn build(
    listener: TcpListener,
    options: Options,
    routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> anyhow::Result<Server> {
    let Options { threads, connections, guard: guarded, pace: paced, certificate } = options;
    let (guarded, paced) = (Data::new(guarded), Data::new(paced));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(guarded.clone())
            .app_data(paced.clone())
            .wrap(from_fn(guard))
            .wrap(from_fn(pace))
            .wrap(from_fn(observe))
            .wrap(security_headers())
            .configure(|config| routes(config))
            .default_service(web::to(not_found))
    })
    .workers(threads)
    .max_connections(connections.div_ceil(threads.max(1)))
    .client_request_timeout(HEAD_LIMIT)
    .tls_handshake_timeout(HANDSHAKE_LIMIT)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(STOP_LIMIT_SECS)
    .disable_signals();
    let server = match certificate {
        Some(certificate) => server.listen_rustls_0_23(listener, certificate.server_config()?)?,
        None => server.listen(listener)?,
    };
    Ok(server.run())
}
