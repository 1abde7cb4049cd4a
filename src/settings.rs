//! Settings: where they come from, which there are, and what is said of a wrong one.
//!
//! Precedence: flag > environment > file > profile > base. `config/base.toml` names every key, so
//! a key that does not stand there is unknown wherever it comes from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use config::{Config, File, FileFormat, Source};
use serde::Deserialize;

use self::layers::{Layer, as_variables, check_keys, error, keys, toml, variables};
use crate::domain::scaling::ScalingRules;

mod auth;
mod docker;
mod layers;
mod reference;
mod secrets;
mod servers;
mod traces;

pub use auth::{Auth, AuthMode, NeededTokens};
pub use docker::Docker;
pub use reference::reference;
pub use secrets::SecretFile;
pub use servers::{
    Containers, Mongodb, QueueKind, Rabbitmq, Runtime, Secret, Worker, WorkerType, Zookeeper,
};
pub use traces::Traces;

const BASE: &str = include_str!("../config/base.toml");
/// What the variables begin with that are an orchestrator's own: who may use it, and its certificate,
/// which is in no worker's reach.
const OWN_VARIABLES: [&str; 2] = ["RIDESHARE_AUTH__", "RIDESHARE_HTTP__TLS_"];

/// A group of settings for one way of running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Everything in one process.
    Embedded,
    /// Each role a process, on real servers.
    Process,
    /// The users service.
    Users,
    /// The rides service.
    Rides,
}

impl Profile {
    const fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Embedded => ("profile embedded", include_str!("../config/embedded.toml")),
            Self::Process => ("profile process", include_str!("../config/process.toml")),
            Self::Users => ("profile users", include_str!("../config/users.toml")),
            Self::Rides => ("profile rides", include_str!("../config/rides.toml")),
        }
    }
}

/// A wrong setting: one line that names it and where it came from.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(String);

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What is logged, and how; how much is kept of the log of writes.
    pub log: Log,
    /// Where the way of single requests is told.
    pub traces: Traces,
    /// Where HTTP is served.
    pub http: Http,
    /// Who may use it.
    pub auth: Auth,
    /// What is refused.
    pub limits: Limits,
    /// How the number of slaves follows the reads.
    pub scaling: Scaling,
    /// Who is thought dead, and when.
    pub health: Health,
    /// The broker.
    pub rabbitmq: Rabbitmq,
    /// The coordination service.
    pub zookeeper: Zookeeper,
    /// The workers' database server.
    pub mongodb: Mongodb,
    /// What starts and watches workers.
    pub containers: Containers,
    /// The engine, where the workers are containers.
    pub docker: Docker,
    /// One worker.
    pub worker: Worker,
    /// What the users and rides services work with.
    pub apps: Apps,
    /// Every setting as a variable, for processes that are to have the same.
    #[serde(skip)]
    variables: Variables,
    #[serde(skip)]
    secret_files: Vec<SecretFile>,
}

/// Settings as variables of an environment. Never shown: there are secrets among them.
#[derive(Clone, Default)]
struct Variables(BTreeMap<String, String>);

impl std::fmt::Debug for Variables {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Variables(redacted)")
    }
}

/// What is logged, and how; how much is kept of the log of writes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Directives of `tracing_subscriber::EnvFilter`.
    pub filter: String,
    /// For people or for programs.
    pub format: LogFormat,
    /// How many bytes of the log of writes are kept.
    pub max_bytes: u64,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Where HTTP is served.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// An address of this machine.
    pub listen: String,
    /// 0 picks one.
    pub port: u16,
    /// 0 takes one a core.
    pub threads: usize,
    /// Connections at a time.
    pub max_connections: usize,
    /// Of this server, in PEM; without one, there is no TLS.
    pub tls_cert: PathBuf,
    /// Its key.
    pub tls_key: PathBuf,
    /// Whom to trust among others; the well-known ones where it is empty.
    pub ca_file: PathBuf,
}

