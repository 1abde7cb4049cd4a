//! The composition root: alone in naming adapters.

mod access;
pub mod apps;
mod caching;
mod embedded;
mod front;
pub mod healthcheck;
mod listen;
pub mod orchestrator;
mod runtime;
mod servers;
mod serving;
mod tracing;
pub mod up;
pub mod worker;
