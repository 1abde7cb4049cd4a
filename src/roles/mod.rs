//! What a process can be. A role is written against ports and knows no adapter.

pub mod ambient;
pub mod apps;
mod latest;
pub mod orchestrator;
pub mod passwords;
pub mod rides;
pub mod users;
pub mod worker;
