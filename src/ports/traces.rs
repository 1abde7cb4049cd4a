//! Where the way of single requests through the system is told.

use tokio::time::Instant;

use crate::domain::ids::RequestId;

/// A part of a request's way that has ended.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What was done.
    pub name: &'static str,
    /// All other stages of the request lie within this one.
    pub is_whole: bool,
    /// When it began.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
    /// What is to be known of it.
    pub facts: Vec<(&'static str, String)>,
}

/// Tells people of the way of single requests.
///
/// Contract: all processes of a system follow the same requests, and put what they tell of one of them
/// together, without anything but its id.
pub trait Traces: Send + Sync {
    /// Whether this request is followed.
    fn follows(&self, request: &RequestId) -> bool;

    /// Tells of a stage of a request that is followed. Never blocks; what is too much is dropped.
    fn tell(&self, request: &RequestId, stage: Stage);
}

/// Follows nothing.
#[derive(Clone, Copy, Debug)]
pub struct Untold;

impl Traces for Untold {
    fn follows(&self, _request: &RequestId) -> bool {
        false
    }

    fn tell(&self, _request: &RequestId, _stage: Stage) {}
}
