//! What may go wrong, for the description: the bodies of [`super::super::error`].

use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

/// A failure (RFC 9457). Some have more fields, named with the answer.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "type": "about:blank", "title": "Bad Request", "status": 400,
    "detail": "colection: is not a field of this request", "place": "colection",
}))]
pub(in crate::http) struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    r#type: String,
    /// The status in words.
    title: String,
    /// The status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What was wrong, for people.
    detail: String,
    /// Where in the request, if somewhere.
    place: Option<String>,
    /// `unknown` for a write that may still happen.
    outcome: Option<String>,
    /// The first operation of a batch that failed.
    index: Option<u64>,
    /// Documents that are there already.
    ids: Option<Vec<serde_json::Value>>,
}

/// What any request may meet.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers that are made elsewhere")]
pub(in crate::http) enum Common {
    /// The request is malformed or asks for what cannot be done; the reason and the place are given.
    #[response(status = 400, content_type = "application/problem+json")]
    Invalid(Problem),
    /// This client sends too many requests, where there is a limit; try again.
    #[response(status = 429, content_type = "application/problem+json",
        headers(("Retry-After" = u64, description = "In seconds.")))]
    TooMany(Problem),
    /// The request certainly had no effect; try again.
    #[response(status = 503, content_type = "application/problem+json",
        headers(("Retry-After" = u64, description = "In seconds.")))]
    Unavailable(Problem),
    /// The answer did not come in time: a write may still happen, `outcome` is `unknown`.
    #[response(status = 504, content_type = "application/problem+json")]
    Unknown(Problem),
}

/// What a request may meet where a token is asked for.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers that are made elsewhere")]
pub(in crate::http) enum Closed {
    /// A token is needed, and none was shown, or one that does not count.
    #[response(status = 401, content_type = "application/problem+json",
        headers(("WWW-Authenticate" = String, description = "What is missing.")))]
    Unauthorized(Problem),
    /// The token that was shown does not go that far.
    #[response(status = 403, content_type = "application/problem+json",
        headers(("WWW-Authenticate" = String, description = "What is missing.")))]
    Forbidden(Problem),
}

/// What a request with a body may meet besides.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers that are made elsewhere")]
pub(in crate::http) enum WithBody {
    /// The body took too long to arrive.
    #[response(status = 408, content_type = "application/problem+json")]
    TooSlow(Problem),
    /// The body is larger than the limit.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
}
