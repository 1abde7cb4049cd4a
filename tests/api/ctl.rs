//! `rideshare ctl` beside a running system, as people and as programs use it.

use std::io::BufRead;

use serde_json::{Value, json};

use crate::support::{System, command};

/// The exit code, and what is printed.
fn ctl(system: &System, arguments: &[&str]) -> (Option<i32>, String) {
    command(&[&["ctl", "--url", &system.url], arguments].concat(), &[])
}

fn asked(system: &System, arguments: &[&str]) -> Value {
    let (code, text) = ctl(system, &[arguments, &["--json"]].concat());
    assert_eq!(code, Some(0), "{arguments:?}: {text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn system_is_looked_after_from_the_command_line() {
    let system = System::start(2).await;
    system.settle(2).await;
    let (code, text) = ctl(&system, &["status"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("ready\n2 slaves wanted, by the reads, of 2 to 16"), "{text}");
    let roles = |text: &str, role: &str| text.lines().filter(|line| line.contains(role)).count();
    assert_eq!((roles(&text, " master "), roles(&text, " slave ")), (1, 2), "{text}");

    let workers = asked(&system, &["workers"]);
    let nodes = |role: &str| -> Vec<String> {
        let all = workers.as_array().unwrap().iter().filter(|it| it["role"] == role);
        all.map(|it| it["node"].as_str().unwrap().to_owned()).collect()
    };
    let slaves = nodes("slave");
    let handed = asked(&system, &["switchover", "--to", &slaves[1]]);
    assert_eq!((&handed["from"], &handed["to"]), (&json!(nodes("master")[0]), &json!(slaves[1])));
    system.settle(2).await;

    assert_eq!(asked(&system, &["scale", "3"])["slaves"], json!(3));
    system.settle(3).await;
    assert_eq!(asked(&system, &["pause"]), json!({ "paused": true }));
    let (_, text) = ctl(&system, &["status"]);
    assert!(text.contains("\npaused"), "{text}");
    assert_eq!(asked(&system, &["resume"]), json!({ "paused": false }));

    let last = system.workers().await.last().unwrap()["pid"].clone();
    assert_eq!(asked(&system, &["crash", "slave", "--highest"]), json!([last]));
    system.settle(3).await;
    let (code, text) = ctl(&system, &["events"]);
    assert_eq!(code, Some(0), "{text}");
    for word in ["WHEN", "elected", "asked", "scaled", "paused", "resumed", "crashed"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_that_is_no_is_an_exit_code_and_a_reason() {
    let system = System::start(1).await;
    for (arguments, code, reason) in [
        (&["scale", "99"][..], 1, "answers 400: slaves is a number from 1 to 16"),
        (&["scale", "many"], 2, "a number or \"auto\" is wanted"),
        (&["switchover", "--to", "nobody"], 1, "answers 404: there is no slave `nobody`"),
        (&["crash", "everybody"], 2, "everybody"),
    ] {
        let (exit, text) = ctl(&system, arguments);
        assert_eq!(exit, Some(code), "{arguments:?}: {text}");
        assert!(text.contains(reason), "{arguments:?}: {text}");
    }
    let (code, text) = command(&["ctl", "status", "--url", "http://127.0.0.1:1"], &[]);
    assert_eq!(code, Some(1));
    assert!(text.contains("http://127.0.0.1:1/readyz gives no answer"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn token_of_the_settings_is_shown() {
    let tokens = [
        ("RIDESHARE_AUTH__MODE", "token"),
        ("RIDESHARE_AUTH__APP_TOKEN", "an-app-s"),
        ("RIDESHARE_AUTH__ADMIN_TOKEN", "an-administrator-s"),
    ];
    let system = System::start_with(1, &tokens).await;
    let pause = ["ctl", "pause", "--url", &system.url];
    let (code, text) = command(&pause, &[]);
    assert!(code == Some(1) && text.contains("answers 401"), "{text}");
    let (code, text) = command(&pause, &tokens[1..2]);
    assert!(code == Some(1) && text.contains("answers 403"), "{text}");
    let (code, text) = command(&pause, &tokens[2..]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn shells_and_manuals_know_every_command() {
    let (code, text) = command(&["completions", "bash"], &[]);
    assert!(code == Some(0) && text.contains("switchover"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let (code, text) = command(&["man", &path], &[]);
    assert_eq!((code, text.as_str()), (Some(0), ""));
    for page in ["rideshare.1", "rideshare-up.1", "rideshare-ctl-switchover.1"] {
        let text = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.contains(".SH NAME"), "{page}");
    }
    let (code, text) = command(&["man", &format!("{path}/nowhere")], &[]);
    assert!(code == Some(1) && text.contains("nowhere"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_tells_how_the_system_is_again_and_again() {
    let system = System::start(1).await;
    system.settle(1).await;
    let mut watching = std::process::Command::new(env!("CARGO_BIN_EXE_rideshare"))
        .args(["ctl", "watch", "--json", "--url", &system.url])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(watching.stdout.take().unwrap()).lines();
    let seen: Vec<Value> =
        lines.take(2).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    watching.kill().unwrap();
    watching.wait().unwrap();
    for look in &seen {
        assert_eq!(look["ready"], true, "{look}");
        assert_eq!(look["workers"].as_array().unwrap().len(), 2, "{look}");
        assert!(!look["events"].as_array().unwrap().is_empty(), "{look}");
    }
}
