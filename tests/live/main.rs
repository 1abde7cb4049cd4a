//! Tests of the real backends, beyond what the conformance suites ask of every adapter.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

#[path = "../support/proxy.rs"]
mod proxy;
mod zookeeper;
#[path = "../support/zookeeper.rs"]
mod zookeeper_server;
