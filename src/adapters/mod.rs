//! The backends of the ports; no adapter knows another.

pub mod cache;
pub mod docker;
pub mod http_client;
pub mod memory;
pub mod mongo;
pub mod otlp;
pub mod process;
pub mod rabbitmq;
pub mod sqlite;
pub mod tasks;
mod tls;
pub mod zookeeper;
