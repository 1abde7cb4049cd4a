//! One conformance suite per port, run on every adapter of the port.
//!
//! A suite is a list of cases over a factory; an adapter joins it by one macro call in a module
//! of its own. Adapters that need a real server are compiled with the feature `live` only.

#![expect(clippy::unwrap_used, reason = "a test ends with the first thing that it did not expect")]

#[path = "../support/generators.rs"]
mod generators;
mod log;
mod sqlite;
mod store;
