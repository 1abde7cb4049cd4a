//! The services of the system over HTTP: kept-alive connections, deadlines, and repeated attempts.
//!
//! Whatever goes out here may go out more than once: reads are free to repeat, writes carry an
//! idempotency key.

mod database;
mod probe;
mod users;

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use bytes::Bytes;
use reqwest::{Client, ClientBuilder, RequestBuilder, StatusCode};
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::adapters::tls::trusting;
use crate::domain::access::{Right, Tokens};
use crate::domain::ids::Offset;

pub use database::HttpDatabase;
pub use probe::probe;
pub use users::HttpUsers;

const OFFSET_HEADER: &str = "X-Rideshare-Offset";
/// Tells a service how long an answer is waited for, in milliseconds.
pub const TIMEOUT_HEADER: &str = "X-Request-Timeout-Ms";
/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// A connection that nobody uses is closed before the server does it.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// The server knows the deadline too; its own word of it is worth this much waiting.
const GRACE: Duration = Duration::from_millis(250);
/// The longest time that a server takes on, in milliseconds.
const MAX_TIMEOUT_MS: u128 = 60_000;
/// The pause before the second attempt; then twice that, and so on.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// An HTTP client for services inside the system; cheap to clone. Over TLS it trusts the
/// authorities in `ca_file`, or the well-known ones where that is empty.
///
/// # Errors
/// When the file cannot be used, or the resolver set-up of this machine.
pub fn client(ca_file: &Path) -> anyhow::Result<Client> {
    Ok(builder(ca_file)?.build()?)
}

/// The same client before it is made, for those who want it a little different.
///
/// # Errors
/// As [`client`].
pub fn builder(ca_file: &Path) -> anyhow::Result<ClientBuilder> {
    let ca_file = Some(ca_file).filter(|path| !path.as_os_str().is_empty());
    let builder = Client::builder()
        .tls_backend_preconfigured(trusting(ca_file, "http.ca_file")?)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_LIMIT)
        .pool_idle_timeout(IDLE_LIMIT)
        .tcp_nodelay(true);
    Ok(builder)
}

/// Shows the first token that gives a right; none where there is none.
pub fn show_token(request: RequestBuilder, tokens: &Tokens, right: Right) -> RequestBuilder {
    match tokens.to_show(right) {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}

/// An answer that is not "try again".
#[derive(Debug)]
pub struct Answer {
    /// Success, or the client's mistake.
    pub status: StatusCode,
    offset: Option<Offset>,
    /// Whole.
    pub body: Bytes,
}

impl Answer {
    /// What a problem says to people.
    #[must_use]
    pub fn detail(&self) -> String {
        detail(&self.body)
    }
}

/// All attempts failed.
#[derive(Debug)]
pub struct GivenUp {
    /// One of them may have been carried out.
    pub maybe_done: bool,
    /// Why the last one failed.
    pub cause: anyhow::Error,
}

/// One attempt that failed.
struct Failed {
    maybe_done: bool,
    cause: anyhow::Error,
}

/// Sends until somebody answers or the time is over.
///
/// # Errors
/// When nobody did, or nobody was able to.
pub async fn call(
    deadline: Instant,
    request: impl Fn() -> RequestBuilder,
) -> Result<Answer, GivenUp> {
    let (mut maybe_done, mut pause) = (false, FIRST_PAUSE);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let failed = match attempt(request(), left).await {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        maybe_done |= failed.maybe_done;
        if Instant::now() + pause >= deadline {
            return Err(GivenUp { maybe_done, cause: failed.cause });
        }
        debug!(error = %format!("{:#}", failed.cause), "attempt failed");
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn attempt(request: RequestBuilder, left: Duration) -> Result<Answer, Failed> {
    let told_ms = left.as_millis().clamp(1, MAX_TIMEOUT_MS);
    let request = request.header(TIMEOUT_HEADER, told_ms.to_string()).timeout(left + GRACE);
    let response = request.send().await.map_err(|error| Failed {
        maybe_done: !(error.is_connect() || error.is_builder()),
        cause: error.into(),
    })?;
    let status = response.status();
    let offset = response.headers().get(OFFSET_HEADER);
    let offset = offset.and_then(|text| text.to_str().ok()?.parse().ok()).map(Offset);
    let body = response.bytes().await;
    if status.is_server_error() {
        // 503 promises that nothing was done; the others do not.
        let maybe_done = status != StatusCode::SERVICE_UNAVAILABLE;
        let detail = body.map(|body| detail(&body)).unwrap_or_default();
        return Err(Failed { maybe_done, cause: anyhow!("answered {status}: {detail}") });
    }
    let body = body.map_err(|error| Failed { maybe_done: true, cause: error.into() })?;
    Ok(Answer { status, offset, body })
}

/// What a problem document says to people.
fn detail(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Problem {
        detail: String,
    }
    serde_json::from_slice::<Problem>(body).map(|problem| problem.detail).unwrap_or_default()
}

fn unexpected(answer: &Answer) -> anyhow::Error {
    anyhow!("answered {}: {}", answer.status, detail(&answer.body))
}
