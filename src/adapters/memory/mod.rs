//! The embedded backends: everything shared lives in this process.
//!
//! Each type here is one shared service; what it hands out are the handles of single workers and
//! orchestrators, and dropping those means to a service what the death of a process means to a
//! server. Time is tokio's, nothing draws random numbers or starts threads (but for the file of
//! [`MemoryCoordination`]), so a run on one thread with paused time is deterministic.

mod coordination;
mod log;
mod progress;
mod requests;
mod size;
mod store;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use coordination::{MemoryCoordination, MemorySession, SessionId};
pub use log::{LogSettings, MemoryLog};
pub use progress::MemoryProgress;
pub use requests::{MemoryReceiver, MemoryRequests, MemorySender, RequestsSettings};
pub use store::{MemoryStore, MemoryStores};

/// Locks for a few steps that cannot wait. Every such step leaves its data whole, so a panic
/// elsewhere does not make them unusable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
