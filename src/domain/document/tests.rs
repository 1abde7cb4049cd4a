//! What documents, values and JSON promise.
