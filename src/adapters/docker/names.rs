//! What the parts of a worker are called, and the labels that alone say what they are.

use std::collections::HashMap;

use crate::domain::ids::NodeId;

const PROJECT: &str = "rideshare.project";
const NODE: &str = "rideshare.node";
const PART: &str = "rideshare.part";

/// One of a worker's two containers, or the volume of its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Worker,
    Database,
    Volume,
}

impl Part {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Database => "database",
            Self::Volume => "volume",
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

    /// What a label set says, if it is one of this project.
    pub(super) fn read(&self, labels: Option<&HashMap<String, String>>) -> Option<(NodeId, Part)> {
        let labels = labels?;
        let part = [Part::Worker, Part::Database, Part::Volume]
            .into_iter()
            .find(|part| labels.get(PART).is_some_and(|it| it == part.as_str()))?;
        let of_project = labels.get(PROJECT).is_some_and(|it| *it == self.project);
        let node = labels.get(NODE).filter(|node| of_project && !node.is_empty())?;
        Some((NodeId::new(node.as_str()), part))
    }
}
