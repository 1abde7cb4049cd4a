//! What filters promise.
