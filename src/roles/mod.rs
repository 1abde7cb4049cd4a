//! What a process can be. A role is written against ports and knows no adapter.

pub mod ambient;
pub mod apps;
mod latest;
pub mod orchestrator;
pub mod passwords;
pub mod rides;
pub mod users;
pub mod worker;

/// An error with everything that it comes from, for a line of the log.
pub(crate) fn chain(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::new(error))
}
