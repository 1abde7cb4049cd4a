//! A file of settings: taken, or refused in one line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use rideshare::settings::{Profile, Settings};

fuzz_target!(|text: &[u8]| {
    let file = tempfile::NamedTempFile::with_suffix(".toml").expect("a temporary file");
    std::fs::write(file.path(), text).expect("room for it");
    let path = Some(file.path().to_owned());
    if let Err(error) = Settings::load(Profile::Embedded, path, [], &[]) {
        let told = error.to_string();
        assert!(!told.is_empty() && !told.contains('\n'), "{told:?}");
    }
});
