//! The composition root: alone in naming adapters.

mod embedded;
mod front;
pub mod orchestrator;
mod servers;
pub mod up;
pub mod worker;
