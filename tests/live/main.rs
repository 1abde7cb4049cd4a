//! What only real servers can show: faults, restarts and strangers on the line.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod broker;
#[path = "../support/consistency/mod.rs"]
mod consistency;
mod failover;
mod front;
#[path = "../support/history.rs"]
mod history;
#[path = "../support/load.rs"]
mod load;
mod mongo;
#[path = "../support/orchestrator.rs"]
mod orchestrator;
#[path = "../support/proxy.rs"]
mod proxy;
mod rabbitmq;
mod rabbitmq_faults;
#[path = "../support/replicas.rs"]
mod replicas;
mod secured;
mod servers;
mod services;
#[cfg(feature = "soak")]
mod soak;
#[cfg(feature = "soak")]
#[path = "../support/soak.rs"]
mod soak_support;
#[path = "../support/suite/mod.rs"]
mod suite;
mod system;
#[path = "../support/verdict.rs"]
mod verdict;
mod zookeeper;
#[path = "../support/zookeeper.rs"]
mod zookeeper_server;
