//! One conformance suite per port, run on every adapter of that port.
//!
//! A suite is a set of cases that are generic over a factory of adapters, and a macro that makes
//! each case a test for one factory. Adapters that need a real server are compiled with the
//! feature `live` only.

#![expect(clippy::unwrap_used, reason = "a test ends with the first thing that it did not expect")]

#[macro_use]
mod cases;
#[path = "../support/generators.rs"]
mod generators;
#[path = "../support/slow_store.rs"]
mod slow_store;

mod cache;
mod containers;
mod coordination;
mod log;
mod progress;
mod requests;
mod store;

mod memory;
mod process;
mod sqlite;
mod tasks;

#[cfg(feature = "docker")]
mod docker;
#[cfg(feature = "live")]
mod mongo;
#[cfg(feature = "live")]
mod rabbitmq;
#[cfg(feature = "live")]
mod zookeeper;
