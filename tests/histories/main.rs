//! The check of recorded histories, checked: what it must refuse, and what it must not.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

#[path = "../support/consistency/mod.rs"]
mod consistency;
#[path = "../support/history.rs"]
#[expect(dead_code, reason = "nothing is recorded here")]
mod history;
mod random;
mod refused;
mod sound;
mod written;
