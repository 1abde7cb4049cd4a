//! The folders of removed workers, of which the newest are kept.
//!
//! A folder is renamed before anything else is done to it, so that whoever is killed half way leaves
//! nothing that looks like what it no longer is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::domain::ids::NodeId;

/// What the folder of a removed worker begins with; when it was removed and its name follow.
const REMOVED: &str = ".removed-";
/// What a folder begins with that is being deleted.
const DELETED: &str = ".deleted-";

/// A folder that is kept.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    /// In milliseconds since 1970.
    removed_at_ms: u64,
    node: NodeId,
}

impl Kept {
    fn read(name: &str) -> Option<Self> {
        let (at, node) = name.strip_prefix(REMOVED)?.split_once('-')?;
        Some(Self { removed_at_ms: at.parse().ok()?, node: NodeId::new(node) })
    }

    fn name(&self) -> String {
        format!("{REMOVED}{}-{}", self.removed_at_ms, self.node)
    }
}

/// The folders below one directory.
#[derive(Clone, Debug)]
pub(super) struct Aside {
    directory: PathBuf,
    most: usize,
}

impl Aside {
    /// Deletes what an earlier run did not come to delete.
    pub(super) fn open(directory: &Path, most: usize) -> io::Result<Self> {
        let aside = Self { directory: directory.to_owned(), most };
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_old = name.starts_with(REMOVED) && Kept::read(&name).is_none();
            if name.starts_with(DELETED) || is_old {
                delete(&path);
            }
        }
        aside.prune();
        Ok(aside)
    }

    /// Whether a folder is one of these, and not a worker's.
    pub(super) fn is_one(name: &str) -> bool {
        name.starts_with(REMOVED) || name.starts_with(DELETED)
    }

    /// Whose they are, the one that was put here last first.
    pub(super) fn nodes(&self) -> io::Result<Vec<NodeId>> {
        Ok(self.kept()?.into_iter().map(|kept| kept.node).collect())
    }

    /// Puts a worker's folder here, and deletes those that are too many. Nothing where there is none.
    pub(super) fn put(&self, node: &NodeId, now_ms: u64) -> io::Result<()> {
        let kept = Kept { removed_at_ms: now_ms, node: node.clone() };
        match fs::rename(self.directory.join(node.as_str()), self.directory.join(kept.name())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.prune();
        Ok(())
    }

    /// Makes it the worker's folder again. False where there is none.
    pub(super) fn bring_back(&self, node: &NodeId) -> io::Result<bool> {
        let Some(kept) = self.kept()?.into_iter().find(|kept| kept.node == *node) else {
            return Ok(false);
        };
        fs::rename(self.directory.join(kept.name()), self.directory.join(node.as_str()))?;
        Ok(true)
    }

    fn kept(&self) -> io::Result<Vec<Kept>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            all.extend(Kept::read(&entry?.file_name().to_string_lossy()));
        }
        all.sort_by(|a, b| b.cmp(a));
        Ok(all)
    }

    /// Another removal may be at the same.
    fn prune(&self) {
        let kept = self.kept().unwrap_or_else(|error| {
            warn!(%error, "folders of removed workers cannot be listed");
            Vec::new()
        });
        for surplus in kept.iter().skip(self.most) {
            let (at, node) = (surplus.removed_at_ms, &surplus.node);
            let folder = self.directory.join(format!("{DELETED}{at}-{node}"));
            match fs::rename(self.directory.join(surplus.name()), &folder) {
                Ok(()) => delete(&folder),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => warn!(%node, %error, "folder of a removed worker not deleted"),
            }
        }
    }
}

/// What cannot be deleted now is deleted at the next start.
fn delete(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        warn!(folder = %folder.display(), %error, "removed worker's folder not deleted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn newest_are_kept_and_come_back_with_what_they_hold() {
        let directory = tempfile::tempdir().unwrap();
        let aside = Aside::open(directory.path(), 2).unwrap();
        for (node, at) in [("n1", 9), ("n2", 100), ("n-3", 101)] {
            fs::create_dir(directory.path().join(node)).unwrap();
            fs::write(directory.path().join(node).join("data"), node).unwrap();
            aside.put(&NodeId::new(node), at).unwrap();
        }
        aside.put(&NodeId::new("nobody"), 102).unwrap();
        assert_eq!(aside.nodes().unwrap(), ["n-3", "n2"].map(NodeId::new));
        assert!(!aside.bring_back(&NodeId::new("n1")).unwrap(), "it was too many");
        assert!(aside.bring_back(&NodeId::new("n-3")).unwrap());
        assert_eq!(fs::read(directory.path().join("n-3/data")).unwrap(), b"n-3");
        assert_eq!(names(directory.path()), [".removed-100-n2", "n-3"]);
    }

    #[test]
    fn what_was_left_half_deleted_is_deleted() {
        let directory = tempfile::tempdir().unwrap();
        for name in [".deleted-n1", ".removed-n2", ".removed-7-n3", ".removed-8-n4", "n5"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        Aside::open(directory.path(), 1).unwrap();
        assert_eq!(names(directory.path()), [".removed-8-n4", "n5"]);
    }
}
