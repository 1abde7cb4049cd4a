//! Who may use the HTTP interfaces.

use std::fmt;
use std::net::ToSocketAddrs;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Secret, SettingsError};
use crate::domain::access::{Tokens, parse_tokens};

/// Who may use the HTTP interfaces; `config/base.toml` says what each key means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained where their defaults stand")]
pub struct Auth {
    pub mode: AuthMode,
    pub allow_open: bool,
    pub app_token: Secret,
    pub app_token_file: PathBuf,
    pub admin_token: Secret,
    pub admin_token_file: PathBuf,
}

/// Whether requests have to show a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Whoever reaches the service may do everything.
    None,
    /// Each request shows the token that it needs.
    Token,
}

/// Which tokens a service cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeededTokens {
    /// An orchestrator's own: both.
    Both,
    /// The one that is shown to an orchestrator.
    App,
}

impl Auth {
    /// The tokens as they were read at the start.
    ///
    /// # Errors
    /// A line that names the setting which is no token.
    pub fn tokens(&self) -> Result<Tokens, SettingsError> {
        self.tokens_of(self.app_token.expose(), self.admin_token.expose())
    }

    /// Tokens from texts that were read anew.
    ///
    /// # Errors
    /// As [`Auth::tokens`].
    pub fn tokens_of(&self, app: &str, admin: &str) -> Result<Tokens, SettingsError> {
        let refuse = |key: &str, why: &dyn fmt::Display| {
            SettingsError(format!("setting `auth.{key}` (or `auth.{key}_file`): {why}"))
        };
        let app = parse_tokens(app).map_err(|why| refuse("app_token", &why))?;
        let admin = parse_tokens(admin).map_err(|why| refuse("admin_token", &why))?;
        Tokens::new(app, admin).map_err(|why| refuse("app_token", &why))
    }

    /// Refuses a start that would let everyone in by mistake, or nobody.
    ///
    /// # Errors
    /// A line that says which setting is missing.
    pub fn check(&self, listen: &str, needed: NeededTokens) -> Result<(), SettingsError> {
        self.tokens()?;
        if self.mode == AuthMode::None {
            return self.check_open(listen);
        }
        let given = [
            ("app_token", &self.app_token, true),
            ("admin_token", &self.admin_token, needed == NeededTokens::Both),
        ];
        match given.iter().find(|(_, token, is_needed)| *is_needed && token.expose().is_empty()) {
            None => Ok(()),
            Some((key, ..)) => Err(SettingsError(format!(
                "setting `auth.mode` is token, but neither `auth.{key}` nor `auth.{key}_file` is \
                 given"
            ))),
        }
    }

    fn check_open(&self, listen: &str) -> Result<(), SettingsError> {
        // What is no address at all is told by whoever tries to listen there.
        let mut addresses = (listen, 0).to_socket_addrs().into_iter().flatten();
        if self.allow_open || addresses.all(|it| it.ip().is_loopback()) {
            return Ok(());
        }
        Err(SettingsError(format!(
            "setting `http.listen` is {listen}, which others may reach, and `auth.mode` is none: \
             set auth.mode = \"token\" with its tokens, or auth.allow_open = true to let everyone \
             do everything"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Profile, Settings};
    use super::*;

    fn load(environment: &[(&str, &str)]) -> Settings {
        let environment = environment
            .iter()
            .map(|(key, value)| (format!("RIDESHARE_AUTH__{key}"), (*value).to_owned()));
        Settings::load(Profile::Process, None, environment, &[]).expect("valid")
    }

    #[test]
    fn open_service_that_others_may_reach_has_to_be_meant() {
        use NeededTokens::Both;
        let closed = load(&[]);
        for loopback in ["127.0.0.1", "::1", "localhost", "127.8.8.8"] {
            closed.auth.check(loopback, Both).expect("loopback");
        }
        for reachable in ["0.0.0.0", "::", "192.0.2.1"] {
            let error = closed.auth.check(reachable, Both).expect_err("open").to_string();
            assert!(error.contains(reachable) && error.contains("auth.allow_open"), "{error}");
        }
        load(&[("ALLOW_OPEN", "true")]).auth.check("0.0.0.0", Both).expect("meant");
    }

    #[test]
    fn token_that_is_missing_or_is_none_is_named() {
        use NeededTokens::{App, Both};
        let mode = ("MODE", "token");
        let (app, admin) = (("APP_TOKEN", "a"), ("ADMIN_TOKEN", "b"));
        load(&[mode, app, admin]).auth.check("0.0.0.0", Both).expect("both");
        load(&[mode, app]).auth.check("0.0.0.0", App).expect("enough");
        for (given, named) in [
            (vec![mode], "`auth.app_token`"),
            (vec![mode, app], "`auth.admin_token`"),
            (vec![mode, app, ("ADMIN_TOKEN", "no token")], "`auth.admin_token`"),
            (vec![mode, app, ("ADMIN_TOKEN", "a")], "`auth.app_token`"),
        ] {
            let error = load(&given).auth.check("127.0.0.1", Both).expect_err("not enough");
            let error = error.to_string();
            assert!(error.contains(named) && !error.contains("no token"), "{error}");
        }
    }

    #[test]
    fn no_worker_is_given_a_token() {
        let settings = load(&[("APP_TOKEN", "hidden"), ("ADMIN_TOKEN", "secret")]);
        let mut handed_on = settings.to_variables();
        assert!(!handed_on.any(|(name, _)| name.contains("AUTH") || name.contains("HTTP__TLS")));
        assert!(!format!("{settings:?}").contains("hidden"));
    }
}
