//! The product from the outside: the real binary, over HTTP and the command line.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod backup;
mod bench;
#[cfg(feature = "browser")]
mod browser;
mod command_line;
mod control;
mod ctl;
mod dashboard;
mod database_client;
mod events;
mod failover;
mod healthcheck;
mod hostile;
mod limits;
mod logs;
mod metrics;
mod openapi;
mod original;
mod persistence;
mod places;
mod reads;
mod recovery;
mod scaling;
mod services;
#[path = "../support/suite/mod.rs"]
mod suite;
mod support;
mod tls;
mod traces;
mod writes;
