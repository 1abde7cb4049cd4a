//! Backups: all documents as they were at one offset of the log, and the log from there on.
//!
//! Documents are read page by page from slaves that go on applying meanwhile, so each page is of
//! another moment. That is made good by the log: every page holds what was written up to the offset
//! at which the backup began, and whole documents stand in the log, so that the changes from there
//! to the end, applied once more in order, make one moment of it (a "fuzzy" backup: Mohan and Narang,
//! 1993). What was written later is kept as more of the log, for any moment in between.
//!
//! A backup is a directory, or the place of an object store, with
//!
//! - `manifest.json`, written last: what belongs to it, with sizes and checksums;
//! - `documents-N.ndjson.gz`: a document a line, with its collection;
//! - `log-FIRST-LAST.ndjson.gz`: what an offset of the log changed, a line each. Records that do not
//!   count, as those of a deposed master, are not among them.
//!
//! It is made and restored over HTTP alone, so that nobody but the workers need reach a database.

mod archive;
mod manifest;
mod restore;
mod source;
mod take;

use indicatif::{ProgressBar, ProgressStyle};

pub(super) use restore::{parse_time, restore};
pub(super) use take::take;

/// Shown on a terminal only.
fn progress(template: &str) -> anyhow::Result<ProgressBar> {
    Ok(ProgressBar::no_length().with_style(ProgressStyle::with_template(template)?))
}
