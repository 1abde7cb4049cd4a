//! What only real servers can show: faults, restarts and strangers on the line.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod broker;
#[path = "../support/consistency.rs"]
mod consistency;
mod failover;
mod front;
#[path = "../support/history.rs"]
mod history;
mod load;
mod mongo;
#[path = "../support/proxy.rs"]
mod proxy;
mod rabbitmq;
mod rabbitmq_faults;
mod replicas;
mod servers;
mod services;
#[path = "../support/suite/mod.rs"]
mod suite;
mod system;
mod zookeeper;
#[path = "../support/zookeeper.rs"]
mod zookeeper_server;
