//! What the outside world gives: the time of day and names that nobody else has.
//!
//! Handed in, so that a simulation can repeat a run from its seed.

use std::fmt;
use std::sync::Arc;

/// The time of day and unique names.
#[derive(Clone)]
pub struct Ambient {
    /// Milliseconds since 1970. Told to people; decides nothing that must be right.
    pub now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// A text that was never given before, anywhere; later ones sort after earlier ones.
    pub unique: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Ambient {
    /// The machine's clock, and UUIDs of version 7.
    #[must_use]
    pub fn real() -> Self {
        let since_1970 = || std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self {
            now_ms: Arc::new(move || u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)),
            unique: Arc::new(|| uuid::Uuid::now_v7().to_string()),
        }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        (self.now_ms)()
    }

    /// A new name.
    #[must_use]
    pub fn unique(&self) -> String {
        (self.unique)()
    }
}

impl fmt::Debug for Ambient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Ambient")
    }
}
