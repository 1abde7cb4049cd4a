//! The HTTP face: turns requests into calls on role handles, and answers into bodies.
//!
//! Alone in knowing actix-web. One table, in [`error`], maps errors to status codes.

pub mod access;
pub mod apps;
mod backup;
mod control;
mod dashboard;
pub mod error;
mod events;
mod extract;
mod observe;
mod openapi;
pub mod orchestrator;
pub mod pace;
mod render;
pub mod rides;
pub mod server;
pub mod tls;
pub mod traffic;
pub mod users;
pub mod worker;

pub use extract::BodyLimits;
