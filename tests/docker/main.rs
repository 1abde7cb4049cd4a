//! The whole system in containers, as `compose.yaml` describes it.

#![cfg(feature = "docker")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

#[path = "../support/consistency/mod.rs"]
mod consistency;
mod crashes;
mod engine;
mod faults;
#[path = "../support/history.rs"]
mod history;
mod image;
mod kills;
#[path = "../support/load.rs"]
mod load;
mod network;
#[path = "../support/orchestrator.rs"]
mod orchestrator;
mod orchestrators;
#[path = "../support/replicas.rs"]
mod replicas;
mod restart;
mod scaling;
mod services;
#[cfg(feature = "soak")]
mod soak;
#[cfg(feature = "soak")]
#[path = "../support/soak.rs"]
mod soak_support;
mod start;
#[path = "../support/suite/mod.rs"]
mod suite;
mod system;
#[path = "../support/verdict.rs"]
mod verdict;