impl Http {
    /// Whether it is served over TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        !self.tls_cert.as_os_str().is_empty()
    }

    /// What the address of a server begins with.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.has_tls() { "https" } else { "http" }
    }

    fn check(&self) -> Result<(), SettingsError> {
        if self.has_tls() == self.tls_key.as_os_str().is_empty() {
            let line = "settings `http.tls_cert` and `http.tls_key` belong together";
            return Err(SettingsError(line.to_owned()));
        }
        Ok(())
    }
}

/// What is refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Of a request's body.
    pub body_bytes: usize,
    /// Until it is there.
    pub body_secs: u64,
    /// Requests under way.
    pub in_flight: usize,
    /// Of one client; 0 sets no limit.
    pub requests_per_second: u32,
    /// Requests in one record.
    pub batch_requests: usize,
    /// Of documents that a worker remembers; 0 for none.
    pub cache_mb: usize,
    /// Of a process, for its tasks; 0 for as many as suit the machine.
    pub threads: usize,
    /// Records that a serving slave may lack.
    pub lag_records: u64,
}

/// How the number of slaves follows the reads.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// Of a window.
    pub window_secs: u64,
    /// In a window.
    pub reads_per_slave: u64,
    /// At least 1.
    pub min_slaves: u32,
    /// At least `min_slaves`.
    pub max_slaves: u32,
}

/// Who is thought dead, and when.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Silence before suspicion.
    pub suspect_after_ms: u64,
    /// No suspicion before this age of who was not heard of yet.
    pub startup_grace_ms: u64,
    /// From being chosen to being in office.
    pub promotion_limit_ms: u64,
    /// For the worker's own database.
    pub database_patience_ms: u64,
}

/// What the users and rides services work with.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apps {
    /// Of an orchestrator.
    pub database_url: String,
    /// Of the users service.
    pub users_url: String,
    /// The built-in list where it is empty.
    pub areas_file: PathBuf,
}

