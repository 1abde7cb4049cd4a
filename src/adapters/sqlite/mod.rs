//! SQLite as the backend of the store and of the log, for a product that needs no server.
//!
//! Every connection lives on a thread of its own, so that nothing here blocks the runtime. Of the
//! two files only the log's is made to survive a power cut with its last commit: it is synced with
//! every group of appends, while a store that lost its newest commits reads them from the log again.

mod connection;
mod error;
mod log;
mod store;
mod threads;

pub use log::SqliteLog;
pub use store::{SqliteStore, SqliteStoreOptions};
