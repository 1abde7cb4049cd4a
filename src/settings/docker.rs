//! Settings of the workers as containers.

use std::path::PathBuf;

use serde::Deserialize;

use super::SettingsError;

/// The longest name of a project: with a worker's after it, it is still a host name.
const LONGEST_PROJECT: usize = 20;
/// MongoDB takes no smaller cache.
const SMALLEST_CACHE_MB: u64 = 256;
/// 16 TiB.
const MOST_MEMORY_MB: u64 = 1 << 24;

/// The engine; `config/base.toml` says what each key means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained where their defaults stand")]
pub struct Docker {
    pub host: String,
    pub tls_ca_file: PathBuf,
    pub tls_cert_file: PathBuf,
    pub tls_key_file: PathBuf,
    pub timeout_ms: u64,
    pub project: String,
    pub network: String,
    pub worker_image: String,
    pub worker_user: String,
    pub worker_memory_mb: u64,
    pub worker_binds: String,
    pub database_image: String,
    pub database_user: String,
    pub database_memory_mb: u64,
    pub database_cache_mb: u64,
    pub log_max_mb: u64,
    pub log_max_files: u32,
    pub stop_workers: bool,
}

impl Docker {
    /// Whether any file for it is named.
    #[must_use]
    pub fn is_behind_tls(&self) -> bool {
        let files = [&self.tls_ca_file, &self.tls_cert_file, &self.tls_key_file];
        files.iter().any(|file| !file.as_os_str().is_empty())
    }

    /// The bindings, one by one.
    #[must_use]
    pub fn binds(&self) -> Vec<String> {
        let binds = self.worker_binds.split(',').map(str::trim);
        binds.filter(|bind| !bind.is_empty()).map(str::to_owned).collect()
    }
}

/// Checks what the engine would refuse only when a worker is started.
pub(super) fn check(docker: &Docker) -> Result<(), SettingsError> {
    let refuse = |key: &str, what: &str| {
        Err(SettingsError(format!("setting `docker.{key}` must be {what}")))
    };
    let schemes = ["unix://", "tcp://", "http://"];
    if !schemes.iter().any(|it| docker.host.strip_prefix(it).is_some_and(|rest| !rest.is_empty())) {
        return refuse("host", "unix://PATH or tcp://HOST:PORT");
    }
    let files = [
        ("tls_ca_file", &docker.tls_ca_file),
        ("tls_cert_file", &docker.tls_cert_file),
        ("tls_key_file", &docker.tls_key_file),
    ];
    let missing = files.iter().find(|(_, file)| file.as_os_str().is_empty());
    if let Some((key, _)) = missing.filter(|_| docker.is_behind_tls()) {
        return refuse(key, "named where another docker.tls_… is: TLS takes all three");
    }
    if docker.is_behind_tls() && docker.host.starts_with("unix://") {
        return refuse("host", "tcp://HOST:PORT where docker.tls_… name files");
    }
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let starts_well = docker.project.starts_with(|it: char| it.is_ascii_lowercase());
    if docker.project.len() > LONGEST_PROJECT
        || !starts_well
        || !docker.project.bytes().all(is_plain)
    {
        return refuse("project", "a small letter and at most 19 more, digits or `-`");
    }
    let named = [
        ("network", &docker.network),
        ("worker_image", &docker.worker_image),
        ("database_image", &docker.database_image),
    ];
    if let Some((key, _)) = named.iter().find(|(_, name)| name.is_empty()) {
        return refuse(key, "named");
    }
    if let Some((key, _)) = [
        ("timeout_ms", docker.timeout_ms),
        ("log_max_mb", docker.log_max_mb),
        ("log_max_files", u64::from(docker.log_max_files)),
    ]
    .iter()
    .find(|(_, number)| *number == 0)
    {
        return refuse(key, "at least 1");
    }
    let memories = [
        ("worker_memory_mb", docker.worker_memory_mb),
        ("database_memory_mb", docker.database_memory_mb),
    ];
    if let Some((key, _)) = memories.iter().find(|(_, mb)| *mb > MOST_MEMORY_MB) {
        return refuse(key, "at most 16777216");
    }
    if docker.worker_memory_mb < 64 {
        return refuse("worker_memory_mb", "at least 64");
    }
    if docker.database_cache_mb < SMALLEST_CACHE_MB {
        return refuse("database_cache_mb", "at least 256");
    }
    if docker.database_memory_mb / 2 < docker.database_cache_mb {
        return refuse("database_memory_mb", "at least twice `docker.database_cache_mb`");
    }
    if !docker.binds().iter().all(|bind| is_bind(bind)) {
        return refuse(
            "worker_binds",
            "HOST:CONTAINER[:ro], separated by commas: whole paths, or a volume's name for HOST",
        );
    }
    Ok(())
}

