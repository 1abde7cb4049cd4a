//! Who the users are, as another service may ask.

use async_trait::async_trait;
use tokio::time::Instant;

use crate::domain::ids::Offset;

/// Why nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The users service could not be reached or had no answer in time.
    #[error("the users service is unavailable")]
    Unavailable(#[source] anyhow::Error),
    /// What came back is no answer of such a service: a wrong address, or a defect.
    #[error("the users service gave an unexpected answer")]
    Unexpected(#[source] anyhow::Error),
}

/// What is known of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whether there is such a user.
    pub exists: bool,
    /// How far the state behind that had come, where the service says so.
    pub offset: Option<Offset>,
}

/// The users.
#[async_trait]
pub trait UserDirectory: Send + Sync {
    /// Whether there is a user of that name, which may be any text. The answer holds at least
    /// everything up to `at_least`, and every user whose creation was answered before the call,
    /// by whichever instance. Tries again by itself until `deadline`.
    async fn look_up(
        &self,
        username: &str,
        at_least: Option<Offset>,
        deadline: Instant,
    ) -> Result<Known, UsersError>;
}
