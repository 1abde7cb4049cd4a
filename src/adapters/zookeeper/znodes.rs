//! Which znode holds what: paths, and what their bytes mean.
//!
//! Invariant: no I/O here. Bytes come from strangers: whatever they are, nothing below panics.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::ids::{NodeId, OrchestratorId};
use crate::domain::message::Member;
use crate::ports::coordination::OrchestratorStatus;

/// More than this is not ours: an entry takes a few hundred bytes.
const MAX_BYTES: usize = 64 * 1024;

/// One thing that the view is made of, and that can change by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The leader record.
    Leader,
    /// The controller lock.
    Controller,
    /// The scale record.
    Scale,
    /// What happened.
    Events,
    /// The names of the workers' entries.
    Workers,
    /// One worker's entry, by its znode's name.
    Worker(String),
    /// The names of the orchestrators' entries.
    Orchestrators,
    /// One orchestrator's entry, by its znode's name.
    Orchestrator(String),
}

impl Place {
    /// Where a full read begins; the entries follow from it.
    pub(super) fn roots() -> [Self; 6] {
        [
            Self::Leader,
            Self::Controller,
            Self::Scale,
            Self::Events,
            Self::Workers,
            Self::Orchestrators,
        ]
    }
}

/// Translates between places and paths below one root.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: String,
}

impl Layout {
    pub(super) fn new(root: &str) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn path(&self, place: &Place) -> String {
        let root = &self.root;
        match place {
            Place::Leader => format!("{root}/leader"),
            Place::Controller => format!("{root}/controller"),
            Place::Scale => format!("{root}/scale"),
            Place::Events => format!("{root}/events"),
            Place::Workers => format!("{root}/worker"),
            Place::Worker(name) => format!("{root}/worker/{name}"),
            Place::Orchestrators => format!("{root}/orchestrator"),
            Place::Orchestrator(name) => format!("{root}/orchestrator/{name}"),
        }
    }

    /// The place that a changed path belongs to; `None` for a path that is none of ours.
    pub(super) fn place(&self, path: &str) -> Option<Place> {
        let below = path.strip_prefix(&self.root)?.strip_prefix('/')?;
        match below.split_once('/') {
            None => match below {
                "leader" => Some(Place::Leader),
                "controller" => Some(Place::Controller),
                "scale" => Some(Place::Scale),
                "events" => Some(Place::Events),
                "worker" => Some(Place::Workers),
                "orchestrator" => Some(Place::Orchestrators),
                _ => None,
            },
            Some(("worker", name)) => Some(Place::Worker(name.to_owned())),
            Some(("orchestrator", name)) => Some(Place::Orchestrator(name.to_owned())),
            Some(_) => None,
        }
    }

    pub(super) fn worker(&self, node: &NodeId) -> String {
        self.path(&Place::Worker(name_of(node.as_str())))
    }

    pub(super) fn orchestrator(&self, id: &OrchestratorId) -> String {
        self.path(&Place::Orchestrator(name_of(id.as_str())))
    }

    /// A znode that lives for a moment, to learn about the session. Nobody watches its parent.
    pub(super) fn probe(&self, nonce: &str) -> String {
        format!("{}/probe-{nonce}", self.root)
    }

    /// The persistent znodes that everything else needs, parents first.
    pub(super) fn base_paths(&self) -> Vec<String> {
        let ends = self.root.match_indices('/').skip(1).map(|(end, _)| end);
        let mut paths: Vec<String> = ends.map(|end| self.root[..end].to_owned()).collect();
        paths.push(self.root.clone());
        paths.push(self.path(&Place::Workers));
        paths.push(self.path(&Place::Orchestrators));
        paths
    }
}

/// The znode name of an id: the id itself where it is plain, else with `%` and two hexadecimal
/// digits in place of each other byte. Every id has a name, and no two ids share one.
fn name_of(id: &str) -> String {
    use std::fmt::Write;

    // A znode cannot be named by nothing, nor by one or two dots.
    if id.is_empty() {
        return "%".to_owned();
    }
    let only_dots = id.bytes().all(|byte| byte == b'.');
    id.bytes().fold(String::with_capacity(id.len()), |mut name, byte| {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || (byte == b'.' && !only_dots) {
            name.push(char::from(byte));
        } else {
            write!(name, "%{byte:02X}").expect("writing to memory cannot fail");
        }
        name
    })
}