fn is_bind(bind: &str) -> bool {
    let mut parts = bind.split(':');
    let (host, container) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let is_volume = host.starts_with(|it: char| it.is_ascii_alphanumeric())
        && host.bytes().all(|it| it.is_ascii_alphanumeric() || b"_.-".contains(&it));
    (host.starts_with('/') || is_volume) && container.starts_with('/')
}

#[cfg(test)]
mod tests {
    use crate::settings::{Profile, Settings};

    fn load(key: &str, value: &str) -> Result<Settings, String> {
        let environment = [(format!("RIDESHARE_DOCKER__{key}"), value.to_owned())];
        Settings::load(Profile::Process, None, environment, &[]).map_err(|it| it.to_string())
    }

    #[test]
    fn senseless_values_are_refused_by_name() {
        let table = [
            ("HOST", "/var/run/docker.sock"),
            ("HOST", "unix://"),
            ("HOST", "ssh://host"),
            ("TLS_KEY_FILE", "/key.pem"),
            ("PROJECT", "a project"),
            ("PROJECT", "-x"),
            ("PROJECT", "abcdefghijklmnopqrstuvwxyz"),
            ("WORKER_IMAGE", ""),
            ("TIMEOUT_MS", "0"),
            ("WORKER_MEMORY_MB", "1"),
            ("DATABASE_CACHE_MB", "100"),
            ("DATABASE_CACHE_MB", "9223372036854775807"),
            ("DATABASE_MEMORY_MB", "300"),
            ("DATABASE_MEMORY_MB", "9223372036854775807"),
            ("WORKER_BINDS", "./relative:/x"),
            ("WORKER_BINDS", "volume"),
            ("WORKER_BINDS", "volume:x"),
        ];
        for (key, value) in table {
            let error = load(key, value).expect_err(value);
            // The first that is missing, where one of several is there.
            let key = if key == "TLS_KEY_FILE" { "TLS_CA_FILE" } else { key };
            assert!(error.contains(&format!("docker.{}", key.to_lowercase())), "{error}");
        }
    }

    #[test]
    fn tls_takes_three_files_and_an_address() {
        let with = |host: &str| {
            let files = ["CA", "CERT", "KEY"].map(|it| (format!("TLS_{it}_FILE"), "/x.pem"));
            let all = files.into_iter().chain([("HOST".to_owned(), host)]);
            let environment =
                all.map(|(key, value)| (format!("RIDESHARE_DOCKER__{key}"), value.to_owned()));
            Settings::load(Profile::Process, None, environment, &[]).map_err(|it| it.to_string())
        };
        assert!(with("tcp://10.0.0.1:2376").expect("valid").docker.is_behind_tls());
        let error = with("unix:///var/run/docker.sock").expect_err("a socket");
        assert!(error.contains("docker.host"), "{error}");
    }

    #[test]
    fn bindings_are_told_apart() {
        let settings = load("WORKER_BINDS", "/a:/b:ro, my-volume:/d").expect("valid");
        assert_eq!(settings.docker.binds(), ["/a:/b:ro", "my-volume:/d"]);
        assert!(load("HOST", "tcp://10.0.0.1:2375").is_ok());
    }
}
