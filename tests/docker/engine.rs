//! The engine, through its own command line: an independent witness. And its end.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs `docker` and returns what it says.
pub(crate) fn docker(arguments: &[&str]) -> Result<String, String> {
    output(Command::new("docker").args(arguments))
}

/// One fact of one container; empty where there is no such container.
pub(crate) fn inspect(container: &str, format: &str) -> String {
    docker(&["container", "inspect", "--format", format, container]).unwrap_or_default()
}

/// The lines of a list, in order.
pub(crate) fn list(arguments: &[&str]) -> Vec<String> {
    let mut lines: Vec<_> = docker(arguments).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// What a command says where it succeeds, or complains of where it does not.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// Says that nobody else has containers on the engine, and where its output may go.
const RESTART: &str = "RIDESHARE_TEST_RESTART_ENGINE";
const PID_FILE: &str = "/var/run/docker.pid";
/// All containers are asked to stop first.
const RESTART_LIMIT: Duration = Duration::from_secs(90);

/// Stops the engine itself, as a reboot of its machine does, and starts it again in the same way.
/// False where others may have containers on it.
pub(crate) fn restart() -> bool {
    if std::env::var_os(RESTART).is_none() {
        eprintln!("the engine itself is not restarted: {RESTART} is not set");
        return false;
    }
    assert!(std::env::var_os("DOCKER_HOST").is_none(), "{RESTART}, but DOCKER_HOST is elsewhere");
    let pid = std::fs::read_to_string(PID_FILE).unwrap().trim().to_owned();
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(name.trim(), "dockerd", "{PID_FILE} names the engine");
    let parts = |file: &str| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect::<Vec<_>>()
    };
    let (arguments, environment) = (parts("cmdline"), parts("environ"));
    output(Command::new("kill").args(["-s", "TERM", &pid])).unwrap();
    let program = std::path::PathBuf::from(format!("/proc/{pid}/exe"));
    // The link of one that has ended leads nowhere, whether or not somebody has waited for it.
    until("the end of the engine", || std::fs::read_link(&program).is_err());
    let mut engine = Command::new(&arguments[0]);
    let mut engine = engine
        .args(&arguments[1..])
        .env_clear()
        .envs(environment.iter().filter_map(|variable| variable.split_once('=')))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    // It outlives the tests.
    std::thread::spawn(move || engine.wait());
    until("an engine that answers", || docker(&["info"]).is_ok());
    true
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < RESTART_LIMIT, "waited for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