/// The id that has this name; `None` where no id has.
fn id_of(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        match (first, after.split_at_checked(2)) {
            (b'%', Some((digits, after_digits))) => {
                let digits = std::str::from_utf8(digits).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = after_digits;
            }
            (b'%', None) => rest = after,
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok().filter(|id| name_of(id) == name)
}

/// Why an entry is passed over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("{0} bytes are more than an entry takes")]
    TooLarge(usize),
    #[error("not the expected JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("not UTF-8")]
    Text,
    #[error("its znode is named for somebody else")]
    Name,
    #[error("reading it is not permitted")]
    Forbidden,
}

/// The bytes of an entry.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data with text keys is always expressible as JSON")
}

/// The record that the bytes hold.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    Ok(serde_json::from_slice(bounded(bytes)?)?)
}

/// The member that a worker's znode holds.
pub(super) fn decode_member(name: &str, bytes: &[u8]) -> Result<Member, Unreadable> {
    let member: Member = decode(bytes)?;
    if name_of(member.node.as_str()) == name { Ok(member) } else { Err(Unreadable::Name) }
}

/// The orchestrator that a znode is named for, and what it says.
pub(super) fn decode_orchestrator(
    name: &str,
    bytes: &[u8],
) -> Result<(OrchestratorId, OrchestratorStatus), Unreadable> {
    let id = id_of(name).ok_or(Unreadable::Name)?;
    Ok((OrchestratorId::new(id), decode(bytes)?))
}

/// The orchestrator that the lock names.
pub(super) fn decode_controller(bytes: &[u8]) -> Result<OrchestratorId, Unreadable> {
    let text = std::str::from_utf8(bounded(bytes)?).map_err(|_| Unreadable::Text)?;
    Ok(OrchestratorId::new(text))
}

fn bounded(bytes: &[u8]) -> Result<&[u8], Unreadable> {
    if bytes.len() <= MAX_BYTES { Ok(bytes) } else { Err(Unreadable::TooLarge(bytes.len())) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_place_is_found_again_by_its_path() {
        let layout = Layout::new("/a/b");
        let entries = [Place::Worker("n1".to_owned()), Place::Orchestrator("o%2F".to_owned())];
        for place in Place::roots().into_iter().chain(entries) {
            assert_eq!(layout.place(&layout.path(&place)), Some(place));
        }
        for stranger in ["/a/b", "/a/b/probe-1", "/a/bworker", "/x", "", "/a/b/leader/x"] {
            assert_eq!(layout.place(stranger), None);
        }
    }

    #[test]
    fn base_paths_start_with_the_topmost_parent() {
        assert_eq!(
            Layout::new("/a/b").base_paths(),
            ["/a", "/a/b", "/a/b/worker", "/a/b/orchestrator"]
        );
    }

    #[test]
    fn plain_ids_name_their_znodes_and_others_are_escaped() {
        let layout = Layout::new("/r");
        for (id, path) in [
            ("worker-1.a_b", "/r/worker/worker-1.a_b"),
            ("../leader", "/r/worker/..%2Fleader"),
            ("..", "/r/worker/%2E%2E"),
            ("", "/r/worker/%"),
            ("é", "/r/worker/%C3%A9"),
        ] {
            assert_eq!(layout.worker(&NodeId::from(id)), path);
        }
    }

    proptest! {
        #[test]
        fn an_id_is_found_again_by_its_name(id in any::<String>()) {
            let name = name_of(&id);
            prop_assert!(!name.is_empty() && !name.contains('/') && name != "." && name != "..");
            prop_assert_eq!(id_of(&name), Some(id));
        }

        #[test]
        fn any_name_and_any_bytes_are_survived(name in "[%0-9A-F./a-z]*", bytes: Vec<u8>) {
            let _ = id_of(&name);
            let _ = decode_member(&name, &bytes);
            let _ = decode_orchestrator(&name, &bytes);
            let _ = decode_controller(&bytes);
        }
    }

    #[test]
    fn deeply_nested_and_oversized_data_is_unreadable() {
        let nested = "[".repeat(50_000);
        assert!(matches!(decode_member("n1", nested.as_bytes()), Err(Unreadable::Json(_))));
        let large = vec![b' '; MAX_BYTES + 1];
        assert!(matches!(decode_member("n1", &large), Err(Unreadable::TooLarge(_))));
        assert!(matches!(decode_controller(&large), Err(Unreadable::TooLarge(_))));
    }
}
