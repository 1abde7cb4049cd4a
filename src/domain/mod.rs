//! Every decision of the system, and nothing else.
//!
//! Invariant: pure. Nothing below reads a clock, draws a random number, does I/O or awaits,
//! and nothing below imports from the rest of the crate.

pub mod access;
pub mod document;
pub mod events;
pub mod filter;
pub mod ids;
pub mod joining;
pub mod log;
pub mod message;
pub mod outcome;
pub mod planner;
pub mod promotion;
pub mod query;
pub mod request;
pub mod rides;
pub mod scaling;
pub mod supervision;
pub mod timestamp;
pub mod update;
