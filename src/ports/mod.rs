//! The traits that the roles are written against.