impl Settings {
    /// Reads all layers: base, `profile`, the file if one is named, the environment as given, and
    /// flags as `(key, value)`.
    ///
    /// # Errors
    /// One line that names the wrong key and where it came from.
    pub fn load(
        profile: Profile,
        file: Option<PathBuf>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Self, SettingsError> {
        let (profile_name, profile_text) = profile.text();
        let mut layers = vec![toml("base", BASE), toml(profile_name, profile_text)];
        if let Some(path) = file {
            let origin = format!("file {}", path.display());
            let source = File::from(path).format(FileFormat::Toml);
            layers.push(Layer { origin, source: Box::new(source) });
        }
        layers.push(variables(profile, environment)?);
        let known = keys(&layers[0])?;
        let mut builder = Config::builder();
        for (place, layer) in layers.into_iter().enumerate() {
            let given = check_keys(&layer, &known)?;
            let cover = (place > 0).then(|| secrets::cover(&layer.origin, &given)).transpose()?;
            builder = builder.add_source(vec![layer.source]);
            builder = builder.add_source(cover.map(|it| it.source).into_iter().collect::<Vec<_>>());
        }
        for (key, value) in flags {
            builder = builder.set_override(*key, value.as_str()).map_err(error)?;
        }
        let built = secrets::read(builder.build().map_err(error)?)?;
        let values = built.collect().map_err(error)?;
        let mut settings: Self = built.try_deserialize().map_err(error)?;
        settings.check()?;
        for (key, value) in values {
            as_variables(&key, &value, &mut settings.variables.0);
        }
        let is_own = |name: &String| OWN_VARIABLES.iter().any(|own| name.starts_with(own));
        settings.variables.0.retain(|name, _| !is_own(name));
        settings.secret_files = secrets::take_files(&mut settings.variables.0);
        Ok(settings)
    }

    /// Every setting as a variable of the environment, for a worker that is to have the same, but
    /// for tokens and the certificate, which a worker has no use for. There are secrets among them.
    pub fn to_variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Which of the secrets among the variables were read from files.
    #[must_use]
    pub fn secret_files(&self) -> &[SecretFile] {
        &self.secret_files
    }

    fn check(&self) -> Result<(), SettingsError> {
        let least_one = [
            ("limits.body_bytes", self.limits.body_bytes),
            ("http.max_connections", self.http.max_connections),
            ("limits.body_secs", usize::from(self.limits.body_secs > 0)),
            ("limits.in_flight", self.limits.in_flight),
            ("limits.batch_requests", self.limits.batch_requests),
            ("scaling.window_secs", usize::from(self.scaling.window_secs > 0)),
            ("scaling.reads_per_slave", usize::from(self.scaling.reads_per_slave > 0)),
            ("scaling.min_slaves", self.scaling.min_slaves as usize),
        ];
        if let Some((key, _)) = least_one.iter().find(|(_, value)| *value == 0) {
            return Err(SettingsError(format!("setting `{key}` must be at least 1")));
        }
        traces::check(&self.traces)?;
        if self.scaling.max_slaves < self.scaling.min_slaves {
            let line = "setting `scaling.max_slaves` is less than `scaling.min_slaves`";
            return Err(SettingsError(line.to_owned()));
        }
        if self.limits.batch_requests > 10_000 {
            let line = "setting `limits.batch_requests` must be at most 10000";
            return Err(SettingsError(line.to_owned()));
        }
        for (key, value, most) in [
            ("limits.cache_mb", self.limits.cache_mb, 1 << 20),
            ("limits.threads", self.limits.threads, 1_024),
        ] {
            if value > most {
                return Err(SettingsError(format!("setting `{key}` must be at most {most}")));
            }
        }
        let urls = [
            ("apps.database_url", &self.apps.database_url),
            ("apps.users_url", &self.apps.users_url),
        ];
        let is_url = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        match urls.iter().find(|(_, url)| !is_url(url)) {
            None => {
                self.http.check()?;
                docker::check(&self.docker)?;
                servers::check(&self.worker, &self.mongodb)
            }
            Some((key, _)) => {
                let line = format!("setting `{key}` must start with http:// or https://");
                Err(SettingsError(line))
            }
        }
    }
}

impl Scaling {
    /// The rules in the domain's terms.
    #[must_use]
    pub const fn rules(&self) -> ScalingRules {
        ScalingRules {
            window_ms: self.window_secs.saturating_mul(1_000),
            reads_per_slave: self.reads_per_slave,
            min_slaves: self.min_slaves,
            max_slaves: self.max_slaves,
        }
    }
}

impl Health {
    /// Silence before suspicion.
    #[must_use]
    pub const fn suspect_after(&self) -> Duration {
        Duration::from_millis(self.suspect_after_ms)
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings, String> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let flags: Vec<_> = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        Settings::load(Profile::Embedded, None, environment, &flags).map_err(|it| it.to_string())
    }

    fn write_file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::with_suffix(".toml").expect("temporary file");
        std::fs::write(file.path(), text).expect("written");
        file
    }

    #[test]
    fn each_layer_overrides_the_one_below() {
        let base = load(&[], &[]).expect("defaults are valid");
        assert_eq!((base.http.port, base.health.suspect_after_ms), (8080, 5000));
        let file = write_file("[http]\nport = 1\n[scaling]\nmax_slaves = 3\n");
        let path = Some(file.path().to_owned());
        let environment = [("RIDESHARE_HTTP__PORT".to_owned(), "2".to_owned())];
        let from = |environment: Vec<_>, flags: &[_]| {
            Settings::load(Profile::Embedded, path.clone(), environment, flags).expect("valid")
        };
        assert_eq!(from(vec![], &[]).http.port, 1);
        let settings = from(environment.to_vec(), &[]);
        assert_eq!((settings.http.port, settings.scaling.max_slaves), (2, 3));
        assert_eq!(from(environment.to_vec(), &[("http.port", "3".to_owned())]).http.port, 3);
    }

