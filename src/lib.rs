//! Rideshare: a fault-tolerant, self-scaling document database as a service.
//!
//! The log is the database: one master sequences all writes into a durable, totally ordered log,
//! and every worker, the master included, applies that log to a database of its own.
//! The README carries the architecture map and the invariants I1–I7.

pub mod adapters;
pub mod assemble;
pub mod bench;
pub mod cli;
pub mod ctl;
pub mod domain;
pub mod http;
pub mod ports;
pub mod roles;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
