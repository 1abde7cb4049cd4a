//! Settings of what is told of single requests.

use serde::Deserialize;

use super::SettingsError;

/// Where traces go; `config/base.toml` says what each key means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained where their defaults stand")]
pub struct Traces {
    pub url: String,
    pub ratio: f64,
}

pub(super) fn check(traces: &Traces) -> Result<(), SettingsError> {
    if (0.0..=1.0).contains(&traces.ratio) {
        return Ok(());
    }
    Err(SettingsError("setting `traces.ratio`: a number from 0 to 1 is wanted".to_owned()))
}
