//! The traits that the roles are written against, with the contracts that every adapter keeps.
//!
//! Each port has one conformance suite under `tests/conformance`, run on all of its adapters.
//! Invariant: no adapter type, no client crate and no wire format shows through a port.

pub mod containers;
pub mod coordination;
pub mod database;
pub mod log;
pub mod progress;
pub mod requests;
pub mod store;
pub mod traces;
pub mod users;
