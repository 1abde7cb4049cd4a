//! Secrets that stand in files of their own, so that no environment and no listing shows them.
//!
//! The file is named by the key with `_file` after it. A layer that gives the one takes the other
//! back that a layer below it gave.

use std::collections::{BTreeMap, BTreeSet};

use config::{Config, File, FileFormat};

use super::SettingsError;
use super::layers::{Layer, error, variable};

/// What may stand in a file.
const KEYS: [&str; 5] =
    ["rabbitmq.url", "zookeeper.credentials", "mongodb.url", "auth.app_token", "auth.admin_token"];

fn file_key(key: &str) -> String {
    format!("{key}_file")
}

/// What goes on top of a layer that gives these keys: it may give a secret itself where one below
/// names a file.
pub(super) fn cover(origin: &str, given: &BTreeSet<String>) -> Result<Layer, SettingsError> {
    let mut text = String::new();
    for key in KEYS.into_iter().filter(|key| given.contains(*key)) {
        let file = file_key(key);
        if given.contains(&file) {
            return Err(SettingsError(format!(
                "settings `{key}` and `{file}` are both given in {origin}; give one of them"
            )));
        }
        text.push_str(&format!("{file} = \"\"\n"));
    }
    let source = File::from_str(&text, FileFormat::Toml);
    Ok(Layer { origin: origin.to_owned(), source: Box::new(source) })
}

/// Puts what stands in the files in the place of the secrets. The line's end at a file's end is
/// not a part of its secret.
pub(super) fn read(settings: Config) -> Result<Config, SettingsError> {
    let mut builder = Config::builder().add_source(settings.clone());
    for key in KEYS {
        let file_key = file_key(key);
        let path = settings.get_string(&file_key).map_err(error)?;
        if path.is_empty() {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|cause| {
            SettingsError(format!("setting `{file_key}`: {path} cannot be read: {cause}"))
        })?;
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() {
            return Err(SettingsError(format!("setting `{file_key}`: {path} is empty")));
        }
        builder = builder.set_override(key, secret).map_err(error)?;
    }
    builder.build().map_err(error)
}

/// A secret that was read from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// The variable that hands on the secret itself.
    pub secret_variable: String,
    /// The variable that hands on its file's name instead.
    pub file_variable: String,
    /// The file.
    pub path: String,
}

/// Takes the names of files out of all variables: a process that is given the secrets themselves
/// does without, and it may not see the files.
pub(super) fn take_files(variables: &mut BTreeMap<String, String>) -> Vec<SecretFile> {
    let take = |key: &str| {
        let file_variable = variable(&file_key(key));
        let path = variables.remove(&file_variable)?;
        Some(SecretFile { secret_variable: variable(key), file_variable, path })
    };
    KEYS.into_iter().filter_map(take).filter(|it| !it.path.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Profile, Settings};
    use super::SecretFile;

    fn load(file: Option<&Path>, environment: &[(&str, &str)]) -> Result<Settings, String> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let file = file.map(Path::to_owned);
        Settings::load(Profile::Process, file, environment, &[]).map_err(|it| it.to_string())
    }

    fn url(settings: &Settings) -> &str {
        settings.rabbitmq.url.expose()
    }

    /// A folder with `secret`, and with `settings.toml` that names it.
    fn folder(secret: &str) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, secret).expect("written");
        let path = path.display().to_string();
        let text = format!("[rabbitmq]\nurl_file = \"{path}\"\n");
        std::fs::write(folder.path().join("settings.toml"), text).expect("written");
        (folder, path)
    }

    #[test]
    fn secret_in_a_file_is_read_and_handed_on() {
        let (_folder, path) = folder("amqp://me:hidden@h\n");
        let settings = load(None, &[("RIDESHARE_RABBITMQ__URL_FILE", &path)]).expect("valid");
        assert_eq!(url(&settings), "amqp://me:hidden@h");
        let variables: Vec<_> = settings.to_variables().collect();
        assert!(!variables.iter().any(|(name, _)| name.ends_with("URL_FILE")), "no file for it");
        let file = SecretFile {
            secret_variable: "RIDESHARE_RABBITMQ__URL".to_owned(),
            file_variable: "RIDESHARE_RABBITMQ__URL_FILE".to_owned(),
            path,
        };
        assert_eq!(settings.secret_files(), [file]);
        let second = load(None, &variables).expect("valid");
        assert_eq!(url(&second), "amqp://me:hidden@h");
    }

    #[test]
    fn higher_layer_decides_whether_a_secret_or_its_file_counts() {
        let (folder, path) = folder("amqp://from-file");
        let file = folder.path().join("settings.toml");
        let of = |environment: &[_]| load(Some(&file), environment).expect("valid");
        assert_eq!(url(&of(&[])), "amqp://from-file");
        assert_eq!(url(&of(&[("RIDESHARE_RABBITMQ__URL", "amqp://h")])), "amqp://h");
        std::fs::write(&file, "[rabbitmq]\nurl = \"amqp://h\"\n").expect("written");
        assert_eq!(url(&of(&[("RIDESHARE_RABBITMQ__URL_FILE", &path)])), "amqp://from-file");
    }

    #[test]
    fn secret_that_cannot_be_had_is_named() {
        let (_folder, path) = folder("\n");
        let name = "RIDESHARE_RABBITMQ__URL_FILE";
        for (path, why) in [("/nowhere", "cannot be read"), (path.as_str(), "is empty")] {
            let error = load(None, &[(name, path)]).expect_err("no secret");
            assert!(error.contains("rabbitmq.url_file") && error.contains(path), "{error}");
            assert!(error.contains(why), "{error}");
        }
        let both = [(name, path.as_str()), ("RIDESHARE_RABBITMQ__URL", "amqp://h")];
        let error = load(None, &both).expect_err("two");
        assert!(error.contains("`rabbitmq.url_file` are both given in the environment"), "{error}");
    }
}
