//! The places that settings come from, and which keys each of them gives.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use config::{Environment, File, FileFormat, Source, Value, ValueKind};

use super::{Profile, SettingsError};

const PREFIX: &str = "RIDESHARE";
/// Names a file with settings; read with the command line.
const FILE_VARIABLE: &str = "RIDESHARE_CONFIG";
/// Variables that belong to the tests, not to the program.
const TEST_PREFIX: &str = "RIDESHARE_TEST_";
/// Variables of the original system, and what stands for each of them here.
const ORIGINAL: [(&str, &str); 3] = [
    ("WORKER_TYPE", "RIDESHARE_WORKER__TYPE"),
    ("NODE_NAME", "RIDESHARE_WORKER__NODE"),
    ("DB_NAME", "RIDESHARE_MONGODB__URL"),
];

/// One place that settings come from.
pub(super) struct Layer {
    pub(super) origin: String,
    pub(super) source: Box<dyn Source + Send + Sync>,
}

pub(super) fn toml(origin: &str, text: &str) -> Layer {
    let source = File::from_str(text, FileFormat::Toml);
    Layer { origin: origin.to_owned(), source: Box::new(source) }
}

/// The variables of the environment that are ours. One that looks like ours but names no section
/// is a mistake.
pub(super) fn variables(
    profile: Profile,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Layer, SettingsError> {
    let (mut ours, mut originals) = (HashMap::new(), HashMap::new());
    for (name, value) in environment {
        if let Some((_, means)) = ORIGINAL.iter().find(|(original, _)| *original == name) {
            originals.insert((*means).to_owned(), value);
            continue;
        }
        let Some(rest) = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('_')) else {
            continue;
        };
        if name.starts_with(TEST_PREFIX) || name == FILE_VARIABLE {
            continue;
        }
        if !rest.contains("__") {
            return Err(SettingsError(format!(
                "unknown setting in environment variable {name}: settings are called \
                 {PREFIX}_SECTION__KEY"
            )));
        }
        ours.insert(name, value);
    }
    if profile == Profile::Process {
        for (name, value) in originals {
            ours.entry(name).or_insert(value);
        }
    }
    let source = Environment::with_prefix(PREFIX)
        .prefix_separator("_")
        .separator("__")
        .try_parsing(true)
        .source(Some(ours));
    Ok(Layer { origin: "the environment".to_owned(), source: Box::new(source) })
}

/// The keys that a layer gives, all of them known.
pub(super) fn check_keys(
    layer: &Layer,
    known: &BTreeSet<String>,
) -> Result<BTreeSet<String>, SettingsError> {
    let given = keys(layer)?;
    match given.iter().find(|key| !known.contains(*key)) {
        None => Ok(given),
        Some(key) if layer.origin == "the environment" => Err(SettingsError(format!(
            "unknown setting `{key}` in environment variable {}",
            variable(key)
        ))),
        Some(key) => Err(SettingsError(format!("unknown setting `{key}` in {}", layer.origin))),
    }
}

pub(super) fn keys(layer: &Layer) -> Result<BTreeSet<String>, SettingsError> {
    let values = layer.source.collect().map_err(|cause| {
        SettingsError(format!("{} cannot be read: {}", layer.origin, one_line(&cause)))
    })?;
    let mut keys = BTreeSet::new();
    for (key, value) in values {
        collect_keys(key, &value, &mut keys);
    }
    Ok(keys)
}

fn collect_keys(path: String, value: &Value, keys: &mut BTreeSet<String>) {
    match &value.kind {
        ValueKind::Table(table) => {
            for (key, value) in table {
                collect_keys(format!("{path}.{key}"), value, keys);
            }
        }
        _ => {
            keys.insert(path);
        }
    }
}

pub(super) fn as_variables(path: &str, value: &Value, variables: &mut BTreeMap<String, String>) {
    if let ValueKind::Table(table) = &value.kind {
        for (key, value) in table {
            as_variables(&format!("{path}.{key}"), value, variables);
        }
    } else {
        variables.insert(variable(path), value.to_string());
    }
}

pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}_{}", key.replace('.', "__").to_uppercase())
}

pub(super) fn error(cause: config::ConfigError) -> SettingsError {
    SettingsError(format!("wrong setting: {}", one_line(&cause)))
}

/// What is wrong, without the picture of the place that a parser draws over several lines.
fn one_line(cause: &config::ConfigError) -> String {
    let text = cause.to_string();
    let says_something = |line: &&str| {
        let behind_number = line.trim_start_matches(|letter: char| letter.is_ascii_digit());
        !line.is_empty() && !behind_number.trim_start().starts_with('|')
    };
    text.lines().map(str::trim).filter(says_something).collect::<Vec<_>>().join(": ")
}
