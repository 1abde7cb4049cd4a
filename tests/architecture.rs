//! Keeps the layers apart: who may import whom, and that the pure part stays pure.

use std::fs;
use std::path::{Path, PathBuf};

/// A layer, and what of the crate it may name.
const RULES: &[(&str, &[&str])] = &[
    ("domain", &["domain"]),
    ("ports", &["domain", "ports"]),
    ("adapters", &["domain", "ports", "adapters"]),
    ("roles", &["domain", "ports", "roles"]),
    ("http", &["domain", "ports", "roles", "http"]),
];

/// What only one place may name.
const OWNED: &[(&str, &[&str])] = &[
    ("actix_web", &["src/http/"]),
    ("utoipa", &["src/http/"]),
    ("maud", &["src/http/dashboard/"]),
    ("plotters", &["src/http/dashboard/"]),
    ("amqprs", &["src/adapters/rabbitmq/"]),
    ("zookeeper_async", &["src/adapters/zookeeper/"]),
    ("mongodb::", &["src/adapters/mongo/"]),
    ("docker_api", &["src/adapters/docker/"]),
    ("containers_api", &["src/adapters/docker/"]),
    ("tokio_rustls", &["src/adapters/", "src/ctl/backup/", "src/http/tls.rs"]),
    ("governor", &["src/http/pace.rs"]),
    ("object_store", &["src/ctl/backup/"]),
    ("rustix", &["src/adapters/process/"]),
    ("rusqlite", &["src/adapters/sqlite/"]),
    ("quick_cache", &["src/adapters/cache/"]),
    ("opentelemetry", &["src/adapters/otlp/"]),
];

/// What adapters may have in common.
const COMMON: &str = "tls::";

/// What the pure part may not do.
const IMPURE: &[&str] = &[
    "async fn",
    ".await",
    "std::time::Instant",
    "SystemTime",
    "std::fs",
    "std::net",
    "std::env",
    "tokio::",
    "rand::",
    "now_v7",
    "println!",
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(directory).expect("src can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("source is text");
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("src"), &mut found);
    assert!(found.len() > 50, "only {} sources found", found.len());
    found
}

/// The lines that are neither comments nor tests.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines
        .take_while(|(_, line)| !line.starts_with("mod tests {"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn layer(path: &Path) -> Option<&str> {
    let layer = path.strip_prefix("src").ok()?.iter().next()?.to_str()?;
    Some(layer.trim_end_matches(".rs"))
}

/// Every `crate::module` in a line.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").map(move |(at, found)| {
        let rest = &line[at + found.len()..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn layers_import_only_what_stands_below_them() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let Some((name, allowed)) = RULES.iter().find(|(name, _)| Some(*name) == layer(&path))
        else {
            continue;
        };
        for (number, line) in code(&text) {
            let foreign = imports(line).find(|import| !allowed.contains(import));
            if let Some(import) = foreign {
                broken.push(format!("{}:{number}: {name} imports {import}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn adapters_do_not_know_each_other() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let Ok(inner) = path.strip_prefix("src/adapters") else { continue };
        let own = inner.iter().next().and_then(|name| name.to_str()).unwrap_or_default();
        let own = own.trim_end_matches(".rs");
        for (number, line) in code(&text) {
            for (at, found) in line.match_indices("adapters::") {
                let named = &line[at + found.len()..];
                if !named.starts_with(own) && !named.starts_with(COMMON) {
                    broken.push(format!("{}:{number}: {line}", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn client_crates_are_named_in_their_own_place_alone() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        for (name, places) in OWNED {
            if places.iter().any(|place| path.starts_with(place.trim_end_matches('/'))) {
                continue;
            }
            for (number, line) in code(&text).filter(|(_, line)| line.contains(name)) {
                broken.push(format!("{}:{number}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn domain_is_pure() {
    let mut broken = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| path.starts_with("src/domain")) {
        for (number, line) in code(text) {
            if IMPURE.iter().any(|word| line.contains(word)) {
                broken.push(format!("{}:{number}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn roles_name_no_wall_clock_and_no_randomness() {
    let mut broken = Vec::new();
    let elsewhere = |path: &Path| path.starts_with("src/roles") && !path.ends_with("ambient.rs");
    for (path, text) in sources().iter().filter(|(path, _)| elsewhere(path)) {
        let words = ["std::time::Instant", "SystemTime", "UNIX_EPOCH", "rand::", "now_v7"];
        for (number, line) in code(text) {
            if words.iter().any(|word| line.contains(word)) {
                broken.push(format!("{}:{number}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
