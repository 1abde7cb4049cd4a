//! The composition root: alone in naming adapters.

mod embedded;
pub mod up;
