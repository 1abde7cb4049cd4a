//! The backends of the ports; no adapter knows another.

pub mod memory;
pub mod sqlite;
pub mod tasks;
