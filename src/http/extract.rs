//! Reads bodies and headers, with their limits.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::web::{Bytes, Payload};

use super::error::Problem;
use super::render::OFFSET_HEADER;
use crate::domain::document::{Value, json};
use crate::domain::ids::Offset;
use crate::domain::request::Acknowledgement;
use crate::domain::request::native::parse_acknowledgement;

/// How long a request may take where it does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may ask to take, in milliseconds.
const MAX_TIMEOUT_MS: u64 = 60_000;
/// The longest idempotency key, in characters.
const MAX_KEY: usize = 128;

/// What a body may be.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Its length.
    pub bytes: usize,
    /// How long it may take to arrive.
    pub time: Duration,
}

/// Reads a whole body.
pub(super) async fn body(payload: Payload, limits: BodyLimits) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("the body is larger than {} bytes", limits.bytes);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    match tokio::time::timeout(limits.time, payload.to_bytes_limited(limits.bytes)).await {
        Err(_) => {
            let detail = format!("the body was not there within {} s", limits.time.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
        }
        Ok(Ok(Ok(bytes))) => Ok(bytes),
        Ok(Ok(Err(error))) => {
            Err(Problem::bad_request(format!("the body could not be read: {error}")))
        }
        Ok(Err(_)) => Err(too_large()),
    }
}

/// Reads a JSON value.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    json::parse(bytes).map_err(|error| Problem::bad_request(error.to_string()))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().ok().map(str::trim);
    text.map(Some).ok_or_else(|| Problem::bad_request(format!("header {name} is not plain text")))
}

/// `X-Request-Timeout-Ms`.
pub(super) fn timeout(headers: &HeaderMap) -> Result<Duration, Problem> {
    let Some(text) = text(headers, "X-Request-Timeout-Ms")? else { return Ok(DEFAULT_TIMEOUT) };
    match text.parse() {
        Ok(ms @ 1..=MAX_TIMEOUT_MS) => Ok(Duration::from_millis(ms)),
        _ => Err(Problem::bad_request(format!(
            "X-Request-Timeout-Ms is a number from 1 to {MAX_TIMEOUT_MS}"
        ))),
    }
}

/// `X-Rideshare-Offset` of a request: how far the client has seen.
pub(super) fn offset(headers: &HeaderMap) -> Result<Option<Offset>, Problem> {
    let Some(text) = text(headers, OFFSET_HEADER)? else { return Ok(None) };
    let offset = text.parse().map(Offset);
    let wrong = |_| Problem::bad_request(format!("{OFFSET_HEADER} is not an offset"));
    offset.map(Some).map_err(wrong)
}

/// The last part of a path, decoded. `None` when it is no UTF-8 text.
pub(super) fn last_segment(path: &str) -> Option<String> {
    let (_, segment) = path.rsplit_once('/')?;
    let decoded = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// `X-Rideshare-Ack`.
pub(super) fn acknowledgement(headers: &HeaderMap) -> Result<Acknowledgement, Problem> {
    match text(headers, "X-Rideshare-Ack")? {
        None => Ok(Acknowledgement::default()),
        Some(text) => Ok(parse_acknowledgement(text)?),
    }
}

/// `Idempotency-Key`.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    match text(headers, "Idempotency-Key")? {
        None => Ok(None),
        Some(key) if (1..=MAX_KEY).contains(&key.chars().count()) => Ok(Some(key.to_owned())),
        Some(_) => {
            Err(Problem::bad_request(format!("Idempotency-Key has from 1 to {MAX_KEY} characters")))
        }
    }
}
