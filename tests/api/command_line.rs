//! Exit codes and messages of the command line.

use crate::support::command;

#[test]
fn help_and_version_are_there() {
    for arguments in [vec!["--help"], vec!["up", "--help"], vec!["--version"]] {
        let (code, text) = command(&arguments, &[]);
        assert_eq!(code, Some(0), "{arguments:?}");
        assert!(text.contains("rideshare") || text.contains("--slaves"), "{text}");
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    let table: [&[&str]; 5] =
        [&[], &["fly"], &["up", "--slaves", "0"], &["up", "--wings"], &["up", "--slaves", "many"]];
    for arguments in table {
        let (code, text) = command(arguments, &[]);
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
    }
}

#[test]
fn wrong_settings_exit_with_2_and_name_the_setting() {
    let table = [
        ("RIDESHARE_HTTP__PROT", "1", "http.prot"),
        ("RIDESHARE_HTTP__PORT", "many", "http.port"),
        ("RIDESHARE_LOG__FORMAT", "poem", "log.format"),
        ("RIDESHARE_LIMITS__IN_FLIGHT", "0", "limits.in_flight"),
    ];
    for (name, value, named) in table {
        let (code, text) = command(&["up", "--data-dir", "/nowhere/at/all"], &[(name, value)]);
        assert_eq!(code, Some(2), "{name}: {text}");
        assert!(text.contains(named), "{name}: {text}");
        assert_eq!(text.lines().count(), 1, "{name}: {text}");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("spoilt.toml");
    let path = file.to_str().unwrap();
    for text in ["[http]\nport = = 1\n", "[http\n", "port\n", "a = \"\"\"\n\n", "\u{0}"] {
        std::fs::write(&file, text).unwrap();
        let (code, said) = command(&["up", "--config", path], &[]);
        assert_eq!(code, Some(2), "{text:?}: {said}");
        assert!(said.contains(path) && said.contains("line "), "{text:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{text:?}: {said}");
    }
    let (code, text) = command(&["up", "--config", "/nowhere.toml"], &[]);
    assert_eq!(code, Some(2));
    assert!(text.contains("/nowhere.toml"), "{text}");
}

#[test]
fn port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let arguments = ["up", "--orchestrator-port", &port, "--data-dir", data];
    let (code, text) = command(&arguments, &[]);
    assert_eq!(code, Some(1));
    assert!(text.contains(&port), "{text}");
}
