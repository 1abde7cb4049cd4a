//! From SQLite's errors to what the ports' callers can do about them.

use rusqlite::ErrorCode;

use crate::ports::log::LogError;
use crate::ports::store::StoreError;

/// Whether the cause may go away by itself: a full disk, a failing one, a lock, no memory.
pub(super) fn is_passing(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
        )
    )
}

fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Says of a damaged file that it is one.
fn explained(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<rusqlite::Error>() {
        Some(cause) if is_damage(cause) => error.context("the database file is damaged"),
        _ => error,
    }
}

/// Whether an error that was met while opening may go away by itself.
fn is_passing_inside(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<rusqlite::Error>() {
        Some(error) => is_passing(error),
        None => error.is::<std::io::Error>(),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        if is_passing(&error) {
            return Self::Unavailable(error.into());
        }
        Self::Internal(explained(error.into()))
    }
}

impl From<rusqlite::Error> for LogError {
    fn from(error: rusqlite::Error) -> Self {
        if is_passing(&error) {
            return Self::Unavailable(error.into());
        }
        Self::Internal(explained(error.into()))
    }
}

pub(super) fn store_not_opened(error: anyhow::Error) -> StoreError {
    if is_passing_inside(&error) {
        return StoreError::Unavailable(error);
    }
    StoreError::Internal(explained(error))
}

pub(super) fn log_not_opened(error: anyhow::Error) -> LogError {
    if is_passing_inside(&error) {
        return LogError::Unavailable(error);
    }
    LogError::Internal(explained(error))
}
