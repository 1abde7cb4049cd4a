//! The composition root: alone in naming adapters.

pub mod apps;
mod embedded;
mod front;
mod listen;
pub mod orchestrator;
mod servers;
pub mod up;
pub mod worker;
