//! What a backup reads besides documents: which collections there are, and the log.

use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, Data, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, stream};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::warn;

use super::error::Problem;
use super::extract;
use super::openapi::backup as described;
use super::openapi::database::TimeoutHeader;
use super::openapi::problems;
use super::orchestrator::State;
use super::server::{methods, on};
use crate::domain::ids::Offset;
use crate::domain::log::Record;
use crate::ports::log::{LogError, LogItem};
use crate::roles::chain;
use crate::roles::orchestrator::records::{Records, RecordsError};

/// Adds the routes; their state is the orchestrator's.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(methods("/api/v1/collections", [on("GET", web::get().to(collections))]))
        .service(methods("/api/v1/log", [on("GET", web::get().to(log))]));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AtLeast {
    #[serde(default)]
    min_offset: Offset,
}

/// Every collection that holds documents or has an index.
#[utoipa::path(
    get, path = "/api/v1/collections", tag = "backup",
    params(
        ("min_offset" = Option<u64>, Query, description = "At this offset, or later."),
        TimeoutHeader,
    ),
    responses(
        (status = 200, description = "The collections.", body = described::Collections),
        problems::Common, problems::Closed,
    ),
)]
pub(super) async fn collections(
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let AtLeast { min_offset: at_least } = query(&request)?;
    let timeout = extract::timeout(request.headers())?;
    let (offset, collections) = state.handle.gateway.catalog(at_least, timeout).await?;
    Ok(HttpResponse::Ok().json(json!({ "collections": collections, "offset": offset })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stretch {
    first: Offset,
    last: Offset,
}

/// The records of the log from one offset to another, a line each.
#[utoipa::path(
    get, path = "/api/v1/log", tag = "backup",
    params(
        ("first" = u64, Query, description = "The offset of the first record."),
        ("last" = u64, Query, description = "The offset of the last record; it must be there."),
    ),
    responses(
        (
            status = 200, description = "JSON, a line for each record.",
            body = described::Line, content_type = "application/x-ndjson",
        ),
        (
            status = 410, description = "The log does not reach back so far any more.",
            body = problems::Problem, content_type = "application/problem+json",
        ),
        problems::Common, problems::Closed,
    ),
)]
pub(super) async fn log(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, Problem> {
    let Stretch { first, last } = query(&request)?;
    let mut records = state.handle.records(first, last).await?;
    // The first ones decide on the status; who is told of a failure later sees no last record.
    let begun = records.next().await?;
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(lines(begun, records)))
}

fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    let query = Query::<T>::from_query(request.query_string());
    query.map(Query::into_inner).map_err(|error| Problem::bad_request(error.to_string()))
}

fn lines(
    begun: Option<Vec<LogItem>>,
    records: Records,
) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
    stream::unfold((begun, Some(records)), |(begun, records)| async move {
        let mut records = records?;
        let text: String = begun?.iter().map(line).collect();
        match records.next().await {
            Ok(next) => Some((Ok(text.into()), (next, Some(records)))),
            Err(error) => {
                warn!(error = %chain(error), "log not read to its end");
                let error = actix_web::error::ErrorInternalServerError("the log ends here");
                Some((Err(error), (None, None)))
            }
        }
    })
}

fn line(item: &LogItem) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        offset: Offset,
        /// Nothing for what is no record.
        record: Option<&'a Record>,
    }
    let record = item.record.as_ref().ok().map(AsRef::as_ref);
    let line = serde_json::to_string(&Line { offset: item.offset, record });
    line.map(|line| line + "\n").unwrap_or_default()
}

impl From<RecordsError> for Problem {
    fn from(error: RecordsError) -> Self {
        let detail = error.to_string();
        match error {
            RecordsError::NotYet { next } => Self::bad_request(detail).with("next", next.0),
            RecordsError::Log(LogError::Truncated { first }) => {
                Self::new(StatusCode::GONE, detail).with("first", first.0)
            }
            RecordsError::Log(_) | RecordsError::Silent => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            }
        }
    }
}
