//! What the adapter has to be told, and what it refuses to start with.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// The shortest session: below it, the client library's read loop never rests.
const MIN_SESSION_TIMEOUT_MS: u64 = 2_000;
/// The longest session: a death that goes unnoticed for longer helps nobody.
const MAX_SESSION_TIMEOUT_MS: u64 = 600_000;
/// Where ZooKeeper listens when a host names no port.
const DEFAULT_PORT: u16 = 2181;

/// How to reach ZooKeeper and which part of its tree is ours.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct ZookeeperSettings {
    /// The ensemble: `host:port`, separated by commas; the port is 2181 where it is left out.
    pub hosts: String,
    /// The znode below which everything is kept; created when missing.
    pub root: String,
    /// How long a silent session lives, in milliseconds. The server may bound it further: by
    /// default to between 2 and 20 of its ticks.
    pub session_timeout_ms: u64,
    /// With credentials, all znodes can be used by their owner only; without, by everybody.
    pub credentials: Option<Credentials>,
}

impl Default for ZookeeperSettings {
    fn default() -> Self {
        Self {
            hosts: format!("127.0.0.1:{DEFAULT_PORT}"),
            root: "/rideshare".to_owned(),
            session_timeout_ms: 6_000,
            credentials: None,
        }
    }
}

/// `user:password` for ZooKeeper's `digest` scheme. Never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Credentials(String);

impl Credentials {
    /// Takes `user:password`.
    #[must_use]
    pub fn new(user_and_password: impl Into<String>) -> Self {
        Self(user_and_password.into())
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    fn is_complete(&self) -> bool {
        self.0
            .split_once(':')
            .is_some_and(|(user, password)| !user.is_empty() && !password.is_empty())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials(redacted)")
    }
}

/// Why the settings cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Nothing to connect to.
    #[error("zookeeper.hosts names no host")]
    NoHosts,
    /// A host that is not `host` or `host:port`. A path belongs into `root`.
    #[error("zookeeper.hosts: `{0}` is neither `host` nor `host:port`")]
    Host(String),
    /// A root that is not an absolute path.
    #[error("zookeeper.root: `{0}` must look like `/name` or `/name/name`")]
    Root(String),
    /// A session that the client library cannot keep, or that is of no use.
    #[error(
        "zookeeper.session_timeout_ms: {0} is not between {MIN_SESSION_TIMEOUT_MS} and \
         {MAX_SESSION_TIMEOUT_MS}"
    )]
    SessionTimeout(u64),
    /// Half a credential.
    #[error("zookeeper.credentials must be `user:password`")]
    Credentials,
}

impl ZookeeperSettings {
    /// Says whether these settings can be used at all.
    ///
    /// # Errors
    /// The first setting that cannot, by name. Whether anybody listens is not checked.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if self.host_list().next().is_none() {
            return Err(SettingsError::NoHosts);
        }
        if let Some(host) = self.host_list().find(|host| !is_host(host)) {
            return Err(SettingsError::Host(host));
        }
        if !is_root(&self.root) {
            return Err(SettingsError::Root(self.root.clone()));
        }
        if !(MIN_SESSION_TIMEOUT_MS..=MAX_SESSION_TIMEOUT_MS).contains(&self.session_timeout_ms) {
            return Err(SettingsError::SessionTimeout(self.session_timeout_ms));
        }
        match &self.credentials {
            Some(credentials) if !credentials.is_complete() => Err(SettingsError::Credentials),
            _ => Ok(()),
        }
    }

    /// Every host with its port.
    pub(super) fn host_list(&self) -> impl Iterator<Item = String> {
        self.hosts.split(',').map(str::trim).filter(|host| !host.is_empty()).map(with_port)
    }

    pub(super) fn session_timeout(&self) -> Duration {
        Duration::from_millis(self.session_timeout_ms)
    }
}

fn with_port(host: &str) -> String {
    let has_port = match host.rsplit_once(':') {
        Some((name, _)) => !name.contains(':') || name.ends_with(']'),
        None => false,
    };
    if has_port {
        host.to_owned()
    } else if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{DEFAULT_PORT}")
    } else {
        format!("{host}:{DEFAULT_PORT}")
    }
}

fn is_host(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(name, port)| {
        !name.is_empty()
            && !name.contains(['/', '@', ' '])
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn is_root(root: &str) -> bool {
    root.strip_prefix('/').is_some_and(|names| {
        names.split('/').all(|name| {
            !matches!(name, "" | "." | "..")
                && name
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut ZookeeperSettings)) -> Result<(), SettingsError> {
        let mut settings = ZookeeperSettings::default();
        change(&mut settings);
        settings.validate()
    }

    #[test]
    fn defaults_are_usable() {
        assert_eq!(with(|_| ()), Ok(()));
    }

    #[test]
    fn session_under_two_seconds_is_refused_by_name() {
        let error = with(|settings| settings.session_timeout_ms = 1_999).unwrap_err();
        assert_eq!(
            error.to_string(),
            "zookeeper.session_timeout_ms: 1999 is not between 2000 and 600000"
        );
    }

    #[test]
    fn unusable_settings_are_refused() {
        assert_eq!(with(|settings| settings.hosts = " , ".to_owned()), Err(SettingsError::NoHosts));
        for host in ["a:b", "a:0", ":1", "a:2181/chroot", "a b:1"] {
            assert_eq!(
                with(|settings| settings.hosts = host.to_owned()),
                Err(SettingsError::Host(with_port(host))),
            );
        }
        for root in ["", "/", "rideshare", "/a/", "/a//b", "/..", "/a b"] {
            let refused = Err(SettingsError::Root(root.to_owned()));
            assert_eq!(with(|settings| settings.root = root.to_owned()), refused);
        }
        for half in ["", "user", "user:", ":password"] {
            let credentials = Some(Credentials::new(half));
            let refused = Err(SettingsError::Credentials);
            assert_eq!(with(|settings| settings.credentials = credentials), refused);
        }
    }

    #[test]
    fn hosts_get_the_default_port_where_they_name_none() {
        let settings = ZookeeperSettings {
            hosts: "a, b:1,::1,[::1],[::1]:2".to_owned(),
            ..ZookeeperSettings::default()
        };
        let hosts: Vec<String> = settings.host_list().collect();
        assert_eq!(hosts, ["a:2181", "b:1", "[::1]:2181", "[::1]:2181", "[::1]:2"]);
        assert_eq!(settings.validate(), Ok(()));
    }

    #[test]
    fn credentials_are_not_shown() {
        let settings = ZookeeperSettings {
            credentials: Some(Credentials::new("user:secret")),
            ..ZookeeperSettings::default()
        };
        let shown = format!("{settings:?}");
        assert!(!shown.contains("secret") && !shown.contains("user"), "{shown}");
    }
}
