//! What a process can be. A role is written against ports and knows no adapter.

pub mod ambient;
pub mod orchestrator;
pub mod worker;
