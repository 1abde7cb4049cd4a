//! What the caller has to do about an error of the driver or the server.
//!
//! Invariant: no text of the server or of a connection string reaches an error of the port. The
//! server quotes documents in its messages; its codes and their names say enough.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::anyhow;
use mongodb::bson::{Bson, Document};
use mongodb::error::{Error, ErrorKind, WriteFailure};

use crate::ports::store::StoreError;

/// The query ran longer than its `maxTimeMS`.
const MAX_TIME_EXPIRED: i32 = 50;
/// The server did not know what to do with a value.
const BAD_VALUE: i32 = 2;
/// A path leads to a field and to an array element of the same name.
const AMBIGUOUS_PATH: i32 = 16746;
/// More paths in a sort than the server takes.
const TOO_MANY_PATHS: i32 = 13103;
/// The user may not do that.
const UNAUTHORIZED: i32 = 13;
/// There is a document of that `_id`.
pub(super) const DUPLICATE_KEY: i32 = 11000;

/// The server is starting, stopping, full, or gave up an operation: it may work next time.
/// Source: MongoDB 6.0 `error_codes.yml`.
const PASSING: [i32; 27] = [
    6,             // HostUnreachable
    7,             // HostNotFound
    24,            // LockTimeout
    43,            // CursorNotFound
    46,            // LockBusy
    89,            // NetworkTimeout
    91,            // ShutdownInProgress
    112,           // WriteConflict
    134,           // ReadConcernMajorityNotAvailableYet
    175,           // QueryPlanKilled
    189,           // PrimarySteppedDown
    202,           // NetworkInterfaceExceededTimeLimit
    237,           // CursorKilled
    262,           // ExceededTimeLimit
    279,           // ClientDisconnect
    9001,          // SocketException
    10058,         // LegacyNotPrimary
    10107,         // NotWritablePrimary
    11600,         // InterruptedAtShutdown
    11601,         // Interrupted
    11602,         // InterruptedDueToReplStateChange
    13435,         // NotPrimaryNoSecondaryOk
    13436,         // NotPrimaryOrSecondary
    14031,         // OutOfDiskSpace
    64,            // WriteConcernFailed
    384,           // ConnectionError
    DUPLICATE_KEY, // Two upserts of one document met; repeating replaces it.
];

/// The database does not answer.
pub(super) fn unavailable(why: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(anyhow!("{why}"))
}

/// The database or what it holds is not as it should be.
pub(super) fn broken(why: impl std::fmt::Display) -> StoreError {
    StoreError::Internal(anyhow!("{why}"))
}

/// An error of the driver in the terms of the port.
pub(super) fn translate(error: Error) -> StoreError {
    match error.kind.as_ref() {
        ErrorKind::Io(cause) if names_certificate(&cause.to_string()) => untrusted(),
        ErrorKind::Io(cause) => unavailable(format!("the connection failed: {}", cause.kind())),
        ErrorKind::ServerSelection { message, .. } if names_certificate(message) => untrusted(),
        ErrorKind::ServerSelection { .. } => unavailable("no server could be reached in time"),
        ErrorKind::ConnectionPoolCleared { .. } | ErrorKind::Shutdown => {
            unavailable("the connection was closed")
        }
        ErrorKind::DnsResolve { .. } => unavailable("the name of the server was not found"),
        ErrorKind::Authentication { .. } => {
            broken("the server refuses the user or password of mongodb.url")
        }
        _ => match code(&error) {
            Some(code) => by_code(code, name(&error)),
            None => broken(format!("the driver failed: {}", kind(&error))),
        },
    }
}

/// Whether the server showed a certificate that nobody vouches for. The driver has no code for it.
fn names_certificate(text: &str) -> bool {
    text.contains("peer certificate")
}

/// The server may show another one next time.
fn untrusted() -> StoreError {
    unavailable("the server's certificate is not trusted: see tlsCAFile in mongodb.url")
}

