//! The embedded adapters as one process of a run sees them: through a world in which things fail.

pub(crate) mod broker;
pub(crate) mod coordination;
pub(crate) mod log;
pub(crate) mod progress;
pub(crate) mod receiver;
pub(crate) mod sender;
pub(crate) mod store;
