//! Errors as problem documents (RFC 9457), and the one table that maps them to status codes.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, ContentType};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Map, Value as Json, json};

use crate::domain::ids::Offset;
use crate::domain::outcome::Refusal;
use crate::domain::request::InvalidRequest;
use crate::ports::database::DatabaseError;
use crate::roles::apps::AppError;
use crate::roles::chain;
use crate::roles::orchestrator::CrashError;
use crate::roles::orchestrator::gateway::GatewayError;

/// A failure as its client sees it.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    detail: String,
    fields: Map<String, Json>,
    offset: Option<Offset>,
}

impl Problem {
    /// A problem with a reason for people.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), fields: Map::new(), offset: None }
    }

    /// The client's mistake.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// A field for programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Says how far the state behind it had come.
    #[must_use]
    pub(super) fn at(mut self, offset: Offset) -> Self {
        self.offset = Some(offset);
        self
    }

    /// A refused write, recorded at an offset.
    #[must_use]
    pub fn refused(refusal: &Refusal, offset: Offset) -> Self {
        Self::of_refusal(refusal).at(offset)
    }

    fn of_refusal(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Conflict { ids } => {
                let detail = "documents with these ids exist already";
                Self::new(StatusCode::CONFLICT, detail).with("ids", json!(ids))
            }
            Refusal::Unfit { detail } => Self::bad_request(detail.clone()),
            Refusal::Forgotten => GatewayError::WriteUnknown.into(),
            Refusal::TimedOut => {
                let detail = "finding what the request is about took too long; nothing was written";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            }
            Refusal::InBatch { index, refusal } => {
                Self::of_refusal(refusal).with("index", json!(index))
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.status, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut body = Map::new();
        body.insert("type".to_owned(), json!("about:blank"));
        body.insert("title".to_owned(), json!(self.status.canonical_reason().unwrap_or("Error")));
        body.insert("status".to_owned(), json!(self.status.as_u16()));
        body.insert("detail".to_owned(), json!(self.detail));
        body.extend(self.fields.clone());
        let mut response = HttpResponse::build(self.status);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((header::RETRY_AFTER, "1"));
        }
        if let Some(offset) = self.offset {
            response.insert_header((super::render::OFFSET_HEADER, offset.to_string()));
        }
        response
            .insert_header(ContentType(
                "application/problem+json".parse().unwrap_or(actix_web::mime::APPLICATION_JSON),
            ))
            .body(Json::Object(body).to_string())
    }
}

impl From<InvalidRequest> for Problem {
    fn from(error: InvalidRequest) -> Self {
        Self::bad_request(error.to_string()).with("place", error.place)
    }
}

impl From<GatewayError> for Problem {
    fn from(error: GatewayError) -> Self {
        let detail = error.to_string();
        match error {
            GatewayError::Overloaded | GatewayError::NotSent | GatewayError::ReadTimedOut => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            }
            GatewayError::WriteUnknown => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, detail).with("outcome", "unknown")
            }
            GatewayError::ReplicasMissing { offset, reached } => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, detail)
                    .with("outcome", "unknown")
                    .with("offset", offset.0)
                    .with("replicas", reached)
            }
            GatewayError::ReadRefused(_) => Self::bad_request(detail),
            GatewayError::TooLarge(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail),
        }
    }
}

impl From<CrashError> for Problem {
    fn from(error: CrashError) -> Self {
        match error {
            CrashError::Nobody(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            CrashError::Containers(source) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, source.to_string())
            }
        }
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        let detail = error.to_string();
        match error {
            AppError::Invalid(invalid) => invalid.into(),
            AppError::Refused(detail) => Self::bad_request(detail),
            AppError::Overloaded => Self::new(StatusCode::SERVICE_UNAVAILABLE, detail),
            AppError::Database(error) => error.into(),
            AppError::Users(error) => {
                tracing::warn!(error = %chain(error), "not looked up");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            }
        }
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        let detail = error.to_string();
        let logged = |error| tracing::warn!(error = %format!("{error:#}"), "no answer from below");
        match error {
            DatabaseError::Unavailable(source) => {
                logged(source);
                Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            }
            DatabaseError::Unknown(source) => {
                logged(source);
                Self::new(StatusCode::GATEWAY_TIMEOUT, detail).with("outcome", "unknown")
            }
            DatabaseError::Conflict { ids } => {
                Self::new(StatusCode::CONFLICT, detail).with("ids", json!(ids))
            }
            DatabaseError::Invalid(_) => Self::bad_request(detail),
            DatabaseError::TooLarge => Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail),
            DatabaseError::Unexpected(source) => {
                tracing::error!(error = %format!("{source:#}"), "unexpected answer from below");
                Self::new(StatusCode::BAD_GATEWAY, detail)
            }
        }
    }
}