/// The errors that a write command reports for some of its writes.
pub(super) fn check_writes(reply: &Document) -> Result<(), StoreError> {
    let first = reply.get_array("writeErrors").ok().and_then(|errors| errors.first());
    let failed = first
        .and_then(|error| error.as_document())
        .or_else(|| reply.get_document("writeConcernError").ok());
    match failed {
        Some(error) => Err(by_code(
            error.get_i32("code").unwrap_or_default(),
            error.get_str("codeName").unwrap_or_default(),
        )),
        None => Ok(()),
    }
}

/// The places of the writes that failed only since the server has a document with their key.
pub(super) fn duplicates(mut reply: Document) -> Result<HashSet<usize>, StoreError> {
    let mut places = HashSet::new();
    if let Ok(errors) = reply.get_array_mut("writeErrors") {
        errors.retain(|error| duplicate(error).is_none_or(|place| !places.insert(place)));
    }
    check_writes(&reply)?;
    Ok(places)
}

fn duplicate(error: &Bson) -> Option<usize> {
    let error = error.as_document()?;
    let place = usize::try_from(error.get_i32("index").ok()?).ok()?;
    (error.get_i32("code").ok()? == DUPLICATE_KEY).then_some(place)
}

/// Waits for an answer, but not for a server that has stopped giving any.
pub(super) async fn within<T>(
    limit: Duration,
    operation: impl IntoFuture<Output = Result<T, Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, operation.into_future()).await {
        Ok(answer) => answer.map_err(translate),
        Err(_) => Err(unavailable(format!("no answer within {limit:?}"))),
    }
}

/// Whether the server refused to sort, and not to work.
pub(super) fn refuses_sort(error: &Error) -> bool {
    matches!(code(error), Some(BAD_VALUE | AMBIGUOUS_PATH | TOO_MANY_PATHS))
}

/// Whether the user may not run the command.
pub(super) fn is_unauthorized(error: &Error) -> bool {
    code(error) == Some(UNAUTHORIZED)
}

fn by_code(code: i32, name: &str) -> StoreError {
    let told = format!("the server reports error {code} {name}");
    match code {
        MAX_TIME_EXPIRED => StoreError::TimedOut,
        UNAUTHORIZED => broken(format!("{told}: the user of mongodb.url may not do that")),
        _ if PASSING.contains(&code) => unavailable(told),
        _ => broken(told),
    }
}

fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        ErrorKind::Write(WriteFailure::WriteError(write)) => Some(write.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => Some(concern.code),
        _ => None,
    }
}

fn name(error: &Error) -> &str {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => &command.code_name,
        _ => "",
    }
}

fn kind(error: &Error) -> &'static str {
    match error.kind.as_ref() {
        ErrorKind::InvalidArgument { .. } => "invalid argument",
        ErrorKind::InvalidResponse { .. } => "invalid response",
        ErrorKind::InvalidTlsConfig { .. } => "it cannot use the TLS settings of mongodb.url",
        ErrorKind::IncompatibleServer { .. } => "incompatible server",
        ErrorKind::Bson(_)
        | ErrorKind::BsonDeserialization(_)
        | ErrorKind::BsonSerialization(_) => "invalid BSON",
        _ => "internal error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;

    #[test]
    fn failed_write_is_told_by_its_code_and_never_by_its_text() {
        let reply = doc! { "ok": 1.0, "writeErrors": [
            { "index": 0, "code": 121, "codeName": "DocumentValidationFailure", "errmsg": "secret" },
        ]};
        let error = check_writes(&reply).unwrap_err();
        let StoreError::Internal(cause) = error else { panic!("{error:?}") };
        assert_eq!(cause.to_string(), "the server reports error 121 DocumentValidationFailure");
    }

    #[test]
    fn codes_of_a_server_that_stops_mean_unavailable_and_a_late_query_timed_out() {
        let of = |code: i32| check_writes(&doc! { "writeErrors": [{ "code": code }] }).unwrap_err();
        assert!(matches!(of(11600), StoreError::Unavailable(_)));
        assert!(matches!(of(10107), StoreError::Unavailable(_)));
        assert!(matches!(of(50), StoreError::TimedOut));
        assert!(matches!(of(2), StoreError::Internal(_)));
    }

    #[test]
    fn network_error_means_unavailable() {
        let cause = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(matches!(translate(Error::from(cause)), StoreError::Unavailable(_)));
    }
}
