//! What the parts of a worker are called, and the labels that alone say what they are.

use std::collections::HashMap;

use crate::domain::ids::NodeId;

const PROJECT: &str = "rideshare.project";
const NODE: &str = "rideshare.node";
const PART: &str = "rideshare.part";
const AT_MS: &str = "rideshare.at_ms";

/// One of a worker's two containers, the volume of its database, or a volume without content that
/// says that this one is set aside: the engine neither renames a volume nor changes its labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Worker,
    Database,
    Volume,
    Aside,
}

impl Part {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Database => "database",
            Self::Volume => "volume",
            Self::Aside => "aside",
        }
    }
}

/// The names of one project.
#[derive(Clone, Debug)]
pub(super) struct Names {
    project: String,
}

impl Names {
    pub(super) fn new(project: &str) -> Self {
        Self { project: project.to_owned() }
    }

    pub(super) fn worker(&self, node: &NodeId) -> String {
        format!("{}-{node}", self.project)
    }

    /// The database's container, which is its host name too, and its volume.
    pub(super) fn database(&self, node: &NodeId) -> String {
        format!("{}-{node}-db", self.project)
    }

    /// The volume that says that the database's is set aside.
    pub(super) fn aside(&self, node: &NodeId) -> String {
        format!("{}-{node}-aside", self.project)
    }

    pub(super) fn master(&self) -> String {
        format!("{}-master", self.project)
    }

    /// The label that everything of the project has.
    pub(super) fn label(&self) -> String {
        format!("{PROJECT}={}", self.project)
    }

    pub(super) fn labels<'a>(&'a self, node: &'a NodeId, part: Part) -> [(&'a str, &'a str); 3] {
        [(PROJECT, &self.project), (NODE, node.as_str()), (PART, part.as_str())]
    }

    /// Those of the volume that says that the database's is set aside, and since when.
    pub(super) fn labels_aside<'a>(
        &'a self,
        node: &'a NodeId,
        at_ms: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.labels(node, Part::Aside).into_iter().chain([(AT_MS, at_ms)])
    }

    /// When that was, in milliseconds since 1970.
    pub(super) fn read_at_ms(labels: Option<&HashMap<String, String>>) -> u64 {
        labels.and_then(|labels| labels.get(AT_MS)?.parse().ok()).unwrap_or_default()
    }

    /// What a label set says, if it is one of this project.
    pub(super) fn read(&self, labels: Option<&HashMap<String, String>>) -> Option<(NodeId, Part)> {
        let labels = labels?;
        let part = [Part::Worker, Part::Database, Part::Volume, Part::Aside]
            .into_iter()
            .find(|part| labels.get(PART).is_some_and(|it| it == part.as_str()))?;
        let of_project = labels.get(PROJECT).is_some_and(|it| *it == self.project);
        let node = labels.get(NODE).filter(|node| of_project && !node.is_empty())?;
        Some((NodeId::new(node.as_str()), part))
    }
}