    #[test]
    fn unknown_key_is_named_with_its_origin() {
        let error = load(&[("RIDESHARE_HTTP__PROT", "1")], &[]).expect_err("unknown");
        assert_eq!(
            error,
            "unknown setting `http.prot` in environment variable RIDESHARE_HTTP__PROT"
        );
        let error = load(&[("RIDESHARE_PORT", "1")], &[]).expect_err("unknown");
        assert!(error.contains("RIDESHARE_PORT"), "{error}");
        let file = write_file("[http]\nprot = 1\n");
        let path = Some(file.path().to_owned());
        let error = Settings::load(Profile::Embedded, path, [], &[]).expect_err("unknown");
        let expected = format!("unknown setting `http.prot` in file {}", file.path().display());
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn wrong_type_is_named_with_its_key() {
        let error = load(&[("RIDESHARE_HTTP__PORT", "many")], &[]).expect_err("no number");
        assert!(error.contains("http.port") && error.contains("environment"), "{error}");
        let error = load(&[("RIDESHARE_HTTP__PORT", "70000")], &[]).expect_err("too large");
        assert!(error.contains("http.port"), "{error}");
    }

    #[test]
    fn senseless_values_are_refused_by_name() {
        for key in ["LIMITS__IN_FLIGHT", "SCALING__MIN_SLAVES", "SCALING__WINDOW_SECS"] {
            let error = load(&[(&format!("RIDESHARE_{key}"), "0")], &[]).expect_err("zero");
            assert!(error.contains(&key.to_lowercase().replace("__", ".")), "{error}");
        }
        let error = load(&[("RIDESHARE_SCALING__MIN_SLAVES", "40")], &[]).expect_err("more");
        assert!(error.contains("scaling.max_slaves"), "{error}");
    }

    #[test]
    fn variables_of_the_original_count_where_there_are_workers() {
        let environment = [("WORKER_TYPE", "master"), ("NODE_NAME", "n1"), ("DB_NAME", "db1")];
        let own = ("RIDESHARE_MONGODB__URL", "mongodb://other");
        let of = |profile, pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            Settings::load(profile, None, pairs.collect::<Vec<_>>(), &[]).expect("valid")
        };
        let settings = of(Profile::Process, &environment);
        assert_eq!(settings.worker.start_as, WorkerType::Master);
        assert_eq!((settings.worker.node.as_str(), settings.mongodb.url.expose()), ("n1", "db1"));
        let both = [environment.as_slice(), &[own]].concat();
        assert_eq!(of(Profile::Process, &both).mongodb.url.expose(), "mongodb://other");
        assert_eq!(of(Profile::Embedded, &environment).worker.node, "");
    }

    #[test]
    fn settings_survive_the_way_through_an_environment_and_show_no_secret() {
        let secrets = [
            ("RIDESHARE_RABBITMQ__URL", "amqp://me:hidden@h"),
            ("RIDESHARE_MONGODB__URL", "mongodb://me:hidden@h"),
            ("RIDESHARE_ZOOKEEPER__CREDENTIALS", "me:hidden"),
            ("RIDESHARE_HTTP__PORT", "17"),
        ];
        let first = load(&secrets, &[]).expect("valid");
        let second = load(&first.to_variables().collect::<Vec<_>>(), &[]).expect("valid");
        assert_eq!(format!("{first:?}"), format!("{second:?}"));
        assert!(!format!("{first:?}").contains("hidden"), "{first:?}");
        assert_eq!(second.rabbitmq.url.expose(), "amqp://me:hidden@h");
        assert_eq!((second.http.port, second.zookeeper.credentials.expose()), (17, "me:hidden"));
    }

    #[test]
    fn worker_that_could_name_no_database_is_refused() {
        for node in ["a/b", "a.b", &"x".repeat(41)] {
            let error = load(&[("RIDESHARE_WORKER__NODE", node)], &[]).expect_err("no name");
            assert!(error.contains("worker.node"), "{error}");
        }
    }

    #[test]
    fn missing_file_is_named() {
        let path = Some(PathBuf::from("/nowhere/rideshare.toml"));
        let error = Settings::load(Profile::Embedded, path, [], &[]).expect_err("missing");
        assert!(error.to_string().contains("/nowhere/rideshare.toml"), "{error}");
    }

    #[test]
    fn variables_of_the_tests_and_of_others_are_left_alone() {
        let others = [("RIDESHARE_TEST_SERVICES", "/x"), ("PATH", "/bin"), ("RIDESHAREX", "1")];
        assert!(load(&others, &[]).is_ok());
    }
}
