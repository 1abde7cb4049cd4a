//! Settings that nobody means: each is refused in one line, or taken.

use proptest::prelude::*;
use proptest::sample::select;

use super::layers::{keys, toml};
use super::{BASE, Profile, Settings};

/// Every key there is.
fn known() -> Vec<String> {
    keys(&toml("base", BASE)).expect("the defaults are valid").into_iter().collect()
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        select(vec!["", "true", "null", "[]", "{}", "0", "-1", "1e400", "a,b", "amqp://", "://"])
            .prop_map(str::to_owned),
        "\\PC{0,40}",
    ]
}

fn assert_told(
    environment: Vec<(String, String)>,
    file: Option<&str>,
) -> Result<(), TestCaseError> {
    let written = file.map(|text| {
        let file = tempfile::NamedTempFile::with_suffix(".toml").expect("temporary file");
        std::fs::write(file.path(), text).expect("written");
        file
    });
    let path = written.as_ref().map(|file| file.path().to_owned());
    if let Err(error) = Settings::load(Profile::Process, path, environment, &[]) {
        let told = error.to_string();
        prop_assert!(!told.is_empty() && !told.contains('\n'), "{told:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_in_a_variable_is_survived(key in select(known()), value in value()) {
        let name = format!("RIDESHARE_{}", key.to_uppercase().replace('.', "__"));
        assert_told(vec![(name, value)], None)?;
    }

    #[test]
    fn any_variable_of_ours_is_survived(name in "RIDESHARE_[A-Z_a-z.0-9]{0,30}", value in value()) {
        assert_told(vec![(name, value)], None)?;
    }

    #[test]
    fn any_value_in_a_file_is_survived(
        key in select(known()),
        value in prop_oneof![value(), value().prop_map(|text| format!("{text:?}"))],
    ) {
        assert_told(Vec::new(), Some(&format!("{key} = {value}\n")))?;
    }

    #[test]
    fn any_file_is_survived(text in "([a-z.\\[\\]=\"'{}0-9\n ]|\\PC){0,80}") {
        assert_told(Vec::new(), Some(&text))?;
    }
}
