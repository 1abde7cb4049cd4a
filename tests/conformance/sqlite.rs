//! The SQLite adapters under the suites of their ports, and what is theirs alone.

mod log;
mod properties;
mod store;
